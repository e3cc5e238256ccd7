//! A run: consecutive entries of one queue inside one segment, in memory.

use super::entry::{IndexEntry, Slot};

/// Consecutive entries of one queue. `slots[i]` has offset `base + i`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) base: u64,
    pub(crate) slots: Vec<Slot>,
}

impl Run {
    /// The offset after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// Copies entries from offset `from` on, at most `max_count`.
    pub(crate) fn copy(&self, from: u64, max_count: usize, out: &mut Vec<IndexEntry>) {
        let Some(skip) = from
            .checked_sub(self.base)
            .and_then(|skip| usize::try_from(skip).ok())
        else {
            return;
        };
        out.extend(
            self.slots
                .iter()
                .skip(skip)
                .take(max_count)
                .zip(from..)
                .map(|(slot, offset)| slot.at(offset)),
        );
    }
}
