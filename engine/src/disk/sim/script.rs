//! What goes wrong, and when: the script of a simulated disk, in numbers of its operations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::random::Random;

/// One operation that changed, or would have changed, what is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are the arguments of the operation of the same name"
)]
#[non_exhaustive]
pub enum Op {
    /// [`Disk::create_dir_all`](crate::disk::Disk::create_dir_all)
    CreateDir { dir: PathBuf },
    /// [`Disk::open`](crate::disk::Disk::open) with `CreateNew`
    Create { path: PathBuf },
    /// [`DiskFile::write_at`](crate::disk::DiskFile::write_at)
    Write {
        path: PathBuf,
        position: u64,
        size_bytes: usize,
    },
    /// A group of a [`GroupWriter`](crate::disk::GroupWriter); it happens when `finish` is called
    Group {
        path: PathBuf,
        position: u64,
        size_bytes: usize,
    },
    /// [`DiskFile::sync`](crate::disk::DiskFile::sync)
    Sync { path: PathBuf },
    /// [`Disk::rename`](crate::disk::Disk::rename)
    Rename { from: PathBuf, to: PathBuf },
    /// [`Disk::remove`](crate::disk::Disk::remove)
    Remove { path: PathBuf },
    /// [`Disk::sync_dir`](crate::disk::Disk::sync_dir)
    SyncDir { dir: PathBuf },
}

/// How much of an operation takes place although it does not succeed. Operations on names have one part: they take place
/// whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Nothing of it.
    None,
    /// All of it; only the answer is lost.
    All,
    /// Its first sectors, this many.
    Prefix(usize),
    /// All of its sectors but the one of this number.
    Without(usize),
    /// Some of its sectors, chosen by this seed.
    Random(u64),
}

impl Tear {
    /// Which of `count` parts take place.
    pub(super) fn parts(self, count: usize) -> Vec<bool> {
        match self {
            Self::None => vec![false; count],
            Self::All => vec![true; count],
            Self::Prefix(whole) => (0..count).map(|part| part < whole).collect(),
            Self::Without(missing) => (0..count).map(|part| part != missing).collect(),
            Self::Random(seed) => {
                let mut random = Random::new(seed);
                (0..count).map(|_| random.coin()).collect()
            }
        }
    }

    pub(super) fn whole(self) -> bool {
        self.parts(1)[0]
    }
}

/// What happens to an operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Succeeds,
    /// It fails, and this much of it takes place.
    Fails(Errno, Tear),
    /// It fails and so do all after it.
    Crashes(Tear),
    /// It fails, and what it should have made durable never will be.
    Drops,
}

/// What happens to an operation that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It fails, and everything after it.
    Crash(Tear),
    /// It fails after this much of it took place. Those after it succeed.
    Fail(Errno, Tear),
    /// A sync or a group write fails and drops what it should have made durable.
    Drop,
}

/// An operation that is waited for.
struct Awaited {
    tag: u64,
    wanted: Box<dyn Fn(&Op) -> bool + Send>,
    harm: Harm,
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited")
            .field("tag", &self.tag)
            .field("harm", &self.harm)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Script {
    awaited: Vec<Awaited>,
    harmed: Vec<(u64, u64)>,
    refused: Vec<u64>,
    count: u64,
    trace: Vec<Op>,
    crash: Option<(u64, Tear)>,
    fail: BTreeMap<u64, (Errno, Tear)>,
    fail_from: Option<(u64, Errno)>,
    drop: BTreeSet<u64>,
    crashed: bool,
}

impl Script {
    pub(super) fn crash_at(&mut self, op: u64, tear: Tear) {
        self.crash = Some((op, tear));
    }

    pub(super) fn fail_at(&mut self, op: u64, errno: Errno, tear: Tear) {
        self.fail.insert(op, (errno, tear));
    }

    pub(super) fn fail_from(&mut self, from: Option<(u64, Errno)>) {
        self.fail_from = from;
    }

    pub(super) fn drop_at(&mut self, op: u64) {
        self.drop.insert(op);
    }

    pub(super) fn harm_next(&mut self, tag: u64, wanted: Box<dyn Fn(&Op) -> bool + Send>, harm: Harm) {
        self.awaited.push(Awaited { tag, wanted, harm });
    }

    pub(super) fn take_harmed(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.harmed)
    }

    /// The operation of the last number did not fit.
    pub(super) fn refuse_last(&mut self) {
        self.refused.push(self.count.saturating_sub(1));
    }

    pub(super) fn take_refused(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.refused)
    }

    pub(super) fn forget(&mut self) {
        self.awaited.clear();
        self.crash = None;
        self.fail.clear();
        self.fail_from = None;
        self.drop.clear();
    }

    pub(super) fn crash(&mut self) {
        self.crashed = true;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn trace(&self) -> &[Op] {
        &self.trace
    }

    pub(super) fn crashed(&self) -> bool {
        self.crashed
    }

    /// For operations that change nothing, and so have no number.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    /// Numbers an operation and says what becomes of it.
    pub(super) fn next(&mut self, op: Op) -> io::Result<Verdict> {
        self.check()?;
        let number = self.count;
        self.count += 1;
        let met = self.awaited.iter().position(|awaited| (awaited.wanted)(&op));
        self.trace.push(op);
        if let Some(Awaited { tag, harm, .. }) = met.map(|at| self.awaited.remove(at)) {
            self.harmed.push((tag, number));
            return Ok(match harm {
                Harm::Crash(tear) => {
                    self.crashed = true;
                    Verdict::Crashes(tear)
                }
                Harm::Fail(errno, tear) => Verdict::Fails(errno, tear),
                Harm::Drop => Verdict::Drops,
            });
        }
        if let Some((_, tear)) = self.crash.filter(|(at, _)| *at == number) {
            self.crashed = true;
            return Ok(Verdict::Crashes(tear));
        }
        if self.drop.remove(&number) {
            return Ok(Verdict::Drops);
        }
        if let Some((errno, tear)) = self.fail.remove(&number) {
            return Ok(Verdict::Fails(errno, tear));
        }
        if let Some((_, errno)) = self.fail_from.filter(|(from, _)| *from <= number) {
            return Ok(Verdict::Fails(errno, Tear::None));
        }
        Ok(Verdict::Succeeds)
    }
}

impl Verdict {
    /// How much takes place, and the answer.
    pub(super) fn outcome(self) -> (Tear, io::Result<()>) {
        match self {
            Self::Succeeds => (Tear::All, Ok(())),
            Self::Fails(errno, tear) => (tear, Err(errno.into())),
            Self::Crashes(tear) => (tear, Err(crashed())),
            Self::Drops => (Tear::None, Err(Errno::IO.into())),
        }
    }
}

pub(super) fn crashed() -> io::Error {
    io::Error::other("crashed")
}
