//! Going through the log itself, record by record in the order in which they were stored: behind its tail, or up to where it was at
//! one moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Engine, magic};
use crate::error::ReadError;
use crate::index::IndexEntry;
use crate::limits::APPEND_SIZE_BYTES_MAX;
use crate::log::mark::{MARK_SIZE_BYTES, Mark};
use crate::record::{Peek, RecordError, peek_size};
use crate::segment::Segment;

/// What the size and the magic of a record take.
const HEAD: usize = 8;

/// Goes through the log in its order, and waits at its end for more. Made by [`Engine::follow`].
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use kourou_engine::{Engine, NoView, Options, Threads, clock::SystemClock, disk::sim::SimDisk};
/// # use kourou_engine::record::{RecordDraft, RecordView};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut options = Options::new("/store");
/// # options.threads = Threads::Manual;
/// # let engine = Engine::open(options, Arc::new(SimDisk::new()), Arc::new(SystemClock), Arc::new(NoView))?;
/// let mut follow = engine.follow(engine.watermark());
/// engine.append_blocking(RecordDraft::new("orders", 0, b"one").encode()?)?;
/// let bytes = follow.next(Duration::from_secs(1))?.ok_or("nothing came")?;
/// assert_eq!(RecordView::parse(&bytes)?.body(), b"one");
/// assert_eq!(follow.next(Duration::ZERO)?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Follow {
    engine: Engine,
    position: u64,
}

impl Follow {
    /// The next record, of any topic, state records included; waits for one at most `timeout`, and may block on the disk besides.
    /// `None` if none came.
    ///
    /// A record that is damaged is an error each time, until [`Follow::skip_to`] goes on elsewhere.
    ///
    /// # Errors
    /// See [`ReadError`]. `Outside` if what would be next has expired; the log begins at [`Engine::first_position`] then.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Bytes>, ReadError> {
        // Marks are below the watermark together with what follows them, so this waits once at most.
        if self.engine.watermark() <= self.position {
            self.engine.wait_for(self.position, timeout);
        }
        while self.position < self.engine.watermark() {
            match self.engine.step_at(self.position)? {
                Step::Skip(size_bytes) => self.position += size_bytes,
                Step::Record(size_bytes) => {
                    let record = self.engine.read(self.position, size_bytes)?;
                    self.engine.check_record(self.position, &record)?;
                    self.position += u64::from(size_bytes);
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }

    /// Where it goes on: behind the record that came last. Good for another [`Engine::follow`], in another life of the store, too.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at `position`, where a record or a mark must begin: at the position of an [`Appended`](crate::Appended) or of an
    /// [`IndexEntry`], at the beginning of the log or at the watermark.
    pub fn skip_to(&mut self, position: u64) {
        self.position = position;
    }
}

/// The log as it was at one moment: everything that was durable then and had not expired, and nothing that came later. Made by
/// [`Engine::snapshot`].
///
/// Segments that expire meanwhile stay readable here, and keep their space on the disk, until this is dropped.
#[derive(Debug)]
pub struct Snapshot {
    engine: Engine,
    segments: Vec<Arc<Segment>>,
    first: u64,
    end: u64,
}

impl Snapshot {
    /// Where the log began.
    pub fn first_position(&self) -> u64 {
        self.first
    }

    /// Where it ended.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// All records, in the log's order. Each step may block on the disk. After an error there are no more.
    pub fn records(&self) -> Records<'_> {
        Records {
            snapshot: self,
            position: self.first,
        }
    }

    /// Adds the entries of a queue that were readable then, as [`Engine::entries`] does. Those of segments that expired meanwhile
    /// are in no index any more, and are left out.
    pub fn entries(
        &self,
        topic: &str,
        queue_id: u32,
        from: u64,
        max_count: usize,
        out: &mut Vec<IndexEntry>,
    ) {
        let before = out.len();
        self.engine.entries(topic, queue_id, from, max_count, out);
        let of_then = out[before..].partition_point(|entry| entry.position < self.end);
        out.truncate(before + of_then);
    }

    fn bytes(&self, position: u64, size_bytes: usize) -> Result<Bytes, ReadError> {
        let outside = || ReadError::Outside {
            position,
            first: self.first,
            end: self.end,
        };
        if position + size_bytes as u64 > self.end {
            return Err(outside());
        }
        let after = self.segments.partition_point(|segment| segment.start <= position);
        let segment = after.checked_sub(1).and_then(|at| self.segments.get(at));
        let segment = segment.ok_or_else(outside)?;
        segment
            .read(position, size_bytes)
            .map_err(|source| ReadError::Io {
                file: segment.path.clone(),
                offset: segment.offset(position),
                source,
            })
    }

    fn next(&self, position: &mut u64) -> Result<Option<Bytes>, ReadError> {
        while *position < self.end {
            let head = self.bytes(*position, HEAD)?;
            match step(&head).ok_or_else(|| self.engine.no_record(*position, &head))? {
                Step::Skip(size_bytes) => *position += size_bytes,
                Step::Record(size_bytes) => {
                    let record = self.bytes(*position, size_bytes as usize)?;
                    self.engine.check_record(*position, &record)?;
                    *position += u64::from(size_bytes);
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }
}

/// The records of a [`Snapshot`].
#[derive(Debug)]
pub struct Records<'a> {
    snapshot: &'a Snapshot,
    position: u64,
}

impl Iterator for Records<'_> {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.snapshot.next(&mut self.position);
        if next.is_err() {
            self.position = self.snapshot.end;
        }
        next.transpose()
    }
}

/// What begins at a position.
enum Step {
    /// A record of this size.
    Record(u32),
    /// A mark, or the rest of a segment.
    Skip(u64),
}

fn step(head: &[u8]) -> Option<Step> {
    match peek_size(head) {
        Peek::Message(size) if u64::from(size) <= APPEND_SIZE_BYTES_MAX => Some(Step::Record(size)),
        Peek::Blank(size) => Some(Step::Skip(size.into())),
        _ if Mark::announced_by(head) => Some(Step::Skip(MARK_SIZE_BYTES)),
        _ => None,
    }
}

impl Engine {
    /// Follows the log from `position` on, where a record or a mark must begin: its beginning, its watermark, or the position of a
    /// record. See [`Follow::next`].
    pub fn follow(&self, position: u64) -> Follow {
        Follow {
            engine: self.clone(),
            position,
        }
    }

    /// Waits until a queue has a readable record at `offset` or behind it, at most `timeout`; whether it has. For those who follow one
    /// queue; [`Engine::entries`] then has it.
    pub fn wait_for_queue(&self, topic: &str, queue_id: u32, offset: u64, timeout: Duration) -> bool {
        let clock = &self.inner.shared.clock;
        let until_ms = clock
            .elapsed_ms()
            .saturating_add(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
        loop {
            // Before the queue is looked at: what is stored after that ends the wait.
            let seen = self.watermark();
            let is_there = |range: crate::QueueRange| range.max > offset;
            if self.queue_range(topic, queue_id).is_some_and(is_there) {
                return true;
            }
            let left_ms = until_ms.saturating_sub(clock.elapsed_ms());
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else {
                return false;
            };
            if self.wait_for(seen, Duration::from_millis(left_ms)) <= seen {
                return false;
            }
        }
    }

    /// The log as it is now, for those who want to see one state of it while it goes on.
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.inner.shared;
        // In this order: what lies below the watermark is in a segment that is there.
        let end = shared.durable.position();
        let segments = shared.segments.all();
        Snapshot {
            engine: self.clone(),
            first: segments.first().map_or(end, |segment| segment.start).min(end),
            segments,
            end,
        }
    }

    /// What begins at `position`. May block on the disk.
    fn step_at(&self, position: u64) -> Result<Step, ReadError> {
        let head = match self.inner.shared.tail_cache.slice(position, HEAD) {
            Some(head) => head,
            None => self.read_bytes(position, HEAD)?,
        };
        step(&head).ok_or_else(|| self.no_record(position, &head))
    }

    fn no_record(&self, position: u64, head: &[u8]) -> ReadError {
        self.corrupt(position, RecordError::BadMagic { found: magic(head) })
    }
}
