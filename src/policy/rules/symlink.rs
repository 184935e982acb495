//! `symlink`: links lead nowhere but within the tree, or there are none.

use super::paths::{Ground, Judge, Listed, OnPaths, Paths, Span, bare_name, place, size, unread, word};
use super::{Finding, Judges, Kind, options, unsafe_path};
use crate::domain::{Change, FileMode, text};
use crate::policy::facts::Needs;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "symlink",
    summary: "a symbolic link, or one that leads out of the tree",
    judges: Judges::Commit,
    build: |table| {
        let Options { links, max_target, paths, except, scope } = options(table)?;
        if max_target == Some(0) {
            return Err("`max-target = 0` would refuse every link; `links = \"all\"` is for that".into());
        }
        if max_target.is_some_and(|max| max > LONGEST) {
            return Err(format!(
                "`max-target` is at most {LONGEST}: no system takes more, and no more is read"
            ));
        }
        if links == Links::All && max_target.is_some() {
            return Err("`max-target` is for `links = \"unsafe\"`: all links are refused as it is".into());
        }
        let paths = Paths::new(paths.as_deref(), except.as_deref(), true)?;
        let max = max_target.unwrap_or(MAX_TARGET);
        Ok(Box::new(OnPaths { span: scope, judge: Symlink { links, max, paths } }))
    },
};

/// Most bytes of a target, where nothing else is said. Longer ones fail on some systems.
const MAX_TARGET: u64 = 1023;

/// Of longer ones the facts tell the size alone.
const LONGEST: u64 = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    #[serde(default)]
    links: Links,
    max_target: Option<u64>,
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
}

/// Which links are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Links {
    #[default]
    All,
    Unsafe,
}

#[derive(Debug)]
struct Symlink {
    links: Links,
    max: u64,
    paths: Paths,
}

/// Most characters of a target that are shown.
const SHOWN: usize = 200;

/// What is wrong with a target, seen from the link at `path`. A target within the tree may lead over other links, each of
/// which is judged by itself; so only names that come before any other name are sure to be directories of the tree.
fn fault(path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.is_empty() {
        return Some("that leads nowhere");
    }
    if target.contains(&0) {
        return Some("with a zero byte in its target");
    }
    if target.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Some("with a line end in its target");
    }
    let drive = target.get(1) == Some(&b':') && target[0].is_ascii_alphabetic();
    if matches!(target[0], b'/' | b'\\') || drive {
        return Some("to an absolute path");
    }
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let (mut up, mut down) = (0_usize, false);
    for part in target.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part {
            b"" | b"." => {}
            b".." if down => return Some("that goes up behind another name, which may be a link itself"),
            b".." => up += 1,
            name if unsafe_path::is_git_directory(name) => return Some("into a git directory"),
            // Blanks and dots at the end are not there on Windows: `.. ` is `..`.
            name if bare_name(name).iter().all(|byte| matches!(byte, b'.' | b' ')) => {
                return Some("with a name of dots and blanks in its target");
            }
            _ => down = true,
        }
    }
    (up > depth).then_some("that leaves the tree")
}

impl Judge for Symlink {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        match self.links {
            Links::All => Needs::NONE,
            Links::Unsafe => Needs::BLOBS,
        }
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        for change in changes.iter().filter(|change| self.paths.has(&change.path)) {
            let Some(entry) = change.new.filter(|entry| entry.mode == FileMode::Symlink) else { continue };
            let seen = if self.links == Links::All {
                "a symbolic link (mode 120000)".to_owned()
            } else {
                let Some(blob) = ground.blob(entry) else {
                    out.add(|| unread(change, self.describe()));
                    continue;
                };
                let long = blob.size > self.max;
                match &blob.target {
                    _ if long => format!("a symbolic link with a target of {}", size(blob.size)),
                    None => {
                        out.add(|| unread(change, self.describe()));
                        continue;
                    }
                    Some(target) => match fault(&change.path, target) {
                        Some(fault) => {
                            format!("a symbolic link {fault}: `{}`", text::escape_short(target, SHOWN))
                        }
                        None => continue,
                    },
                }
            };
            out.add(|| Finding {
                path: place(&change.path),
                seen,
                wanted: self.describe(),
                help: ground.redo(&format!("git rm --cached {}", word(&change.path))),
            });
        }
    }

    fn describe(&self) -> String {
        let of = self.paths.listed();
        let of = if of.is_empty() { of } else { format!(" at {of}") };
        match self.links {
            Links::All => format!("no symbolic link{of}"),
            Links::Unsafe => {
                format!("links{of} that stay within the tree, with a target of at most {}", size(self.max))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_within_the_tree() {
        for (path, target) in [
            ("a", "b"),
            ("a", "./b//c/"),
            ("a/b", "../c"),
            ("a/b/c", "../../d/e"),
            ("a", "..b/c.."),
            ("a", ".gitignore"),
            ("a", "b/.github"),
            ("a", "ab:c"),
            ("a/b", ".."),
        ] {
            assert_eq!(fault(path.as_bytes(), target.as_bytes()), None, "{path} to {target}");
        }
        for (path, target) in [
            ("a", ""),
            ("a", "/etc/passwd"),
            ("a", "\\\\host\\share"),
            ("a", "C:\\x"),
            ("a", "c:x"),
            ("a", ".."),
            ("a", "../b"),
            ("a", "..\\b"),
            ("a/b", "../../c"),
            ("a/b", "./.././../c"),
            ("a/b", "c/../d"),
            ("a", "b/.."),
            ("a", ".. /x"),
            ("a", "..../x"),
            ("a", ". ./x"),
            ("a", ".git/config"),
            ("a/b", "../.GIT/hooks"),
            ("a", "git~1/config"),
            ("a", ".git"),
            ("a", ".git::$INDEX_ALLOCATION/x"),
            ("a", ".g\u{200c}it/x"),
            ("a", "b\nc"),
            ("a", "b\rc"),
            ("a", "b\0c"),
        ] {
            assert!(fault(path.as_bytes(), target.as_bytes()).is_some(), "{path} to {target:?}");
        }
        assert!(fault(b"a", b"../\xff").is_some() && fault(b"a", b"\xff").is_none());
    }
}
