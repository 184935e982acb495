//! Which commit a revision names, by the object database and the refs alone: git is not run, and nothing that the
//! repository configures counts.

use super::{GitError, Objects, Repository};
use crate::domain::{ObjectId, ObjectKind, RefName, text};
use crate::signature::object::{parse_commit, parse_tag};

/// Largest commit or tag, bytes.
const MAX_OBJECT: u64 = 1 << 20;

/// Most tags in a row, most steps to a parent.
const MAX_TAGS: usize = 10;
const MAX_STEPS: usize = 10_000;

/// Why a revision names no commit.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no such revision, or it is none.
    #[error("{0}")]
    Named(String),
    /// It is larger than anything that is meant to be read so, or built to confuse readers.
    #[error("{0}")]
    Refused(String),
}

/// The commit that `revision` names: a full object id, a ref, a branch, a tag, or `HEAD` where that is a branch; `~`,
/// `~N` and `^` behind it go to first parents.
///
/// # Errors
/// See [`RevisionError`].
pub fn commit_of(repository: &Repository, revision: &str) -> Result<ObjectId, RevisionError> {
    let objects = repository.objects();
    let end = revision.find(['~', '^']).unwrap_or(revision.len());
    let (base, steps) = revision.split_at(end);
    let mut id = named(repository, base)?;
    for _ in 0..=MAX_TAGS {
        let found = objects.find(&id)?.ok_or(GitError::Missing { id, child: None })?;
        match found.kind {
            ObjectKind::Tag => {
                let raw = object(objects, &id, ObjectKind::Tag, MAX_OBJECT)?;
                id = parse_tag(objects.format(), &raw)
                    .map_err(|error| refused(&id, &error.to_string()))?
                    .target;
            }
            ObjectKind::Commit => return ancestor(objects, id, revision, steps),
            _ => break,
        }
    }
    Err(RevisionError::Named(format!("`{}` is no commit", shown(revision))))
}

fn shown(word: &str) -> String {
    text::escape_short(word.as_bytes(), 100)
}

fn refused(id: &ObjectId, why: &str) -> RevisionError {
    RevisionError::Refused(format!("object {id}: {why}"))
}

/// An object of this kind and of at most this size, which is asked before it is read.
fn object(objects: &Objects, id: &ObjectId, wanted: ObjectKind, most: u64) -> Result<Vec<u8>, RevisionError> {
    let found = objects.find(id)?.ok_or(GitError::Missing { id: *id, child: None })?;
    if found.kind != wanted {
        return Err(refused(id, &format!("it is a {} and not a {}", found.kind.name(), wanted.name())));
    }
    if found.size > most {
        return Err(refused(id, &format!("it has {} bytes, and {most} is the most here", found.size)));
    }
    let mut buffer = Vec::new();
    objects.read(id, &mut buffer)?.ok_or(GitError::Missing { id: *id, child: None })?;
    Ok(buffer)
}

fn ancestor(
    objects: &Objects,
    from: ObjectId,
    revision: &str,
    steps: &str,
) -> Result<ObjectId, RevisionError> {
    let unread = || {
        RevisionError::Named(format!("`{}`: only `~`, `~N` and `^` are read behind a name", shown(revision)))
    };
    let mut count = 0_usize;
    let mut rest = steps;
    while let Some(first) = rest.chars().next() {
        if !matches!(first, '~' | '^') {
            return Err(unread());
        }
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &rest[1..=digits];
        count = count.saturating_add(match (first, number) {
            ('~' | '^', "") => 1,
            ('~', number) => number.parse().unwrap_or(usize::MAX),
            ('^', "1") => 1,
            _ => return Err(unread()),
        });
        rest = &rest[1 + digits..];
    }
    if count > MAX_STEPS {
        return Err(RevisionError::Refused(format!(
            "`{}` is more than {MAX_STEPS} steps away",
            shown(revision)
        )));
    }
    let mut id = from;
    for _ in 0..count {
        let raw = object(objects, &id, ObjectKind::Commit, MAX_OBJECT)?;
        let parsed =
            parse_commit(objects.format(), &raw).map_err(|error| refused(&id, &error.to_string()))?;
        let none = || RevisionError::Named(format!("`{}` goes behind the first commit", shown(revision)));
        id = *parsed.parents.first().ok_or_else(none)?;
    }
    Ok(id)
}

fn named(repository: &Repository, base: &str) -> Result<ObjectId, RevisionError> {
    let nothing =
        || RevisionError::Named(format!("`{}` names no ref, and is no whole object id", shown(base)));
    if let Ok(id) = ObjectId::parse(base.as_bytes()) {
        return Ok(id);
    }
    let value = |name: &RefName| Ok::<_, RevisionError>(repository.resolve(name)?.value);
    if base == "HEAD" {
        let detached = || RevisionError::Named("HEAD is no branch: give the commit's id".to_owned());
        let branch = repository.default_branch()?.ok_or_else(detached)?;
        return value(&branch)?.ok_or_else(nothing);
    }
    let candidates = match base.starts_with("refs/") {
        true => vec![base.to_owned()],
        false => ["heads", "tags", "remotes"].map(|kind| format!("refs/{kind}/{base}")).to_vec(),
    };
    let mut found = Vec::new();
    for candidate in candidates {
        let Ok(name) = RefName::parse(candidate.as_bytes()) else { continue };
        if let Some(id) = value(&name)? {
            found.push((candidate, id));
        }
    }
    match &found[..] {
        [(_, id)] => Ok(*id),
        [] => Err(nothing()),
        _ => {
            let all: Vec<String> = found.iter().map(|(name, _)| format!("`{}`", shown(name))).collect();
            Err(RevisionError::Named(format!(
                "`{}` may be {}: write all of it",
                shown(base),
                all.join(" or ")
            )))
        }
    }
}
