//! A group: appends that reach the disk in one write.

use crate::disk::{AlignedBuf, BLOCK_SIZE_BYTES};
use crate::index::{KeyEntry, QueueNo, Slot};
use crate::log::mark::MARK_SIZE_BYTES;
use crate::log::pending::{Append, Appended};
use crate::record::RecordView;
use crate::view::Arrival;

/// Appends that have their places. Its memory is used again for later groups.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) appends: Vec<Append>,
    /// One for each record of the appends, in their order.
    pub(crate) appended: Vec<Appended>,
    /// One for each record that takes a place in a queue.
    pub(crate) slots: Vec<(QueueNo, Slot)>,
    /// One for each key of each record.
    pub(crate) keys: Vec<KeyEntry>,
    /// Position of the first byte that is written: of the block that the last group ended in.
    pub(crate) start: u64,
    /// Position after the last record.
    pub(crate) end: u64,
}

impl Group {
    /// Size of the appends.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.appends.iter().map(Append::size_bytes).sum()
    }

    /// Where the records are in the group's bytes.
    pub(crate) fn records<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = RecordView<'a>> {
        self.appended.iter().filter_map(move |appended| {
            let from = (appended.position - self.start) as usize;
            RecordView::parse(bytes.get(from..from + appended.size_bytes as usize)?).ok()
        })
    }

    /// Completes the appends.
    pub(crate) fn complete(&mut self) {
        let mut rest = self.appended.as_slice();
        for append in self.appends.drain(..) {
            let (appended, after) = rest.split_at(append.records.len().min(rest.len()));
            append.complete(appended);
            rest = after;
        }
    }
}

/// Where a group can be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Where the group begins.
    pub(crate) tail: u64,
    /// Where records must end at the latest.
    pub(crate) records_end: u64,
    /// Where the blocks that are written must end at the latest.
    pub(crate) blocks_end: u64,
}

impl Room {
    /// Whether there is room for a group of so many bytes, its mark included.
    pub(crate) fn holds(self, size_bytes: u64) -> bool {
        let end = self.tail + size_bytes;
        end <= self.records_end && block_end(end) <= self.blocks_end
    }

    /// How many of the appends one group can take, and how many bytes it then has, its mark included. It takes the first one in
    /// any case, and no further one beyond `group_size_bytes_max`.
    pub(crate) fn fill<'a>(
        self,
        group_size_bytes_max: u64,
        appends: impl IntoIterator<Item = &'a Append>,
    ) -> (usize, u64) {
        let mut size_bytes = MARK_SIZE_BYTES;
        let mut count = 0;
        for append in appends {
            let with = size_bytes + append.size_bytes();
            if count > 0 && (with > group_size_bytes_max || !self.holds(with)) {
                break;
            }
            size_bytes = with;
            count += 1;
        }
        (count, size_bytes)
    }
}

/// Memory for arrivals, kept without any.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    empty: Vec<Arrival<'static>>,
}

impl Arrivals {
    /// Runs `tell` with the arrivals.
    pub(crate) fn with<'a>(
        &mut self,
        arrivals: impl IntoIterator<Item = Arrival<'a>>,
        tell: impl FnOnce(&[Arrival<'a>]),
    ) {
        let mut all: Vec<Arrival<'a>> = std::mem::take(&mut self.empty);
        all.extend(arrivals);
        tell(&all);
        all.clear();
        // Collecting nothing in place keeps the memory and forgets the lifetime.
        self.empty = all.into_iter().map_while(|_| None).collect();
    }
}

/// The arrival of a record and its entry.
pub(crate) fn arrival<'a>(record: &RecordView<'a>, slot: &Slot) -> Arrival<'a> {
    Arrival {
        topic: record.topic(),
        queue_id: record.queue_id(),
        queue_offset: record.queue_offset(),
        tags_code: i64::from(slot.tags_code),
        properties: record.properties(),
    }
}

/// A buffer's part from the beginning of the block that `end` lies in up to `end`; the buffer lies at `start`.
pub(crate) fn last_block(buffer: &AlignedBuf, start: u64, end: u64) -> &[u8] {
    let at = |position: u64| (position - start) as usize;
    &buffer.as_slice()[at(block_start(end))..at(end)]
}

pub(crate) fn block_start(position: u64) -> u64 {
    position - position % BLOCK_SIZE_BYTES as u64
}

pub(crate) fn block_end(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_SIZE_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_arrivals_is_kept() {
        let mut arrivals = Arrivals::default();
        let mut places = std::collections::BTreeSet::new();
        for round in 0..10 {
            let topic = round.to_string();
            let arrival = Arrival {
                topic: &topic,
                queue_id: 0,
                queue_offset: 0,
                tags_code: 0,
                properties: b"",
            };
            arrivals.with(std::iter::repeat_n(arrival, 100), |all| {
                assert_eq!(all.len(), 100);
                assert!(all.iter().all(|one| one.topic == topic));
                places.insert(all.as_ptr().addr());
            });
        }
        assert_eq!(places.len(), 1);
    }
}
