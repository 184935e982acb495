//! The values that the forges' fields have in common.

use super::{MOST_CLAIMS, ParseError};
use crate::domain::{ObjectId, RefName};
use crate::forge::{Actor, Claim, ForgeRepository, Push};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest name of a repository, in bytes: several groups, with room.
const LONGEST_PATH: usize = 1024;

/// Reads a field that has to be there.
pub(super) fn read<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &'static str,
) -> Result<T, ParseError> {
    let raw = raw.ok_or(ParseError::Field(name))?;
    serde_json::from_str(raw.get()).map_err(|_| ParseError::Field(name))
}

/// A text, if it is one.
pub(super) fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// An id: most forges count, some have UUIDs.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    /// As plain text: letters, digits and `-_.`, without Bitbucket's braces.
    pub(super) fn plain(&self) -> Option<String> {
        let text = match self {
            Id::Number(number) => return Some(number.to_string()),
            Id::Text(text) => text.as_str(),
        };
        let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ((1..=64).contains(&bare.len()) && bare.bytes().all(plain)).then(|| bare.to_owned())
    }
}

/// A repository of an id and a path.
pub(super) fn repository(id: Option<&Id>, path: Option<String>) -> Option<ForgeRepository> {
    let path = path?;
    let fits = (1..=LONGEST_PATH).contains(&path.len()) && !path.chars().any(char::is_control);
    fits.then_some(ForgeRepository { id: id?.plain()?, path })
}

/// An account; a name that no forge would give is none.
pub(super) fn actor(login: Option<String>, id: Option<&Id>) -> Option<Actor> {
    let login = login?;
    let fits = (1..=255).contains(&login.len()) && !login.chars().any(char::is_control);
    fits.then_some(Actor { login, id: id.and_then(Id::plain) })
}

/// A ref of a full name.
pub(super) fn full(name: &str) -> Result<RefName, String> {
    RefName::parse(name.as_bytes()).map_err(|error| error.to_string())
}

/// A branch of its short name.
pub(super) fn branch(name: &str) -> Result<RefName, String> {
    full(&format!("refs/heads/{name}"))
}

/// A ref of a short name, by its type.
pub(super) fn short(kind: Option<&str>, name: &str) -> Result<RefName, String> {
    match kind {
        Some("branch") => branch(name),
        Some("tag" | "annotated_tag") => full(&format!("refs/tags/{name}")),
        // Neither is guessed: a wrong guess would blame another ref.
        Some(other) => Err(format!(
            "a ref of the unknown type `{}`",
            crate::domain::text::escape_short(other.as_bytes(), 64)
        )),
        None => Err("a ref without a type".to_owned()),
    }
}

/// An id of a move; `None` for the zero id.
pub(super) fn object(hex: &str) -> Result<Option<ObjectId>, String> {
    ObjectId::parse_optional(hex.as_bytes()).map_err(|error| error.to_string())
}

/// One move; none where both ids are the same, as in Gitea's test delivery.
pub(super) fn claim(
    reference: RefName,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
) -> Result<Option<Claim>, String> {
    match (before, after) {
        (None, None) => Err(format!("{reference} is said to have moved from nothing to nothing")),
        (Some(before), Some(after)) if before.format() != after.format() => {
            Err(format!("{reference} is said to have moved between two object formats"))
        }
        _ if before == after => Ok(None),
        _ => Ok(Some(Claim { reference, before, after })),
    }
}

/// One move as most forges tell it: a full name and two ids, of which zeros are none.
pub(super) fn full_claim(
    reference: Option<&RawValue>,
    before: Option<&RawValue>,
    after: Option<&RawValue>,
) -> Result<Option<Claim>, String> {
    let field = |raw, name| text(raw).ok_or_else(|| format!("a move whose `{name}` is not a text"));
    let reference = full(&field(reference, "ref")?)?;
    claim(reference, object(&field(before, "before")?)?, object(&field(after, "after")?)?)
}

/// Moves as they are read, one after the other.
#[derive(Default)]
pub(super) struct Moves {
    claims: Vec<Claim>,
    unreadable: Vec<String>,
    left_out: usize,
}

impl Moves {
    /// One move, or why it cannot be read.
    pub(super) fn of(one: Result<Option<Claim>, String>) -> Self {
        let mut moves = Moves::default();
        moves.add(one);
        moves
    }

    pub(super) fn add(&mut self, one: Result<Option<Claim>, String>) {
        match one {
            Ok(Some(claim)) if self.claims.len() < MOST_CLAIMS => self.claims.push(claim),
            Err(why) if self.unreadable.len() < Push::MOST_UNREADABLE - 1 => self.unreadable.push(why),
            Ok(None) => {}
            _ => self.left_out += 1,
        }
    }

    pub(super) fn finish(mut self) -> (Vec<Claim>, Vec<String>) {
        if self.left_out > 0 {
            self.unreadable.push(format!("{} more moves are left out", self.left_out));
        }
        (self.claims, self.unreadable)
    }
}
