//! A disk in memory that does what real disks do on bad days, exactly when a test says so.
//!
//! ```text
//!            write_at            sync
//!   caller ----------> live ----------> durable        per file, in sectors of 512 bytes
//!            create              sync_dir
//!          ----------> live ----------> durable        per name
//!            group write (Durable)
//!          ----------------------------> both
//! ```
//!
//! Every operation that changes something has a number, counted from 0, so that a test can run a history once, count its
//! operations, and then run it again for each of them with a crash or an error there. [`SimDisk::after_power_cut`] and
//! [`SimDisk::after_kill`] then give the disk that the next start finds.

mod file;
mod gate;
mod image;
mod names;
mod random;
mod script;
mod state;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

pub use image::Survivors;
pub use script::{Harm, Op, Tear};

use super::{Disk, DiskFile, Durability, GroupWriter, Listed, OpenMode};
use file::{SimFile, SimWriter};
use gate::Gate;
use state::State;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    gate: Gate,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::with(State::default())
    }

    fn with(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            gate: Gate::default(),
        }
    }

    /// Makes operation number `op` fail after `tear` of it took place, and everything after it fail too.
    pub fn crash_at(&self, op: u64, tear: Tear) {
        self.state.lock().script.crash_at(op, tear);
    }

    /// Makes operation number `op` fail after `tear` of it took place. Those after it succeed.
    pub fn fail_at(&self, op: u64, errno: Errno, tear: Tear) {
        self.state.lock().script.fail_at(op, errno, tear);
    }

    /// Makes operation number `op` and all after it fail, until this is called again with `None`.
    pub fn fail_from(&self, from: Option<(u64, Errno)>) {
        self.state.lock().script.fail_from(from);
    }

    /// Makes operation number `op`, a sync or a group write, fail with EIO and drop what it should have made durable. Readers
    /// go on seeing it and the next sync succeeds, which is how a page cache behaves after a failed write-back.
    pub fn fail_sync_once_dropping(&self, op: u64) {
        self.state.lock().script.drop_at(op);
    }

    /// Makes reads of `[position, position + size_bytes)` of the file fail with EIO.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn spoil(&self, path: &Path, position: u64, size_bytes: u64) -> io::Result<()> {
        self.state
            .lock()
            .file_at(path)?
            .bad
            .push(position..position.saturating_add(size_bytes));
        Ok(())
    }

    /// Flips one bit of the file, for readers and for good. Mappings made before keep the old one.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn flip_bit(&self, path: &Path, position: u64, bit: u8) -> io::Result<()> {
        let position = state::in_memory(position)?;
        self.state.lock().file_at(path)?.image.flip_bit(position, bit);
        Ok(())
    }

    /// Makes group writes wait, those that have begun too, until [`SimDisk::resume`].
    pub fn stall(&self) {
        self.gate.set_shut(true);
    }

    /// Lets group writes go on.
    pub fn resume(&self) {
        self.gate.set_shut(false);
    }

    /// Sets how many bytes fit on the disk. Writing more fails with ENOSPC.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.state.lock().capacity_bytes = capacity_bytes;
    }

    /// Harms the next operation that is `wanted`, once; [`SimDisk::take_harmed`] tells when it came.
    pub fn harm_next(&self, tag: u64, wanted: impl Fn(&Op) -> bool + Send + 'static, harm: Harm) {
        self.state.lock().script.harm_next(tag, Box::new(wanted), harm);
    }

    /// The operations that were waited for and have come since this was asked last: the tag of each, and its number.
    pub fn take_harmed(&self) -> Vec<(u64, u64)> {
        self.state.lock().script.take_harmed()
    }

    /// The operations that did not fit on the disk since this was asked last.
    pub fn take_refused(&self) -> Vec<u64> {
        self.state.lock().script.take_refused()
    }

    /// Forgets what was to go wrong and has not yet.
    pub fn forget_faults(&self) {
        self.state.lock().script.forget();
    }

    /// How many operations there have been: the number that the next one gets.
    pub fn operations(&self) -> u64 {
        self.state.lock().script.count()
    }

    /// What operation number `op` was; `None` if there was none yet.
    pub fn operation(&self, op: u64) -> Option<Op> {
        let at = usize::try_from(op).ok()?;
        self.state.lock().script.trace().get(at).cloned()
    }

    /// What the operations were, in order of their numbers.
    pub fn trace(&self) -> Vec<Op> {
        self.state.lock().script.trace().to_vec()
    }

    /// Makes everything fail from now on, as after a scripted crash: whoever still uses this disk is gone.
    pub fn crash(&self) {
        self.state.lock().script.crash();
    }

    /// Whether a crash has happened.
    pub fn crashed(&self) -> bool {
        self.state.lock().script.crashed()
    }

    /// What a reader would find in the file.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.state.lock().file_at(path)?.image.live().to_vec())
    }

    /// What of the file is certain to survive; `NotFound` if its name is not.
    ///
    /// # Errors
    /// `NotFound`, see above.
    pub fn durable_content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let id = state.names.get_durable(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(state
            .files
            .get(&id)
            .map(|file| file.image.durable().to_vec())
            .unwrap_or_default())
    }

    /// Whether `bytes` are at `position` of the file, and certain to survive.
    pub fn durably_holds(&self, path: &Path, position: u64, bytes: &[u8]) -> bool {
        let state = self.state.lock();
        let file = state.names.get_durable(path).and_then(|id| state.files.get(&id));
        let Some((file, from)) = file.zip(usize::try_from(position).ok()) else {
            return false;
        };
        let end = from.saturating_add(bytes.len());
        file.image.durable().get(from..end) == Some(bytes)
    }

    /// The disk that is found after the power came back: what was durable, and those of the other sectors and names that
    /// `survivors` says. This disk is left as it is.
    pub fn after_power_cut(&self, survivors: Survivors) -> Self {
        Self::with(self.state.lock().after_power_cut(survivors))
    }

    /// The disk that is found after the process died, with everything that reached the operating system on it, a group
    /// still in flight included. What was not synced still is not. This disk is left as it is.
    pub fn after_kill(&self) -> Self {
        Self::with(self.state.lock().after_kill())
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let (tear, result) = state
            .script
            .next(Op::CreateDir { dir: dir.to_owned() })?
            .outcome();
        if tear.whole() {
            state.names.create_dir_all(dir);
        }
        result
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.state.lock().list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.state.lock().open(path, mode)?;
        Ok(Arc::new(SimFile::new(Arc::clone(&self.state), id, mode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.lock().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state.lock().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let (tear, result) = state.script.next(Op::SyncDir { dir: dir.to_owned() })?.outcome();
        if tear.whole() {
            state.names.sync_dir(dir);
        }
        result
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        state.script.check()?;
        Ok(state.free_bytes())
    }

    fn total_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        state.script.check()?;
        Ok(state.capacity_bytes)
    }

    fn group_writer(&self, durability: Durability) -> io::Result<Box<dyn GroupWriter>> {
        self.state.lock().script.check()?;
        Ok(Box::new(SimWriter::new(durability, self.gate.clone())))
    }
}
