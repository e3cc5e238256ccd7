//! A call that is given up must not be remembered.

use super::pending::Pending;

/// Forgets a call when dropped; nothing happens if it has been answered.
pub(super) struct Cancel<'a> {
    pending: &'a Pending,
    opaque: i32,
}

impl<'a> Cancel<'a> {
    pub(super) fn new(pending: &'a Pending, opaque: i32) -> Self {
        Self { pending, opaque }
    }
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        self.pending.remove(self.opaque);
    }
}
