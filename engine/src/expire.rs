//! Retention: which of the oldest segments go, and how they do without anything being lost that still means something.
//!
//! ```text
//!  what is too old, too much, or in the way of a full disk          policy, on the thread that seals
//!    --> the embedder is asked what it still needs of it            it may append that anew, and be asked again
//!    --> both checkpoints go on behind it                           so neither ever needs a record that is gone
//!    --> one after the other, oldest first:
//!          unlink, sync the folder --> queues begin later --> index, segment, memory forgotten --> index file unlinked
//! ```
//!
//! A crash between any two of these leaves a log that begins at some segment, and two checkpoints that go on at or behind its
//! beginning. Where queues begin is kept in the checkpoint; if the log begins later than it says, the indexes tell, see
//! [`QueueIndex::find_floors`](crate::index::QueueIndex::find_floors). The folder is synced after each unlink, so that no crash leaves
//! a gap. Readers that have a segment's bytes keep them: the file is unlinked, and freed when the last slice of it is gone.

use std::io;
use std::sync::Arc;

use crate::error::ExpireError;
use crate::limits::{FULL_FREE_SIZE_BYTES, SEGMENTS_EXPIRED_AT_ONCE_MAX};
use crate::log::mark::MARK_SIZE_BYTES;
use crate::log::pending::Shut;
use crate::record::{Peek, RecordView, peek_size};
use crate::segment::{self, Segment};
use crate::shared::Shared;
use crate::view::checkpoint::Checkpoint;

/// What is kept. The default keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// A segment goes when its youngest record is older than this, in milliseconds of store time.
    pub age_ms_max: Option<i64>,
    /// The oldest segments go while the commit log is longer than this.
    pub size_bytes_max: Option<u64>,
    /// The oldest segments go, whatever their age, while more than this much of the volume is used, in percent. If it is really full,
    /// so that messages are refused, the oldest goes until they are not.
    pub disk_percent_max: Option<u8>,
    /// So much of the newest part of the log is not given up because of [`Retention::disk_percent_max`] as long as the volume is not
    /// really full: what others fill is not emptied by forgetting a short log.
    pub kept_size_bytes_min: u64,
}

/// Why segments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Why {
    /// They are older than is kept.
    Age,
    /// The log is longer than is kept.
    Size,
    /// The volume is fuller than it may be.
    Disk,
}

/// What is about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Going {
    /// Everything before this position.
    pub below: u64,
    /// For the strongest of the reasons there are: the last one that [`Why`] lists.
    pub why: Why,
    /// How much of the volume is used, in percent, if the disk says.
    pub disk_percent: Option<u8>,
    /// Whether messages are refused because the disk is full.
    pub is_full: bool,
}

/// What an expiry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Segments that were removed.
    pub segments: usize,
    /// How long they were, in bytes of log.
    pub size_bytes: u64,
    /// Where the log begins now.
    pub first_position: u64,
    /// What was to go; `None` if nothing was.
    pub going: Option<Going>,
    /// Whether some of that is still needed, and stays until it is asked for again.
    pub held: bool,
}

/// Whoever gives meaning to the log, and is asked before a part of it goes.
pub trait Expiry: Send + 'static {
    /// Says before which position nothing is needed any more; what lies between that and `going.below` stays. What the
    /// answer rests on must be durable.
    ///
    /// Runs on the engine's thread for such work, or inside [`crate::Engine::pump`]. It may block, read and append; it must neither
    /// pump nor close.
    fn may_go(&mut self, going: &Going) -> u64;

    /// Told what came of it, in the same place.
    fn done(self: Box<Self>, outcome: Result<Expired, ExpireError>);
}

/// For those who need nothing of what expires.
impl<F: FnOnce(Result<Expired, ExpireError>) + Send + 'static> Expiry for F {
    fn may_go(&mut self, going: &Going) -> u64 {
        going.below
    }

    fn done(self: Box<Self>, outcome: Result<Expired, ExpireError>) {
        self(outcome);
    }
}

/// One look at what is to go.
pub(crate) struct Expire {
    pub(crate) retention: Retention,
    pub(crate) now_ms: i64,
    pub(crate) expiry: Box<dyn Expiry>,
}

impl std::fmt::Debug for Expire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expire")
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

impl Expire {
    /// Does it. For the thread that seals segments and writes their checkpoints.
    pub(crate) fn run(mut self, shared: &Shared) {
        let outcome = self.expire(shared);
        self.expiry.done(outcome);
    }

    fn expire(&mut self, shared: &Shared) -> Result<Expired, ExpireError> {
        refuse_if_shut(shared)?;
        let mut expired = Expired {
            segments: 0,
            size_bytes: 0,
            first_position: shared.segments.first_position(),
            going: None,
            held: false,
        };
        let segments = shared.segments.all();
        let Some(going) = self.going(shared, &segments) else {
            return Ok(expired);
        };
        let may_go = self.expiry.may_go(&going);
        let below = may_go.min(going.below);
        expired.going = Some(going);
        expired.held = below < going.below;
        let end_of = |segment: &Segment| segment.start + shared.segment_size_bytes;
        let leaving: Vec<_> = segments
            .iter()
            .take_while(|segment| end_of(segment) <= below)
            .collect();
        let Some(last) = leaving.last() else {
            return Ok(expired);
        };
        // What was appended in the place of what goes has to outlast it.
        if !shared.secure() {
            refuse_if_shut(shared)?;
        }
        shared.let_both_checkpoints_go_on_from(end_of(last))?;
        for segment in leaving {
            shared.remove_segment(segment)?;
            expired.segments += 1;
            expired.size_bytes += shared.segment_size_bytes;
            expired.first_position = shared.segments.first_position();
        }
        Ok(expired)
    }

    /// What is to go: whole segments, oldest first, that the newest checkpoint does not need; never the live one.
    fn going(&self, shared: &Shared, segments: &[Arc<Segment>]) -> Option<Going> {
        let size = shared.segment_size_bytes;
        let checkpointed = shared.checkpoints().newest();
        let sealed = segments
            .iter()
            .take(segments.len().saturating_sub(1))
            .take_while(|segment| segment.start + size <= checkpointed)
            .take(SEGMENTS_EXPIRED_AT_ONCE_MAX)
            .count();
        let tail = shared.durable.position();
        let disk = DiskUse::of(shared);
        let mut excess_bytes = disk.map_or(0, |disk| self.excess_bytes(disk));
        let is_full = self.retention.disk_percent_max.is_some()
            && shared.is_full()
            && disk.is_none_or(|disk| disk.free_bytes < FULL_FREE_SIZE_BYTES);
        let mut going = None;
        for (at, segment) in segments.iter().take(sealed).enumerate() {
            let end = segment.start + size;
            let is_first = at == 0;
            let why = if is_full && is_first
                || excess_bytes > 0 && tail.saturating_sub(end) >= self.retention.kept_size_bytes_min
            {
                Why::Disk
            } else if self
                .retention
                .size_bytes_max
                .is_some_and(|max| tail.saturating_sub(segment.start) > max)
            {
                Why::Size
            } else if self.is_old(shared, segments.get(at + 1)) {
                Why::Age
            } else {
                break;
            };
            let file_bytes = segment.file.size_bytes().unwrap_or(size);
            excess_bytes = excess_bytes.saturating_sub(file_bytes);
            going = Some(Going {
                below: end,
                why: going.map_or(why, |before: Going| before.why.max(why)),
                disk_percent: disk.map(DiskUse::percent),
                is_full,
            });
        }
        going
    }

    /// How much must go so that the volume is not fuller than it may be.
    fn excess_bytes(&self, disk: DiskUse) -> u64 {
        let Some(percent) = self.retention.disk_percent_max else {
            return 0;
        };
        let allowed = u128::from(disk.total_bytes) * u128::from(percent) / 100;
        let used = disk.total_bytes.saturating_sub(disk.free_bytes);
        used.saturating_sub(u64::try_from(allowed).unwrap_or(u64::MAX))
    }

    /// Whether all records before `next` are too old: none is younger than its first.
    fn is_old(&self, shared: &Shared, next: Option<&Arc<Segment>>) -> bool {
        let (Some(age_ms), Some(next)) = (self.retention.age_ms_max, next) else {
            return false;
        };
        shared
            .first_store_ms(next)
            .is_some_and(|first_ms| self.now_ms.saturating_sub(first_ms) >= age_ms)
    }
}

fn refuse_if_shut(shared: &Shared) -> Result<(), ExpireError> {
    match shared.pending.why_shut() {
        Some(Shut::Stopped(reason)) => Err(ExpireError::Stopped(reason)),
        Some(Shut::Closed) => Err(ExpireError::Closed),
        None => Ok(()),
    }
}

/// How full a volume is.
#[derive(Debug, Clone, Copy)]
struct DiskUse {
    free_bytes: u64,
    total_bytes: u64,
}

impl DiskUse {
    /// That of the log; `None` if the disk does not say.
    fn of(shared: &Shared) -> Option<Self> {
        let dir = &shared.layout.log;
        Some(Self {
            free_bytes: shared.disk.free_bytes(dir).ok()?,
            total_bytes: shared.disk.total_bytes(dir).ok()?,
        })
    }

    fn percent(self) -> u8 {
        let used = u128::from(self.total_bytes.saturating_sub(self.free_bytes));
        let percent = used * 100 / u128::from(self.total_bytes.max(1));
        u8::try_from(percent).unwrap_or(100)
    }
}

impl Shared {
    /// When the first record of a segment was stored; `None` if that cannot be told. May block on the disk.
    pub(crate) fn first_store_ms(&self, segment: &Segment) -> Option<i64> {
        if let Some(first_ms) = segment.first_store_ms.get() {
            return Some(*first_ms);
        }
        // Behind the mark of the first group, and that of a batch if it begins with one.
        let first = segment.start + MARK_SIZE_BYTES;
        let first_ms = self
            .store_ms_at(segment, first)
            .or_else(|| self.store_ms_at(segment, first + MARK_SIZE_BYTES))?;
        Some(*segment.first_store_ms.get_or_init(|| first_ms))
    }

    fn store_ms_at(&self, segment: &Segment, position: u64) -> Option<i64> {
        let end = self
            .durable
            .position()
            .min(segment.start + self.segment_size_bytes);
        let read = |size: u64| {
            let is_inside = position.checked_add(size).is_some_and(|read_end| read_end <= end);
            is_inside.then(|| segment.read(position, usize::try_from(size).ok()?).ok())?
        };
        let Peek::Message(size) = peek_size(&read(8)?) else {
            return None;
        };
        let bytes = read(size.into())?;
        let record = RecordView::parse(&bytes).ok()?;
        record.verify_own(position).ok()?;
        Some(record.store_ms())
    }

    /// Sees to it that no checkpoint needs a record before `position`, which the newest one does not: what it says is then written
    /// in the place of the other.
    fn let_both_checkpoints_go_on_from(&self, position: u64) -> Result<(), ExpireError> {
        if self.checkpoints().needed_from() >= position {
            return Ok(());
        }
        let dir = &self.layout.root;
        let whole = Checkpoint::read(self.disk.as_ref(), dir)
            .map_err(|(path, error)| ExpireError::io("read the checkpoint", path)(error))?;
        let newest = whole
            .into_iter()
            .next()
            .filter(|newest| newest.position >= position);
        let Some(mut newest) = newest else {
            let gone = io::Error::new(io::ErrorKind::InvalidData, "it is damaged by now");
            return Err(ExpireError::io("read the newest checkpoint in", dir)(gone));
        };
        self.write_checkpoint(&mut newest)
            .map_err(ExpireError::io("write the checkpoint", newest.path(dir)))
    }

    /// Removes the oldest segment, for good before it is forgotten.
    fn remove_segment(&self, segment: &Segment) -> Result<(), ExpireError> {
        match self.disk.remove(&segment.path) {
            // An earlier attempt got so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(ExpireError::io("remove", &segment.path))?,
        }
        let log = &self.layout.log;
        self.disk.sync_dir(log).map_err(ExpireError::io("sync", log))?;
        self.index.expire(segment.start);
        self.segments.remove_first(segment.start);
        self.tail_cache
            .forget_before(segment.start + self.segment_size_bytes);
        self.remove_index(segment.start);
        Ok(())
    }

    /// Removes the index file of a segment that is gone. The next open removes what this could not.
    pub(crate) fn remove_index(&self, segment_start: u64) {
        let path = self.layout.index.join(segment::name(segment_start));
        if let Err(error) = self.disk.remove(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(file = %path.display(), %error, "the index of a segment that is gone cannot be removed; the next start does");
        }
    }
}
