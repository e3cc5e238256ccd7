//! Which sync is to fail, and what arrived so far.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// What reached the layer for the files that a fault is meant for, or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// Writes, those of the kernel for mapped pages included.
    pub writes: u64,
    /// Of these, writes of pages that were mapped or cached.
    pub writes_of_cached_pages: u64,
    /// Syncs of files: whatever asked for them.
    pub syncs: u64,
}

/// A sync that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedSync {
    /// The file, from the root of the mounted folder.
    pub path: PathBuf,
    /// How much of it will never reach the disk, in whole pages of 4 KiB.
    pub lost_bytes: u64,
}

#[derive(Debug)]
struct Armed {
    /// A part of the path.
    of: String,
    /// How many syncs of such files still succeed.
    after: u64,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    failed: Vec<FailedSync>,
    arrivals: Arrivals,
}

/// Shared by the layer and whoever controls it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    power_is_off: AtomicBool,
}

impl Faults {
    pub(crate) fn arm(&self, of: &str, after: u64) {
        self.state.lock().armed = Some(Armed {
            of: of.to_owned(),
            after,
        });
    }

    pub(crate) fn failed(&self) -> Vec<FailedSync> {
        self.state.lock().failed.clone()
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        self.state.lock().arrivals
    }

    /// From here on nothing is taken in.
    pub(crate) fn cut_power(&self) {
        self.power_is_off.store(true, Ordering::SeqCst);
    }

    pub(crate) fn restore_power(&self) {
        self.power_is_off.store(false, Ordering::SeqCst);
    }

    pub(crate) fn power_is_off(&self) -> bool {
        self.power_is_off.load(Ordering::SeqCst)
    }

    pub(crate) fn note_write(&self, of_cached_page: bool) {
        let arrivals = &mut self.state.lock().arrivals;
        arrivals.writes += 1;
        arrivals.writes_of_cached_pages += u64::from(of_cached_page);
    }

    /// Notes a sync of this file, and says whether it is the one that fails: once.
    pub(crate) fn note_sync(&self, path: &Path) -> bool {
        let mut state = self.state.lock();
        state.arrivals.syncs += 1;
        let Some(armed) = &mut state.armed else {
            return false;
        };
        if !path.to_string_lossy().contains(&armed.of) {
            return false;
        }
        if armed.after > 0 {
            armed.after -= 1;
            return false;
        }
        state.armed = None;
        true
    }

    pub(crate) fn note_failed(&self, failed: FailedSync) {
        self.state.lock().failed.push(failed);
    }
}
