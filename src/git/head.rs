//! The first bytes of an object that is too large to be read for them: from a loose file, or from a
//! pack, through as much of its chain of deltas as the beginning needs.
//!
//! The library gives whole objects only. Here its packs, indexes and zlib are used one level lower. What
//! this gives is not compared with the object's id.

use super::{GitError, Objects};
use crate::domain::ObjectId;
use gix::odb::pack;
use gix::zlib::{Decompress, FlushDecompress, Status};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// How much of a base a delta may need for the beginning; what needs more is not read in part.
const MAX_BASE: usize = 256 << 10;
/// How many deltas may follow each other; git makes chains of 50. Together with the figure above it bounds
/// the memory.
const MAX_CHAIN: usize = 64;
/// How large the type and size before the content of a loose object may be.
const LOOSE_HEADER: usize = 64;

/// The first `count` bytes of an object, or all where it is shorter. `None` where it is not stored in a
/// way that allows to read only a part.
pub(super) fn read(objects: &Objects, id: &ObjectId, count: usize) -> Result<Option<Vec<u8>>, GitError> {
    let error = |why: String| GitError::Object { id: *id, why };
    for directory in objects.directories()? {
        if let Some(head) = loose(&directory, id, count).map_err(error)? {
            return Ok(Some(head));
        }
        let found = packed(&directory, id, count).map_err(error)?;
        if let Some(head) = found {
            return Ok(head);
        }
    }
    Ok(None)
}

fn loose(directory: &Path, id: &ObjectId, count: usize) -> Result<Option<Vec<u8>>, String> {
    let hex = id.to_string();
    let file = match File::open(directory.join(&hex[..2]).join(&hex[2..])) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let bytes = inflate(file, LOOSE_HEADER + count)?;
    let end = bytes.iter().take(LOOSE_HEADER).position(|byte| *byte == 0);
    let end = end.ok_or("its loose file has no header")?;
    let mut head = bytes[end + 1..].to_vec();
    head.truncate(count);
    Ok(Some(head))
}

/// `None` where the directory's packs do not have it, `Some(None)` where they do in a way that no part
/// can be read.
#[expect(clippy::option_option, reason = "not here, and here but not in part, are two answers")]
fn packed(directory: &Path, id: &ObjectId, count: usize) -> Result<Option<Option<Vec<u8>>>, String> {
    let hash = match id {
        ObjectId::Sha1(_) => gix::hash::Kind::Sha1,
        ObjectId::Sha256(_) => gix::hash::Kind::Sha256,
    };
    let oid = gix::ObjectId::from_bytes_or_panic(id.as_bytes());
    let list = match std::fs::read_dir(directory.join("pack")) {
        Ok(list) => list,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    for file in list {
        let path = file.map_err(|e| e.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "idx") {
            continue;
        }
        // One that is gone since it was listed was repacked: whatever it had is elsewhere.
        let Ok(index) = pack::index::File::at(&path, hash) else { continue };
        let Some(at) = index.lookup(oid) else { continue };
        let Ok(data) = pack::data::File::at(path.with_extension("pack"), hash) else { continue };
        let pack = Pack { data, index };
        return pack.beginning(pack.index.pack_offset_at_index(at), count, 0).map(Some);
    }
    Ok(None)
}

struct Pack {
    data: pack::data::File,
    index: pack::index::File,
}

impl Pack {
    /// The first `count` bytes of the object at `offset`.
    fn beginning(&self, offset: u64, count: usize, depth: usize) -> Result<Option<Vec<u8>>, String> {
        use pack::data::entry::Header;
        let entry = self.data.entry(offset).map_err(|e| e.to_string())?;
        let stream = self.data.entry_slice(entry.data_offset..self.data.pack_end() as u64);
        let stream = stream.ok_or("an entry of its pack lies beyond the end")?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => entry.checked_base_pack_offset(base_distance),
            // A base in another pack is nothing that git writes into a pack that it keeps.
            Header::RefDelta { base_id } => {
                self.index.lookup(base_id).map(|at| self.index.pack_offset_at_index(at))
            }
            _ => return inflate(stream, count).map(Some),
        };
        let Some(base) = base.filter(|_| depth < MAX_CHAIN) else { return Ok(None) };
        // Each instruction has at most eight bytes for each byte that it makes; two sizes come first.
        let delta = inflate(stream, count.saturating_mul(8).saturating_add(20))?;
        let pieces = pieces(&delta, count).ok_or("a delta of its pack is malformed")?;
        let needed = pieces.iter().map(|piece| match piece {
            Piece::Copy { from, length } => from + length,
            Piece::Insert(_) => 0,
        });
        let needed = needed.max().unwrap_or(0);
        if needed > MAX_BASE {
            return Ok(None);
        }
        let Some(base) = self.beginning(base, needed, depth + 1)? else { return Ok(None) };
        let mut out = Vec::with_capacity(count);
        for piece in pieces {
            out.extend_from_slice(match piece {
                Piece::Copy { from, length } => {
                    base.get(from..from + length).ok_or("a delta of its pack reads beyond its base")?
                }
                Piece::Insert(bytes) => bytes,
            });
        }
        Ok(Some(out))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Copy { from: usize, length: usize },
    Insert(&'a [u8]),
}

/// What the first `count` bytes of a delta's result are made of, cut to that many. `None` where the
/// delta is malformed up to there, or ends before its own figure says.
fn pieces(delta: &[u8], count: usize) -> Option<Vec<Piece<'_>>> {
    let mut rest = delta;
    let _base = varint(&mut rest)?;
    let wanted = usize::try_from(varint(&mut rest)?).unwrap_or(usize::MAX).min(count);
    let mut out = Vec::new();
    let mut made = 0;
    while made < wanted {
        let (first, after) = rest.split_first()?;
        rest = after;
        if first & 0x80 == 0 {
            let (bytes, after) = rest.split_at_checked(usize::from(*first)).filter(|(b, _)| !b.is_empty())?;
            rest = after;
            let bytes = &bytes[..bytes.len().min(wanted - made)];
            made += bytes.len();
            out.push(Piece::Insert(bytes));
            continue;
        }
        let mut number = |bits: std::ops::Range<u8>| {
            let start = bits.start;
            let mut value = 0_usize;
            for bit in bits.filter(|bit| first >> bit & 1 == 1) {
                let (byte, after) = rest.split_first()?;
                rest = after;
                value |= usize::from(*byte) << (8 * (bit - start));
            }
            Some(value)
        };
        let from = number(0..4)?;
        let length = match number(4..7)? {
            0 => 0x10000,
            length => length,
        };
        let length = length.min(wanted - made);
        made += length;
        out.push(Piece::Copy { from, length });
    }
    Some(out)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The first `count` bytes of a zlib stream, fewer where it ends before.
fn inflate(mut from: impl Read, count: usize) -> Result<Vec<u8>, String> {
    let mut out = vec![0_u8; count];
    let mut input = vec![0_u8; 16 << 10];
    let mut stream = Decompress::new();
    let mut made = 0;
    while made < count {
        let filled = from.read(&mut input).map_err(|e| e.to_string())?;
        let mut used = 0;
        while made < count {
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(&input[used..filled], &mut out[made..], FlushDecompress::None);
            let status = status.map_err(|e| e.to_string())?;
            let taken = usize::try_from(stream.total_in() - before_in).unwrap_or(usize::MAX);
            let given = usize::try_from(stream.total_out() - before_out).unwrap_or(usize::MAX);
            (used, made) = (used + taken, made + given);
            if matches!(status, Status::StreamEnd) {
                out.truncate(made);
                out.shrink_to_fit();
                return Ok(out);
            }
            if taken == 0 && given == 0 {
                break;
            }
        }
        if filled == 0 && made < count {
            return Err("its compressed data ends too early".to_owned());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_deltas_make_nothing() {
        let bad: [&[u8]; 9] = [
            b"",
            b"\x05",
            b"\x05\x05",
            b"\x05\x05\x00",
            b"\x05\x05\x03ab",
            b"\x05\x05\x81",
            b"\x05\x05\x02ab",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
            b"\x05\x05\xff\x01\x02\x03",
        ];
        for delta in bad {
            assert_eq!(pieces(delta, 5), None, "{delta:?}");
        }
    }

    #[test]
    fn a_delta_up_to_where_it_is_needed() {
        let delta = b"\x20\x0a\x03abc\x91\x02\x04\x04defg";
        let copy = Piece::Copy { from: 2, length: 4 };
        assert_eq!(pieces(delta, 2), Some(vec![Piece::Insert(b"ab")]));
        assert_eq!(pieces(delta, 5), Some(vec![Piece::Insert(b"abc"), Piece::Copy { from: 2, length: 2 }]));
        assert_eq!(pieces(delta, 99), Some(vec![Piece::Insert(b"abc"), copy, Piece::Insert(b"def")]));
        // A length of zero stands for 65,536.
        let long = pieces(b"\x20\x80\x80\x04\x80", 1 << 20).unwrap();
        assert_eq!(long, [Piece::Copy { from: 0, length: 0x10000 }]);
    }

    #[test]
    fn nothing_after_the_wanted_bytes_is_looked_at() {
        let delta = b"\x20\x0a\x03abc\x00garbage";
        assert_eq!(pieces(delta, 3), Some(vec![Piece::Insert(b"abc")]));
    }
}
