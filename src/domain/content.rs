//! What the bytes of a file say that it is. Pure: others read the bytes.

/// How many bytes of a file are looked at for [`BlobFacts`].
pub const HEAD_BYTES: usize = 8000;

/// What is known of a blob without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFacts {
    /// Its size, bytes.
    pub size: u64,
    /// Whether a zero byte is among its first 8,000 bytes, as git tells binary files from text.
    pub binary: bool,
    /// The pointer that it is, where it is one of Git LFS.
    pub lfs: Option<LfsPointer>,
    /// The kind of program that it begins like.
    pub program: Option<Program>,
}

impl BlobFacts {
    /// From a blob's size and its first [`HEAD_BYTES`] bytes, or all of it where it is shorter.
    pub fn of(size: u64, head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let binary = head.contains(&0);
        let whole = size == head.len() as u64;
        BlobFacts {
            size,
            binary,
            lfs: if whole { LfsPointer::parse(head) } else { None },
            program: Program::of(head, binary),
        }
    }
}

/// A Git LFS pointer: a small text that stands for a large file kept elsewhere. What it says of that
/// file is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LfsPointer {
    /// The claimed SHA-256 of the file.
    pub oid: [u8; 32],
    /// The claimed size of the file, bytes.
    pub size: u64,
}

/// Most bytes of a pointer.
const MAX_POINTER: usize = 1024;
/// The versions of the specification that there are, by the names that they give themselves.
const VERSIONS: [&str; 2] = ["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1"];

impl LfsPointer {
    /// Reads a pointer by the specification's grammar and not a byte more freely: what only resembles
    /// one is an ordinary file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_POINTER {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n').map(|line| line.split_once(' '));
        let (key, version) = lines.next()??;
        if key != "version" || !VERSIONS.contains(&version) {
            return None;
        }
        let (mut oid, mut size) = (None, None);
        let mut last = "";
        for line in lines {
            let (key, value) = line?;
            if key <= last || value.chars().any(char::is_control) {
                return None;
            }
            last = key;
            match key {
                "oid" => oid = Some(sha256(value)?),
                "size" => size = Some(decimal(value)?),
                extension => {
                    is_extension(extension).then_some(())?;
                    sha256(value)?;
                }
            }
        }
        Some(LfsPointer { oid: oid?, size: size? })
    }
}

/// `ext-`, one digit, `-` and a name.
fn is_extension(key: &str) -> bool {
    let rest = key.strip_prefix("ext-").and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_digit()));
    let name = rest.and_then(|rest| rest.strip_prefix('-'));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    name.is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

fn sha256(value: &str) -> Option<[u8; 32]> {
    let hex = value.strip_prefix("sha256:")?.as_bytes();
    let mut out = [0_u8; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(out)
}

/// A number as the reference implementation writes and reads it: signed 64 bits, none negative.
fn decimal(value: &str) -> Option<u64> {
    let plain = value.bytes().all(|byte| byte.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    let number = value.parse().ok().filter(|_| plain)?;
    i64::try_from(number).is_ok().then_some(number)
}

/// A kind of file that an operating system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// A script: `#!` and who runs it.
    Script,
    /// ELF: Linux, BSD.
    Elf,
    /// Mach-O, for one kind of processor or several: macOS, iOS.
    MachO,
    /// PE and its forerunners: Windows, DOS, EFI.
    Pe,
}

impl Program {
    /// A short name for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Script => "script",
            Program::Elf => "ELF",
            Program::MachO => "Mach-O",
            Program::Pe => "PE",
        }
    }

    fn of(head: &[u8], binary: bool) -> Option<Self> {
        match head {
            [b'#', b'!', ..] => Some(Program::Script),
            [0x7f, b'E', b'L', b'F', ..] => Some(Program::Elf),
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Some(Program::MachO),
            // Class files of Java begin alike; where they have their version, there is a small number of
            // processors here.
            [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1..=44, ..] | [0xca, 0xfe, 0xba, 0xbf, ..] => {
                Some(Program::MachO)
            }
            // Text may begin with these letters, and no program is without a zero byte in its header.
            [b'M', b'Z', ..] if binary => Some(Program::Pe),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn pointer(text: &str) -> Option<LfsPointer> {
        LfsPointer::parse(text.as_bytes())
    }

    #[test]
    fn what_only_resembles_a_pointer_is_none() {
        let v = "version https://git-lfs.github.com/spec/v1";
        let good = format!("{v}\noid {OID}\nsize 12345\n");
        assert_eq!(pointer(&good).unwrap().size, 12345);
        assert_eq!(pointer(&good).unwrap().oid[..2], [0x4d, 0x7a]);
        for bad in [
            String::new(),
            "\n".to_owned(),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("\n{good}"),
            format!(" {good}"),
            format!("\u{feff}{good}"),
            good.replace('\n', "\r\n"),
            good.replace("oid ", "oid  "),
            good.replace("size ", "size\t"),
            good.replace("12345", "12345 "),
            good.replace("12345", "-1"),
            good.replace("12345", "+1"),
            good.replace("12345", "01"),
            good.replace("12345", ""),
            good.replace("12345", "1e3"),
            good.replace("12345", "9223372036854775808"),
            good.replace("12345", "99999999999999999999999"),
            good.replace("sha256:4d7a", "sha256:4D7A"),
            good.replace("sha256:", "sha1:"),
            good.replace("2393\n", "239\n"),
            good.replace("2393\n", "23933\n"),
            good.replace("spec/v1", "spec/v2"),
            good.replace("https", "HTTPS"),
            good.replace("version", "Version"),
            format!("{v}\nsize 12345\noid {OID}\n"),
            format!("oid {OID}\nsize 12345\n{v}\n"),
            format!("{v}\noid {OID}\noid {OID}\nsize 1\n"),
            format!("{v}\noid {OID}\nsize 1\nsize 1\n"),
            format!("{v}\n{v}\noid {OID}\nsize 1\n"),
            format!("{v}\noid {OID}\n"),
            format!("{v}\nsize 1\n"),
            format!("{good}x y\n"),
            format!("{good}payload\n"),
            format!("{v}\next-a-x {OID}\noid {OID}\nsize 1\n"),
            format!("{v}\next-0- {OID}\noid {OID}\nsize 1\n"),
            format!("{v}\next-0-X {OID}\noid {OID}\nsize 1\n"),
            format!("{v}\next-0-x evil\noid {OID}\nsize 1\n"),
            format!("{v}\next-1-b {OID}\next-0-a {OID}\noid {OID}\nsize 1\n"),
        ] {
            assert_eq!(pointer(&bad), None, "{bad:?}");
        }
        assert_eq!(LfsPointer::parse(&[good.as_bytes(), b"\xff"].concat()), None);
        assert_eq!(LfsPointer::parse(&good.replace("12345", "1\0").into_bytes()), None);
    }

    #[test]
    fn pointers_with_extensions_and_of_old() {
        let extended = format!(
            "version https://git-lfs.github.com/spec/v1\next-0-foo {OID}\next-1-b.r {OID}\noid {OID}\nsize 0\n"
        );
        assert_eq!(pointer(&extended).unwrap().size, 0);
        let old = format!("version https://hawser.github.com/spec/v1\noid {OID}\nsize 9223372036854775807\n");
        assert_eq!(pointer(&old).unwrap().size, i64::MAX as u64);
    }

    #[test]
    fn a_pointer_has_at_most_1024_bytes() {
        let with = |count: usize| {
            let mut text = "version https://git-lfs.github.com/spec/v1\n".to_owned();
            for index in 0..9 {
                text.push_str(&format!("ext-{index}-x {OID}\n"));
            }
            text.push_str(&format!("ext-9-{} {OID}\noid {OID}\nsize 1\n", "x".repeat(count)));
            text
        };
        let base = with(1).len() - 1;
        let fits = with(1024 - base);
        assert_eq!(fits.len(), 1024);
        assert!(pointer(&fits).is_some());
        assert_eq!(pointer(&with(1025 - base)), None);
    }

    #[test]
    fn binary_is_a_zero_byte_near_the_beginning() {
        let mut content = vec![b'x'; 9000];
        assert!(!BlobFacts::of(9000, &content).binary);
        content[8000] = 0;
        assert!(!BlobFacts::of(9000, &content).binary);
        content[7999] = 0;
        assert!(BlobFacts::of(9000, &content).binary);
        assert!(!BlobFacts::of(0, b"").binary);
    }

    #[test]
    fn programs_by_how_they_begin() {
        let of = |head: &[u8]| BlobFacts::of(head.len() as u64, head).program;
        assert_eq!(of(b"#!/bin/sh\n"), Some(Program::Script));
        assert_eq!(of(b"\x7fELF\x02\x01"), Some(Program::Elf));
        for magic in [b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"] {
            assert_eq!(of(magic), Some(Program::MachO));
        }
        assert_eq!(of(b"\xca\xfe\xba\xbe\0\0\0\x02"), Some(Program::MachO));
        assert_eq!(of(b"\xca\xfe\xba\xbe\0\0\0\x41"), None, "a class file of Java");
        assert_eq!(of(b"MZ\x90\0"), Some(Program::Pe));
        for other in [b"".as_slice(), b"#", b" #!/bin/sh", b"\x7fEL", b"MZ is a name", b"\xca\xfe\xba\xbe"] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
