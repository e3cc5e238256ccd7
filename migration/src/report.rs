//! What was carried over, and what was not.

use std::collections::BTreeMap;

use serde::Serialize;

/// What an import, or an export, came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Topics that were made.
    pub topics: u64,
    /// Consumer groups that were made.
    pub groups: u64,
    /// Offsets of groups in queues.
    pub offsets: u64,
    /// Queues that begin later than at 0, or that are empty and go on where they were.
    pub moved_queues: u64,
    /// Messages in queues.
    pub messages: u64,
    /// Messages that wait for their time.
    pub timers: u64,
    /// Half messages that wait for their transaction's end.
    pub half_messages: u64,
    /// Messages that were out, popped and not acknowledged, and are delivered again.
    pub popped: u64,
    /// Bytes of the log that was read.
    pub read_bytes: u64,
    /// Records in it.
    pub read_records: u64,
    /// Bytes at the log's end that are no record: of a write that was torn.
    pub cut_bytes: u64,
    /// Damage that the log was read up to, if that was asked for.
    pub damage: Option<String>,
    /// Whether the broker had ended without saying so.
    pub was_killed: bool,
    /// What was left behind because it means nothing any more, by what it is.
    pub over: BTreeMap<String, u64>,
    /// Settings that there is no place for, by what they are.
    pub left: BTreeMap<String, u64>,
    /// What could not be carried over, by what it is.
    pub lost: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn over(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.over.entry(what.to_owned()).or_default() += count;
        }
    }

    pub(crate) fn left(&mut self, what: &str, count: u64) {
        *self.left.entry(what.to_owned()).or_default() += count;
    }

    pub(crate) fn lost(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.lost.entry(what.to_owned()).or_default() += count;
        }
    }

    /// What could not be carried over, for people.
    pub(crate) fn lost_lines(&self) -> Vec<String> {
        let line = |(what, count): (&String, &u64)| format!("{count} {what}");
        self.lost.iter().map(line).collect()
    }
}

/// Hears how far it is.
pub trait Progress {
    /// So many bytes of so many are done, of the step of this name.
    fn at(&mut self, step: &'static str, done_bytes: u64, all_bytes: u64);
}

/// Nobody wants to know.
impl Progress for () {
    fn at(&mut self, _step: &'static str, _done_bytes: u64, _all_bytes: u64) {}
}
