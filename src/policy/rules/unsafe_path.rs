//! `unsafe-path`: a path is the same path for everybody who checks it out, and none is part of git's own directory.

use super::paths::{Ground, Judge, Listed, OnPaths, Paths, Span, bare_name, is_file, place, shown, word};
use super::unsafe_message::{belongs, class};
use super::{Finding, Judges, Kind, options, yes};
use crate::domain::{Change, Entry, FileMode, fold_name};
use crate::policy::facts::ParentChanges;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "unsafe-path",
    summary: "a path that some systems take for another one, or cannot hold",
    judges: Judges::Commit,
    build: |table| {
        let options: Options = options(table)?;
        if options.scope == Span::Net && options.duplicates {
            return Err(
                "duplicates are seen in commits only: with `scope = \"net\"` write `duplicates = false`"
                    .into(),
            );
        }
        if options.component_max == 0 || options.path_max == 0 {
            return Err("a limit of zero would refuse every path".into());
        }
        let checks =
            [options.git_names, options.windows, options.characters, options.encoding, options.duplicates];
        if !checks.contains(&true) && options.component_max == u64::MAX && options.path_max == u64::MAX {
            return Err("nothing is left to be checked; write `unsafe-path = false`".into());
        }
        let paths = Paths::new(options.paths.as_deref(), options.except.as_deref(), true)?;
        Ok(Box::new(OnPaths { span: options.scope, judge: UnsafePath { paths, options } }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    #[serde(default = "yes")]
    git_names: bool,
    #[serde(default = "yes")]
    windows: bool,
    #[serde(default = "yes")]
    characters: bool,
    #[serde(default = "yes")]
    encoding: bool,
    #[serde(default = "yes")]
    duplicates: bool,
    #[serde(default = "component")]
    component_max: u64,
    #[serde(default = "path")]
    path_max: u64,
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
}

/// What most file systems take of one name, bytes.
const fn component() -> u64 {
    255
}

/// The longest path that macOS takes, bytes; Linux takes four times as much.
const fn path() -> u64 {
    1023
}

#[derive(Debug)]
struct UnsafePath {
    paths: Paths,
    options: Options,
}

/// Whether a name is `.git`, or some file system takes it for that: without regard to case and to what HFS+ ignores,
/// with dots, blanks or a stream at the end, or as the short name that NTFS gives it.
pub(super) fn is_git_directory(name: &[u8]) -> bool {
    let bare = bare_name(name);
    bare == bare_name(b".git") || is_short_name(&bare, b"GIT", 1, b"")
}

/// Whether `name`, in upper case, is the name of eight letters that NTFS gives to a file: the beginning of the long one, a
/// tilde and a number; or, where that is taken, of what it computes.
fn is_short_name(name: &[u8], begins: &[u8], least: usize, computed: &[u8]) -> bool {
    let Some(tilde) = name.iter().position(|byte| *byte == b'~') else { return false };
    let (stem, number) = (&name[..tilde], &name[tilde + 1..]);
    let numbered = !number.is_empty() && number.iter().all(u8::is_ascii_digit) && name.len() <= 8;
    let of = |long: &[u8]| stem.len() >= least && long.starts_with(stem);
    numbered
        && (if begins.len() <= 3 { stem == begins } else { of(begins) }
            || (!computed.is_empty() && of(computed)))
}

/// Files that git reads from the tree: the name, and the beginnings of the short ones on NTFS.
const READ_BY_GIT: [(&[u8], &[u8], &[u8]); 4] = [
    (b".gitmodules", b"GITMOD", b"GI7EBA"),
    (b".gitattributes", b"GITATT", b"GI7D29"),
    (b".gitignore", b"GITIGN", b"GI250A"),
    (b".mailmap", b"MAILMA", b"MABA30"),
];

/// Which of the files that git reads a name is taken for.
fn read_by_git(name: &[u8]) -> Option<&'static [u8]> {
    let bare = bare_name(name);
    let is = |(long, begins, computed): &&(&[u8], &[u8], &[u8])| {
        bare == bare_name(long) || is_short_name(&bare, begins, 4, computed)
    };
    READ_BY_GIT.iter().find(is).map(|(long, ..)| *long)
}

/// Names that belong to devices on Windows, whatever follows behind a dot.
const DEVICES: [&[u8]; 6] = [b"CON", b"PRN", b"AUX", b"NUL", b"CONIN$", b"CONOUT$"];

fn is_device(name: &[u8]) -> bool {
    let base = name.split(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default().trim_ascii_end();
    let base = base.to_ascii_uppercase();
    let port = base.strip_prefix(b"COM").or_else(|| base.strip_prefix(b"LPT"));
    let port = port.is_some_and(|rest| {
        matches!(rest, [b'0'..=b'9'])
            || ["\u{b9}", "\u{b2}", "\u{b3}"].iter().any(|digit| digit.as_bytes() == rest)
    });
    port || DEVICES.contains(&base.as_slice())
}

impl UnsafePath {
    /// What is wrong with a path, in the order in which it matters: seen, and what is wanted.
    fn fault(&self, path: &[u8], mode: FileMode) -> Option<(String, &'static str)> {
        let options = &self.options;
        let parts = || path.split(|byte| *byte == b'/');
        if options.git_names {
            const WANTED: &str = "no name that is, or looks like, one of git's own";
            // On Windows a backslash begins another name.
            for name in path.split(|byte| matches!(byte, b'/' | b'\\')) {
                if name == b"." || name == b".." {
                    return Some((format!("a path with `{}` in it", shown(name)), WANTED));
                }
                if is_git_directory(name) {
                    return Some((
                        format!(
                            "a path with `{}`, which is git's own directory to some systems",
                            shown(name)
                        ),
                        WANTED,
                    ));
                }
            }
            let last = parts().next_back().unwrap_or_default();
            if mode == FileMode::Symlink
                && let Some(file) = read_by_git(last)
            {
                return Some((
                    format!("a symbolic link in the place of `{}`, which git reads", shown(file)),
                    WANTED,
                ));
            }
        }
        if parts().any(<[u8]>::is_empty) {
            return Some(("a path with an empty name in it".to_owned(), "names of at least one byte"));
        }
        let read = std::str::from_utf8(path);
        if options.encoding && read.is_err() {
            return Some(("a path that is not UTF-8".to_owned(), "paths in UTF-8"));
        }
        if options.characters {
            let lossy = String::from_utf8_lossy(path);
            let mut before = None;
            let mut rest = lossy.chars().peekable();
            while let Some(c) = rest.next() {
                let after = rest.peek().copied();
                if let Some(what) = class(c).filter(|_| !belongs(before, c, after)) {
                    return Some((
                        format!("a path with U+{:04X}, {what}", u32::from(c)),
                        "paths without control, bidirectional and invisible characters",
                    ));
                }
                before = Some(c);
            }
        }
        if options.windows {
            const WANTED: &str = "names that Windows has, too";
            for name in parts() {
                if is_device(name) {
                    return Some((format!("a path with `{}`, a device on Windows", shown(name)), WANTED));
                }
                if let Some(byte) = name.iter().find(|byte| **byte < 0x20 || b"<>:\"|?*\\".contains(byte)) {
                    let what = shown(&[*byte]);
                    return Some((format!("a path with `{what}`, which no name has on Windows"), WANTED));
                }
                if name.ends_with(b".") || name.ends_with(b" ") {
                    let what = "whose dots and blanks at the end are not there on Windows";
                    return Some((format!("a path with `{}`, {what}", shown(name)), WANTED));
                }
            }
        }
        let longest = parts().map(<[u8]>::len).max().unwrap_or_default() as u64;
        if longest > options.component_max {
            return Some((format!("a name of {longest} bytes"), "shorter names"));
        }
        if path.len() as u64 > options.path_max {
            return Some((format!("a path of {} bytes", path.len()), "shorter paths"));
        }
        None
    }

    /// Pairs that the commit made. What collides against one parent and not against another one was in the other.
    fn collisions<'a>(&self, parents: &'a [ParentChanges]) -> BTreeSet<(&'a [u8], &'a [u8])> {
        let sets = parents.iter().map(|parent| {
            let pairs = parent.collisions.iter().map(|(a, b)| (a.as_slice(), b.as_slice()));
            pairs.map(|(a, b)| if a <= b { (a, b) } else { (b, a) }).collect::<BTreeSet<_>>()
        });
        // A list that was cut says nothing of what it lacks.
        let cut = parents.iter().any(|parent| parent.collisions.len() >= ParentChanges::COLLISIONS);
        let both = |a: BTreeSet<_>, b: BTreeSet<_>| if cut { &a | &b } else { &a & &b };
        sets.reduce(both).unwrap_or_default()
    }
}

impl Judge for UnsafePath {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        let rename = |path: &[u8]| ground.redo(&format!("git mv {} NAME", word(path)));
        for change in changes {
            let Some(new) = change.new.filter(|_| !change.path.is_empty() && self.paths.has(&change.path))
            else {
                continue;
            };
            // A path that was there keeps its name; what it is can still be another thing now.
            let same = |old: Entry| old.mode == new.mode || (is_file(old) && is_file(new));
            let renamed = !change.old.is_some_and(same);
            if let Some((seen, wanted)) = self.fault(&change.path, new.mode).filter(|_| renamed) {
                out.add(|| Finding {
                    path: place(&change.path),
                    seen,
                    wanted: match wanted {
                        "shorter names" => format!("names of at most {} bytes", self.options.component_max),
                        "shorter paths" => format!("paths of at most {} bytes", self.options.path_max),
                        other => other.to_owned(),
                    },
                    help: rename(&change.path),
                });
            }
        }
        let parents = ground.commit.filter(|_| self.options.duplicates).map(|commit| &commit.changes);
        for (a, b) in parents.map(|parents| self.collisions(parents)).unwrap_or_default() {
            if self.paths.has(a) || self.paths.has(b) {
                let how = if fold_name(a) == fold_name(b) {
                    "in case or composition"
                } else {
                    "in nothing that counts"
                };
                out.add(|| Finding {
                    path: place(b),
                    seen: format!("a path that differs from `{}` only {how}", shown(a)),
                    wanted: "names in a directory that every file system tells apart".to_owned(),
                    help: rename(b),
                });
            }
        }
    }

    fn describe(&self) -> String {
        let options = &self.options;
        let mut out = Vec::new();
        out.extend(options.git_names.then_some("not git's own".to_owned()));
        out.extend(options.windows.then_some("possible on Windows".to_owned()));
        out.extend(options.characters.then_some("of plain characters".to_owned()));
        out.extend(options.encoding.then_some("in UTF-8".to_owned()));
        out.extend(options.duplicates.then_some("told apart by every file system".to_owned()));
        out.push(format!("names of at most {} bytes", options.component_max));
        out.push(format!("at most {} bytes long", options.path_max));
        let of = self.paths.listed();
        let of = if of.is_empty() { of } else { format!(" at {of}") };
        format!("paths{of}: {}", out.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> UnsafePath {
        let options: Options = toml::from_str(text).unwrap();
        UnsafePath { paths: Paths::new(None, None, true).unwrap(), options }
    }

    fn fault(text: &str, path: &[u8], mode: FileMode) -> Option<String> {
        rule(text).fault(path, mode).map(|(seen, _)| seen)
    }

    #[test]
    fn ordinary_paths_are_safe() {
        for path in [
            "README.md",
            "src/main.rs",
            ".github/workflows/ci.yml",
            ".gitignore",
            ".gitmodules",
            "a/.gitkeep",
            "git",
            "git/x",
            "a.git/config",
            "x~1",
            "gitx~1",
            "\u{e4}\u{f6}/\u{65e5}\u{672c}.txt",
            "\u{2764}\u{fe0f}.png",
            "a b/c d",
            "console.c",
            "com.rs",
            "com10",
            "auxiliary",
            "...x",
        ] {
            assert_eq!(fault("", path.as_bytes(), FileMode::File), None, "{path}");
        }
    }

    #[test]
    fn look_alikes_of_git_are_not() {
        let only = "windows = false\ncharacters = false\nencoding = false\nduplicates = false";
        for path in [
            ".git",
            ".git/config",
            "a/.GIT/hooks/x",
            ".Git ",
            ".git./x",
            ".git . ./x",
            ".git::$INDEX_ALLOCATION/config",
            ".git:x",
            "git~1",
            "GIT~1/config",
            "git~12/x",
            "a\\.git\\config",
            ".g\u{200c}it/x",
            "\u{feff}.git",
            ".gi\u{200d}t\u{206f}/x",
            "..",
            "../x",
            "a/./b",
            "a\\..\\b",
        ] {
            let found = fault(only, path.as_bytes(), FileMode::File);
            assert!(found.is_some(), "{path:?}");
            assert_eq!(
                fault(&format!("git-names = false\n{only}"), path.as_bytes(), FileMode::File),
                None,
                "{path:?}"
            );
        }
        for path in [
            ".gitmodules",
            ".GITMODULES",
            ".gitmodules ",
            ".gitmodules::$DATA",
            ".git\u{200c}modules",
            "gitmod~1",
            "GI7EBA~1",
            "gi7eb~10",
            ".gitattributes",
            "gitatt~2",
            ".gitignore",
            ".mailmap",
            "MABA30~1",
        ] {
            assert!(fault(only, path.as_bytes(), FileMode::Symlink).is_some(), "{path:?}");
            assert_eq!(fault(only, path.as_bytes(), FileMode::File), None, "{path:?} as a file");
        }
    }

    #[test]
    fn windows_has_its_own_names() {
        let only = "git-names = false\ncharacters = false\nencoding = false\nduplicates = false";
        for path in [
            "con",
            "a/NUL",
            "aux.c",
            "Com1.txt",
            "lpt9",
            "com\u{b9}",
            "CONIN$",
            "prn .x",
            "nul:x",
            "a:b",
            "a?b",
            "a*",
            "a<b",
            "a>b",
            "a|b",
            "a\"b",
            "a\\b",
            "a.",
            "a /b",
            "a\u{1}b",
        ] {
            assert!(fault(only, path.as_bytes(), FileMode::File).is_some(), "{path:?}");
            let off = format!("windows = false\n{only}");
            assert_eq!(fault(&off, path.as_bytes(), FileMode::File), None, "{path:?}");
        }
    }

    #[test]
    fn characters_and_bytes_that_deceive() {
        for path in
            ["a\u{202e}b", "a\u{7f}", "a\nb", "a\u{1b}[m", "a\u{200b}b", "a\u{ad}b", "a\u{85}b", "a\u{2066}b"]
        {
            let only = "windows = false";
            assert!(fault(only, path.as_bytes(), FileMode::File).is_some(), "{path:?}");
            assert_eq!(
                fault("windows = false\ncharacters = false", path.as_bytes(), FileMode::File),
                None,
                "{path:?}"
            );
        }
        assert!(fault("", b"a\xffb", FileMode::File).is_some());
        assert_eq!(fault("encoding = false", b"a\xffb", FileMode::File), None);
        assert!(
            fault("encoding = false", b"a\xff\nb", FileMode::File).is_some(),
            "what lies between is looked at"
        );
        assert!(fault("", b"a//b", FileMode::File).is_some());
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        let long = |n: usize| "x".repeat(n);
        assert_eq!(fault("", long(255).as_bytes(), FileMode::File), None);
        assert!(fault("", long(256).as_bytes(), FileMode::File).is_some());
        assert!(fault("", "\u{e4}".repeat(128).as_bytes(), FileMode::File).is_some());
        let deep = |n: usize| "abc/".repeat(n / 4) + &long(n % 4);
        assert_eq!(fault("", deep(1023).as_bytes(), FileMode::File), None);
        assert!(fault("", deep(1025).as_bytes(), FileMode::File).is_some());
        assert!(fault("path-max = 9\ncomponent-max = 4", b"abcd/efghi", FileMode::File).is_some());
    }

    #[test]
    fn a_merge_answers_for_collisions_that_no_parent_has() {
        let pairs = |all: &[(&str, &str)]| ParentChanges {
            collisions: all.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
            ..ParentChanges::default()
        };
        let rule = rule("");
        let [ours, theirs] = [pairs(&[("A", "a"), ("B", "b")]), pairs(&[("b", "B"), ("C", "c")])];
        let both = [ours, theirs];
        let found = rule.collisions(&both);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(b"B".as_slice(), b"b".as_slice())]);
        let names: Vec<(String, String)> = (0..256).map(|n| (format!("X{n}"), format!("x{n}"))).collect();
        let names: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let cut = [pairs(&names), pairs(&[("C", "c")])];
        assert_eq!(
            rule.collisions(&cut).len(),
            257,
            "what a list lacks that was cut is not known to be elsewhere"
        );
    }
}
