//! Tags that a merge carries in its `mergetag` headers (reference 1.3).
//!
//! When git merges a signed tag, it folds the whole tag object into the merge's header part. That is a
//! copy for later readers, covered by the commit's own signature; it authorises nothing. Here it is judged
//! as the tag that it is. The outcome is told, and may at most cost a commit its verdict: a good one makes
//! nothing better.

use super::object::{CommitObject, TagObject, parse_tag_by};
use super::{Finding, MergeTags, Rules, SignatureStatus, Trace};
use crate::domain::{ObjectFormat, ObjectKind, text};

/// Most merged tags of one commit that are looked at. More count as bad: each can cost a verification, which
/// takes several milliseconds with the largest keys.
pub const MAX_MERGE_TAGS: usize = 8;

/// What one `mergetag` header turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergedTag {
    /// A tag of one of the merged parents, verified.
    Good {
        /// Its name, escaped.
        name: String,
    },
    /// Anything else; the code begins with `mergetag.`.
    Odd(Finding),
}

impl MergedTag {
    /// What is odd about it, if anything is.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            MergedTag::Good { .. } => None,
            MergedTag::Odd(finding) => Some(finding),
        }
    }
}

/// Judges the merged tags of a commit, in their order.
///
/// `verify` says what a tag's signature is worth, by the same keys, times and rules as the commit's and
/// with the keyring's word: the verifier alone does not know whose key is revoked.
pub fn judge(
    format: ObjectFormat,
    commit: &CommitObject<'_>,
    rules: &Rules,
    trace: &mut Trace,
    verify: &mut dyn FnMut(&TagObject<'_>, &mut Trace) -> SignatureStatus,
) -> Vec<MergedTag> {
    if rules.merge_tags == MergeTags::Ignore {
        return Vec::new();
    }
    let mut out = Vec::new();
    for value in commit.merge_tags.iter().take(MAX_MERGE_TAGS) {
        let raw = unfold(value);
        let merged = match one(format, commit, &raw, trace, verify) {
            Ok(name) => {
                trace.passed("merged-tag", "1.3", || format!("the merged tag `{name}` is verified"));
                MergedTag::Good { name }
            }
            Err(finding) => {
                trace.noted("merged-tag", "1.3", || format!("{} ({})", finding.text, finding.code));
                MergedTag::Odd(finding)
            }
        };
        out.push(merged);
    }
    if commit.merge_tags.len() > MAX_MERGE_TAGS {
        let odd =
            format!("the commit has {} merged tags; {MAX_MERGE_TAGS} are looked at", commit.merge_tags.len());
        trace.noted("merged-tag", "1.3", || odd.clone());
        out.push(MergedTag::Odd(Finding::new("mergetag.bad", odd)));
    }
    out
}

/// What the merged tags leave of the commit's own verdict: the same, or, where the operator wants a veto
/// and one of them is not good, malformed instead of verified.
pub fn veto(status: SignatureStatus, merged: &[MergedTag], rules: &Rules) -> SignatureStatus {
    let odd = merged.iter().find_map(MergedTag::finding);
    match (&status, odd) {
        (SignatureStatus::Verified(_), Some(finding)) if rules.merge_tags == MergeTags::Refuse => {
            SignatureStatus::Malformed { code: "mergetag.bad", why: finding.text.clone() }
        }
        _ => status,
    }
}

/// The tag object inside a header: exactly one space less on every line but the first.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (index, line) in value.split_inclusive(|byte| *byte == b'\n').enumerate() {
        out.extend_from_slice(if index == 0 { line } else { line.strip_prefix(b" ").unwrap_or(line) });
    }
    out
}

fn one(
    format: ObjectFormat,
    commit: &CommitObject<'_>,
    raw: &[u8],
    trace: &mut Trace,
    verify: &mut dyn FnMut(&TagObject<'_>, &mut Trace) -> SignatureStatus,
) -> Result<String, Finding> {
    let bad = |why: String| Finding::new("mergetag.bad", why);
    // Strictly: what old history is forgiven, its copies inside of merges are not.
    let tag = parse_tag_by(format, raw, &Rules::default(), trace)
        .map_err(|error| bad(format!("a merged tag is malformed: {error}")))?;
    let name = text::escape_short(tag.name, 60);
    // Which parent it is for comes before whose it is: a good signature over something else is no word
    // about this merge.
    let target = tag.target;
    let (first, merged) =
        commit.parents.split_first().map_or((None, &[][..]), |(one, rest)| (Some(one), rest));
    if first == Some(&target) {
        let why = format!("the merged tag `{name}` is of the first parent, which was not merged");
        return Err(Finding::new("mergetag.first_parent", why));
    }
    if !merged.contains(&target) {
        let why = format!("the merged tag `{name}` is of {}, which is no parent", target.short());
        return Err(Finding::new("mergetag.not_parent", why));
    }
    if tag.target_kind != ObjectKind::Commit {
        return Err(bad(format!("the merged tag `{name}` calls its commit a {}", tag.target_kind.name())));
    }
    match verify(&tag, trace) {
        SignatureStatus::Verified(_) => Ok(name),
        SignatureStatus::UnknownKey { key } => Err(Finding::new(
            "mergetag.unknown_key",
            format!("the merged tag `{name}` is signed by an unknown key: {key}"),
        )),
        other => Err(bad(format!("the merged tag `{name}` has {other}"))),
    }
}

#[cfg(test)]
mod tests;
