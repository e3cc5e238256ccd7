//! Looking through a queue for the entries of one answer.

use kourou_engine::{Engine, IndexEntry};

use crate::filter::Filter;
use crate::options::Limits;

/// Entries looked at in one step when some may not match.
const FILTERED_STEP: usize = 64;

/// What one answer may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) messages_max: usize,
    pub(crate) size_bytes_max: usize,
}

impl Room {
    pub(crate) fn hot(limits: &Limits, wanted: usize) -> Self {
        Self {
            messages_max: wanted.min(limits.pull_hot_messages_max),
            size_bytes_max: limits.pull_hot_size_bytes_max,
        }
    }

    pub(crate) fn cold(limits: &Limits, wanted: usize) -> Self {
        Self {
            messages_max: wanted.min(limits.pull_cold_messages_max),
            size_bytes_max: limits.pull_cold_size_bytes_max,
        }
    }

    /// Whether one more message of `size_bytes` fits after `messages` of `total_bytes`. The first always does.
    pub(crate) fn fits(&self, messages: usize, total_bytes: usize, size_bytes: u32) -> bool {
        messages == 0
            || (messages < self.messages_max && total_bytes + size_bytes as usize <= self.size_bytes_max)
    }
}

/// A stretch of a queue, looked through in order.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
    pub(crate) filter: &'a Filter,
    /// Entries that may be looked at.
    pub(crate) entries_max: usize,
    /// Entries that are wanted; without a filter there is no need to look at more.
    pub(crate) wanted: usize,
}

impl Scan<'_> {
    /// Gives `visit` the entries that may match, from `offset` on, until it says stop, the bound is reached, or the queue ends.
    /// Returns the offset after the last entry that needs no second look: past what was visited or did not match.
    pub(crate) fn run(&self, offset: u64, mut visit: impl FnMut(&IndexEntry) -> Visit) -> u64 {
        let mut next = offset;
        let mut left = self.entries_max;
        let step = if matches!(self.filter, Filter::All) {
            self.wanted
        } else {
            FILTERED_STEP
        };
        let mut entries = Vec::with_capacity(step.min(left));
        'steps: while left > 0 {
            entries.clear();
            self.engine
                .entries(self.topic, self.queue_id, next, step.min(left), &mut entries);
            let Some(last) = entries.last() else { return next };
            let after = last.queue_offset + 1;
            for (at, entry) in entries.iter().enumerate() {
                // Of a batch without a tag each message has its own, which its consumer looks at.
                let is_mixed = entry.spans && entry.tags_code == 0;
                if !is_mixed && !self.filter.may_match(entry.tags_code) {
                    continue;
                }
                match visit(entry) {
                    Visit::Taken if entry.spans => {
                        // The same record has more entries, which are done with.
                        next = self.end_of(entry);
                        left = left.saturating_sub(at + 1);
                        continue 'steps;
                    }
                    Visit::Taken => {}
                    Visit::TakenLast => return self.end_of(entry),
                    Visit::Left => return entry.queue_offset,
                }
            }
            left = left.saturating_sub(entries.len());
            next = after;
        }
        next
    }
}

impl Scan<'_> {
    /// The offset after the last one of an entry's record.
    fn end_of(&self, entry: &IndexEntry) -> u64 {
        self.engine.end_of_record(self.topic, self.queue_id, entry)
    }
}

/// What a visitor says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// It is done with; go on.
    Taken,
    /// It is done with, and so is the scan.
    TakenLast,
    /// It is for another time; stop before it.
    Left,
}
