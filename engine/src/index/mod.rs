//! The index: for each queue, where its records are; for each key, which records have it.
//!
//! The entries of the live segment are in memory ([`QueueIndex`]). When a segment is sealed its entries become one
//! immutable file ([`file`]); until that is on the disk they stay in memory as a [`Frozen`]. A missing or damaged file is
//! rebuilt from its segment, so an index is never more than an optimisation of reading the log.
//!
//! ```text
//!  segment 0        segment 1        segment 2 (live)
//!  [ Sealed ]  ->   [ Frozen ]  ->   the runs of the live segment
//!   mapped file      waits for        grows with each durable group
//!                    its file
//! ```

mod entry;
pub(crate) mod file;
mod key_table;
mod keys;
mod queues;
mod run;

pub use entry::IndexEntry;
pub(crate) use entry::Slot;
pub(crate) use keys::{KeyChunks, KeyEntry, NewKeys};
pub use queues::{Boundary, LastKey, QueueRange};
pub(crate) use queues::{LiveKeys, QueueIndex, QueueNo, QueueRecord};
pub(crate) use run::Run;

use std::sync::{Arc, OnceLock};

use file::Sealed;

/// The entries of one sealed segment.
#[derive(Debug, Clone)]
pub(crate) enum SegmentIndex {
    /// In memory, not yet on the disk.
    Frozen(Arc<Frozen>),
    /// In its file.
    Sealed(Arc<Sealed>),
}

/// The entries of a segment that has been sealed but whose index file is not written yet.
///
/// The log writer leaves a segment in no time: it gives the runs away as they are. Their order is made later, by whoever needs it
/// first, see [`QueueIndex::order`].
#[derive(Debug)]
pub(crate) struct Frozen {
    /// First position of the segment.
    pub(crate) segment_start: u64,
    /// End of the records in the segment.
    pub(crate) data_end: u64,
    /// One run for each queue that has entries, in the order of their first entries.
    runs: Vec<(QueueNo, Run)>,
    /// The keys of the records, in the log's order.
    pub(crate) keys: KeyChunks,
    /// The runs' names and places, ordered by topic and queue id.
    ordered: OnceLock<Vec<(QueueName, usize)>>,
}

impl Frozen {
    /// The runs by topic and queue id; none before they are ordered.
    pub(crate) fn ordered(&self) -> impl ExactSizeIterator<Item = (&QueueName, &Run)> {
        let ordered = self.ordered.get().map(Vec::as_slice).unwrap_or_default();
        ordered.iter().map(|(name, at)| (name, &self.runs[*at].1))
    }

    fn run(&self, key: QueueKey<'_>) -> Option<&Run> {
        let ordered = self.ordered.get()?;
        let at = ordered
            .binary_search_by(|(name, _)| name.order_key().cmp(&(key.topic, key.queue_id)))
            .ok()?;
        self.runs.get(ordered[at].1).map(|(_, run)| run)
    }
}

/// An index file whose content does not match its checksum. The cure is to rebuild it from its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) segment_start: u64,
}

/// The name of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueueName {
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
}

impl QueueName {
    pub(crate) fn order_key(&self) -> (&str, u32) {
        (&self.topic, self.queue_id)
    }
}

/// A borrowed queue name that finds an owned one in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
}

impl hashbrown::Equivalent<QueueName> for QueueKey<'_> {
    fn equivalent(&self, name: &QueueName) -> bool {
        self.queue_id == name.queue_id && self.topic == &*name.topic
    }
}

impl SegmentIndex {
    pub(crate) fn segment_start(&self) -> u64 {
        match self {
            Self::Frozen(frozen) => frozen.segment_start,
            Self::Sealed(sealed) => sealed.segment_start(),
        }
    }

    /// The positions of the newest `max` records below `below` that have a key of this hash, newest first. May block on the disk.
    pub(crate) fn positions_of_key(&self, hash: u32, below: u64, max: usize) -> Result<Vec<u64>, Damaged> {
        match self {
            Self::Frozen(frozen) => Ok(frozen.keys.newest(frozen.segment_start, hash, below, max)),
            Self::Sealed(sealed) => sealed.positions_of_key(hash, below, max),
        }
    }

    /// `[base, end)` of the queue's run in this segment, if it has one.
    pub(crate) fn range(&self, key: QueueKey<'_>) -> Option<(u64, u64)> {
        match self {
            Self::Frozen(frozen) => frozen.run(key).map(|run| (run.base, run.end())),
            Self::Sealed(sealed) => sealed.find(key).map(|found| (found.base(), found.end())),
        }
    }

    /// The queues with entries in this segment, and `[base, end)` of the run of each; none of a [`Frozen`] that is not ordered.
    pub(crate) fn runs(&self) -> Box<dyn Iterator<Item = (QueueKey<'_>, (u64, u64))> + '_> {
        match self {
            Self::Frozen(frozen) => Box::new(frozen.ordered().map(|(name, run)| {
                let key = QueueKey {
                    topic: &name.topic,
                    queue_id: name.queue_id,
                };
                (key, (run.base, run.end()))
            })),
            Self::Sealed(sealed) => Box::new(
                sealed
                    .queues()
                    .map(|(topic, queue_id, base, end)| (QueueKey { topic, queue_id }, (base, end))),
            ),
        }
    }

    /// Copies entries from `from` on, at most `max_count`.
    pub(crate) fn copy(
        &self,
        key: QueueKey<'_>,
        from: u64,
        max_count: usize,
        out: &mut Vec<IndexEntry>,
    ) -> Result<(), Damaged> {
        match self {
            Self::Frozen(frozen) => {
                if let Some(run) = frozen.run(key) {
                    run.copy(from, max_count, out);
                }
                Ok(())
            }
            Self::Sealed(sealed) => match sealed.find(key) {
                Some(found) => found.copy(from, max_count, out),
                None => Ok(()),
            },
        }
    }
}
