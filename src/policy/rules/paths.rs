//! What the rules about paths share: which changes they judge, for which paths, and how they say it.

mod select;

pub(super) use select::{Paths, bare_name};

use super::{Finding, Judges, Kind, Rule, Scope};
use crate::domain::{Change, Entry, text};
use crate::policy::Selector;
use crate::policy::facts::{BlobFacts, CommitFacts, Needs};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is judged: the option `scope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Span {
    /// What each commit changes: what one commit adds and the next removes is seen.
    #[default]
    EachCommit,
    /// What the update changes as a whole.
    Net,
}

/// Which of a commit's changes a rule judges. It makes a difference for merges alone: nothing differs from a single
/// parent but what the commit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// What no parent has. What one of them has came from there, where it was judged: the question is which content
    /// comes in.
    Content,
    /// All that the merge did by itself, what it dropped of one side included: the question is who did what.
    Deeds,
}

/// A rule about paths without what all of them do alike.
pub(super) trait Judge: std::fmt::Debug + Send + Sync + 'static {
    /// The registry line.
    fn kind(&self) -> &'static Kind;

    /// Which changes of merges.
    fn of(&self) -> Of {
        Of::Content
    }

    /// Facts besides the changes themselves.
    fn needs(&self) -> Needs {
        Needs::NONE
    }

    /// Whether it asks who pushes.
    fn needs_pusher(&self) -> bool {
        false
    }

    /// Judges changes, ordered by path.
    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed);

    /// What it wants, in one line.
    fn describe(&self) -> String;

    /// Selectors of principals that its options name.
    fn selectors(&self) -> &[Selector] {
        &[]
    }
}

/// Makes a rule of a judge.
#[derive(Debug)]
pub(super) struct OnPaths<J> {
    pub(super) span: Span,
    pub(super) judge: J,
}

impl<J: Judge> OnPaths<J> {
    fn run(&self, ground: Ground<'_>, changes: Option<Vec<&Change>>) -> Vec<Finding> {
        let Some(mut changes) = changes else {
            return vec![self.unknown("changes that nobody has looked at")];
        };
        changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut out = Listed::default();
        self.judge.check(ground, &changes, &mut out);
        out.finish()
    }

    /// Facts that are not there let nothing in.
    fn unknown(&self, seen: &str) -> Finding {
        Finding {
            path: None,
            seen: seen.to_owned(),
            wanted: self.judge.describe(),
            help: "tell the administrator of this server: the gate lacks facts that it has to have"
                .to_owned(),
        }
    }
}

impl<J: Judge> Rule for OnPaths<J> {
    fn kind(&self) -> &'static Kind {
        self.judge.kind()
    }

    fn judges(&self) -> Judges {
        match self.span {
            Span::EachCommit => Judges::Commit,
            Span::Net => Judges::NetRange,
        }
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        match self.span {
            Span::EachCommit => {
                self.run(Ground { scope, commit: Some(commit) }, changes_of(commit, self.judge.of()))
            }
            Span::Net => Vec::new(),
        }
    }

    /// A tree or a blob without a commit has nobody's changes: all that is in it is new.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let whole = self.span == Span::Net || reference.bare_content().is_some();
        if reference.update.new.is_none() || !whole {
            return Vec::new();
        }
        let net = reference.net.get(&scope.index);
        self.run(Ground { scope, commit: None }, net.map(|net| net.iter().collect()))
    }

    fn needs(&self) -> Needs {
        let changes = match (self.span, self.judge.of()) {
            (Span::Net, _) => Needs::NET,
            (Span::EachCommit, Of::Content) => Needs::CHANGES,
            (Span::EachCommit, Of::Deeds) => Needs::CHANGES.and(Needs::MERGES),
        };
        changes.and(self.judge.needs())
    }

    fn needs_pusher(&self) -> bool {
        self.judge.needs_pusher()
    }

    fn describe(&self) -> String {
        self.judge.describe()
    }

    fn selectors(&self) -> &[Selector] {
        self.judge.selectors()
    }
}

/// The changes of a commit that are judged; `None` where they are not known against each of its parents.
fn changes_of(commit: &CommitFacts, of: Of) -> Option<Vec<&Change>> {
    if commit.changes.len() != commit.parents.len().max(1) {
        return None;
    }
    let [first, others @ ..] = commit.changes.as_slice() else { return None };
    if others.is_empty() {
        return Some(first.changes.iter().collect());
    }
    let lists: Vec<HashMap<&[u8], &Change>> = commit
        .changes
        .iter()
        .map(|parent| parent.changes.iter().map(|change| (change.path.as_slice(), change)).collect())
        .collect();
    let from_all = |change: &Change| lists.iter().all(|list| list.contains_key(change.path.as_slice()));
    let own = || first.changes.iter().filter(|change| from_all(change));
    if of == Of::Content {
        return Some(own().collect());
    }
    // What a side had and has no more tells better what happened than what another never had.
    let mut any: BTreeMap<&[u8], &Change> = BTreeMap::new();
    for change in commit.changes.iter().flat_map(|parent| parent.changes.iter()) {
        let known = any.entry(&change.path).or_insert(change);
        if known.old.is_none() {
            *known = change;
        }
    }
    let Some(touched) = touched(commit) else { return Some(any.into_values().collect()) };
    // Merging carries what one side did to a file to where the other side has moved it, so that content comes to a
    // path where nobody has put it: what is at a new place from all sides, or from some, is the merge's own.
    let moved = |change: &Change| {
        change.new.is_some()
            && lists.iter().any(|list| list.get(change.path.as_slice()).is_some_and(|one| one.old.is_none()))
    };
    let moved: HashSet<&[u8]> =
        own().filter(|change| moved(change)).map(|change| change.path.as_slice()).collect();
    Some(
        any.into_iter()
            .filter(|(path, _)| touched.contains(path) || moved.contains(path))
            .map(|(_, one)| one)
            .collect(),
    )
}

/// What a merge is known to have changed by itself (N20); `None` where it can be anything.
fn touched(commit: &CommitFacts) -> Option<HashSet<&[u8]>> {
    let merge = commit.merge.as_ref()?;
    match &merge.touched {
        Some(paths) => Some(paths.iter().map(Vec::as_slice).collect()),
        None => (merge.real && merge.clean).then(HashSet::new),
    }
}

/// Where something is found: a commit, or the update as a whole.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) commit: Option<&'a CommitFacts>,
}

impl<'a> Ground<'a> {
    /// What is known of the blob of an entry.
    pub(super) fn blob(self, entry: Entry) -> Option<&'a BlobFacts> {
        self.scope.facts.blobs.get(&entry.id).filter(|_| entry.mode.has_blob())
    }

    /// How a command is brought into the history that is pushed: into the commit at fault, so that no commit is left
    /// that has it, or, for the update as a whole, on top.
    pub(super) fn redo(self, command: &str) -> String {
        if let Some(kind) = self.scope.reference.bare_content() {
            return format!("leave it out of the {} that is pushed", kind.name());
        }
        let Some(commit) = self.commit else { return format!("`{command} && git commit`") };
        let amend = format!("{command} && git commit --amend --no-edit");
        if self.scope.reference.update.new == Some(commit.id) {
            return format!("`{amend}`");
        }
        let onto = commit.parents.first().map_or_else(|| "--root".to_owned(), |parent| parent.short());
        let stop = stop_at(commit);
        format!("`git rebase --rebase-merges -i {onto}`, {stop}, and there `{amend}`")
    }

    /// How what was done to a path is undone.
    pub(super) fn restore(self, change: &Change) -> String {
        let path = word(&change.path);
        if change.old.is_none() {
            return self.redo(&format!("git rm --cached {path}"));
        }
        match (self.commit, self.scope.reference.current) {
            (Some(commit), _) if commit.parents.len() > 1 => {
                format!("make the merge again, and leave {path} as merging gives it")
            }
            (Some(_), _) => self.redo(&format!("git checkout HEAD~1 -- {path}")),
            (None, Some(current)) => self.redo(&format!("git checkout {} -- {path}", current.short())),
            (None, None) => format!("put {path} back as it was"),
        }
    }
}

/// How an interactive rebase is told to stop at a commit. The line of a merge knows no `edit`.
pub(super) fn stop_at(commit: &CommitFacts) -> &'static str {
    if commit.parents.len() > 1 {
        "write a line `break` after the `merge` of this commit"
    } else {
        "write `edit` for this commit"
    }
}

/// A path in a command that somebody may copy: `PATH` where a shell could read it differently.
pub(super) fn word(path: &[u8]) -> &str {
    super::signed::plain(path, "PATH")
}

/// Most characters of a path that are shown.
const SHOWN: usize = 300;

/// The path of a finding; a blob without a tree has none.
pub(super) fn place(path: &[u8]) -> Option<String> {
    (!path.is_empty()).then(|| shown(path))
}

/// A path as people read it.
pub(super) fn shown(path: &[u8]) -> String {
    text::escape_short(path, SHOWN)
}

/// What was done to a path, in a word: `new`, `changed`, `deleted`.
pub(super) fn deed(change: &Change) -> &'static str {
    match (&change.old, &change.new) {
        (None, _) => "new",
        (_, Some(_)) => "changed",
        (_, None) => "deleted",
    }
}

/// Findings of one rule about one commit, or one update: the first ones, and how many more there are.
#[derive(Debug, Default)]
pub(super) struct Listed {
    kept: Vec<Finding>,
    beyond: usize,
}

impl Listed {
    /// How many are told one by one.
    pub(super) const MOST: usize = 8;

    /// One more, made only where it is told.
    pub(super) fn add(&mut self, make: impl FnOnce() -> Finding) {
        if self.kept.len() < Self::MOST {
            self.kept.push(make());
        } else {
            self.beyond += 1;
        }
    }

    fn finish(mut self) -> Vec<Finding> {
        if let Some(last) = self.kept.last().filter(|_| self.beyond > 0) {
            let paths = if self.beyond == 1 { "path" } else { "paths" };
            let seen = format!("{} more {paths} like these", self.beyond);
            let rest = Finding { path: None, seen, wanted: last.wanted.clone(), help: last.help.clone() };
            self.kept.push(rest);
        }
        self.kept
    }
}

/// A finding where a rule lacks what it has to know about a blob.
pub(super) fn unread(change: &Change, wanted: String) -> Finding {
    Finding {
        path: place(&change.path),
        seen: "a file of which nothing is known".to_owned(),
        wanted,
        help: "tell the administrator of this server: the gate lacks facts that it has to have".to_owned(),
    }
}

/// The file at a path that a change brings: not where the same content was there before.
pub(super) fn new_content(change: &Change) -> Option<Entry> {
    let new = change.new?;
    let same = |old: Entry| old.id == new.id && is_file(old) == is_file(new);
    new.mode.has_blob().then_some(new).filter(|_| !change.old.is_some_and(same))
}

/// Whether an entry is a file, and neither a link nor a submodule.
pub(super) const fn is_file(entry: Entry) -> bool {
    use crate::domain::FileMode::{Executable, File};
    matches!(entry.mode, File | Executable)
}

/// A size as it is written in a configuration: bytes, or with a unit.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a size is a number of bytes, or a text such as \"10 MiB\"")]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    /// In bytes; zero is an error, since it would refuse everything.
    pub(super) fn bytes(&self, option: &str) -> Result<u64, String> {
        let bytes = match self {
            Size::Bytes(bytes) => *bytes,
            Size::Text(written) => {
                let digits = written.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = written.split_at(digits);
                let shift =
                    UNITS.iter().find(|(_, name)| *name == unit.trim_start()).map(|(shift, _)| *shift);
                let size = number.parse::<u64>().ok().zip(shift).and_then(|(n, s)| n.checked_mul(1 << s));
                size.ok_or_else(|| {
                    let shown = text::escape_short(written.as_bytes(), 60);
                    format!("`{shown}` is not a size: write bytes, or \"64 KiB\", \"10 MiB\", \"1 GiB\"")
                })?
            }
        };
        if bytes == 0 { Err(format!("`{option}` of zero would refuse every file")) } else { Ok(bytes) }
    }
}

const UNITS: [(u32, &str); 4] = [(0, "B"), (10, "KiB"), (20, "MiB"), (30, "GiB")];

/// A size for people: in the largest unit of which there is one at least, with the bytes where that is rounded.
pub(super) fn size(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(shift, _)| bytes >> shift > 0).filter(|(shift, _)| *shift > 0);
    let Some((shift, name)) = unit else {
        return format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
    };
    let whole = bytes >> shift;
    if whole << shift == bytes {
        format!("{whole} {name}")
    } else {
        format!("{whole} {name} and more ({bytes} bytes)")
    }
}

#[cfg(test)]
mod tests;
