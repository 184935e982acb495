//! `large-file`: what comes into history stays in it, so it is small, or in large file storage.

use super::paths::{
    Ground, Judge, Listed, OnPaths, Paths, Size, Span, is_file, new_content, place, size, unread, word,
};
use super::{Finding, Judges, Kind, options};
use crate::domain::Change;
use crate::policy::facts::Needs;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "large-file",
    summary: "a file that is too large, or should be in large file storage",
    judges: Judges::Commit,
    build: |table| {
        let Options { max, limits, lfs_max, lfs_required, paths, except, scope } = options(table)?;
        let limits = limits.unwrap_or_default();
        if max.is_none() && limits.is_empty() && lfs_max.is_none() && lfs_required.is_none() {
            return Err("it needs `max = \"10 MiB\"`, or another of its limits".into());
        }
        let one = |(pattern, size): (&String, &Size)| {
            let paths = Paths::new(Some(std::slice::from_ref(pattern)), None, true)?;
            Ok((paths, size.bytes(pattern)?))
        };
        let lfs_required = lfs_required.map(|patterns| match patterns.as_slice() {
            [] => Err("`lfs-required = []` requires nothing; leave it out".to_owned()),
            patterns => Paths::new(Some(patterns), None, true),
        });
        let judge = LargeFile {
            max: max.map(|max| max.bytes("max")).transpose()?,
            limits: limits.iter().map(one).collect::<Result<_, String>>()?,
            lfs_max: lfs_max.map(|max| max.bytes("lfs-max")).transpose()?,
            lfs_required: lfs_required.transpose()?,
            paths: Paths::new(paths.as_deref(), except.as_deref(), true)?,
        };
        Ok(Box::new(OnPaths { span: scope, judge }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    max: Option<Size>,
    limits: Option<BTreeMap<String, Size>>,
    lfs_max: Option<Size>,
    lfs_required: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
}

#[derive(Debug)]
struct LargeFile {
    /// For all of `paths`.
    max: Option<u64>,
    /// For single patterns, whatever `paths` says. All that match hold.
    limits: Vec<(Paths, u64)>,
    /// What a pointer may claim.
    lfs_max: Option<u64>,
    lfs_required: Option<Paths>,
    paths: Paths,
}

impl LargeFile {
    /// The smallest of the limits for a path.
    fn limit(&self, path: &[u8]) -> Option<u64> {
        let own = self.limits.iter().filter(|(paths, _)| paths.has(path)).map(|(_, max)| *max);
        own.chain(self.max.filter(|_| self.paths.has(path))).min()
    }
}

/// How a file comes into large file storage.
fn migrate(path: &[u8]) -> String {
    format!("`git lfs migrate import --include={}` rewrites the commits that are not pushed yet", word(path))
}

impl Judge for LargeFile {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::BLOBS
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        for change in changes {
            let path = change.path.as_slice();
            let Some(entry) = new_content(change) else { continue };
            let limit = self.limit(path);
            let required = is_file(entry) && self.lfs_required.as_ref().is_some_and(|paths| paths.has(path));
            if limit.is_none() && self.lfs_max.is_none() && !required {
                continue;
            }
            let Some(blob) = ground.blob(entry) else {
                out.add(|| unread(change, self.describe()));
                continue;
            };
            // A link's target only looks like a pointer.
            let claimed = blob.lfs.filter(|_| is_file(entry));
            let (seen, wanted) = if let Some(limit) = limit.filter(|limit| blob.size > *limit) {
                (format!("a file of {}", size(blob.size)), format!("at most {}", size(limit)))
            } else if let (Some(claimed), Some(max)) = (claimed, self.lfs_max)
                && claimed > max
            {
                let seen = format!("a pointer to a file of {} in large file storage", size(claimed));
                (seen, format!("at most {} there", size(max)))
            // An empty file stands for itself there, as the specification has it.
            } else if required && claimed.is_none() && blob.size > 0 {
                let seen = format!("a file of {} that is no pointer", size(blob.size));
                (seen, "a pointer to large file storage (Git LFS)".to_owned())
            } else {
                continue;
            };
            out.add(|| Finding {
                path: place(path),
                seen,
                wanted,
                help: match claimed {
                    Some(_) => ground.redo(&format!("git rm --cached {}", word(path))),
                    None => {
                        let without = ground.redo(&format!("git rm --cached {}", word(path)));
                        format!("leave it out, {without}; or keep it in Git LFS: {}", migrate(path))
                    }
                },
            });
        }
    }

    fn describe(&self) -> String {
        let mut out = Vec::new();
        if let Some(max) = self.max {
            let of = self.paths.listed();
            let of = if of.is_empty() { of } else { format!(" ({of})") };
            out.push(format!("files of at most {}{of}", size(max)));
        }
        out.extend(
            self.limits.iter().map(|(paths, max)| format!("{} of at most {}", paths.listed(), size(*max))),
        );
        out.extend(self.lfs_max.map(|max| format!("files in large file storage of at most {}", size(max))));
        out.extend(
            self.lfs_required.as_ref().map(|paths| format!("{} in large file storage", paths.listed())),
        );
        out.join(", ")
    }
}
