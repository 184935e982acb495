//! The grammar of commits and annotated tags, on raw bytes (reference 1.1, 1.2): one object, one
//! interpretation.

mod field;
mod identity;
mod lines;

pub use identity::Identity;

use super::armor::Relaxed;
use super::{Finding, Rules, Trace, openpgp};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind};
use field::{SignatureScan, markers};
use identity::identity;
use lines::{Header, HeaderLines, split_header};

/// Largest header part of a commit or tag, in bytes (G047).
pub const MAX_HEADER: usize = 1 << 20;

/// Which verifier a signature block asks for, by its BEGIN line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureFormat {
    /// `-----BEGIN PGP SIGNATURE-----`
    OpenPgp,
    /// `-----BEGIN SSH SIGNATURE-----`
    Ssh,
    /// `-----BEGIN SIGNED MESSAGE-----`, X.509 / CMS, gitsign among them.
    X509,
}

impl SignatureFormat {
    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            SignatureFormat::OpenPgp => "OpenPGP",
            SignatureFormat::Ssh => "SSH",
            SignatureFormat::X509 => "X.509 (CMS)",
        }
    }
}

/// An unfolded, canonically delimited signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureBlock {
    /// By its BEGIN line.
    pub format: SignatureFormat,
    /// The armor from BEGIN to END, continuation spaces removed.
    pub armor: Vec<u8>,
}

/// The signed bytes, as slices of the object: what is before the signature and what is after it.
/// Nothing is copied or re-encoded (G15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The bytes before the signature.
    pub before: &'a [u8],
    /// The bytes after it; empty for tags.
    pub after: &'a [u8],
}

/// What stands where a signature may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureField {
    /// Nothing.
    Absent,
    /// One signature in canonical form.
    Present(SignatureBlock),
    /// Something that claims to be one and breaks G7 to G12.
    Malformed {
        /// Stable reason code.
        code: &'static str,
        /// The same for people.
        why: String,
    },
}

/// A commit that follows the grammar.
#[derive(Clone, Debug)]
pub struct CommitObject<'a> {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// The author line.
    pub author: Identity<'a>,
    /// The committer line.
    pub committer: Identity<'a>,
    /// The value of the `encoding` header, raw bytes: the first, where there are several.
    pub encoding: Option<&'a [u8]>,
    /// The message: everything after the first empty line.
    pub message: &'a [u8],
    /// The `mergetag` headers in their order, each the whole header but its name: see
    /// [`super::mergetag`].
    pub merge_tags: Vec<&'a [u8]>,
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
    /// What was let through although it is not canonical.
    pub findings: Vec<Finding>,
}

/// An annotated tag that follows the grammar.
#[derive(Clone, Debug)]
pub struct TagObject<'a> {
    /// What it points at.
    pub target: ObjectId,
    /// The kind it claims for its target.
    pub target_kind: ObjectKind,
    /// The `tag` header: the name it was made for.
    pub name: &'a [u8],
    /// The tagger line; absent only in very old tags, which only `rules.import` lets through.
    pub tagger: Option<Identity<'a>>,
    /// The message, without the signature.
    pub message: &'a [u8],
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
    /// What was let through although it is not canonical, and markers of signatures in the message.
    pub findings: Vec<Finding>,
}

impl TagObject<'_> {
    /// The time that the tag claims: the tagger's. A tag without such a line has the time that its OpenPGP
    /// signature claims (one claim is as good as the other), and 0, by which nothing verifies, where it
    /// has none.
    pub fn time(&self) -> i64 {
        match (&self.tagger, &self.signature) {
            (Some(tagger), _) => tagger.time,
            (None, SignatureField::Present(block)) if block.format == SignatureFormat::OpenPgp => {
                openpgp::claimed_time(&block.armor).unwrap_or(0)
            }
            (None, _) => 0,
        }
    }
}

/// Why bytes are not a commit or tag that this program accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} ({code})")]
pub struct GrammarError {
    /// Stable reason code such as `obj.dup_header`.
    pub code: &'static str,
    /// The same for people.
    pub why: String,
}

fn bad(code: &'static str, why: impl Into<String>) -> GrammarError {
    GrammarError { code, why: why.into() }
}

/// Parses a commit strictly.
///
/// # Errors
/// A [`GrammarError`] where two readers could disagree about the object (G1 to G6, G13, G14). Faults
/// of the signature field alone are not errors: see [`SignatureField::Malformed`].
pub fn parse_commit(format: ObjectFormat, raw: &[u8]) -> Result<CommitObject<'_>, GrammarError> {
    explained(read_commit(format, raw, Relaxed::default(), &mut Trace::off()), &mut Trace::off())
}

/// [`parse_commit`] with the relaxations that an operator asked for, each a finding where it was used, and
/// with the steps written down.
///
/// # Errors
/// As [`parse_commit`].
pub fn parse_commit_by<'a>(
    format: ObjectFormat,
    raw: &'a [u8],
    rules: &Rules,
    trace: &mut Trace,
) -> Result<CommitObject<'a>, GrammarError> {
    let relaxed = Relaxed { timestamps: rules.trailing_timestamps, import: rules.import };
    explained(read_commit(format, raw, relaxed, trace), trace)
}

fn read_commit<'a>(
    format: ObjectFormat,
    raw: &'a [u8],
    relaxed: Relaxed,
    trace: &mut Trace,
) -> Result<CommitObject<'a>, GrammarError> {
    let (headers, message) = split_header(raw)?;
    let mut fixed = Fixed::default();
    let mut signature = SignatureScan::new(signature_header(format));
    let (mut merge_tags, mut encoding) = (Vec::new(), None);
    let mut lines = HeaderLines::new(headers);
    while let Some(header) = lines.next()? {
        if header.name.starts_with(b"gpgsig") {
            if fixed.tree.is_none() {
                // Git does not read what does not begin with the tree.
                return Err(misplaced(header.name));
            }
            signature.header(&header, fixed.committer.is_none());
            continue;
        }
        if header.name == b"parent" && signature.seen() {
            // Git's walk ends the parents at the first other line: to it, this one is none.
            return Err(misplaced(header.name));
        }
        fixed.header(format, &header)?;
        if header.name == b"encoding" && encoding.is_none() {
            let value = &headers[header.range.start + b"encoding ".len()..header.range.end];
            encoding = Some(value.strip_suffix(b"\n").unwrap_or(value));
        }
        if header.name == b"mergetag" {
            merge_tags.push(&headers[header.range.start + b"mergetag ".len()..header.range.end]);
        }
    }
    let missing = |name: &str| bad("obj.misplaced_header", format!("there is no {name} line"));
    let tree = fixed.tree.ok_or_else(|| missing("tree"))?;
    let author = fixed.author.ok_or_else(|| missing("author"))?;
    let committer = fixed.committer.ok_or_else(|| missing("committer"))?;
    let parents = fixed.parents;
    trace.passed("grammar", "G1 to G6, G13", || format!("a commit with {} parents", parents.len()));
    let (signature, payload, findings) = signature.finish(raw, relaxed, trace);
    Ok(CommitObject {
        tree,
        parents,
        author,
        committer,
        encoding,
        message,
        merge_tags,
        signature,
        payload,
        findings,
    })
}

/// Parses an annotated tag strictly.
///
/// # Errors
/// As [`parse_commit`], by T1 to T3. A `gpgsig*` header makes the signature malformed (T1): git takes
/// it out of what it verifies.
pub fn parse_tag(format: ObjectFormat, raw: &[u8]) -> Result<TagObject<'_>, GrammarError> {
    explained(read_tag(format, raw, false, &mut Trace::off()), &mut Trace::off())
}

/// [`parse_tag`] with the relaxations that an operator asked for, each a finding where it was used, and
/// with the steps written down.
///
/// # Errors
/// As [`parse_tag`].
pub fn parse_tag_by<'a>(
    format: ObjectFormat,
    raw: &'a [u8],
    rules: &Rules,
    trace: &mut Trace,
) -> Result<TagObject<'a>, GrammarError> {
    explained(read_tag(format, raw, rules.import, trace), trace)
}

fn read_tag<'a>(
    format: ObjectFormat,
    raw: &'a [u8],
    import: bool,
    trace: &mut Trace,
) -> Result<TagObject<'a>, GrammarError> {
    const ORDER: [&[u8]; 4] = [b"object", b"type", b"tag", b"tagger"];
    let (headers, body) = split_header(raw)?;
    let mut values: [Option<&[u8]>; 4] = [None; 4];
    let mut smuggled = false;
    let mut lines = HeaderLines::new(headers);
    while let Some(header) = lines.next()? {
        let seen = values.iter().take_while(|value| value.is_some()).count();
        if header.name.starts_with(b"gpgsig") {
            if seen < 3 {
                // Git reads nothing that does not begin with object, type and tag.
                return Err(misplaced(header.name));
            }
            smuggled = true;
            continue;
        }
        match ORDER.iter().position(|name| *name == header.name) {
            Some(at) if at == seen => values[at] = Some(header.fixed_value()?),
            Some(at) if at < seen => return Err(duplicate(header.name)),
            Some(_) => return Err(misplaced(header.name)),
            None => return Err(bad("obj.bad_header", "a tag has no headers but its own four")),
        }
    }
    let [Some(target), Some(kind), Some(name), tagger] = values else {
        return Err(bad("obj.misplaced_header", "one of object, type, tag is missing"));
    };
    let mut findings = Vec::new();
    if tagger.is_none() {
        if !import {
            return Err(bad("obj.misplaced_header", "there is no tagger line"));
        }
        findings.push(Finding::new("import.no_tagger", "the tag has no tagger line"));
    }
    let target_kind = [ObjectKind::Commit, ObjectKind::Tag, ObjectKind::Tree, ObjectKind::Blob]
        .into_iter()
        .find(|known| known.name().as_bytes() == kind)
        .ok_or_else(|| bad("obj.bad_type", "the type header names no kind of object"))?;
    if name.is_empty() {
        return Err(bad("obj.bad_header", "the tag header is empty"));
    }
    let target = object_id(format, target)?;
    let tagger = tagger.map(identity).transpose()?;
    trace.passed("grammar", "T1", || format!("a tag of a {}", target_kind.name()));
    let start = raw.len() - body.len();
    let markers = markers(body);
    let split = start + markers.last.unwrap_or(body.len());
    let fault = if smuggled {
        Some(("sig.smuggled_header", "a tag has a gpgsig header"))
    } else if markers.second {
        Some(("sig.multiple_blocks", "there is a second signature before the signature"))
    } else {
        None
    };
    let signature = if let Some((code, why)) = fault {
        trace.failed("signature-field", "T1, T2", || format!("{why} ({code})"));
        SignatureField::malformed(code, why)
    } else if markers.last.is_some() {
        trace.passed("signature-field", "T2", || format!("the signature begins at byte {split} of the tag"));
        // An OpenTimestamps block is for headers (G10): behind a tag's signature it would be shown as text.
        let relaxed = Relaxed { timestamps: false, import };
        let (field, odd) = SignatureField::from_value(&raw[split..], relaxed, trace);
        findings.extend(odd);
        if matches!(field, SignatureField::Present(_)) {
            trace.passed("payload", "G15", || format!("the {split} bytes before it are signed"));
        }
        field
    } else {
        trace.noted("signature-field", "T2", || "there is no signature");
        SignatureField::Absent
    };
    if markers.embedded {
        let odd = "the message has a line like those that signatures begin with";
        trace.noted("signature-field", "T2", || odd);
        findings.push(Finding::new("tag.embedded_marker", odd));
    }
    let payload = Payload { before: &raw[..split], after: b"" };
    let message = &raw[start..split];
    Ok(TagObject { target, target_kind, name, tagger, message, signature, payload, findings })
}

/// Writes down why an object is refused.
fn explained<T>(result: Result<T, GrammarError>, trace: &mut Trace) -> Result<T, GrammarError> {
    if let Err(error) = &result {
        trace.failed("grammar", "G1 to G6, G13, T1", || error.to_string());
    }
    result
}

/// Reads only the parents of a commit, however malformed the rest is: for history behind the frontier,
/// whose format never makes a push undecided (N25). `None` where even that cannot be read.
///
/// It reads them as git's own walk does: the `parent` lines right after the `tree` line, whatever
/// follows them.
pub fn parents_lenient(format: ObjectFormat, raw: &[u8]) -> Option<Vec<ObjectId>> {
    let rest = raw.strip_prefix(b"tree ")?;
    let (tree, mut rest) = rest.split_at_checked(format.hex_len())?;
    if !tree.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut parents = Vec::new();
    loop {
        rest = rest.strip_prefix(b"\n")?;
        let Some(line) = rest.strip_prefix(b"parent ") else { return Some(parents) };
        let hex;
        (hex, rest) = line.split_at_checked(format.hex_len())?;
        // Git reads ids in upper case too.
        parents.push(ObjectId::parse(&hex.to_ascii_lowercase()).ok()?);
    }
}

const fn signature_header(format: ObjectFormat) -> &'static [u8] {
    match format {
        ObjectFormat::Sha1 => b"gpgsig",
        ObjectFormat::Sha256 => b"gpgsig-sha256",
    }
}

/// The four headers of a commit whose order is fixed (G2).
#[derive(Default)]
struct Fixed<'a> {
    tree: Option<ObjectId>,
    parents: Vec<ObjectId>,
    author: Option<Identity<'a>>,
    committer: Option<Identity<'a>>,
}

impl<'a> Fixed<'a> {
    fn header(&mut self, format: ObjectFormat, header: &Header<'a>) -> Result<(), GrammarError> {
        let name = header.name;
        match name {
            b"tree" if self.tree.is_some() => return Err(duplicate(name)),
            b"author" if self.author.is_some() => return Err(duplicate(name)),
            b"committer" if self.committer.is_some() => return Err(duplicate(name)),
            b"tree" => self.tree = Some(object_id(format, header.fixed_value()?)?),
            b"parent" if self.tree.is_some() && self.author.is_none() => {
                self.parents.push(object_id(format, header.fixed_value()?)?);
            }
            b"author" if self.tree.is_some() => self.author = Some(identity(header.fixed_value()?)?),
            b"committer" if self.author.is_some() => {
                self.committer = Some(identity(header.fixed_value()?)?);
            }
            b"parent" | b"author" | b"committer" => return Err(misplaced(name)),
            _ if self.committer.is_none() => {
                return Err(bad(
                    "obj.misplaced_header",
                    format!("{} stands before the committer line", header.shown()),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn duplicate(name: &[u8]) -> GrammarError {
    bad("obj.dup_header", format!("there is a second {} line", crate::domain::text::escape(name)))
}

fn misplaced(name: &[u8]) -> GrammarError {
    bad(
        "obj.misplaced_header",
        format!("the {} line is not where it belongs", crate::domain::text::escape(name)),
    )
}

/// An id of the repository's own length (G3).
fn object_id(format: ObjectFormat, hex: &[u8]) -> Result<ObjectId, GrammarError> {
    if hex.len() != format.hex_len() {
        return Err(bad("obj.bad_oid", format!("an object id has {} digits here", format.hex_len())));
    }
    ObjectId::parse(hex).map_err(|error| bad("obj.bad_oid", error.to_string()))
}

#[cfg(test)]
mod tests;
