//! `executable-binary`: no programs in history, only what they are made from.

use super::paths::{Ground, Judge, Listed, OnPaths, Paths, Span, is_file, place, size, unread, word};
use super::{Finding, Judges, Kind, options};
use crate::domain::{Change, FileMode};
use crate::policy::facts::Needs;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "executable-binary",
    summary: "a program, or a binary file that may be run",
    judges: Judges::Commit,
    build: |table| {
        let Options { mode, paths, except, scope } = options(table)?;
        let paths = Paths::new(paths.as_deref(), except.as_deref(), true)?;
        Ok(Box::new(OnPaths { span: scope, judge: ExecutableBinary { mode, paths } }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    #[serde(default)]
    mode: Mode,
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
}

/// Which files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Those that may be run.
    #[default]
    Executable,
    /// Programs also where nothing says that they may be run.
    Any,
}

#[derive(Debug)]
struct ExecutableBinary {
    mode: Mode,
    paths: Paths,
}

impl Judge for ExecutableBinary {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::BLOBS
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        for change in changes.iter().filter(|change| self.paths.has(&change.path)) {
            let Some(entry) = change.new.filter(|entry| is_file(*entry)) else { continue };
            let runs = entry.mode == FileMode::Executable;
            if !runs && self.mode == Mode::Executable {
                continue;
            }
            let Some(blob) = ground.blob(entry) else {
                out.add(|| unread(change, self.describe()));
                continue;
            };
            if !(blob.program || (runs && blob.binary)) {
                continue;
            }
            let what = if blob.program { "a program" } else { "a binary file that may be run" };
            let path = word(&change.path);
            let remove = ground.redo(&format!("git rm --cached {path}"));
            let demote = ground.redo(&format!("git update-index --chmod=-x {path}"));
            let data = !(blob.program && self.mode == Mode::Any);
            out.add(|| Finding {
                path: place(&change.path),
                seen: format!("{what}, mode {}, {}", entry.mode.octal(), size(blob.size)),
                wanted: self.describe(),
                help: if data {
                    format!("leave it out: {remove}; or, where it is data: {demote}")
                } else {
                    format!("leave it out: {remove}")
                },
            });
        }
    }

    fn describe(&self) -> String {
        let of = self.paths.listed();
        let of = if of.is_empty() { of } else { format!(" at {of}") };
        match self.mode {
            Mode::Executable => format!("no binary file of mode 100755{of}"),
            Mode::Any => format!("no program, and no binary file of mode 100755{of}"),
        }
    }
}
