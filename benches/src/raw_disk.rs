//! The disk as it is, without any of the engine: the limit that durable writes and cold reads are held against.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use kourou_engine::disk::AlignedBuf;
use rustix::fs::{Advice, OFlags, fadvise};

/// A file that has been written once, so that writing it again changes nothing but data.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    size_bytes: u64,
    position: u64,
}

impl RawFile {
    /// Makes a file of that size in `dir`, and opens it so that a write returns once it is on the disk, past the page cache where the
    /// file system allows that.
    ///
    /// # Errors
    /// What the system says.
    pub fn durable(dir: &Path, size_bytes: u64) -> io::Result<Self> {
        Self::open(dir, size_bytes, OFlags::DIRECT | OFlags::DSYNC)
            .or_else(|_| Self::open(dir, size_bytes, OFlags::DSYNC))
    }

    /// Makes a file of that size in `dir`, to be written into the page cache.
    ///
    /// # Errors
    /// What the system says.
    pub fn cached(dir: &Path, size_bytes: u64) -> io::Result<Self> {
        Self::open(dir, size_bytes, OFlags::empty())
    }

    fn open(dir: &Path, size_bytes: u64, flags: OFlags) -> io::Result<Self> {
        let path = dir.join("raw");
        let zeros = vec![0; 1 << 20];
        let written = File::create(&path)?;
        for position in (0..size_bytes).step_by(zeros.len()) {
            let count = zeros.len().min((size_bytes - position) as usize);
            written.write_all_at(&zeros[..count], position)?;
        }
        written.sync_all()?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self {
            file,
            size_bytes,
            position: 0,
        })
    }

    /// Writes `bytes`, whole blocks, behind what was written last, or from the front.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, bytes: &AlignedBuf) -> io::Result<()> {
        let size_bytes = bytes.len() as u64;
        if self.position + size_bytes > self.size_bytes {
            self.position = 0;
        }
        self.write_at(bytes, self.position)?;
        self.position += size_bytes;
        Ok(())
    }

    /// Writes `bytes`, whole blocks, at `position`, a multiple of their size, inside the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_at(&self, bytes: &AlignedBuf, position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes.as_slice(), position)
    }
}

/// As many bytes as a group of `size_bytes` has: whole blocks.
pub fn blocks(size_bytes: usize) -> AlignedBuf {
    let mut bytes = AlignedBuf::with_capacity(size_bytes);
    bytes.extend_from_slice(&vec![7; size_bytes]);
    bytes.pad_to_block();
    bytes
}

/// Takes every file in `dir` out of the page cache, as far as nobody maps it.
///
/// # Errors
/// What the system says.
pub fn drop_cache(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_cache(&path)?;
        } else {
            let file = File::open(&path)?;
            // What is not on the disk yet cannot be dropped.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
