//! The canonical form of a signature's armor (G10 to G12, S2), checked before any library sees it.
//!
//! Git, GnuPG, OpenSSH and the crates each tolerate something else around an armor: text before it,
//! text after it, blanks inside it. What is tolerated is unsigned text that somebody displays, so one
//! strict reading comes first and the verifiers decode only what passed it.

use super::Finding;
use super::object::SignatureFormat;
use data_encoding::BASE64;

/// Largest OpenPGP or SSH armor, in bytes (G12). Real ones stay far below it.
pub(super) const MAX_ARMOR: usize = 16 * 1024;
/// Largest CMS armor, in bytes (G12): these carry certificate chains.
pub(super) const MAX_CMS_ARMOR: usize = 64 * 1024;

/// What is wrong with an armor: the reason code and the same for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) why: &'static str,
}

const fn fault(code: &'static str, why: &'static str) -> Fault {
    Fault { code, why }
}

/// The text between the dashes of a BEGIN line that git takes for the start of a signature.
pub(super) const MARKERS: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
];

/// The END line that makes a whole signature of what begins with one of [`MARKERS`]; none for a message,
/// which is text that somebody may quote.
pub(super) fn end_of(marker: &[u8]) -> Option<&'static [u8]> {
    format_of(marker).map(end_marker)
}

const fn end_marker(format: SignatureFormat) -> &'static [u8] {
    match format {
        SignatureFormat::OpenPgp => b"-----END PGP SIGNATURE-----",
        SignatureFormat::Ssh => b"-----END SSH SIGNATURE-----",
        SignatureFormat::X509 => b"-----END SIGNED MESSAGE-----",
    }
}

fn format_of(begin_line: &[u8]) -> Option<SignatureFormat> {
    match begin_line {
        b"-----BEGIN PGP SIGNATURE-----" => Some(SignatureFormat::OpenPgp),
        b"-----BEGIN SSH SIGNATURE-----" => Some(SignatureFormat::Ssh),
        b"-----BEGIN SIGNED MESSAGE-----" => Some(SignatureFormat::X509),
        _ => None,
    }
}

/// Checks that `value` is one armor in canonical form, and returns its format and the length of the
/// part from BEGIN to END, END's line feed included where there is one.
pub(super) fn check(value: &[u8]) -> Result<(SignatureFormat, usize), Fault> {
    if value.iter().all(|byte| *byte == b'\n') {
        return Err(fault("sig.empty", "the signature has no content"));
    }
    if value.len() > MAX_CMS_ARMOR {
        return Err(fault("sig.too_large", "the signature is larger than 64 KiB"));
    }
    let mut lines = Lines { rest: value, at: 0 };
    let first = lines.next().unwrap_or_default();
    let format = format_of(first).ok_or_else(|| begin_fault(first))?;
    if format != SignatureFormat::X509 && value.len() > MAX_ARMOR {
        return Err(fault("sig.too_large", "the signature is larger than 16 KiB"));
    }
    let mut body = Body::new(format);
    let end = loop {
        let line = lines.next().ok_or(fault("sig.truncated", "the signature has no END line"))?;
        if line == end_marker(format) {
            break lines.at;
        }
        if line.starts_with(b"-----") {
            return Err(if line.starts_with(b"-----END ") {
                fault("sig.label", "the END line does not fit the BEGIN line")
            } else {
                fault("sig.multiple_blocks", "there is a second BEGIN line in the signature")
            });
        }
        body.line(line)?;
    };
    body.finish()?;
    if value[end..].iter().any(|byte| *byte != b'\n') {
        return Err(fault("sig.trailing", "there is text after the END line"));
    }
    Ok((format, end))
}

/// Which departures from the canonical form are let through. None by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Relaxed {
    /// One OpenTimestamps block may follow (G10).
    pub(super) timestamps: bool,
    /// Forms that only old history has (1.1): carriage returns at line ends, the label of a message.
    pub(super) import: bool,
}

/// A signature in canonical form, and what had to be overlooked to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Armor {
    pub(super) format: SignatureFormat,
    /// From BEGIN to END, canonical.
    pub(super) text: Vec<u8>,
    pub(super) findings: Vec<Finding>,
}

const MESSAGE: [&[u8]; 2] = [b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----"];
const SIGNATURE: [&[u8]; 2] = [b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"];
const TIMESTAMP: [&[u8]; 2] =
    [b"-----BEGIN OPENTIMESTAMPS GIT TIMESTAMP-----", b"-----END OPENTIMESTAMPS GIT TIMESTAMP-----"];

/// Reads an armor: canonical, or one that becomes so by what `relaxed` overlooks. Whatever is overlooked,
/// the rest goes through [`check`], so a relaxation adds a form and takes no check away.
pub(super) fn read(value: &[u8], relaxed: Relaxed) -> Result<Armor, Fault> {
    let strict = match check(value) {
        Ok((format, end)) => {
            let text = value[..end].to_vec();
            return Ok(Armor { format, findings: oddities(&text, format), text });
        }
        Err(fault) => fault,
    };
    if relaxed == Relaxed::default() || value.len() > MAX_ARMOR {
        return Err(strict);
    }
    let mut text = value.to_vec();
    let mut findings = Vec::new();
    if relaxed.import && text.contains(&b'\r') {
        text = without_line_end_cr(&text);
        let odd = "the lines of the signature end with a carriage return";
        findings.push(Finding::new("import.cr_line_ends", odd));
    }
    if relaxed.timestamps
        && let Some(end) = before_timestamp(&text)
    {
        text.truncate(end);
        let odd = "an OpenTimestamps block, which nobody verifies, follows the signature";
        findings.push(Finding::new("sig.trailing_timestamps", odd));
    }
    if relaxed.import
        && let Some(relabelled) = relabelled(&text)
    {
        text = relabelled;
        let odd = "the signature has the label of a PGP message";
        findings.push(Finding::new("import.message_label", odd));
    }
    if findings.is_empty() {
        return Err(strict);
    }
    let (format, end) = check(&text)?;
    text.truncate(end);
    findings.extend(oddities(&text, format));
    Ok(Armor { format, text, findings })
}

/// What anybody can change about a canonical armor, behind the signer's back and without harm (G048, G052).
fn oddities(text: &[u8], format: SignatureFormat) -> Vec<Finding> {
    match format {
        SignatureFormat::Ssh if wrapped_oddly(text) => {
            vec![Finding::new("sig.wrapping", "the signature is not wrapped as ssh-keygen wraps")]
        }
        SignatureFormat::OpenPgp if wrong_checksum(text) => {
            vec![Finding::new("sig.checksum", "the checksum of the signature's armor is wrong")]
        }
        _ => Vec::new(),
    }
}

/// ssh-keygen writes lines of 70 characters, and a last one that is not longer.
fn wrapped_oddly(text: &[u8]) -> bool {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.is_empty() && !line.starts_with(b"-----"));
    let Some((last, full)) = lines.split_last() else { return false };
    last.len() > 70 || full.iter().any(|line| line.len() != 70)
}

/// The CRC-24 of RFC 9580 section 6.1, where there is one.
fn wrong_checksum(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(line) = lines.find(|line| line.len() == 5 && line[0] == b'=') else { return false };
    let Ok(bytes) = decode(text, SignatureFormat::OpenPgp) else { return false };
    let mut crc = 0x00b7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    BASE64.encode(&crc.to_be_bytes()[1..]).as_bytes() != &line[1..]
}

/// Takes one carriage return off the end of each line.
fn without_line_end_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [start @ .., b'\r', b'\n'] => {
                out.extend_from_slice(start);
                out.push(b'\n');
            }
            // The last line of an object may have no line feed.
            [start @ .., b'\r'] => out.extend_from_slice(start),
            line => out.extend_from_slice(line),
        }
    }
    out
}

/// Where the signature ends, if exactly one whole OpenTimestamps block and nothing else follows it.
fn before_timestamp(text: &[u8]) -> Option<usize> {
    let mut lines = Lines { rest: text, at: 0 };
    let end = loop {
        let at = lines.at;
        if lines.next()? == TIMESTAMP[0] {
            break at;
        }
    };
    // Its armor has no headers of its own, but the empty line behind them.
    if !lines.next()?.is_empty() {
        return None;
    }
    let mut body = Body { in_headers: false, ..Body::new(SignatureFormat::Ssh) };
    loop {
        let line = lines.next()?;
        if line == TIMESTAMP[1] {
            break;
        }
        body.line(line).ok()?;
    }
    body.finish().ok()?;
    lines.rest.iter().all(|byte| *byte == b'\n').then_some(end)
}

/// The same armor with the label of a signature, if BEGIN and END have that of a message. What is inside
/// has to be one signature packet still: a message is refused by the verifier.
fn relabelled(text: &[u8]) -> Option<Vec<u8>> {
    let rest = text.strip_prefix(MESSAGE[0])?.strip_prefix(b"\n")?;
    let end = rest.windows(MESSAGE[1].len()).position(|window| window == MESSAGE[1])?;
    Some([SIGNATURE[0], b"\n", &rest[..end], SIGNATURE[1], &rest[end + MESSAGE[1].len()..]].concat())
}

fn begin_fault(first: &[u8]) -> Fault {
    if first.contains(&b'\r') {
        fault("sig.cr", "there is a carriage return in the signature")
    } else if MARKERS.iter().any(|marker| first.starts_with(marker)) && format_of(first).is_none() {
        match first {
            b"-----BEGIN PGP MESSAGE-----" => {
                fault("sig.label", "the label PGP MESSAGE is not that of a signature")
            }
            _ => fault("sig.leading", "the BEGIN line has more text on it"),
        }
    } else if first.starts_with(b"-----BEGIN ") {
        fault("sig.label", "the BEGIN line has an unknown label")
    } else {
        fault("sig.leading", "the signature does not start with a BEGIN line")
    }
}

/// Splits at line feeds and knows how far it got.
struct Lines<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, used) = end.map_or((self.rest, self.rest.len()), |end| (&self.rest[..end], end + 1));
        self.rest = &self.rest[used..];
        self.at += used;
        Some(line)
    }
}

/// What has been seen between BEGIN and END.
struct Body {
    in_headers: bool,
    data_lines: usize,
    padded: bool,
    checksum: bool,
    pgp: bool,
}

impl Body {
    fn new(format: SignatureFormat) -> Self {
        let pgp = format == SignatureFormat::OpenPgp;
        Self { in_headers: pgp, data_lines: 0, padded: false, checksum: false, pgp }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.contains(&b'\r') {
            return Err(fault("sig.cr", "there is a carriage return in the signature"));
        }
        if self.in_headers {
            if line.is_empty() {
                self.in_headers = false;
                return Ok(());
            }
            // `Version: GnuPG v2`, `Comment: ...`: unsigned, shown by nobody, common in old history.
            let named = line.windows(2).position(|pair| pair == b": ").is_some_and(|at| {
                at > 0 && line[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            }) || line.ends_with(b":");
            if !named || line.iter().any(|byte| byte.is_ascii_control()) {
                return Err(fault("sig.armor", "the armor's own headers are malformed"));
            }
            return Ok(());
        }
        if self.checksum {
            return Err(fault("sig.armor", "there is data after the armor's checksum"));
        }
        if self.pgp && line.first() == Some(&b'=') && line.len() == 5 && is_base64(&line[1..]) {
            // CRC-24 is optional and no security (O1): its place is checked, its value is not.
            self.checksum = true;
            return Ok(());
        }
        let digits = line.len() - line.iter().rev().take_while(|byte| **byte == b'=').count();
        // ssh-keygen wraps at 70, no multiple of four: its last line may be nothing but padding.
        let padding_alone = digits == 0 && !self.pgp && self.data_lines > 0 && line.len() <= 2;
        let no_data = digits == 0 && !padding_alone;
        if self.padded || line.is_empty() || no_data || !is_base64(&line[..digits]) {
            return Err(fault("sig.armor", "there is something else than base64 in the signature"));
        }
        self.padded = digits != line.len();
        self.data_lines += 1;
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.in_headers {
            return Err(fault("sig.armor", "there is no empty line after the armor's own headers"));
        }
        if self.data_lines == 0 {
            return Err(fault("sig.empty", "the signature has no content"));
        }
        Ok(())
    }
}

fn is_base64(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The bytes inside an armor of `format`; checks it again, so that nobody has to have done so before.
pub(super) fn decode(value: &[u8], format: SignatureFormat) -> Result<Vec<u8>, Fault> {
    let (found, end) = check(value)?;
    if found != format {
        return Err(fault("sig.label", "the label is that of another kind of signature"));
    }
    let mut lines = Lines { rest: &value[..end], at: 0 };
    let mut headers = format == SignatureFormat::OpenPgp;
    let mut text = Vec::with_capacity(end);
    while let Some(line) = lines.next() {
        if line.starts_with(b"-----") {
            continue;
        }
        if headers {
            headers = !line.is_empty();
            continue;
        }
        // OpenPGP's checksum line, the only one there that starts with the padding character.
        if format != SignatureFormat::OpenPgp || line.first() != Some(&b'=') {
            text.extend_from_slice(line);
        }
    }
    BASE64.decode(&text).map_err(|_| fault("sig.armor", "the signature's base64 is not canonical"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSH: &[u8] = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\nAAAA\n-----END SSH SIGNATURE-----\n";
    const PGP: &[u8] =
        b"-----BEGIN PGP SIGNATURE-----\nComment: x\n\niQEz\n=abcd\n-----END PGP SIGNATURE-----\n";

    fn code(value: &[u8]) -> &'static str {
        check(value).map_or_else(|fault| fault.code, |_| "ok")
    }

    fn replaced(value: &[u8], from: &str, to: &str) -> Vec<u8> {
        String::from_utf8(value.to_vec()).unwrap().replacen(from, to, 1).into_bytes()
    }

    #[test]
    fn accepts_the_canonical_forms() {
        assert_eq!(check(SSH), Ok((SignatureFormat::Ssh, SSH.len())));
        assert_eq!(check(PGP), Ok((SignatureFormat::OpenPgp, PGP.len())));
        assert_eq!(decode(SSH, SignatureFormat::Ssh), Ok(b"SSHSIG\0\0\0".to_vec()));
        assert_eq!(decode(PGP, SignatureFormat::OpenPgp), Ok(vec![0x89, 0x01, 0x33]));
        let without_line_feed = &SSH[..SSH.len() - 1];
        assert_eq!(check(without_line_feed), Ok((SignatureFormat::Ssh, SSH.len() - 1)));
        assert_eq!(check(&[SSH, b"\n\n"].concat()), Ok((SignatureFormat::Ssh, SSH.len())));
    }

    #[test]
    fn relaxations_add_a_form_and_take_no_check_away() {
        let import = Relaxed { import: true, ..Relaxed::default() };
        let timestamps = Relaxed { timestamps: true, ..Relaxed::default() };
        let ots = "-----BEGIN OPENTIMESTAMPS GIT TIMESTAMP-----\n\nAAAA\n-----END OPENTIMESTAMPS GIT TIMESTAMP-----\n";
        let with = |tail: &str| [PGP, tail.as_bytes()].concat();
        let crlf =
            |value: &[u8]| String::from_utf8(value.to_vec()).unwrap().replace('\n', "\r\n").into_bytes();
        let message = String::from_utf8(PGP.to_vec()).unwrap().replace("SIGNATURE", "MESSAGE").into_bytes();
        for (value, relaxed, wanted) in [
            (with(ots), timestamps, "ok"),
            (with(&format!("{ots}\n\n")), timestamps, "ok"),
            (with(ots), import, "sig.trailing"),
            (with(&format!("{ots}{ots}")), timestamps, "sig.trailing"),
            (with(&format!("{ots}x\n")), timestamps, "sig.trailing"),
            (with(&format!("x\n{ots}")), timestamps, "sig.trailing"),
            (with(&ots.replace("AAAA", "A?AA")), timestamps, "sig.trailing"),
            (with(&ots.replace("AAAA\n", "")), timestamps, "sig.trailing"),
            (with(&ots.replace("\n\n", "\n")), timestamps, "sig.trailing"),
            (with(&ots.replace("\n\n", "\nx: y\n\n")), timestamps, "sig.trailing"),
            (
                with(&ots.replace("-----END OPENTIMESTAMPS GIT TIMESTAMP-----\n", "")),
                timestamps,
                "sig.trailing",
            ),
            (with(&ots.replace("GIT ", "")), timestamps, "sig.trailing"),
            ([ots.as_bytes(), PGP].concat(), timestamps, "sig.label"),
            (replaced(PGP, "iQEz\n", &format!("iQEz\n{ots}")), timestamps, "sig.multiple_blocks"),
            (ots.as_bytes().to_vec(), timestamps, "sig.empty"),
            (crlf(PGP), timestamps, "sig.cr"),
            (crlf(PGP), import, "ok"),
            (crlf(SSH), import, "ok"),
            (crlf(&crlf(PGP)), import, "sig.cr"),
            (replaced(PGP, "iQEz", "iQ\rEz"), import, "sig.cr"),
            (replaced(&crlf(PGP), "iQEz", "iQ\rEz"), import, "sig.cr"),
            ([&crlf(PGP)[..], b"x\r\n"].concat(), import, "sig.trailing"),
            (message.clone(), import, "ok"),
            (message.clone(), timestamps, "sig.label"),
            ([&message[..], b"x\n"].concat(), import, "sig.trailing"),
            ([&message[..], PGP].concat(), import, "sig.trailing"),
            (replaced(&message, "END PGP MESSAGE", "END PGP SIGNATURE"), import, "sig.label"),
            (replaced(SSH, "BEGIN SSH SIGNATURE", "BEGIN PGP MESSAGE"), import, "sig.label"),
            ([SSH, b"x"].concat(), import, "sig.trailing"),
        ] {
            let found = read(&value, relaxed).map_or_else(|fault| fault.code, |_| "ok");
            assert_eq!(found, wanted, "{}", String::from_utf8_lossy(&value));
            let strict = read(&value, Relaxed::default());
            assert_eq!(strict.map_err(|fault| fault.code).err().unwrap_or("ok"), code(&value));
        }
        let both = Relaxed { import: true, timestamps: true };
        let armor = read(&crlf(&[&message[..], ots.as_bytes()].concat()), both).unwrap();
        assert_eq!(armor.text, PGP);
        assert_eq!(armor.findings.len(), 4, "{:?}", armor.findings);
        let long = with(&ots.replace("AAAA\n", &"AAAA\n".repeat(4_000)));
        assert_eq!(read(&long, timestamps).unwrap_err().code, "sig.too_large");
    }

    #[test]
    fn g10_refuses_everything_around_and_inside() {
        for (value, wanted) in [
            (b"".to_vec(), "sig.empty"),
            (b"\n\n".to_vec(), "sig.empty"),
            ([SSH, b"x"].concat(), "sig.trailing"),
            ([SSH, b" "].concat(), "sig.trailing"),
            ([SSH, SSH].concat(), "sig.trailing"),
            ([b"x\n", SSH].concat(), "sig.leading"),
            ([b"\n", SSH].concat(), "sig.leading"),
            (b"garbage".to_vec(), "sig.leading"),
            (replaced(SSH, "BEGIN SSH SIGNATURE-----", "BEGIN SSH SIGNATURE----- x"), "sig.leading"),
            (replaced(SSH, "BEGIN SSH SIGNATURE", "BEGIN PGP MESSAGE"), "sig.label"),
            (replaced(SSH, "BEGIN SSH SIGNATURE", "BEGIN FOO"), "sig.label"),
            (replaced(SSH, "END SSH", "END PGP"), "sig.label"),
            (replaced(SSH, "AAAA", "-----BEGIN SSH SIGNATURE-----"), "sig.multiple_blocks"),
            (replaced(SSH, "AAAA", "AA AA"), "sig.armor"),
            (replaced(SSH, "AAAA", " AAAA"), "sig.armor"),
            (replaced(SSH, "AAAA\n", "AAAA\n\n"), "sig.armor"),
            (replaced(SSH, "AAAA", "A=\nAAAA"), "sig.armor"),
            (replaced(SSH, "AAAA\n", "AAAA\r\n"), "sig.cr"),
            (replaced(SSH, "-----\n", "-----\r\n"), "sig.cr"),
            (replaced(SSH, "-----END SSH SIGNATURE-----\n", ""), "sig.truncated"),
            (b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n".to_vec(), "sig.empty"),
            (replaced(PGP, "Comment: x", "Comment\u{1b}: x"), "sig.armor"),
            (replaced(PGP, "\n\niQEz", "\niQEz"), "sig.armor"),
            (replaced(PGP, "=abcd\n", "=abcd\niQEz\n"), "sig.armor"),
        ] {
            assert_eq!(code(&value), wanted, "{}", String::from_utf8_lossy(&value));
        }
    }

    #[test]
    fn g12_caps_the_size() {
        let long = |size: usize| replaced(SSH, "AAAA", &"A".repeat(size));
        assert_eq!(code(&long(16 * 1024)), "sig.too_large");
        assert_eq!(code(&long(65 * 1024)), "sig.too_large");
        assert_eq!(code(&long(15 * 1024)), "ok");
        let cms = replaced(&long(60 * 1024), "SSH SIGNATURE", "SIGNED MESSAGE");
        assert_eq!(code(&replaced(&cms, "SSH SIGNATURE", "SIGNED MESSAGE")), "ok");
    }

    #[test]
    fn padding_may_have_a_line_of_its_own() {
        let wrapped = replaced(SSH, "AAAA\n", "AA\n==\n");
        assert_eq!(decode(&wrapped, SignatureFormat::Ssh), Ok(b"SSHSIG\0".to_vec()));
        for (from, wanted) in
            [("AA\n==\n=\n", "sig.armor"), ("AA\n===\n", "sig.armor"), ("AA\n==\nAA\n", "sig.armor")]
        {
            assert_eq!(code(&replaced(SSH, "AAAA\n", from)), wanted);
        }
        assert_eq!(code(&replaced(SSH, "U1NIU0lH\nAAAA\n", "==\n")), "sig.armor");
        assert_eq!(code(&replaced(PGP, "iQEz\n", "iQ\n==\n")), "sig.armor", "GnuPG wraps at 64");
        assert!(decode(&replaced(SSH, "AAAA\n", "AAAA\n==\n"), SignatureFormat::Ssh).is_err());
    }

    #[test]
    fn non_canonical_base64_is_refused() {
        // The last digit carries bits that no byte uses.
        let value = replaced(SSH, "AAAA", "AB==");
        assert_eq!(decode(&value, SignatureFormat::Ssh).unwrap_err().code, "sig.armor");
    }
}
