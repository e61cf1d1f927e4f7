// SPDX-License-Identifier: Apache-2.0
//! What is packed: events as JSON Lines, and the events of a chunk that have a term.

use lictor_api::event::Event;

/// Events of a chunk. The index counts them with 16 bits.
pub(super) const CHUNK: usize = 16_384;
/// Events that are packed together: more pack better, and take longer to unpack for one of them.
pub(super) const BLOCK: usize = 128;
/// Nothing that was written here unpacks to more: 2 MiB an event is more than the kernel takes as arguments.
const MAX_UNPACKED: usize = BLOCK * (2 << 20);
/// More would make a file smaller by a few per cent, at several times the work.
const LEVEL: i32 = 3;

/// Lines, each ended by a newline, with a checksum.
pub(super) fn pack(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::with_capacity(lines.len() / 8 + 64), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(lines.len() as u64))?;
    std::io::Write::write_all(&mut encoder, lines)?;
    encoder.finish()
}

/// The lines; an error when a byte of them has changed.
pub(super) fn unpack(data: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut lines = Vec::new();
    zstd::Decoder::with_buffer(data)?.take(MAX_UNPACKED as u64 + 1).read_to_end(&mut lines)?;
    if lines.len() > MAX_UNPACKED || (lines.last().is_some_and(|last| *last != b'\n')) {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidData));
    }
    Ok(lines)
}

/// The single lines, without their newlines.
pub(super) fn lines(unpacked: &[u8]) -> impl Iterator<Item = &[u8]> {
    unpacked.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1])
}

pub(super) fn parse(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).ok()
}

/// Which events of a chunk: one bit for each.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Places([u64; CHUNK / 64]);

impl Places {
    pub(super) fn none() -> Self {
        Self([0; CHUNK / 64])
    }

    /// The first `count`.
    pub(super) fn first(count: usize) -> Self {
        let count = count.min(CHUNK);
        let mut places = Self::none();
        places.0[..count / 64].fill(u64::MAX);
        (count / 64 * 64..count).for_each(|at| places.set(at));
        places
    }

    pub(super) fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// In rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// Adds what [`pack_places`] wrote; false when that is not what these bytes are.
    pub(super) fn add_packed(&mut self, data: &[u8]) -> bool {
        if data.len() == BITMAP {
            let (words, _) = data.as_chunks::<8>();
            self.0.iter_mut().zip(words).for_each(|(word, bytes)| *word |= u64::from_le_bytes(*bytes));
            return true;
        }
        let (places, rest) = data.as_chunks::<2>();
        let places = places.iter().map(|bytes| usize::from(u16::from_le_bytes(*bytes)));
        let whole = rest.is_empty() && places.clone().all(|at| at < CHUNK);
        if whole {
            places.for_each(|at| self.set(at));
        }
        whole
    }

    pub(super) fn add(&mut self, places: &[u16]) {
        places.iter().for_each(|at| self.set(usize::from(*at)));
    }
}

const BITMAP: usize = CHUNK / 8;

/// Rising places: a few as numbers of 16 bits, many as a bitmap.
pub(super) fn pack_places(places: &[u16]) -> Vec<u8> {
    if places.len() * 2 < BITMAP {
        return places.iter().flat_map(|at| at.to_le_bytes()).collect();
    }
    let mut all = Places::none();
    all.add(places);
    all.0.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let packed = pack(b"{\"kind\":\"exec\"}\n{\"kind\":\"file\"}\n").unwrap();
        assert_eq!(lines(&unpack(&packed).unwrap()).count(), 2);
        for at in 0..packed.len() {
            let mut changed = packed.clone();
            changed[at] ^= 0x10;
            if let Ok(unpacked) = unpack(&changed) {
                // Some bits of the frame's head mean nothing; then the content is what it was.
                assert_eq!(unpacked, unpack(&packed).unwrap(), "byte {at}");
            }
        }
    }

    #[test]
    fn the_first_ones_are_counted_out() {
        for count in [0, 1, 63, 64, 65, 127, 16_376, CHUNK, CHUNK + 5] {
            assert!(Places::first(count).iter().eq(0..count.min(CHUNK)), "{count}");
        }
    }

    proptest! {
        #[test]
        fn places_come_back(places in proptest::collection::btree_set(0u16..CHUNK as u16, 0..3000)) {
            let places: Vec<u16> = places.into_iter().collect();
            let mut back = Places::none();
            prop_assert!(back.add_packed(&pack_places(&places)));
            prop_assert_eq!(back.iter().map(|at| at as u16).collect::<Vec<_>>(), places);
        }
    }
}
