//! Object ids of both object formats.

use std::fmt;

/// The hash function of a repository (`extensions.objectFormat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectFormat {
    /// SHA-1, 20 bytes, always computed with collision detection.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// Length of an id in hexadecimal digits.
    pub const fn hex_len(self) -> usize {
        match self {
            ObjectFormat::Sha1 => 40,
            ObjectFormat::Sha256 => 64,
        }
    }

    /// The name git's configuration uses.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        }
    }
}

/// The id of an object that may exist. The all-zero id is not one: where git's wire format uses it for
/// "nothing", [`ObjectId::parse_optional`] gives `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// An id in a SHA-1 repository.
    Sha1([u8; 20]),
    /// An id in a SHA-256 repository.
    Sha256([u8; 32]),
}

/// Why some text is not an object id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Neither 40 nor 64 digits.
    #[error("an object id has 40 or 64 hexadecimal digits, this has {0} bytes")]
    Length(usize),
    /// Something else than `0-9a-f`; upper case is refused, git never writes it.
    #[error("an object id has lower-case hexadecimal digits only")]
    Digit,
    /// The all-zero id where an object is needed.
    #[error("the all-zero id names no object")]
    Null,
}

impl ObjectId {
    /// Parses lower-case hexadecimal; the all-zero id is an error.
    pub fn parse(hex: &[u8]) -> Result<Self, ParseIdError> {
        Self::parse_optional(hex)?.ok_or(ParseIdError::Null)
    }

    /// Parses lower-case hexadecimal; the all-zero id is `None` ("no object").
    pub fn parse_optional(hex: &[u8]) -> Result<Option<Self>, ParseIdError> {
        fn decode<const N: usize>(hex: &[u8]) -> Result<Option<[u8; N]>, ParseIdError> {
            let mut out = [0_u8; N];
            for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
                *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
            }
            Ok(out.iter().any(|byte| *byte != 0).then_some(out))
        }
        fn digit(byte: u8) -> Result<u8, ParseIdError> {
            match byte {
                b'0'..=b'9' => Ok(byte - b'0'),
                b'a'..=b'f' => Ok(byte - b'a' + 10),
                _ => Err(ParseIdError::Digit),
            }
        }
        match hex.len() {
            40 => Ok(decode::<20>(hex)?.map(ObjectId::Sha1)),
            64 => Ok(decode::<32>(hex)?.map(ObjectId::Sha256)),
            other => Err(ParseIdError::Length(other)),
        }
    }

    /// Builds an id from its raw digest: 20 or 32 bytes, not all zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseIdError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(ParseIdError::Null);
        }
        if let Ok(raw) = <[u8; 20]>::try_from(bytes) {
            Ok(ObjectId::Sha1(raw))
        } else if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
            Ok(ObjectId::Sha256(raw))
        } else {
            Err(ParseIdError::Length(bytes.len()))
        }
    }

    /// The raw digest, 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            ObjectId::Sha1(raw) => raw,
            ObjectId::Sha256(raw) => raw,
        }
    }

    /// Which hash function made this id.
    pub const fn format(&self) -> ObjectFormat {
        match self {
            ObjectId::Sha1(_) => ObjectFormat::Sha1,
            ObjectId::Sha256(_) => ObjectFormat::Sha256,
        }
    }

    /// The first ten digits, for people. Never for decisions.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(10);
        hex
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_null() {
        let hex = "00112233445566778899aabbccddeeff00112233";
        assert_eq!(ObjectId::parse(hex.as_bytes()).unwrap().to_string(), hex);
        let wide = "a".repeat(64);
        assert_eq!(ObjectId::parse(wide.as_bytes()).unwrap().format(), ObjectFormat::Sha256);
        assert_eq!(ObjectId::parse_optional("0".repeat(40).as_bytes()), Ok(None));
        assert_eq!(ObjectId::parse("0".repeat(64).as_bytes()), Err(ParseIdError::Null));
        assert_eq!(ObjectId::from_bytes(&[0; 20]), Err(ParseIdError::Null));
    }

    #[test]
    fn refuses_what_git_never_writes() {
        assert_eq!(ObjectId::parse("A".repeat(40).as_bytes()), Err(ParseIdError::Digit));
        assert_eq!(ObjectId::parse(b"abc"), Err(ParseIdError::Length(3)));
        assert_eq!(ObjectId::parse("g".repeat(40).as_bytes()), Err(ParseIdError::Digit));
        assert_eq!(ObjectId::parse(" ".repeat(40).as_bytes()), Err(ParseIdError::Digit));
    }
}
