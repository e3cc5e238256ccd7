//! Transactions that were given up and are made pending again: each once.

use super::{Ledger, MessageId};
use crate::promise::Promise;

impl Ledger {
    /// Somebody asks for it.
    pub fn resume_arrives(&mut self, id: MessageId, position: u64) {
        self.resumes.entry(position).or_insert(false);
        self.known(id).is_resumed = true;
    }

    /// The broker says that it is pending again: now, or since somebody asked before.
    pub fn resumed(&mut self, id: MessageId, position: u64, is_now: bool) {
        let was_done = self.resumes.insert(position, true).unwrap_or(false);
        if is_now && was_done {
            let what = format!("message {id}, given up at position {position}, was resumed twice");
            self.broken(Promise::Transactions, what);
        }
    }
}
