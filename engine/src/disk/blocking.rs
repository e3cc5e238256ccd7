//! The writer that needs nothing of the kernel but `pwrite`.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use super::std_disk::StdFile;
use super::{AlignedBuf, DiskFile, GroupWriter};

/// How the bytes get to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// `pwrite` past the page cache, durable before it returns.
    Direct,
    /// `pwrite` into the page cache, then `fdatasync` of the same descriptor.
    Synced,
    /// `pwrite` into the page cache, and no more.
    Relaxed,
}

/// Writes each group before `start` returns.
#[derive(Debug)]
pub(super) struct BlockingWriter {
    route: Route,
    /// Why it is this one and not a better one, if that was not the caller's choice.
    because: Option<String>,
    done: Option<(AlignedBuf, io::Result<()>)>,
}

impl BlockingWriter {
    pub(super) fn new(route: Route, because: Option<String>) -> Self {
        Self {
            route,
            because,
            done: None,
        }
    }
}

impl GroupWriter for BlockingWriter {
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf) {
        let result = match self.route {
            Route::Direct => write_direct(file.as_ref(), group.as_slice(), position),
            Route::Synced => write_synced(file.as_ref(), group.as_slice(), position),
            Route::Relaxed => file.write_at(group.as_slice(), position),
        };
        self.done = Some((group, result));
    }

    fn finish(&mut self) -> (AlignedBuf, io::Result<()>) {
        self.done.take().unwrap_or_else(super::nothing_in_flight)
    }

    fn describe(&self) -> String {
        let how = match self.route {
            Route::Direct => "pwrite, O_DIRECT + DSYNC",
            Route::Synced => "pwrite + fdatasync",
            Route::Relaxed => "pwrite, not synced",
        };
        match &self.because {
            Some(why) => format!("{how} ({why})"),
            None => how.to_owned(),
        }
    }
}

/// Writes through the page cache and waits for the disk. The sync goes through the descriptor that wrote: the kernel
/// reports a failed write-back once per descriptor, and another one might miss it.
pub(super) fn write_synced(file: &dyn DiskFile, bytes: &[u8], position: u64) -> io::Result<()> {
    file.write_at(bytes, position)?;
    file.sync()
}

/// Writes past the page cache, durable when it returns.
pub(super) fn write_direct(file: &dyn DiskFile, bytes: &[u8], position: u64) -> io::Result<()> {
    match StdFile::of(file).map(StdFile::direct) {
        Some(Ok(direct)) => write_all(direct, bytes, position),
        // Without a second descriptor (too many open files, say) the first one still serves.
        Some(Err(_)) | None => write_synced(file, bytes, position),
    }
}

fn write_all(direct: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let rest = [IoSlice::new(&bytes[written..])];
        match pwritev2(direct, &rest, position + written as u64, ReadWriteFlags::DSYNC) {
            Ok(count) => written = super::resume_at(written, count)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
