//! The commit log's files. A segment is named after the position of its first byte, in 20 digits, and covers as many
//! positions as every other segment of its store; its file may be shorter, because space is made only as the tail comes near.

pub(crate) mod ahead;
#[expect(
    unsafe_code,
    reason = "one of the two rooms that talk to the kernel by pointer; see its proofs"
)]
pub(crate) mod map;
pub(crate) mod set;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, OpenMode};

/// Digits in a segment's file name.
const NAME_DIGITS: usize = 20;

/// The file name of the segment that begins at `start`.
pub(crate) fn name(start: u64) -> String {
    format!("{start:0width$}", width = NAME_DIGITS)
}

/// The start position that a file name stands for; `None` for any other file.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    if name.len() != NAME_DIGITS || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Set once nobody writes the segment any more.
    mapped: OnceLock<Bytes>,
    /// When its first record was stored, in milliseconds since the epoch, once somebody has asked.
    pub(crate) first_store_ms: OnceLock<i64>,
}

impl Segment {
    pub(crate) fn new(start: u64, path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        Self {
            start,
            path,
            file,
            mapped: OnceLock::new(),
            first_store_ms: OnceLock::new(),
        }
    }

    /// The position's place in the file.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position - self.start
    }

    /// Maps the segment for reading. The caller promises that it is complete up to `data_end` and is never written again.
    ///
    /// # Errors
    /// What the disk says; the segment is then read without a mapping, and this may be tried again.
    pub(crate) fn seal(&self, data_end: u64) -> io::Result<()> {
        if self.mapped.get().is_none() {
            let bytes = self.file.map(data_end - self.start)?;
            // Losing a race means that somebody else mapped the same bytes.
            let _lost = self.mapped.set(bytes);
        }
        Ok(())
    }

    /// Up to where it is mapped; its start, if it is not.
    pub(crate) fn mapped_end(&self) -> u64 {
        self.start + self.mapped.get().map_or(0, |mapped| mapped.len() as u64)
    }

    /// The mapped bytes `[start, end)`, read into memory; `None` without a mapping that holds them all. May block on the disk.
    ///
    /// # Errors
    /// What the disk says, of any part.
    pub(crate) fn mapped(&self, start: u64, end: u64) -> io::Result<Option<Bytes>> {
        let at = |position: u64| usize::try_from(position.checked_sub(self.start)?).ok();
        let (Some(mapped), Some(from), Some(to)) = (self.mapped.get(), at(start), at(end)) else {
            return Ok(None);
        };
        if from > to || to > mapped.len() {
            return Ok(None);
        }
        let slice = mapped.slice(from..to);
        self.file.populate(&slice)?;
        Ok(Some(slice))
    }

    /// `size_bytes` bytes at `position`, from the mapping if there is one. May block on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn read(&self, position: u64, size_bytes: usize) -> io::Result<Bytes> {
        if let Some(end) = position.checked_add(size_bytes as u64)
            && let Some(slice) = self.mapped(position, end)?
        {
            return Ok(slice);
        }
        let mut into = vec![0; size_bytes];
        self.file.read_at(&mut into, self.offset(position))?;
        Ok(into.into())
    }
}

/// Creates the segment that begins at `start`; its name is durable when this returns.
///
/// # Errors
/// Whatever the disk says. It may be tried again.
pub(crate) fn create(disk: &dyn Disk, log_dir: &Path, start: u64) -> io::Result<Arc<Segment>> {
    let path = path(log_dir, start);
    let file = match disk.open(&path, OpenMode::CreateNew) {
        // An earlier attempt got as far as the name.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.open(&path, OpenMode::ReadWrite)?
        }
        opened => opened?,
    };
    disk.sync_dir(log_dir)?;
    Ok(Arc::new(Segment::new(start, path, file)))
}

/// The path of the segment that begins at `start`.
pub(crate) fn path(log_dir: &Path, start: u64) -> PathBuf {
    log_dir.join(name(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_nothing_else_is_one() {
        assert_eq!(name(268_435_456), "00000000000268435456");
        assert_eq!(parse_name("00000000000268435456"), Some(268_435_456));
        for other in [
            "268435456",
            "0000000000026843545x",
            "00000000000268435456.tmp",
            "99999999999999999999",
            "",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
