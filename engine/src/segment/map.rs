//! Mapping sealed files for reading: one of the two places with unsafe code.
//!
//! It rests on invariants 3 to 6 of `docs/design/memory.md`: a mapped file is sealed and only ever unlinked, and its mapping is
//! owned by the [`Bytes`] that are handed out. That no other process changes the file cannot be enforced; it is the
//! condition under which any program can map one, and the store's lock says so.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use rustix::mm::Advice;

/// Maps the first `size_bytes` of `file`.
pub(crate) fn map(file: &File, size_bytes: u64) -> io::Result<Bytes> {
    let actual_bytes = file.metadata()?.len();
    if actual_bytes < size_bytes {
        // Touching a page beyond the end would kill the process.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if size_bytes == 0 {
        return Ok(Bytes::new());
    }
    let size = usize::try_from(size_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the file is sealed and only ever unlinked (docs/design/memory.md, 3 and 4), so the bytes behind the slice
    // neither change nor go away while it lives.
    let mapping: Mmap = unsafe { MmapOptions::new().len(size).map(file) }?;
    Ok(Bytes::from_owner(mapping))
}

/// Reads the pages under `slice` into memory, so that an unreadable block is an error here and not a signal later.
/// Kernels older than 5.14 cannot; they are only asked to read ahead.
pub(crate) fn populate(slice: &Bytes) -> io::Result<()> {
    if slice.is_empty() {
        return Ok(());
    }
    match advise(slice, Advice::LinuxPopulateRead) {
        Err(rustix::io::Errno::INVAL) => Ok(advise(slice, Advice::WillNeed)?),
        // How the kernel reports a page that it could not read.
        Err(rustix::io::Errno::FAULT | rustix::io::Errno::HWPOISON) => Err(rustix::io::Errno::IO.into()),
        result => Ok(result?),
    }
}

fn advise(slice: &Bytes, advice: Advice) -> rustix::io::Result<()> {
    let page_size = rustix::param::page_size();
    let before = slice.as_ptr().addr() % page_size;
    let start = slice.as_ptr().wrapping_sub(before).cast_mut();
    // SAFETY: the range is made of pages that the slice itself lies on, so they are mapped and owned for as long as this
    // borrow lasts (docs/design/memory.md, 5). Both kinds of advice read pages in; they neither change nor discard anything.
    unsafe { rustix::mm::madvise(start.cast(), before + slice.len(), advice) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_with(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn maps_what_is_there() {
        let content: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        let bytes = map(&file_with(&content), 20_000).unwrap();
        assert_eq!(bytes, content);
        let slice = bytes.slice(5000..5003);
        populate(&slice).unwrap();
        populate(&bytes).unwrap();
        drop(bytes);
        assert_eq!(slice, content[5000..5003]);
    }

    #[test]
    fn refuses_more_than_is_there() {
        let error = map(&file_with(b"short"), 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nothing_maps_to_nothing() {
        let bytes = map(&file_with(b""), 0).unwrap();
        assert!(bytes.is_empty());
        populate(&bytes).unwrap();
    }
}
