//! The SSH wire format (RFC 4251 section 5), read strictly from a slice: nothing is copied and no
//! length is believed before the bytes are there.

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("it ends too early")]
    Truncated,
    #[error("there are bytes left over")]
    Trailing,
    #[error("a number is not in its only canonical form")]
    Number,
}

/// A position in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        let (taken, rest) = self.0.split_first_chunk::<4>().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        let (taken, rest) = self.0.split_first_chunk::<8>().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*taken))
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        self.take(1).map(|taken| taken[0])
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| WireError::Truncated)?)
    }

    /// A positive multiple-precision integer, without the sign byte. Zero, negative numbers and
    /// superfluous leading zeros are refused: one number has one encoding.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], WireError> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Ok(rest),
            number @ [1..=0x7f, ..] => Ok(number),
            _ => Err(WireError::Number),
        }
    }

    /// What has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// Appends a length-prefixed string. Callers pass what came out of a [`Reader`] or constants, so the
/// length fits.
pub(super) fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("came from an armor of at most 64 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

/// How many bits a number without leading zero bytes has.
pub(super) fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        assert_eq!(Reader::new(b"\xff\xff\xff\xffx").string(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"\0\0").u32(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"\0\0\0\x01x").string(), Ok(&b"x"[..]));
        assert_eq!(Reader::new(b"x").end(), Err(WireError::Trailing));
    }

    #[test]
    fn a_number_has_one_encoding() {
        let number = |bytes: &[u8]| {
            let mut out = Vec::new();
            put_string(&mut out, bytes);
            Reader::new(&out).positive().map(<[u8]>::to_vec)
        };
        assert_eq!(number(b"\x01"), Ok(vec![1]));
        assert_eq!(number(b"\x00\x80"), Ok(vec![0x80]));
        for refused in [&b""[..], b"\0", b"\x80", b"\0\x01", b"\0\0\x80"] {
            assert_eq!(number(refused), Err(WireError::Number));
        }
        assert_eq!(bits(&[1]), 1);
        assert_eq!(bits(&[0x80, 0]), 16);
    }
}
