//! OpenPGP framing, read from slices: packets, signature subpackets (RFC 9580, sections 4.2 and 5.2.3).
//!
//! Written here because the crate's own reader skips what it does not understand and files packets by
//! position, so that a revocation in an unexpected place is silently lost (O11).

/// Packet types that are named somewhere.
pub(super) mod tag {
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const SECRET_KEY: u8 = 5;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const SECRET_SUBKEY: u8 = 7;
    pub(in super::super) const MARKER: u8 = 10;
    pub(in super::super) const TRUST: u8 = 12;
    pub(in super::super) const USER_ID: u8 = 13;
    pub(in super::super) const PUBLIC_SUBKEY: u8 = 14;
    pub(in super::super) const USER_ATTRIBUTE: u8 = 17;
    pub(in super::super) const PADDING: u8 = 21;
}

/// Why bytes are not OpenPGP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("it ends too early")]
    Truncated,
    #[error("it has a byte that begins no packet")]
    NoPacket,
    #[error("a packet has no definite length")]
    Indefinite,
    #[error("there are bytes left over")]
    Trailing,
}

/// One packet: its type and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// The next packet of `rest`, which is moved behind it. Both header formats; partial and indeterminate
/// lengths are refused (O1).
pub(super) fn next_packet<'a>(rest: &mut &'a [u8]) -> Result<Option<Packet<'a>>, FrameError> {
    let Some((&first, mut tail)) = rest.split_first() else { return Ok(None) };
    let (tag, length) = match first {
        0xc0.. => {
            let [octet, ..] = *tail else { return Err(FrameError::Truncated) };
            if (224..255).contains(&octet) {
                return Err(FrameError::Indefinite);
            }
            (first & 0x3f, variable_length(&mut tail)?)
        }
        0x80.. => {
            let width = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return Err(FrameError::Indefinite),
            };
            (first >> 2 & 0x0f, big_endian(&mut tail, width)?)
        }
        _ => return Err(FrameError::NoPacket),
    };
    let (body, tail) = tail.split_at_checked(length).ok_or(FrameError::Truncated)?;
    *rest = tail;
    Ok(Some(Packet { tag, body }))
}

/// A length of one, two or five octets, as new packet headers and subpackets have it. For packets the
/// caller has excluded the partial forms, which subpackets do not have.
fn variable_length(rest: &mut &[u8]) -> Result<usize, FrameError> {
    match big_endian(rest, 1)? {
        short @ 0..=191 => Ok(short),
        255 => big_endian(rest, 4),
        two => Ok(((two - 192) << 8) + big_endian(rest, 1)? + 192),
    }
}

/// An unsigned number of `width` octets, at most four.
pub(super) fn big_endian(rest: &mut &[u8], width: usize) -> Result<usize, FrameError> {
    let taken = take(rest, width)?;
    Ok(taken.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}

/// The next `count` octets.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], FrameError> {
    let (taken, tail) = rest.split_at_checked(count).ok_or(FrameError::Truncated)?;
    *rest = tail;
    Ok(taken)
}

/// Subpacket types that are named somewhere.
pub(super) mod sub {
    pub(in super::super) const CREATED: u8 = 2;
    pub(in super::super) const EXPIRES: u8 = 3;
    pub(in super::super) const KEY_EXPIRES: u8 = 9;
    pub(in super::super) const REVOCATION_KEY: u8 = 12;
    pub(in super::super) const ISSUER: u8 = 16;
    pub(in super::super) const NOTATION: u8 = 20;
    pub(in super::super) const KEY_FLAGS: u8 = 27;
    pub(in super::super) const REASON: u8 = 29;
    pub(in super::super) const EMBEDDED: u8 = 32;
    pub(in super::super) const ISSUER_FINGERPRINT: u8 = 33;
}

/// One subpacket of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subpacket {
    pub(super) kind: u8,
    pub(super) critical: bool,
    pub(super) data: Vec<u8>,
}

/// All subpackets of an area; their number is bounded by the packet's size.
pub(super) fn subpackets(mut area: &[u8]) -> Result<Vec<Subpacket>, FrameError> {
    let mut out = Vec::new();
    while !area.is_empty() {
        let length = variable_length(&mut area)?;
        let (kind, data) = take(&mut area, length)?.split_first().ok_or(FrameError::Truncated)?;
        out.push(Subpacket { kind: kind & 0x7f, critical: kind & 0x80 != 0, data: data.to_vec() });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Result<Vec<(u8, usize)>, FrameError> {
        let mut out = Vec::new();
        while let Some(packet) = next_packet(&mut bytes)? {
            out.push((packet.tag, packet.body.len()));
        }
        Ok(out)
    }

    #[test]
    fn reads_both_header_formats() {
        assert_eq!(all(b"\x88\x01x\xc2\x01x"), Ok(vec![(2, 1), (2, 1)]));
        assert_eq!(all(b"\x89\0\x01x\x8a\0\0\0\x01x"), Ok(vec![(2, 1), (2, 1)]));
        let long = [&b"\xc2\xc0\x00"[..], &[0; 192]].concat();
        assert_eq!(all(&long), Ok(vec![(2, 192)]));
        let longer = [&b"\xcd\xff\0\0\x01\0"[..], &[0; 256]].concat();
        assert_eq!(all(&longer), Ok(vec![(13, 256)]));
        assert_eq!(all(b""), Ok(vec![]));
    }

    #[test]
    fn o01_refuses_every_length_that_is_not_definite() {
        assert_eq!(all(b"\x8bxxx"), Err(FrameError::Indefinite));
        assert_eq!(all(b"\xc2\xe0x"), Err(FrameError::Indefinite));
        assert_eq!(all(b"\xc2\xfex"), Err(FrameError::Indefinite));
    }

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        assert_eq!(all(b"\xc2\xff\xff\xff\xff\xffx"), Err(FrameError::Truncated));
        assert_eq!(all(b"\xc2"), Err(FrameError::Truncated));
        assert_eq!(all(b"\x7f"), Err(FrameError::NoPacket));
        assert_eq!(subpackets(b"\x05\x02\0\0"), Err(FrameError::Truncated));
        assert_eq!(subpackets(b"\0"), Err(FrameError::Truncated));
    }
}
