//! What a file holds: pages in memory over what has reached the backing file.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

const PAGE_BYTES: u64 = 4096;
const PAGE_LEN: usize = PAGE_BYTES as usize;

/// How much of one file may be in memory; a write beyond that is refused as a full disk refuses it.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// A page that the backing file does not have.
#[derive(Debug)]
struct Page {
    bytes: Box<[u8; PAGE_LEN]>,
    /// Whether the next sync writes it. A page whose sync has failed is not written again until it is written to.
    dirty: bool,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Contents {
    backing: File,
    pages: BTreeMap<u64, Page>,
    size_bytes: u64,
    /// How many of its syncs were made to fail.
    failures: u64,
}

impl Contents {
    pub(crate) fn new(backing: File) -> io::Result<Self> {
        let size_bytes = backing.metadata()?.len();
        Ok(Self {
            backing,
            pages: BTreeMap::new(),
            size_bytes,
            failures: 0,
        })
    }

    /// What the backing folder says of the file; its length is only that which is durable.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.backing.metadata()
    }

    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What is at `position`, at most `len` bytes, less at the end of the file.
    pub(crate) fn read(&self, position: u64, len: u64) -> io::Result<Vec<u8>> {
        let end = position.saturating_add(len).min(self.size_bytes);
        let mut found = Vec::new();
        let mut at = position;
        while at < end {
            let page = self.page(at / PAGE_BYTES)?;
            let (from, to) = within(at, end);
            found.extend_from_slice(&page[from..to]);
            at += (to - from) as u64;
        }
        Ok(found)
    }

    /// Keeps the bytes in memory.
    pub(crate) fn write(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let end = position.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        if (self.pages.len() * PAGE_LEN + bytes.len()) as u64 > MEMORY_BYTES_MAX {
            return Err(Errno::NOSPC.into());
        }
        let (mut at, mut rest) = (position, bytes);
        while at < end {
            let (from, to) = within(at, end);
            let number = at / PAGE_BYTES;
            let mut page = match self.pages.remove(&number) {
                Some(page) => page.bytes,
                None => self.page(number)?,
            };
            let (now, later) = rest.split_at(to - from);
            page[from..to].copy_from_slice(now);
            self.pages.insert(
                number,
                Page {
                    bytes: page,
                    dirty: true,
                },
            );
            (at, rest) = (at + now.len() as u64, later);
        }
        self.size_bytes = self.size_bytes.max(end);
        Ok(())
    }

    /// Brings what was written to the backing file. The disk below is not synced: it is asked to survive processes only.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let dirty: Vec<u64> = self
            .pages
            .iter()
            .filter(|(_, page)| page.dirty)
            .map(|(number, _)| *number)
            .collect();
        for number in dirty {
            let Some(page) = self.pages.get(&number) else {
                continue;
            };
            let position = number * PAGE_BYTES;
            let (from, to) = within(position, self.size_bytes);
            self.backing.write_all_at(&page.bytes[from..to], position)?;
            self.pages.remove(&number);
        }
        if self.backing.metadata()?.len() != self.size_bytes {
            self.backing.set_len(self.size_bytes)?;
        }
        Ok(())
    }

    /// How many of its syncs failed so far.
    pub(crate) const fn failures(&self) -> u64 {
        self.failures
    }

    /// What a failed sync does: the pages can be read, and no sync writes them any more. Returns how many bytes that concerns.
    pub(crate) fn lose_unsynced(&mut self) -> u64 {
        self.failures += 1;
        let mut lost = 0;
        for page in self.pages.values_mut().filter(|page| page.dirty) {
            page.dirty = false;
            lost += PAGE_BYTES;
        }
        lost
    }

    /// Sets the length, durably.
    pub(crate) fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.backing.set_len(size_bytes)?;
        let whole = size_bytes.div_ceil(PAGE_BYTES);
        self.pages.retain(|number, _| *number < whole);
        let rest = (size_bytes % PAGE_BYTES) as usize;
        if rest > 0
            && let Some(page) = self.pages.get_mut(&(whole - 1))
        {
            page.bytes[rest..].fill(0);
        }
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// The page as it is to be read, with zeros behind the end of the file.
    fn page(&self, number: u64) -> io::Result<Box<[u8; PAGE_LEN]>> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page.bytes.clone());
        }
        let mut bytes = Box::new([0; PAGE_LEN]);
        let mut filled = 0;
        while filled < PAGE_LEN {
            let at = number * PAGE_BYTES + filled as u64;
            match self.backing.read_at(&mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// The part of the page at `position` that lies before `end`.
fn within(position: u64, end: u64) -> (usize, usize) {
    let from = position % PAGE_BYTES;
    let to = PAGE_BYTES.min(from + end.saturating_sub(position));
    (from as usize, to as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::NamedTempFile, Contents) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let contents = Contents::new(file.reopen().unwrap()).unwrap();
        (file, contents)
    }

    fn backing(file: &tempfile::NamedTempFile) -> Vec<u8> {
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_at_once_and_is_below_after_a_sync() {
        let (file, mut contents) = file();
        contents.write(4090, b"across a page").unwrap();
        assert_eq!(contents.read(4090, 100).unwrap(), b"across a page");
        assert_eq!(contents.read(4095, 3).unwrap(), b"s a");
        assert_eq!(backing(&file), b"");
        contents.sync().unwrap();
        assert_eq!(&backing(&file)[4090..], b"across a page");
        assert_eq!(contents.read(0, 4103).unwrap(), backing(&file));
    }

    #[test]
    fn what_a_failed_sync_lost_can_be_read_and_no_later_sync_brings_it() {
        let (file, mut contents) = file();
        contents.write(0, &[1; 8192]).unwrap();
        contents.sync().unwrap();
        contents.write(0, &[2; 10]).unwrap();
        assert_eq!(contents.lose_unsynced(), 4096);
        contents.write(4096, &[3; 10]).unwrap();
        contents.sync().unwrap();
        assert_eq!(contents.read(0, 10).unwrap(), [2; 10]);
        assert_eq!(backing(&file)[..10], [1; 10]);
        assert_eq!(backing(&file)[4096..4106], [3; 10]);
        // A page that is written again goes down as it is, what was lost included.
        contents.write(10, &[4; 1]).unwrap();
        contents.sync().unwrap();
        assert_eq!(backing(&file)[..11], [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4]);
    }

    #[test]
    fn a_shorter_file_has_zeros_where_it_grows_again() {
        let (file, mut contents) = file();
        contents.write(0, &[1; 5000]).unwrap();
        contents.set_size(10).unwrap();
        assert_eq!(backing(&file).len(), 10);
        contents.set_size(6000).unwrap();
        assert_eq!(contents.read(0, 20).unwrap(), [[1; 10], [0; 10]].concat());
        contents.sync().unwrap();
        assert_eq!(backing(&file)[..20], [[1; 10], [0; 10]].concat());
        assert_eq!(backing(&file).len(), 6000);
    }
}
