//! Open files, and which failures each has been told of.

use std::collections::HashMap;

/// The kernel tells a failed write-back to every descriptor that was open then, once, when it syncs next. So does this layer: a file may
/// be written through one descriptor while another's sync fails, and loses what was written.
#[derive(Debug, Default)]
pub(super) struct Handles {
    /// By handle, how many failures of its file it was told of, or came after.
    told: HashMap<u64, u64>,
    next: u64,
}

impl Handles {
    /// A handle of a file that has failed so often.
    pub(super) fn open(&mut self, failures: u64) -> u64 {
        self.next += 1;
        self.told.insert(self.next, failures);
        self.next
    }

    /// Whether the handle is to be told of a failure now.
    pub(super) fn is_told(&mut self, handle: u64, failures: u64) -> bool {
        self.told
            .get_mut(&handle)
            .is_some_and(|told| std::mem::replace(told, failures) < failures)
    }

    pub(super) fn close(&mut self, handle: u64) {
        self.told.remove(&handle);
    }
}
