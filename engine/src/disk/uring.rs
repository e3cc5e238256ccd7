//! The io_uring writer: one write in flight while the caller prepares the next group. One of the two places with unsafe
//! code.
//!
//! The kernel reads a group's memory from the moment the write is submitted until its completion has been seen. That nobody
//! frees or changes it meanwhile is invariant 1 of `docs/design/memory.md`. Here it is kept by three rules:
//!
//! - The writer owns the group in flight ([`Flight`]), and nothing touches it until the completion has been seen. Its
//!   memory is on the heap, so it stays where it is when the writer moves.
//! - Nothing gives that memory back early: `finish` and `drop` wait for the completion first. Should waiting itself fail,
//!   the memory is leaked. (A leaked writer leaks its group with it.)
//! - The ring holds at most one entry, that of the group in flight. An entry that the kernel has not taken is never
//!   submitted later: the ring that holds it is closed at once, and the writer answers with errors from then on.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use io_uring::{IoUring, opcode, types};
use rustix::io::{Errno, ReadWriteFlags};

use super::blocking::write_synced;
use super::std_disk::{StdFile, probe};
use super::{AlignedBuf, BLOCK_SIZE_BYTES, DiskFile, GroupWriter, nothing_in_flight, resume_at};

/// The longest single write; a group above this takes several, one after the other.
const WRITE_SIZE_MAX: usize = 1 << 30;

/// How often the kernel may ask for a write to be tried again before that is taken for a failure.
const ATTEMPTS_MAX: u32 = 100;

/// Writes groups past the page cache, each durable when its completion arrives.
#[derive(Debug)]
pub(super) struct UringWriter {
    /// `None` after the ring failed.
    ring: Option<Ring>,
    flight: Option<Flight>,
}

/// The group that was started and not finished.
#[derive(Debug)]
struct Flight {
    file: Arc<dyn DiskFile>,
    position: u64,
    group: AlignedBuf,
    /// Bytes of the group that have been written.
    written: usize,
    attempts: u32,
    /// `None` as long as the kernel may be reading the group.
    outcome: Option<io::Result<()>>,
}

impl UringWriter {
    /// A writer that has been seen to work in `dir`.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let mut writer = Self {
            ring: Some(Ring::new()?),
            flight: None,
        };
        probe(dir, &mut writer)?;
        Ok(writer)
    }

    /// Submits what is left of the group in flight. Sets its outcome if that fails.
    fn submit(&mut self) {
        let Some(flight) = &mut self.flight else { return };
        let Some(ring) = &mut self.ring else {
            flight.outcome = Some(Err(broken()));
            return;
        };
        let submitted = match StdFile::of(flight.file.as_ref()).map(StdFile::direct) {
            Some(Ok(direct)) => ring.submit(direct, flight),
            // Without a second descriptor (too many open files, say) the first one still serves.
            Some(Err(_)) | None => {
                let rest = &flight.group.as_slice()[flight.written..];
                let position = flight.position + flight.written as u64;
                flight.outcome = Some(write_synced(flight.file.as_ref(), rest, position));
                return;
            }
        };
        if let Err(error) = submitted {
            flight.outcome = Some(Err(error));
            // It may still hold the entry.
            self.ring = None;
        }
    }

    /// Waits until the group in flight has an outcome.
    fn wait(&mut self) {
        while let Some(flight) = self.flight.as_mut().filter(|flight| flight.outcome.is_none()) {
            let Some(ring) = &mut self.ring else {
                flight.outcome = Some(Err(broken()));
                return;
            };
            match ring.wait() {
                Ok(result) => {
                    if flight.completed(result) {
                        self.submit();
                    }
                }
                Err(error) => {
                    // The kernel may be reading the group for who knows how long: it keeps that memory, the caller gets
                    // other memory with the same bytes.
                    let mut copy = AlignedBuf::with_capacity(flight.group.capacity());
                    copy.extend_from_slice(flight.group.as_slice());
                    mem::forget(mem::replace(&mut flight.group, copy));
                    flight.outcome = Some(Err(error));
                    self.ring = None;
                }
            }
        }
    }
}

impl Flight {
    /// Takes in the result of one write. Whether there is more to write.
    fn completed(&mut self, result: i32) -> bool {
        let Ok(count) = usize::try_from(result) else {
            let errno = Errno::from_raw_os_error(result.wrapping_neg());
            self.attempts += 1;
            if matches!(errno, Errno::INTR | Errno::AGAIN) && self.attempts < ATTEMPTS_MAX {
                return true;
            }
            self.outcome = Some(Err(errno.into()));
            return false;
        };
        match resume_at(self.written, count) {
            Ok(written) => self.written = written,
            Err(error) => {
                self.outcome = Some(Err(error));
                return false;
            }
        }
        if self.written >= self.group.len() {
            self.outcome = Some(Ok(()));
        }
        self.outcome.is_none()
    }
}

impl GroupWriter for UringWriter {
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf) {
        // A caller that starts twice loses the first outcome, not the memory.
        self.wait();
        let outcome = if group.is_empty() { Some(Ok(())) } else { None };
        let file = Arc::clone(file);
        let pending = outcome.is_none();
        self.flight = Some(Flight {
            file,
            position,
            group,
            written: 0,
            attempts: 0,
            outcome,
        });
        if pending {
            self.submit();
        }
    }

    fn finish(&mut self) -> (AlignedBuf, io::Result<()>) {
        self.wait();
        match self.flight.take() {
            Some(Flight { group, outcome, .. }) => (group, outcome.unwrap_or_else(|| Err(broken()))),
            None => nothing_in_flight(),
        }
    }

    fn describe(&self) -> String {
        "io_uring, O_DIRECT + DSYNC".to_owned()
    }
}

impl Drop for UringWriter {
    fn drop(&mut self) {
        self.wait();
    }
}

/// A submission queue of one entry and its completions.
struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    fn new() -> io::Result<Self> {
        // Completions need not interrupt a thread that is encoding: it looks when it is ready. Kernels before 5.19 don't
        // know the flag. The stronger DEFER_TASKRUN would tie the writer to the thread that made it, and with one write in
        // flight the difference drowns in that of the disk.
        let ring = IoUring::builder()
            .setup_coop_taskrun()
            .build(1)
            .or_else(|_| IoUring::new(1))?;
        Ok(Self(ring))
    }

    /// Hands what is left of the group to the kernel. After an error the kernel has not taken it, but the queue may hold it.
    fn submit(&mut self, direct: &File, flight: &Flight) -> io::Result<()> {
        let rest = &flight.group.as_slice()[flight.written..];
        let rest = &rest[..rest.len().min(WRITE_SIZE_MAX)];
        debug_assert_eq!(rest.as_ptr().addr() % BLOCK_SIZE_BYTES, 0);
        // WRITE_SIZE_MAX fits.
        let write = opcode::Write::new(types::Fd(direct.as_raw_fd()), rest.as_ptr(), rest.len() as u32)
            .offset(flight.position + flight.written as u64)
            .rw_flags(ReadWriteFlags::DSYNC.bits() as i32)
            .build();
        let mut queue = self.0.submission();
        // SAFETY: `rest` is memory of the group in flight, which neither moves nor is freed or written to before the
        // completion has been seen (docs/design/memory.md, 1, and the rules above); the descriptor belongs to a file that
        // the flight keeps open.
        unsafe { queue.push(&write) }.map_err(|_| broken())?;
        drop(queue);
        let mut attempts = 0;
        loop {
            let result = self.0.submit();
            // Whatever the call returned: once the queue is empty the kernel has the entry, and will complete it.
            if self.0.submission().is_empty() {
                return Ok(());
            }
            attempts += 1;
            match result {
                Ok(_) if attempts < ATTEMPTS_MAX => {}
                Ok(_) => return Err(broken()),
                Err(error) if attempts < ATTEMPTS_MAX && again(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the one completion: the number of bytes written, or a negated error number.
    fn wait(&mut self) -> io::Result<i32> {
        loop {
            if let Some(completion) = self.0.completion().next() {
                return Ok(completion.result());
            }
            match self.0.submit_and_wait(1) {
                Err(error) if !again(&error) => return Err(error),
                _ => {}
            }
        }
    }
}

fn again(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
}

fn broken() -> io::Error {
    io::Error::other("the ring failed earlier")
}

#[cfg(test)]
mod tests;
