//! The disk seam: every byte that the engine reads or writes goes through [`Disk`] and [`DiskFile`].
//!
//! [`StdDisk`] serves real machines, with a writer that goes past the page cache where the file system allows it, and one that
//! uses `fdatasync` elsewhere; [`sim::SimDisk`] keeps a durable image beside the live one and injects faults from a script or a seed.

mod aligned;
mod blocking;
mod lock;
pub mod sim;
mod std_disk;
#[expect(
    unsafe_code,
    reason = "one of the two rooms that talk to the kernel by pointer; see its proofs"
)]
mod uring;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use aligned::{AlignedBuf, BLOCK_SIZE_BYTES};
pub use std_disk::{StdDisk, WriterKind};

/// What [`Disk::list`] says of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file's name, without its folder.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; reading only.
    Read,
    /// The file must exist; reading and writing.
    ReadWrite,
    /// The file must not exist; it is created, empty, for reading and writing. The caller makes the name durable with
    /// [`Disk::sync_dir`].
    CreateNew,
}

/// A place where files live. All paths are the caller's; implementations resolve them as the operating system does.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates `dir` and its missing parents, and makes the new names durable.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The regular files directly in `dir`, in no particular order; an absent directory is an error.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` by mode; else whatever the operating system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Replaces `to` by `from`, atomically with respect to a crash once [`Disk::sync_dir`] of the folder has returned.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Unlinks a file. Open handles and mappings keep its content alive.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes names created, renamed or removed in `dir` durable.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that can still be written on the volume that holds `dir`.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Bytes that the volume that holds `dir` has in all for those who may not use what is kept for root: what is used and what
    /// is free.
    ///
    /// # Errors
    /// Whatever the operating system says; `Unsupported` from a disk that does not know.
    fn total_bytes(&self, dir: &Path) -> io::Result<u64> {
        let _not_known = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes the file at `path`, created if absent, for this process, and writes the process id into it; `None` if another
    /// process has it. The lock goes with what is returned. A disk that only one process can see has nothing to lock.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let _only_ours = path;
        Ok(Some(Box::new(())))
    }

    /// Keeps the file at `path` from being taken with [`Disk::lock`] by anybody, without writing to it; `None` if somebody has it. Several
    /// may do that at once. A file that is absent was never taken, and there is nothing to keep. It ends with what is returned.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn hold(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let _only_ours = path;
        Ok(Some(Box::new(())))
    }

    /// A writer of commit-log groups, to be owned by one thread. See [`GroupWriter`].
    ///
    /// # Errors
    /// When no writer of any kind can be set up.
    fn group_writer(&self, durability: Durability) -> io::Result<Box<dyn GroupWriter>>;
}

/// What must be true when a group write completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The bytes, and whatever metadata is needed to read them again, survive a loss of power.
    Durable,
    /// The bytes survive the process, not the power: they are in the page cache.
    Relaxed,
}

/// One open file. All methods take absolute positions, so that one handle serves many threads.
///
/// It is `Any`, so that a writer can find the descriptor of a file of its own disk; it refuses all others.
pub trait DiskFile: Any + Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Fills `into` from `position`; `UnexpectedEof` if the file ends before that.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<()>;

    /// Writes all of `from` at `position`, extending the file where needed. Not durable until [`DiskFile::sync`].
    ///
    /// # Errors
    /// Whatever the operating system says; how much was written is then unknown.
    fn write_at(&self, from: &[u8], position: u64) -> io::Result<()>;

    /// Writes zeros over `[position, position + size_bytes)`, extending the file where needed. Both are multiples of
    /// [`BLOCK_SIZE_BYTES`]. Not durable until [`DiskFile::sync`].
    ///
    /// A disk that can writes them past the page cache: group writes then meet no cached pages, which the kernel would have to
    /// drop for each.
    ///
    /// # Errors
    /// Whatever the operating system says; how much was written is then unknown.
    fn write_zeros(&self, position: u64, size_bytes: u64) -> io::Result<()> {
        in_pieces(&ZEROS, position, size_bytes, |zeros, at| self.write_at(zeros, at))
    }

    /// Makes everything written through *this handle* durable, the file's length included (fdatasync).
    ///
    /// # Errors
    /// After an error the unsynced bytes must be taken as lost: a later success does not bring them back.
    fn sync(&self) -> io::Result<()>;

    /// The bytes `[0, size_bytes)` of a file that nobody writes any more. On a real disk this is a mapping that lives as
    /// long as the last slice of it; pages are read in on first touch (see [`DiskFile::populate`]).
    ///
    /// # Errors
    /// Whatever the operating system says; `UnexpectedEof` if the file is shorter.
    fn map(&self, size_bytes: u64) -> io::Result<Bytes>;

    /// Reads the pages under `slice`, which came from [`DiskFile::map`] of this file, into memory, so that touching them
    /// neither waits for the disk nor meets a bad block. May block.
    ///
    /// # Errors
    /// The disk's error for an unreadable block, where a plain touch would kill the process.
    fn populate(&self, slice: &Bytes) -> io::Result<()>;
}

/// Writes groups: aligned stretches of the commit log. At most one group is in flight.
///
/// ```text
/// position                                       position + group.len()
/// |<- whole blocks of BLOCK_SIZE_BYTES, inside the zero-written part ->|
/// ```
pub trait GroupWriter: Debug + Send {
    /// Starts writing `group` at `position` of `file`. Both `position` and the group's length are multiples of
    /// [`BLOCK_SIZE_BYTES`]. The buffer is the writer's until [`GroupWriter::finish`] gives it back.
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf);

    /// Waits for the group in flight and returns its buffer with the outcome. `Ok` means the whole group reached the
    /// durability the writer was made for.
    ///
    /// # Errors
    /// What the disk said. The state of the group's bytes on the disk is then unknown.
    fn finish(&mut self) -> (AlignedBuf, io::Result<()>);

    /// Writes a group and waits for it: [`GroupWriter::start`] and [`GroupWriter::finish`] for a caller that has nothing to do
    /// meanwhile.
    ///
    /// # Errors
    /// As [`GroupWriter::finish`].
    fn write(
        &mut self,
        file: &Arc<dyn DiskFile>,
        position: u64,
        group: AlignedBuf,
    ) -> (AlignedBuf, io::Result<()>) {
        self.start(file, position, group);
        self.finish()
    }

    /// How it writes, for the log line at start-up: e.g. "pwrite, O_DIRECT + DSYNC".
    fn describe(&self) -> String;
}

static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// Writes `size_bytes` from `position` on with `write`, as much of `zeros` at a time as there is.
fn in_pieces(
    zeros: &[u8],
    position: u64,
    size_bytes: u64,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let end = position.saturating_add(size_bytes);
    let mut at = position;
    while at < end {
        let count = (end - at).min(zeros.len() as u64);
        write(&zeros[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

/// What `finish` returns if nothing was started: a mistake of the caller's, answered as an error.
fn nothing_in_flight() -> (AlignedBuf, io::Result<()>) {
    let error = io::Error::new(io::ErrorKind::InvalidInput, "no group write is in flight");
    (AlignedBuf::with_capacity(0), Err(error))
}

/// Where a group write goes on after the kernel took `count` bytes from byte `written` on. Writes past the page cache can
/// only start at a block boundary, so part of a block is written again.
fn resume_at(written: usize, count: usize) -> io::Result<usize> {
    let whole = count - count % BLOCK_SIZE_BYTES;
    if whole == 0 {
        Err(io::ErrorKind::WriteZero.into())
    } else {
        Ok(written + whole)
    }
}
