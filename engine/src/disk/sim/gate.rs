//! Where group writes wait while the disk stalls.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Open or shut. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn set_shut(&self, shut: bool) {
        *self.0.0.lock() = shut;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        let mut shut = self.0.0.lock();
        while *shut {
            self.0.1.wait(&mut shut);
        }
    }
}
