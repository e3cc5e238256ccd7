//! The key table of an index file: entries ordered by hash, in blocks that are checked one by one.
//!
//! ```text
//! fences      the first entry of each block, 8 bytes each; then crc32 of them u32, zero u32
//! blocks      4096 bytes each:  511 entries of 8 bytes, the last block's rest zero | crc32 of them u32 | zero u32
//! entry       hash, the upper 32 bits | place in the segment, the lower 32 bits       little-endian u64
//! ```
//!
//! A look-up searches the fences, which are checked when they are first used, and reads one block, or as many as a key has
//! entries in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use super::Damaged;
use super::keys::KeyEntry;
use crate::disk::DiskFile;

const BLOCK_SIZE_BYTES: usize = 4096;
const BLOCK_ENTRIES: usize = 511;
const ENTRY_SIZE_BYTES: usize = 8;
const CHECK_SIZE_BYTES: usize = 8;

const _: () = assert!(
    BLOCK_ENTRIES * ENTRY_SIZE_BYTES + CHECK_SIZE_BYTES == BLOCK_SIZE_BYTES,
    "a block is one page"
);

const UNCHECKED: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// The size of a table with so many entries; `None` if it fits no memory.
pub(super) fn size_bytes(entry_count: usize) -> Option<usize> {
    if entry_count == 0 {
        return Some(0);
    }
    let blocks = entry_count.div_ceil(BLOCK_ENTRIES);
    let fences = blocks
        .checked_mul(ENTRY_SIZE_BYTES)?
        .checked_add(CHECK_SIZE_BYTES)?;
    blocks.checked_mul(BLOCK_SIZE_BYTES)?.checked_add(fences)
}

/// Encodes a table of entries, which are ordered.
pub(super) fn encode_into(entries: &[KeyEntry], out: &mut Vec<u8>) {
    if entries.is_empty() {
        return;
    }
    let blocks = entries.chunks(BLOCK_ENTRIES);
    let fences_at = out.len();
    for fence in blocks.clone().filter_map(<[KeyEntry]>::first) {
        out.extend_from_slice(&fence.to_bits().to_le_bytes());
    }
    push_check(out, fences_at);
    for block in blocks {
        let block_at = out.len();
        for entry in block {
            out.extend_from_slice(&entry.to_bits().to_le_bytes());
        }
        out.resize(block_at + BLOCK_ENTRIES * ENTRY_SIZE_BYTES, 0);
        push_check(out, block_at);
    }
}

fn push_check(out: &mut Vec<u8>, from: usize) {
    let crc = crc32fast::hash(&out[from..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// What stands before the check, if that holds.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (content, check) = bytes.split_last_chunk::<CHECK_SIZE_BYTES>()?;
    let mut expected = [0; CHECK_SIZE_BYTES];
    expected[..4].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    (*check == expected).then_some(content)
}

fn entry(bytes: &[u8], at: usize) -> Option<KeyEntry> {
    let (entries, _) = bytes.as_chunks::<ENTRY_SIZE_BYTES>();
    entries
        .get(at)
        .map(|bits| KeyEntry::from_bits(u64::from_le_bytes(*bits)))
}

/// How many of the first `count` entries are before `bound`.
fn count_before(bytes: &[u8], count: usize, bound: KeyEntry) -> usize {
    let (entries, _) = bytes.as_chunks::<ENTRY_SIZE_BYTES>();
    entries
        .get(..count)
        .unwrap_or_default()
        .partition_point(|bits| KeyEntry::from_bits(u64::from_le_bytes(*bits)) < bound)
}

/// The table of an open index file.
#[derive(Debug)]
pub(super) struct KeyTable {
    segment_start: u64,
    entry_count: usize,
    bytes: Bytes,
    /// Where `bytes` came from, to read it in; `None` if it was memory all along.
    file: Option<Arc<dyn DiskFile>>,
    fences: AtomicU8,
}

impl KeyTable {
    /// A table in `bytes`, which has the size that `entry_count` asks for.
    pub(super) fn new(
        segment_start: u64,
        entry_count: usize,
        bytes: Bytes,
        file: Option<Arc<dyn DiskFile>>,
    ) -> Self {
        Self {
            segment_start,
            entry_count,
            bytes,
            file,
            fences: AtomicU8::new(UNCHECKED),
        }
    }

    /// The positions of the newest `max` records below `below` that have this hash, newest first. May block on the disk.
    ///
    /// # Errors
    /// If the parts that were looked at are damaged.
    pub(super) fn newest(&self, hash: u32, below: u64, max: usize) -> Result<Vec<u64>, Damaged> {
        let (from, mut to) = self.range(hash)?;
        let below = below.saturating_sub(self.segment_start);
        // The places of a hash are ordered.
        let mut low = from;
        while low < to {
            let middle = low + (to - low) / 2;
            if self.place(middle)? < below {
                low = middle + 1;
            } else {
                to = middle;
            }
        }
        let mut found = Vec::new();
        for number in (from..to).rev().take(max) {
            found.push(self.segment_start + self.place(number)?);
        }
        Ok(found)
    }

    /// Goes through all entries. An error says at which byte of the table it is not what it should be, and what is wrong.
    pub(super) fn all(&self, see: &mut dyn FnMut(KeyEntry)) -> Result<(), (usize, &'static str)> {
        if self.entry_count == 0 {
            return Ok(());
        }
        let fences_size = self.block_count() * ENTRY_SIZE_BYTES + CHECK_SIZE_BYTES;
        let wrong_sum = "a part of the key table that does not match its checksum";
        let fences = self.fences().map_err(|_| (0, wrong_sum))?;
        let mut last = None;
        for number in 0..self.block_count() {
            let at = fences_size + number * BLOCK_SIZE_BYTES;
            let block = self.block(number).map_err(|_| (at, wrong_sum))?;
            if entry(block, 0) != entry(fences, number) {
                return Err((
                    number * ENTRY_SIZE_BYTES,
                    "a block that does not begin as is said of it",
                ));
            }
            let count = BLOCK_ENTRIES.min(self.entry_count - number * BLOCK_ENTRIES);
            for place in 0..count {
                let one = entry(block, place);
                if one < last {
                    return Err((at + place * ENTRY_SIZE_BYTES, "a key that is out of order"));
                }
                last = one;
                one.into_iter().for_each(&mut *see);
            }
        }
        Ok(())
    }

    /// The entries of a hash, by number: `[from, to)`.
    fn range(&self, hash: u32) -> Result<(usize, usize), Damaged> {
        if self.entry_count == 0 {
            return Ok((0, 0));
        }
        let (first, behind) = KeyEntry::range(hash);
        let from = self.lower_bound(first)?;
        let to = match behind {
            Some(behind) => self.lower_bound(behind)?,
            None => self.entry_count,
        };
        // Nothing lies behind what is damaged in a way that no check finds.
        Ok((from, to.max(from)))
    }

    /// The place of an entry, by number.
    fn place(&self, number: usize) -> Result<u64, Damaged> {
        let block = self.block(number / BLOCK_ENTRIES)?;
        entry(block, number % BLOCK_ENTRIES)
            .map(KeyEntry::at)
            .ok_or_else(|| self.damaged())
    }

    /// How many entries are before `bound`.
    fn lower_bound(&self, bound: KeyEntry) -> Result<usize, Damaged> {
        let fences = self.fences()?;
        let blocks_before = count_before(fences, self.block_count(), bound);
        let Some(block) = blocks_before.checked_sub(1) else {
            return Ok(0);
        };
        let first = block * BLOCK_ENTRIES;
        let count = BLOCK_ENTRIES.min(self.entry_count - first);
        Ok(first + count_before(self.block(block)?, count, bound))
    }

    fn block_count(&self) -> usize {
        self.entry_count.div_ceil(BLOCK_ENTRIES)
    }

    fn fences(&self) -> Result<&[u8], Damaged> {
        let size = self.block_count() * ENTRY_SIZE_BYTES + CHECK_SIZE_BYTES;
        // Relaxed is enough: the flag says something about bytes that never change.
        let content = match self.fences.load(Ordering::Relaxed) {
            GOOD => self.bytes.get(..size - CHECK_SIZE_BYTES),
            BAD => None,
            _ => {
                let content = self.read(0, size).and_then(checked);
                let found = if content.is_some() { GOOD } else { BAD };
                self.fences.store(found, Ordering::Relaxed);
                content
            }
        };
        content.ok_or_else(|| self.damaged())
    }

    fn block(&self, number: usize) -> Result<&[u8], Damaged> {
        let fences = self.block_count() * ENTRY_SIZE_BYTES + CHECK_SIZE_BYTES;
        self.read(fences + number * BLOCK_SIZE_BYTES, BLOCK_SIZE_BYTES)
            .and_then(checked)
            .ok_or_else(|| self.damaged())
    }

    /// Bytes that have been read in.
    fn read(&self, from: usize, size: usize) -> Option<&[u8]> {
        let range = from..from.checked_add(size)?;
        let bytes = self.bytes.get(range.clone())?;
        if let Some(file) = &self.file {
            file.populate(&self.bytes.slice(range)).ok()?;
        }
        Some(bytes)
    }

    fn damaged(&self) -> Damaged {
        Damaged {
            segment_start: self.segment_start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::KeyHash;

    fn table(entries: &mut [KeyEntry]) -> KeyTable {
        entries.sort_unstable();
        let mut bytes = Vec::new();
        encode_into(entries, &mut bytes);
        assert_eq!(Some(bytes.len()), size_bytes(entries.len()));
        KeyTable::new(0, entries.len(), bytes.into(), None)
    }

    fn places(table: &KeyTable, hash: u32) -> Result<Vec<u64>, Damaged> {
        let mut found = table.newest(hash, u64::MAX, usize::MAX)?;
        found.reverse();
        Ok(found)
    }

    fn entry_of(key: u64, at: u64) -> KeyEntry {
        KeyEntry::new(KeyHash::new("t", &key.to_le_bytes()), at)
    }

    #[test]
    fn every_key_is_found_whole_and_in_order() {
        for count in [0, 1, 510, 511, 512, 1_022, 1_023, 5_000] {
            // One key has a third of all entries, across blocks; the others have two each.
            let key_of = |at: u64| if at.is_multiple_of(3) { 0 } else { 1 + at / 3 };
            let mut entries: Vec<_> = (0..count).map(|at| entry_of(key_of(at), at * 7)).collect();
            let table = table(&mut entries);
            for key in 0..=count / 3 + 2 {
                let hash = entry_of(key, 0).hash();
                let expected: Vec<_> = (0..count)
                    .filter(|at| entry_of(key_of(*at), 0).hash() == hash)
                    .map(|at| at * 7)
                    .collect();
                if let Some(middle) = expected.get(expected.len() / 2) {
                    let newest = table.newest(hash, *middle, 2).map(|found| found.len());
                    assert_eq!(newest, Ok((expected.len() / 2).min(2)));
                }
                assert_eq!(places(&table, hash), Ok(expected), "{count} entries, key {key}");
            }
        }
    }

    #[test]
    fn the_smallest_and_the_largest_hash_are_hashes() {
        let mut entries: Vec<_> = [0, 0, u64::from(u32::MAX), u64::from(u32::MAX), 5]
            .into_iter()
            .zip(1..)
            .map(|(hash, at)| KeyEntry::from_bits(hash << 32 | at))
            .collect();
        let table = table(&mut entries);
        assert_eq!(places(&table, 0), Ok(vec![1, 2]));
        assert_eq!(places(&table, u32::MAX), Ok(vec![3, 4]));
        assert_eq!(places(&table, 1), Ok(vec![]));
    }

    /// A flipped bit is found by whoever looks at its part of the table, and nothing false is answered.
    #[test]
    fn every_flipped_bit_is_found() {
        let mut entries: Vec<_> = (0..1_000).map(|at| entry_of(at, at)).collect();
        let good = table(&mut entries);
        let clean = good.bytes.to_vec();
        for bit in (0..clean.len() * 8).step_by(61) {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let bad = KeyTable::new(0, entries.len(), bytes.into(), None);
            let mut found = 0;
            for key in (0..1_000).step_by(20) {
                let hash = entry_of(key, 0).hash();
                match places(&bad, hash) {
                    Ok(some) => assert_eq!(Ok(some), places(&good, hash), "bit {bit}"),
                    Err(_) => found += 1,
                }
            }
            assert!(found > 0, "bit {bit}");
        }
    }
}
