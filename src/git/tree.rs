//! Decoding raw tree objects. Strictness is the point: what git's grammar does not have is reported by
//! name and place, and what can be read all the same is handed out, so that the caller decides by who
//! brought the tree.

use crate::domain::{FileMode, ObjectFormat, ObjectId, text};
use std::cmp::Ordering;
use std::fmt;

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A tree below this one.
    Tree,
    /// Anything else.
    Leaf(FileMode),
}

/// One entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// Its name. Nothing is said about it but that it is not empty: `.`, `..`, `.git` and the like are
    /// for rules to judge.
    pub name: &'a [u8],
    /// What it is.
    pub kind: EntryKind,
    /// The object that it names.
    pub id: ObjectId,
}

impl TreeEntry<'_> {
    /// The order of entries in a tree: a directory sorts as if its name ended in a slash.
    pub(super) fn order(&self, other: &TreeEntry<'_>) -> Ordering {
        let common = self.name.len().min(other.name.len());
        self.name[..common].cmp(&other.name[..common]).then_with(|| {
            let next = |entry: &TreeEntry<'_>| match entry.name.get(common) {
                Some(byte) => *byte,
                None if entry.kind == EntryKind::Tree => b'/',
                None => 0,
            };
            // Names that go on after a slash exist in malformed trees only; the length tells them apart.
            next(self).cmp(&next(other)).then(self.name.len().cmp(&other.name.len()))
        })
    }
}

/// What is wrong with a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TreeFaultCode {
    /// An entry sorts before the one that it follows.
    NotSorted,
    /// Two entries have one name, a file and a directory included.
    DuplicateName,
    /// A name without a byte.
    EmptyName,
    /// A name with a slash in it.
    SlashInName,
    /// A mode with a zero before it.
    ZeroPaddedMode,
    /// A file with the permissions of git's first months, such as `100664`. Old histories have it.
    LegacyFileMode,
    /// A mode that stands for nothing in a tree.
    UnknownMode,
    /// A mode that is no octal number.
    MalformedMode,
    /// The all-zero id.
    NullId,
    /// The tree ends within an entry: no space, no zero byte after the name, or less than an id.
    Truncated,
    /// A directory that neither the push nor the repository has.
    MissingTree,
    /// A directory whose object is something else than a tree.
    NoTree,
}

impl TreeFaultCode {
    /// The code for records and messages.
    pub const fn code(self) -> &'static str {
        match self {
            TreeFaultCode::NotSorted => "tree-not-sorted",
            TreeFaultCode::DuplicateName => "tree-duplicate-name",
            TreeFaultCode::EmptyName => "tree-empty-name",
            TreeFaultCode::SlashInName => "tree-slash-in-name",
            TreeFaultCode::ZeroPaddedMode => "tree-zero-padded-mode",
            TreeFaultCode::LegacyFileMode => "tree-legacy-file-mode",
            TreeFaultCode::UnknownMode => "tree-unknown-mode",
            TreeFaultCode::MalformedMode => "tree-malformed-mode",
            TreeFaultCode::NullId => "tree-null-id",
            TreeFaultCode::Truncated => "tree-truncated",
            TreeFaultCode::MissingTree => "tree-missing-tree",
            TreeFaultCode::NoTree => "tree-no-tree",
        }
    }

    /// Whether nothing after the fault can be trusted to be what it seems.
    const fn ends_reading(self) -> bool {
        matches!(self, TreeFaultCode::EmptyName | TreeFaultCode::MalformedMode | TreeFaultCode::Truncated)
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFault {
    /// Which.
    pub code: TreeFaultCode,
    /// The name of the entry, as far as there is one; within a [`super::MalformedTree`] the whole path.
    pub path: Vec<u8>,
}

impl fmt::Display for TreeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at `{}`", self.code.code(), text::escape_short(&self.path, 200))
    }
}

/// How many faults of one tree are told apart; the rest are counted.
const MAX_FAULTS: usize = 16;

/// A decoded tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree<'a> {
    /// The entries that could be read, in their order. Entries with the all-zero id are left out: they
    /// name nothing.
    pub entries: Vec<TreeEntry<'a>>,
    /// What is wrong, in the order of the entries.
    pub faults: Vec<TreeFault>,
    /// How many more faults there are.
    pub more_faults: usize,
    /// Whether every byte was understood. If not, what comes after the last fault is missing.
    pub whole: bool,
}

/// A tree with more entries than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEntries;

impl<'a> Tree<'a> {
    /// Decodes a tree of at most `max` entries.
    ///
    /// # Errors
    /// It has more; nothing else is one.
    pub fn decode(format: ObjectFormat, raw: &'a [u8], max: u64) -> Result<Self, TooManyEntries> {
        let id_len = format.hex_len() / 2;
        // Most entries have more bytes than this, so it is room enough without growing often.
        let mut entries: Vec<TreeEntry<'a>> = Vec::with_capacity((raw.len() / (id_len + 16)).min(1 << 16));
        let mut reader = Faults { faults: Vec::new(), more: 0 };
        let mut count = 0_u64;
        let mut rest = raw;
        let mut whole = true;
        // Files that a directory of the same name could still follow, each the beginning of the next.
        let mut open: Vec<&'a [u8]> = Vec::new();
        while !rest.is_empty() {
            if count == max {
                return Err(TooManyEntries);
            }
            count += 1;
            let (entry, after) = match one(format, id_len, rest, &mut reader) {
                Ok(read) => read,
                Err((code, name)) => {
                    reader.report(code, name);
                    whole = !code.ends_reading();
                    break;
                }
            };
            rest = after;
            let Some(entry) = entry else { continue };
            if let Some(last) = entries.last() {
                match last.order(&entry) {
                    Ordering::Less => {}
                    Ordering::Equal => reader.report(TreeFaultCode::DuplicateName, entry.name),
                    Ordering::Greater => reader.report(TreeFaultCode::NotSorted, entry.name),
                }
            }
            while open.last().is_some_and(|name| !entry.name.starts_with(name)) {
                open.pop();
            }
            if entry.kind != EntryKind::Tree {
                open.push(entry.name);
            } else if open.last() == Some(&entry.name) {
                reader.report(TreeFaultCode::DuplicateName, entry.name);
            }
            entries.push(entry);
        }
        Ok(Tree { entries, faults: reader.faults, more_faults: reader.more, whole })
    }

    /// Puts the entries of a tree that is not sorted into their order.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by(TreeEntry::order);
    }
}

struct Faults {
    faults: Vec<TreeFault>,
    more: usize,
}

impl Faults {
    fn report(&mut self, code: TreeFaultCode, name: &[u8]) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(TreeFault { code, path: name.to_owned() });
        } else {
            self.more += 1;
        }
    }
}

type Read<'a> = (Option<TreeEntry<'a>>, &'a [u8]);

/// Reads the entry at the beginning of `raw` and gives what follows it. An error ends the reading.
fn one<'a>(
    format: ObjectFormat,
    id_len: usize,
    raw: &'a [u8],
    faults: &mut Faults,
) -> Result<Read<'a>, (TreeFaultCode, &'a [u8])> {
    // The longest mode with any sense has seven digits; what is longer is none.
    let space = raw.iter().take(MAX_MODE + 1).position(|byte| *byte == b' ');
    let Some(space) = space else {
        let code =
            if raw.len() <= MAX_MODE { TreeFaultCode::Truncated } else { TreeFaultCode::MalformedMode };
        return Err((code, b""));
    };
    let after_mode = &raw[space + 1..];
    let end = after_mode.iter().position(|byte| *byte == 0).ok_or((TreeFaultCode::Truncated, after_mode))?;
    let name = &after_mode[..end];
    let (id, rest) =
        after_mode[end + 1..].split_at_checked(id_len).ok_or((TreeFaultCode::Truncated, name))?;
    let (kind, fault) = mode(&raw[..space]).ok_or((TreeFaultCode::MalformedMode, name))?;
    if name.is_empty() {
        return Err((TreeFaultCode::EmptyName, name));
    }
    if let Some(fault) = fault {
        faults.report(fault, name);
    }
    if name.contains(&b'/') {
        faults.report(TreeFaultCode::SlashInName, name);
    }
    debug_assert_eq!(id.len() * 2, format.hex_len());
    let Ok(id) = ObjectId::from_bytes(id) else {
        faults.report(TreeFaultCode::NullId, name);
        return Ok((None, rest));
    };
    Ok((Some(TreeEntry { name, kind, id }), rest))
}

/// Most digits of a mode.
const MAX_MODE: usize = 11;

/// What a mode stands for, and what is wrong with how it is written. What git writes comes first; the
/// rest is read as git reads it, which takes everything that it does not know for a submodule.
fn mode(digits: &[u8]) -> Option<(EntryKind, Option<TreeFaultCode>)> {
    let leaf = |mode: FileMode| Some((EntryKind::Leaf(mode), None));
    match digits {
        b"100644" => return leaf(FileMode::File),
        b"40000" => return Some((EntryKind::Tree, None)),
        b"100755" => return leaf(FileMode::Executable),
        b"120000" => return leaf(FileMode::Symlink),
        b"160000" => return leaf(FileMode::Submodule),
        [] => return None,
        _ => {}
    }
    let mut value = 0_u64;
    for digit in digits {
        value = value * 8 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 8)?);
    }
    let kind = match value & 0o170_000 {
        0o100_000 if value & 0o100 != 0 => EntryKind::Leaf(FileMode::Executable),
        0o100_000 => EntryKind::Leaf(FileMode::File),
        0o120_000 => EntryKind::Leaf(FileMode::Symlink),
        0o040_000 => EntryKind::Tree,
        _ => EntryKind::Leaf(FileMode::Submodule),
    };
    let canonical = matches!(value, 0o40_000 | 0o100_644 | 0o100_755 | 0o120_000 | 0o160_000);
    let fault = if canonical {
        TreeFaultCode::ZeroPaddedMode
    } else if value & !0o777 == 0o100_000 && digits[0] != b'0' {
        TreeFaultCode::LegacyFileMode
    } else {
        TreeFaultCode::UnknownMode
    };
    Some((kind, Some(fault)))
}

#[cfg(test)]
mod tests;
