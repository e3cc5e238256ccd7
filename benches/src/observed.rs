//! A disk that counts the groups written to another.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kourou_engine::disk::{AlignedBuf, Disk, DiskFile, Durability, GroupWriter, Listed, OpenMode};

/// Another disk, and what its group writers have written.
#[derive(Debug)]
pub struct Observed<D> {
    disk: D,
    groups: Arc<Groups>,
}

/// Groups written so far.
#[derive(Debug, Default)]
pub struct Groups {
    count: AtomicU64,
    size_bytes: AtomicU64,
}

impl Groups {
    /// How many, and their bytes in all, since the last call.
    pub fn take(&self) -> (u64, u64) {
        let count = self.count.swap(0, Ordering::Relaxed);
        (count, self.size_bytes.swap(0, Ordering::Relaxed))
    }
}

impl<D> Observed<D> {
    /// Counts the groups of this disk.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            groups: Arc::default(),
        }
    }

    /// The counts, which go on.
    pub fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.groups)
    }
}

impl<D: Disk> Disk for Observed<D> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock(path)
    }

    fn group_writer(&self, durability: Durability) -> io::Result<Box<dyn GroupWriter>> {
        Ok(Box::new(ObservedWriter {
            writer: self.disk.group_writer(durability)?,
            groups: Arc::clone(&self.groups),
        }))
    }
}

#[derive(Debug)]
struct ObservedWriter {
    writer: Box<dyn GroupWriter>,
    groups: Arc<Groups>,
}

impl GroupWriter for ObservedWriter {
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf) {
        self.groups.count.fetch_add(1, Ordering::Relaxed);
        self.groups
            .size_bytes
            .fetch_add(group.len() as u64, Ordering::Relaxed);
        self.writer.start(file, position, group);
    }

    fn finish(&mut self) -> (AlignedBuf, io::Result<()>) {
        self.writer.finish()
    }

    fn describe(&self) -> String {
        self.writer.describe()
    }
}
