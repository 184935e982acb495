//! The grammar of commits and annotated tags, on raw bytes (reference 1.1, 1.2): one object, one
//! interpretation.

use super::armor;
use crate::domain::{ObjectFormat, ObjectId, ObjectKind};

/// Largest header part of a commit or tag, in bytes (G047).
pub const MAX_HEADER: usize = 1 << 20;
/// Latest time that an identity line may claim: the end of the year 9999 (G13).
const MAX_TIME: i64 = 253_402_300_799;

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

/// An author, committer or tagger line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The name, raw bytes.
    pub name: &'a [u8],
    /// The address between the last `<` and `>`, raw bytes.
    pub email: &'a [u8],
    /// Seconds since the epoch; claimed, never trusted.
    pub time: i64,
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
    /// The message: everything after the first empty line.
    pub message: &'a [u8],
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
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
    /// The tagger line; absent only in very old tags, which are refused.
    pub tagger: Identity<'a>,
    /// The message, without the signature.
    pub message: &'a [u8],
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
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
    let (headers, message) = split_header(raw)?;
    let mut fixed = Fixed::default();
    let mut signature = SignatureScan::new(signature_header(format));
    let mut lines = HeaderLines::new(headers);
    while let Some(header) = lines.next()? {
        if header.name.starts_with(b"gpgsig") {
            signature.header(&header, fixed.committer.is_none());
            continue;
        }
        fixed.header(format, &header)?;
    }
    let missing = |name: &str| bad("obj.misplaced_header", format!("there is no {name} line"));
    let tree = fixed.tree.ok_or_else(|| missing("tree"))?;
    let author = fixed.author.ok_or_else(|| missing("author"))?;
    let committer = fixed.committer.ok_or_else(|| missing("committer"))?;
    let (signature, payload) = signature.finish(raw, headers);
    Ok(CommitObject { tree, parents: fixed.parents, author, committer, message, signature, payload })
}

/// Parses an annotated tag strictly.
///
/// # Errors
/// As [`parse_commit`], by T1 to T3. A `gpgsig*` header makes the signature malformed (T1): git takes
/// it out of what it verifies.
pub fn parse_tag(format: ObjectFormat, raw: &[u8]) -> Result<TagObject<'_>, GrammarError> {
    const ORDER: [&[u8]; 4] = [b"object", b"type", b"tag", b"tagger"];
    let (headers, body) = split_header(raw)?;
    let mut values: [Option<&[u8]>; 4] = [None; 4];
    let mut smuggled = false;
    let mut lines = HeaderLines::new(headers);
    while let Some(header) = lines.next()? {
        if header.name.starts_with(b"gpgsig") {
            smuggled = true;
            continue;
        }
        let seen = values.iter().take_while(|value| value.is_some()).count();
        match ORDER.iter().position(|name| *name == header.name) {
            Some(at) if at == seen => values[at] = Some(header.fixed_value()?),
            Some(at) if at < seen => return Err(duplicate(header.name)),
            Some(_) => return Err(misplaced(header.name)),
            None => return Err(bad("obj.bad_header", "a tag has no headers but its own four")),
        }
    }
    let [Some(target), Some(kind), Some(name), Some(tagger)] = values else {
        return Err(bad("obj.misplaced_header", "one of object, type, tag, tagger is missing"));
    };
    let target_kind = [ObjectKind::Commit, ObjectKind::Tag, ObjectKind::Tree, ObjectKind::Blob]
        .into_iter()
        .find(|known| known.name().as_bytes() == kind)
        .ok_or_else(|| bad("obj.bad_type", "the type header names no kind of object"))?;
    if name.is_empty() {
        return Err(bad("obj.bad_header", "the tag header is empty"));
    }
    let start = raw.len() - body.len();
    let marker = last_marker(body);
    let split = start + marker.unwrap_or(body.len());
    let signature = if smuggled {
        SignatureField::malformed("sig.smuggled_header", "a tag has a gpgsig header")
    } else if marker.is_some() {
        SignatureField::from_value(&raw[split..])
    } else {
        SignatureField::Absent
    };
    Ok(TagObject {
        target: object_id(format, target)?,
        target_kind,
        name,
        tagger: identity(tagger)?,
        message: &raw[start..split],
        signature,
        payload: Payload { before: &raw[..split], after: b"" },
    })
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

/// The header part with its last line feed, and what follows the empty line (G1, G4).
fn split_header(raw: &[u8]) -> Result<(&[u8], &[u8]), GrammarError> {
    let window = &raw[..raw.len().min(MAX_HEADER + 2)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\n\n") else {
        return Err(if raw.len() > MAX_HEADER {
            bad("obj.header_too_large", "the header part is larger than 1 MiB")
        } else {
            bad("obj.no_header_end", "no empty line ends the header part")
        });
    };
    if raw.contains(&0) {
        return Err(bad("obj.nul", "there is a NUL byte, where git stops reading and a signature does not"));
    }
    Ok((&raw[..=end], &raw[end + 2..]))
}

/// One header line with its continuations.
struct Header<'a> {
    name: &'a [u8],
    /// The value on the first line.
    value: &'a [u8],
    /// The lines that continue it, each still with its leading space and line feed.
    continuation: &'a [u8],
    /// Where the whole of it is in the header part, last line feed included.
    range: std::ops::Range<usize>,
}

impl<'a> Header<'a> {
    /// The value of a header that has one line and no carriage return (G5).
    fn fixed_value(&self) -> Result<&'a [u8], GrammarError> {
        if !self.continuation.is_empty() {
            return Err(bad("obj.bad_header", format!("the {} line is continued", self.shown())));
        }
        if self.value.contains(&b'\r') {
            return Err(bad(
                "obj.cr_header",
                format!("there is a carriage return in the {} line", self.shown()),
            ));
        }
        Ok(self.value)
    }

    fn shown(&self) -> String {
        crate::domain::text::escape_short(self.name, 40)
    }

    /// The value with the single leading space of each continuation line removed.
    fn unfolded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.value.len() + 1 + self.continuation.len());
        out.extend_from_slice(self.value);
        out.push(b'\n');
        for line in self.continuation.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(&line[1..]);
        }
        out
    }
}

/// Walks the header part, which ends with a line feed and has no empty line.
struct HeaderLines<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> HeaderLines<'a> {
    fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    fn line(&self, from: usize) -> &'a [u8] {
        let rest = &self.all[from..];
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        &rest[..end]
    }

    /// The next header (G6).
    fn next(&mut self) -> Result<Option<Header<'a>>, GrammarError> {
        if self.at >= self.all.len() {
            return Ok(None);
        }
        let start = self.at;
        let first = self.line(start);
        let text = first.strip_suffix(b"\n").unwrap_or(first);
        let mut end = start + first.len();
        while self.all.get(end) == Some(&b' ') {
            end += self.line(end).len();
        }
        self.at = end;
        let (name, value) = match text.iter().position(|byte| *byte == b' ') {
            Some(space) => (&text[..space], &text[space + 1..]),
            // What git's own test suite calls a bare signature header: empty, not absent (C012).
            None if text == b"gpgsig" || text == b"gpgsig-sha256" => (text, &text[text.len()..]),
            None => return Err(bad("obj.bad_header", "a header line has no space")),
        };
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'-');
        if name.is_empty() || !name.iter().all(legal) {
            return Err(bad("obj.bad_header", "a header line does not begin with a header's name"));
        }
        let continuation = &self.all[start + first.len()..end];
        Ok(Some(Header { name, value, continuation, range: start..end }))
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

/// An author, committer or tagger line (G13).
///
/// Stricter than G13 in one point: a second `<` or `>` is refused. Git takes the address from the
/// first `<` and the time from the last `>`, so such a line has two addresses, one for each reader.
fn identity(line: &[u8]) -> Result<Identity<'_>, GrammarError> {
    let ident = |why: &str| bad("obj.bad_ident", why);
    let open = line.iter().position(|byte| *byte == b'<').ok_or_else(|| ident("there is no `<`"))?;
    let close = line.iter().rposition(|byte| *byte == b'>').ok_or_else(|| ident("there is no `>`"))?;
    if close < open {
        return Err(ident("`>` stands before `<`"));
    }
    let email = &line[open + 1..close];
    if email.iter().chain(&line[close + 1..]).any(|byte| matches!(byte, b'<' | b'>')) {
        return Err(ident("there is more than one `<` or `>`"));
    }
    let name = match line[..open].split_last() {
        None => &line[..0],
        Some((b' ', name)) => name,
        Some(_) => return Err(ident("no space separates name and address")),
    };
    if name.contains(&b'>') {
        return Err(ident("there is more than one `<` or `>`"));
    }
    let date = |why: &str| bad("obj.bad_date", why);
    let stamp = line[close + 1..].strip_prefix(b" ").ok_or_else(|| date("there is no time"))?;
    let space = stamp.iter().position(|byte| *byte == b' ').ok_or_else(|| date("there is no time zone"))?;
    let (digits, zone) = (&stamp[..space], &stamp[space + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(date("the time is not a decimal number of seconds"));
    }
    if digits.len() > 1 && digits[0] == b'0' {
        return Err(date("the time has leading zeros"));
    }
    let time = (digits.len() <= 12)
        .then(|| digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        .filter(|time| *time <= MAX_TIME)
        .ok_or_else(|| date("the time lies after the year 9999"))?;
    match zone {
        [b'+' | b'-', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) => {}
        _ => return Err(date("the time zone is not `+hhmm` or `-hhmm`")),
    }
    Ok(Identity { name, email, time })
}

/// Collects the signature header of a commit and the first fault (G7 to G9).
struct SignatureScan {
    name: &'static [u8],
    found: Option<(std::ops::Range<usize>, Vec<u8>)>,
    fault: Option<(&'static str, &'static str)>,
}

impl SignatureScan {
    fn new(name: &'static [u8]) -> Self {
        Self { name, found: None, fault: None }
    }

    fn header(&mut self, header: &Header<'_>, before_committer: bool) {
        let fault = if header.name != self.name {
            Some((
                "sig.smuggled_header",
                "a header begins with `gpgsig` and is not this repository's signature header",
            ))
        } else if before_committer {
            Some(("sig.misplaced_header", "the signature header stands before the committer line"))
        } else if self.found.is_some() {
            Some(("sig.multiple_headers", "there is more than one signature header"))
        } else {
            // A header with anything but one space where git expects it would not be git's header.
            self.found = Some((header.range.clone(), header.unfolded()));
            None
        };
        self.fault = self.fault.or(fault);
    }

    fn finish<'a>(self, raw: &'a [u8], headers: &'a [u8]) -> (SignatureField, Payload<'a>) {
        let whole = Payload { before: raw, after: b"" };
        if let Some((code, why)) = self.fault {
            return (SignatureField::malformed(code, why), whole);
        }
        let Some((range, value)) = self.found else { return (SignatureField::Absent, whole) };
        debug_assert!(range.end <= headers.len(), "a header lies in the header part");
        let payload = Payload { before: &raw[..range.start], after: &raw[range.end..] };
        (SignatureField::from_value(&value), payload)
    }
}

impl SignatureField {
    fn malformed(code: &'static str, why: &str) -> Self {
        SignatureField::Malformed { code, why: why.to_owned() }
    }

    /// From an unfolded header value or the end of a tag (G10 to G12).
    fn from_value(value: &[u8]) -> Self {
        match armor::check(value) {
            Ok((format, end)) => {
                SignatureField::Present(SignatureBlock { format, armor: value[..end].to_vec() })
            }
            Err(fault) => SignatureField::malformed(fault.code, fault.why),
        }
    }
}

/// Where the last line of `body` begins that git takes for the start of a signature (T2).
fn last_marker(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut last = None;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if armor::MARKERS.iter().any(|marker| line.starts_with(marker)) {
            last = Some(at);
        }
        at += line.len();
    }
    last
}

#[cfg(test)]
mod tests;
