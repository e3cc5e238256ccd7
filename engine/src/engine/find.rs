//! Finding records by a key.

use bytes::Bytes;

use super::Engine;
use crate::error::ReadError;
use crate::index::{KeyEntry, LastKey};
use crate::record::{KeyHash, KeyKind, RecordView};

/// Positions that are asked of the index at a time, at first.
const POSITIONS_MIN: usize = 64;
/// And at the most, while all of them turn out to be too new.
const POSITIONS_MAX: usize = 8_192;

/// What to look for, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery<'a> {
    /// The topic that the records are stored under.
    pub topic: &'a str,
    /// The key.
    pub key: &'a str,
    /// Which keys of a record count.
    pub kind: KeyKind,
    /// Records stored before this are left out, in milliseconds since the epoch.
    pub begin_ms: i64,
    /// Records stored after this are left out.
    pub end_ms: i64,
    /// Most records.
    pub records_max: usize,
    /// No further record once there are so many bytes.
    pub size_bytes_max: usize,
    /// Most records that are read to see whether they have the key: as good as all that are read do.
    pub looks_max: usize,
}

impl Engine {
    /// The records that have a key, newest first, see [`KeyQuery`]. One that cannot be read is left out and told in the log.
    ///
    /// A segment that the time does not exclude costs two reads of 4 KiB, and the live one a look at all its keys in memory; each
    /// record that is found costs a read. May block on the disk.
    pub fn find_by_key(&self, query: &KeyQuery<'_>) -> Vec<Bytes> {
        let mut search = Search {
            engine: self,
            query,
            hash: KeyEntry::hash_of(KeyHash::new(query.topic, query.key.as_bytes())),
            records: Vec::new(),
            size_bytes: 0,
            looks: 0,
        };
        // When the segment that was looked at last begins in time; all older ones end before it.
        let mut newer_begin_ms = i64::MAX;
        for segment_start in self.inner.shared.index.key_segments() {
            if newer_begin_ms < query.begin_ms {
                break;
            }
            let begin_ms = self.first_store_ms(segment_start);
            newer_begin_ms = begin_ms.unwrap_or(newer_begin_ms);
            let too_new = begin_ms.is_some_and(|begin_ms| begin_ms > query.end_ms);
            if !too_new && search.segment(segment_start).is_none() {
                break;
            }
        }
        search.records
    }

    /// How far the key index has come.
    pub fn last_key(&self) -> LastKey {
        self.inner.shared.index.last_key()
    }

    /// When the first record of a segment was stored; `None` if that cannot be told.
    fn first_store_ms(&self, segment_start: u64) -> Option<i64> {
        let shared = &self.inner.shared;
        shared.first_store_ms(&*shared.segments.starting_at(segment_start)?)
    }
}

struct Search<'a> {
    engine: &'a Engine,
    query: &'a KeyQuery<'a>,
    hash: u32,
    records: Vec<Bytes>,
    size_bytes: usize,
    looks: usize,
}

impl Search<'_> {
    /// Looks through one segment, newest first. `None` if no more is wanted.
    fn segment(&mut self, segment_start: u64) -> Option<()> {
        let shared = &self.engine.inner.shared;
        let mut below = u64::MAX;
        let mut max = POSITIONS_MIN;
        loop {
            let positions = self.engine.with_whole_index(|| {
                shared
                    .index
                    .positions_of_key(segment_start, self.hash, below, max)
            });
            // An index that cannot be made again has been told.
            let positions = positions.unwrap_or_default();
            let Some(last) = positions.last() else {
                return Some(());
            };
            below = *last;
            let wanted = self.skip_too_new(&positions);
            // A record that has a key twice is named twice, one behind the other.
            for same in wanted.chunk_by(|a, b| a == b) {
                self.look(*same.first()?)?;
            }
            if positions.len() < max {
                return Some(());
            }
            if wanted.is_empty() {
                max = POSITIONS_MAX.min(max * 2);
            }
        }
    }

    /// Those of the positions, which stand newest first, that were not stored after the time asked for.
    fn skip_too_new<'p>(&self, positions: &'p [u64]) -> &'p [u64] {
        let is_too_new = |position: &u64| {
            let Some(record) = self.read(*position) else {
                return false;
            };
            RecordView::parse(&record).is_ok_and(|record| record.store_ms() > self.query.end_ms)
        };
        if self.query.end_ms == i64::MAX || !positions.first().is_some_and(is_too_new) {
            return positions;
        }
        &positions[positions.partition_point(is_too_new)..]
    }

    /// Takes the record at `position` if it is wanted. `None` if no more is.
    fn look(&mut self, position: u64) -> Option<()> {
        self.looks += 1;
        if let Some(bytes) = self.read(position)
            && let Ok(record) = RecordView::parse(&bytes)
        {
            if record.store_ms() < self.query.begin_ms {
                return None;
            }
            if record.store_ms() <= self.query.end_ms
                && record.topic() == self.query.topic
                && record.has_key(self.query.key, self.query.kind)
            {
                self.size_bytes += bytes.len();
                self.records.push(bytes);
            }
        }
        let more = self.records.len() < self.query.records_max
            && self.size_bytes < self.query.size_bytes_max
            && self.looks < self.query.looks_max;
        more.then_some(())
    }

    fn read(&self, position: u64) -> Option<Bytes> {
        self.engine
            .read_at(position)
            .inspect_err(|error| {
                // Unless it has expired meanwhile.
                if !matches!(error, ReadError::Outside { .. }) {
                    tracing::warn!(position, %error, "a record with a key that is looked for cannot be read");
                }
            })
            .ok()
    }
}
