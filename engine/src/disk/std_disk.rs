//! Real files.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use rustix::fs::OFlags;

use super::blocking::{BlockingWriter, Route};
use super::lock;
use super::uring::UringWriter;
use super::{
    AlignedBuf, BLOCK_SIZE_BYTES, Disk, DiskFile, Durability, GroupWriter, Listed, OpenMode, in_pieces,
};
use crate::limits::AHEAD_WRITE_BYTES;
use crate::segment::map;

/// What zeros are written from, past the page cache. They are written into it, so that it has pages of its own: those that nobody
/// wrote are all the kernel's one page of zeros, which it looks up the slow way, one by one, at each write.
static ZEROS: LazyLock<AlignedBuf> = LazyLock::new(|| {
    let mut zeros = AlignedBuf::with_capacity(AHEAD_WRITE_BYTES as usize);
    while zeros.len() < AHEAD_WRITE_BYTES as usize {
        zeros.extend_from_slice(&[0; BLOCK_SIZE_BYTES]);
    }
    zeros
});

/// Which writer [`StdDisk`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriterKind {
    /// The best that works in the store's directory: `pwrite` past the page cache, or into it with `fdatasync`.
    #[default]
    Auto,
    /// io_uring past the page cache, or an error. The kernel completes a durable write in a thread of its own, which costs a wake-up
    /// that `pwrite` does not have; see `ARCHITECTURE.md` for figures.
    Uring,
}

/// The operating system's files.
#[derive(Debug)]
pub struct StdDisk {
    dir: PathBuf,
    kind: WriterKind,
}

impl StdDisk {
    /// Files of the operating system. What writers can do is tried out in `dir`, the store's directory, which must exist by
    /// the time [`Disk::group_writer`] is called.
    pub fn new(dir: impl Into<PathBuf>, kind: WriterKind) -> Self {
        Self {
            dir: dir.into(),
            kind,
        }
    }

    fn blocking_writer(&self) -> BlockingWriter {
        match probe_direct(&self.dir) {
            Ok(()) => BlockingWriter::new(Route::Direct, None),
            Err(error) => BlockingWriter::new(Route::Synced, Some(format!("O_DIRECT: {error}"))),
        }
    }
}

impl Disk for StdDisk {
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        lock::lock(path)
    }

    fn hold(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        lock::hold(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        while !at.as_os_str().is_empty() && !at.is_dir() {
            missing.push(at);
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        for dir in missing.into_iter().rev() {
            match fs::create_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                result => result?,
            }
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            self.sync_dir(parent.unwrap_or_else(|| Path::new(".")))?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            // A name that is not text is none of ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push(Listed {
                    name,
                    size_bytes: metadata.len(),
                });
            }
        }
        Ok(files)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path)?;
        Ok(Arc::new(StdFile {
            file,
            path: path.to_owned(),
            direct: OnceLock::new(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let volume = rustix::fs::statvfs(dir)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<u64> {
        let volume = rustix::fs::statvfs(dir)?;
        let used = volume.f_blocks.saturating_sub(volume.f_bfree);
        Ok(used
            .saturating_add(volume.f_bavail)
            .saturating_mul(volume.f_frsize))
    }

    fn group_writer(&self, durability: Durability) -> io::Result<Box<dyn GroupWriter>> {
        if durability == Durability::Relaxed {
            return Ok(Box::new(BlockingWriter::new(Route::Relaxed, None)));
        }
        match self.kind {
            WriterKind::Auto => Ok(Box::new(self.blocking_writer())),
            WriterKind::Uring => Ok(Box::new(UringWriter::new(&self.dir)?)),
        }
    }
}

/// One file, with a second descriptor for writing past the page cache.
#[derive(Debug)]
pub(super) struct StdFile {
    file: File,
    /// Where it was when it was opened.
    path: PathBuf,
    direct: OnceLock<File>,
}

impl StdFile {
    /// `file`, if it is one of these.
    pub(super) fn of(file: &dyn DiskFile) -> Option<&Self> {
        let file: &dyn Any = file;
        file.downcast_ref()
    }

    /// The descriptor with O_DIRECT, opened when first asked for.
    pub(super) fn direct(&self) -> io::Result<&File> {
        if let Some(direct) = self.direct.get() {
            return Ok(direct);
        }
        let direct = self.open_direct()?;
        Ok(self.direct.get_or_init(|| direct))
    }

    /// The file may have been renamed since it was opened, and another may have taken its name.
    fn open_direct(&self) -> io::Result<File> {
        let through_proc = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        open_direct(Path::new(&through_proc)).or_else(|_| {
            let direct = open_direct(&self.path)?;
            let (mine, its) = (self.file.metadata()?, direct.metadata()?);
            if (mine.dev(), mine.ino()) == (its.dev(), its.ino()) {
                Ok(direct)
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        })
    }
}

impl DiskFile for StdFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(into, position)
    }

    fn write_at(&self, from: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(from, position)
    }

    fn write_zeros(&self, position: u64, size_bytes: u64) -> io::Result<()> {
        match self
            .direct()
            .and_then(|direct| write_zeros(direct, position, size_bytes))
        {
            // No second descriptor, or not for writes like these.
            Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                write_zeros(&self.file, position, size_bytes)
            }
            outcome => outcome,
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, size_bytes: u64) -> io::Result<Bytes> {
        map::map(&self.file, size_bytes)
    }

    fn populate(&self, slice: &Bytes) -> io::Result<()> {
        map::populate(slice)
    }
}

fn open_direct(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path)
}

fn write_zeros(file: &File, position: u64, size_bytes: u64) -> io::Result<()> {
    in_pieces(ZEROS.as_slice(), position, size_bytes, |zeros, at| {
        file.write_all_at(zeros, at)
    })
}

/// A file in `dir` to try writers on. Its name is gone by the time this returns.
pub(super) fn probe_file(dir: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let path = dir.join(format!("probe-{}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let file = StdFile {
        file,
        path: path.clone(),
        direct: OnceLock::new(),
    };
    let direct = file.direct().map(|_| ());
    fs::remove_file(&path)?;
    direct?;
    Ok(Arc::new(file))
}

/// Writes one group to a file in `dir` and reads it back.
pub(super) fn probe(dir: &Path, writer: &mut dyn GroupWriter) -> io::Result<()> {
    let file = probe_file(dir)?;
    let mut group = AlignedBuf::with_capacity(BLOCK_SIZE_BYTES);
    group.extend_from_slice(b"probe");
    group.pad_to_block();
    writer.start(&file, 0, group);
    let (group, result) = writer.finish();
    result?;
    let mut found = vec![0; group.len()];
    file.read_at(&mut found, 0)?;
    if found == group.as_slice() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn probe_direct(dir: &Path) -> io::Result<()> {
    probe(dir, &mut BlockingWriter::new(Route::Direct, None))
}

#[cfg(test)]
mod tests;
