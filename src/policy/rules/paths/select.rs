//! Which paths a rule is about: the options `paths` and `except`.

use crate::domain::{Change, Entry, FileMode, fold_name, text};
use crate::policy::Pattern;
use std::borrow::Cow;

/// A set of paths.
#[derive(Debug)]
pub(in super::super) struct Paths {
    /// Empty: all of them.
    include: Vec<PathPattern>,
    exclude: Vec<PathPattern>,
    alike: bool,
}

impl Paths {
    /// From the options: patterns, of which those in `paths` that begin with `!` and those in `except` take away. Where
    /// `alike` is set, the ones that add match as well what some file system takes for the same path: a rule looks at
    /// more then, never at less.
    pub(in super::super) fn new(
        paths: Option<&[String]>,
        except: Option<&[String]>,
        alike: bool,
    ) -> Result<Self, String> {
        let (mut include, mut exclude) = (Vec::new(), Vec::new());
        for source in paths.unwrap_or_default() {
            match source.strip_prefix('!') {
                Some(rest) => exclude.push(PathPattern::new(rest, false)?),
                None => include.push(PathPattern::new(source, alike)?),
            }
        }
        if include.is_empty() && paths.is_some() {
            return Err("`paths` names no path; leave it out for all of them".into());
        }
        match except {
            Some([]) => return Err("`except = []` takes nothing out; leave it out".into()),
            Some(sources) => {
                for source in sources {
                    exclude.push(PathPattern::new(source, false)?);
                }
            }
            None => {}
        }
        Ok(Paths { include, exclude, alike: alike && paths.is_some() })
    }

    /// Whether a path is one of them.
    pub(in super::super) fn has(&self, path: &[u8]) -> bool {
        let all = self.include.is_empty() && self.exclude.is_empty();
        all || self.matches(&Path::new(path, self.alike))
    }

    fn matches(&self, path: &Path<'_>) -> bool {
        let any = |all: &[PathPattern]| all.iter().any(|one| one.is_match(path));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// The same for what stands at a path, before or after: where a pattern is about what lies below it, a link or a
    /// submodule there is in the place of all that, and so is a file where the directory is named.
    pub(in super::super) fn concern(&self, change: &Change) -> bool {
        let link = |entry: Entry| matches!(entry.mode, FileMode::Symlink | FileMode::Submodule);
        let links = change.old.is_some_and(link) || change.new.is_some_and(link);
        let path = Path::new(&change.path, self.alike);
        let below = || self.include.iter().any(|one| one.lies_below(&path, links));
        self.matches(&path) || (below() && !self.exclude.iter().any(|one| one.is_match(&path)))
    }

    /// As written, escaped: `` `deploy/**`, not `deploy/README.md` ``; nothing where it is all paths.
    pub(in super::super) fn listed(&self) -> String {
        let names = |all: &[PathPattern]| {
            let names = all.iter().map(|one| format!("`{}`", text::escape(one.source().as_bytes())));
            names.collect::<Vec<_>>().join(", ")
        };
        match (self.include.is_empty(), self.exclude.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("all but {}", names(&self.exclude)),
            (false, true) => names(&self.include),
            (false, false) => format!("{} (but {})", names(&self.include), names(&self.exclude)),
        }
    }
}

/// A path, and what some file system takes it for where that is something else.
struct Path<'a> {
    raw: &'a [u8],
    alike: Option<Cow<'a, [u8]>>,
}

impl<'a> Path<'a> {
    fn new(raw: &'a [u8], alike: bool) -> Self {
        let alike = if alike { likeness(raw) } else { Cow::Borrowed(raw) };
        Path { raw, alike: (alike != raw).then_some(alike) }
    }
}

/// One pattern.
#[derive(Debug)]
struct PathPattern {
    /// What it matches: as written first.
    whole: Vec<Pattern>,
    /// Directories that what it matches lies in, and whether each is named without any wildcard.
    above: Vec<(Vec<Pattern>, bool)>,
    /// It is matched against what paths are alike to as well.
    alike: bool,
    /// A regular expression, of which nobody knows in which directories its matches lie.
    expression: bool,
}

impl PathPattern {
    fn new(source: &str, alike: bool) -> Result<Self, String> {
        let shown = || text::escape_short(source.as_bytes(), 200);
        let expression = source.starts_with("re:");
        if !expression {
            let trimmed = source.trim_start_matches("./").trim_start_matches('/');
            if trimmed != source {
                let right = text::escape_short(trimmed.as_bytes(), 200);
                return Err(format!(
                    "`{}` matches no path: they begin at the root without a slash; write `{right}`",
                    shown()
                ));
            }
            if let Some(directory) = source.strip_suffix('/') {
                let right = text::escape_short(directory.as_bytes(), 200);
                return Err(format!("`{}` matches no path: write `{right}/**` for what lies in it", shown()));
            }
            let wrong = |part: &str| matches!(part, "" | "." | "..");
            if !source.is_empty() && source.split('/').any(wrong) {
                return Err(format!("`{}` matches no path: no part of one is empty, `.` or `..`", shown()));
            }
        }
        let mut whole = variants(source, alike)?;
        if !expression && is_literal(source) {
            whole.extend(variants(&format!("{source}/**"), alike)?);
        }
        let mut above = Vec::new();
        if !expression {
            for directory in directories(source) {
                above.push((variants(directory, alike)?, is_literal(directory)));
            }
        }
        Ok(PathPattern { whole, above, alike, expression })
    }

    fn source(&self) -> &str {
        self.whole.first().map_or("", Pattern::source)
    }

    fn any(&self, patterns: &[Pattern], path: &Path<'_>) -> bool {
        let alike = path.alike.as_deref().filter(|_| self.alike);
        patterns.iter().any(|one| one.is_match(path.raw) || alike.is_some_and(|path| one.is_match(path)))
    }

    fn is_match(&self, path: &Path<'_>) -> bool {
        self.any(&self.whole, path)
    }

    /// Whether it is about what would lie below `path`, were that a directory.
    fn lies_below(&self, path: &Path<'_>, link: bool) -> bool {
        if self.expression {
            let within = [path.raw, b"/x"].concat();
            return link && self.any(&self.whole, &Path::new(&within, self.alike));
        }
        self.above.iter().any(|(directory, literal)| (link || *literal) && self.any(directory, path))
    }
}

/// A pattern as it is compared: as it is written, or without regard to what file systems do not tell apart.
fn variants(source: &str, alike: bool) -> Result<Vec<Pattern>, String> {
    let compile = |source: &str| if alike { Pattern::without_case(source) } else { Pattern::new(source) };
    let mut out = vec![compile(source).map_err(|error| error.to_string())?];
    if alike && !source.is_ascii() && !source.starts_with("re:") {
        // Paths are folded before they are compared; letters beyond ASCII have to be as well.
        let folded = fold_name(source.as_bytes());
        let folded = String::from_utf8_lossy(&folded);
        out.extend(compile(&folded).ok());
    }
    Ok(out)
}

fn is_literal(source: &str) -> bool {
    !source.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// The directories that a glob names on its way: `a` and `a/*` of `a/*/c`. Those that end in `**` say nothing.
fn directories(source: &str) -> Vec<&str> {
    let (mut braces, mut brackets, mut escaped) = (0_usize, false, false);
    let mut out = Vec::new();
    for (at, c) in source.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                continue;
            }
            '\\' => escaped = true,
            '[' => brackets = true,
            ']' => brackets = false,
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '/' if braces == 0 && !brackets => {
                let directory = &source[..at];
                if directory.rsplit('/').next() != Some("**") {
                    out.push(directory);
                }
            }
            _ => {}
        }
    }
    out
}

/// What some file system takes a path for: without regard to case, to how characters are composed (macOS, Windows),
/// to what HFS+ ignores, to dots and blanks at the end of a name, to streams behind a colon, and with a backslash as a
/// slash (Windows).
fn likeness(path: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    let ends = path.windows(2).any(|pair| pair == b"./") || path.ends_with(b".");
    if path.iter().all(plain) && !ends {
        return fold_name(path);
    }
    let parts = path.split(|byte| matches!(byte, b'/' | b'\\'));
    let parts: Vec<Vec<u8>> = parts.map(bare_name).collect();
    Cow::Owned(parts.join(&b'/'))
}

/// One name, as the strangest file system has it; see [`likeness`].
pub(in super::super) fn bare_name(name: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        let heard = chunk.valid().chars().filter(|c| !is_ignored(*c));
        kept.extend_from_slice(heard.collect::<String>().as_bytes());
        kept.extend_from_slice(chunk.invalid());
    }
    let stream = kept.iter().position(|byte| *byte == b':').filter(|at| *at > 0);
    let own = &kept[..stream.unwrap_or(kept.len())];
    let end = own.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(own.len(), |at| at + 1);
    fold_name(&own[..end]).into_owned()
}

/// What HFS+ leaves out of account when it compares names.
const fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}
