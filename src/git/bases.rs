//! Objects of packs that others are deltas against. Trees of one history lie in long chains, and without
//! this each would be made again from the first of its chain.

use gix::objs::Kind;
use gix::odb::pack::cache::DecodeEntry;
use std::collections::HashMap;

/// Most bytes that one object directory's bases take, and most of one of them: blobs are not what this
/// is for.
const BYTES: usize = 16 << 20;
const ONE: usize = 256 << 10;

/// By pack and place in it. Two generations: when the younger one is full, the older one goes.
#[derive(Default)]
pub(super) struct Bases {
    young: HashMap<(u32, u64), Base>,
    old: HashMap<(u32, u64), Base>,
    young_bytes: usize,
}

struct Base {
    kind: Kind,
    compressed: usize,
    data: Box<[u8]>,
}

impl Bases {
    fn keep(&mut self, at: (u32, u64), base: Base) {
        // What a map needs for an entry counts, too.
        let cost = base.data.len() + 128;
        if self.young_bytes + cost > BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        self.young.insert(at, base);
    }
}

impl DecodeEntry for Bases {
    fn put(&mut self, pack_id: u32, offset: u64, data: &[u8], kind: Kind, compressed_size: usize) {
        if data.len() <= ONE {
            self.keep((pack_id, offset), Base { kind, compressed: compressed_size, data: data.into() });
        }
    }

    fn get(&mut self, pack_id: u32, offset: u64, out: &mut Vec<u8>) -> Option<(Kind, usize)> {
        let at = (pack_id, offset);
        if !self.young.contains_key(&at) {
            let base = self.old.remove(&at)?;
            self.keep(at, base);
        }
        let base = self.young.get(&at)?;
        out.clear();
        out.extend_from_slice(&base.data);
        Some((base.kind, base.compressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_was_put_and_stays_small() {
        let mut bases = Bases::default();
        let mut out = vec![9; 3];
        assert_eq!(bases.get(1, 2, &mut out), None);
        bases.put(1, 2, b"one", Kind::Tree, 7);
        bases.put(1, 3, b"two", Kind::Blob, 8);
        bases.put(2, 2, b"", Kind::Commit, 9);
        assert_eq!((bases.get(1, 2, &mut out), out.as_slice()), (Some((Kind::Tree, 7)), b"one".as_slice()));
        assert_eq!((bases.get(2, 2, &mut out), out.as_slice()), (Some((Kind::Commit, 9)), b"".as_slice()));
        let large = vec![1; ONE + 1];
        bases.put(3, 3, &large, Kind::Blob, 1);
        assert_eq!(bases.get(3, 3, &mut out), None);
        for offset in 0..10_000 {
            bases.put(4, offset, &large[..10_000], Kind::Tree, 1);
            // What is used stays.
            assert!(bases.get(1, 3, &mut out).is_some());
            let kept: usize =
                bases.young.values().chain(bases.old.values()).map(|base| base.data.len()).sum();
            assert!(kept <= BYTES);
        }
        assert_eq!((bases.get(1, 2, &mut out), bases.get(4, 9_999, &mut out)), (None, Some((Kind::Tree, 1))));
    }
}
