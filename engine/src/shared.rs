//! What the engine's handles and threads have in common.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::StopReason;
use crate::expire::Expire;
use crate::index::{Frozen, QueueIndex};
use crate::log::pending::{Pending, Shut};
use crate::log::recover::write_index;
use crate::log::tail::TailCache;
use crate::options::{Flush, Options};
use crate::planted::{self, Bug};
use crate::scrub::{Places, Scrub};
use crate::segment::Segment;
use crate::segment::ahead::Ahead;
use crate::segment::set::SegmentSet;
use crate::store::Layout;
use crate::view::checkpoint::{Checkpoint, Checkpoints, Keys};
use crate::view::{LaterState, View};
use crate::watermark::Watermark;

/// Everything that more than one thread needs.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) layout: Layout,
    pub(crate) segment_size_bytes: u64,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) view: Arc<dyn View>,
    pub(crate) pending: Pending,
    pub(crate) index: QueueIndex,
    pub(crate) segments: SegmentSet,
    pub(crate) tail_cache: TailCache,
    pub(crate) durable: Watermark,
    pub(crate) ahead: Ahead,
    /// Damage that is known.
    pub(crate) places: Places,
    full: AtomicBool,
    checkpoints: Mutex<Checkpoints>,
    jobs: Sender<Job>,
    jobs_in: Mutex<Receiver<Job>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

/// Work that nobody waits for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Map the segment for reading and put its index into a file.
    Seal {
        segment: Arc<Segment>,
        frozen: Arc<Frozen>,
    },
    /// Write a checkpoint at the beginning of the segment that follows `left`; what it keeps of the queues and of the view is
    /// still missing.
    Checkpoint {
        left: Arc<Frozen>,
        checkpoint: Checkpoint,
        view: LaterState,
    },
    /// Remove segments that have expired.
    Expire(Box<Expire>),
    /// Look whether complete segments are as they were written.
    Scrub(Box<Scrub>),
    /// End the thread.
    End,
}

/// The parts that an open brings together.
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) layout: Layout,
    pub(crate) segment_size_bytes: u64,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) view: Arc<dyn View>,
    pub(crate) index: QueueIndex,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) live: Arc<Segment>,
    pub(crate) zeroed_end: u64,
    pub(crate) tail: u64,
    pub(crate) checkpoints: Checkpoints,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let (jobs, jobs_in) = channel();
        Self {
            pending: Pending::new(parts.options.pending_size_bytes_max, Arc::clone(&parts.clock)),
            tail_cache: TailCache::new(parts.options.tail_cache_size_bytes),
            durable: Watermark::new(parts.tail),
            ahead: Ahead::new(
                parts.live,
                parts.segment_size_bytes,
                parts.zeroed_end,
                parts.tail,
                parts.options.ahead_size_bytes,
                parts.layout.log.clone(),
                Arc::clone(&parts.disk),
            ),
            options: parts.options,
            layout: parts.layout,
            segment_size_bytes: parts.segment_size_bytes,
            disk: parts.disk,
            clock: parts.clock,
            view: parts.view,
            index: parts.index,
            segments: SegmentSet::new(parts.segments),
            places: Places::default(),
            full: AtomicBool::new(false),
            checkpoints: Mutex::new(parts.checkpoints),
            jobs,
            jobs_in: Mutex::new(jobs_in),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_full(&self, full: bool) {
        if self.full.load(Ordering::Relaxed) != full {
            self.full.store(full, Ordering::Relaxed);
            if full {
                tracing::error!(dir = %self.layout.root.display(), "the disk is full: messages are refused until there is room");
            } else {
                tracing::info!(dir = %self.layout.root.display(), "the disk has room again");
            }
        }
    }

    /// The state at the writer's tail.
    pub(crate) fn checkpoint_at(&self, position: u64, last_store_ms: i64, epoch: u64) -> Checkpoint {
        let mut queues = self.index.records();
        if planted::is(Bug::IndexAheadOfTheLog) {
            queues.iter_mut().for_each(|queue| queue.live.base += 1);
        }
        Checkpoint {
            queues,
            keys: Keys::Known {
                live: self.index.live_keys(),
                last: self.index.last_key(),
            },
            view: self.view.checkpoint(),
            recent: self.view.recent(),
            ..self.bare_checkpoint(position, last_store_ms, epoch)
        }
    }

    /// The state at the writer's tail, but for queues and view, which can be told later.
    pub(crate) fn bare_checkpoint(&self, position: u64, last_store_ms: i64, epoch: u64) -> Checkpoint {
        Checkpoint {
            serial: 0,
            epoch,
            flush: self.options.flush,
            position,
            last_store_ms,
            first: self.segments.first_position(),
            queues: Vec::new(),
            // A segment begins without.
            keys: Keys::Known {
                live: Vec::new(),
                last: self.index.last_key(),
            },
            view: Vec::new(),
            recent: Vec::new(),
        }
    }

    pub(crate) fn submit(&self, job: Job) {
        // The receiver lives as long as this.
        let _sent = self.jobs.send(job);
    }

    /// Does the jobs that are there, without waiting for more; whether there were any.
    pub(crate) fn run_jobs_now(&self) -> bool {
        let jobs = self.jobs_in.lock();
        let mut any = false;
        while let Ok(job) = jobs.try_recv() {
            self.run_job(job);
            any = true;
        }
        any
    }

    /// Does jobs until [`Job::End`]. In relaxed mode it also syncs the live segment when `sync_interval` has passed and
    /// something was written meanwhile.
    pub(crate) fn run_jobs(&self, sync_interval: Duration) {
        let jobs = self.jobs_in.lock();
        let mut synced = self.durable.position();
        loop {
            let job = match self.options.flush {
                Flush::Durable => jobs.recv().ok(),
                Flush::Relaxed => match jobs.recv_timeout(sync_interval) {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Disconnected) => None,
                    Err(RecvTimeoutError::Timeout) => {
                        let written = self.durable.position();
                        if written > synced {
                            self.sync_live(written);
                            synced = written;
                        }
                        continue;
                    }
                },
            };
            match job {
                Some(Job::End) | None => return,
                Some(job) => self.run_job(job),
            }
        }
    }

    /// Makes what the page cache holds of the segment below `position` durable; whether it is. A segment that was left is synced when
    /// it is sealed.
    fn sync_live(&self, position: u64) -> bool {
        let Some(segment) = position.checked_sub(1).and_then(|last| self.segments.find(last)) else {
            return true;
        };
        self.sync_relaxed(&segment)
    }

    /// Makes everything that is readable survive a loss of power; whether it does. In durable mode it does anyway.
    pub(crate) fn secure(&self) -> bool {
        match self.options.flush {
            Flush::Durable => true,
            Flush::Relaxed => self.sync_live(self.durable.position()),
        }
    }

    /// Makes what the page cache holds of a relaxed log's segment durable; whether it is. After a failure the kernel may have
    /// dropped the bytes, and a later success would not bring them back: the log stops, as after a failed write.
    fn sync_relaxed(&self, segment: &Segment) -> bool {
        let Err(source) = segment.file.sync() else {
            return true;
        };
        tracing::error!(file = %segment.path.display(), error = %source, "the commit log has stopped: a sync failed");
        let position = segment.start;
        self.pending
            .shut(Shut::Stopped(Arc::new(StopReason { position, source })));
        false
    }

    fn is_stopped(&self) -> bool {
        matches!(self.pending.why_shut(), Some(Shut::Stopped(_)))
    }

    fn run_job(&self, job: Job) {
        match job {
            Job::Seal { segment, frozen } => {
                if let Err(error) = self.seal(&segment, frozen) {
                    tracing::warn!(file = %segment.path.display(), %error, "a complete segment could not be mapped");
                }
            }
            // It would speak of records that may be lost.
            Job::Checkpoint { .. } if self.is_stopped() => {}
            Job::Checkpoint {
                left,
                mut checkpoint,
                view,
            } => {
                // The log has left the next segment, too: there is a newer one to come.
                let Some(queues) = self.index.records_after(&left) else {
                    return;
                };
                checkpoint.queues = queues;
                // Nothing expires meanwhile: this thread does that, too.
                checkpoint.first = self.segments.first_position();
                checkpoint.view = view.encode();
                checkpoint.recent = self.view.recent();
                if let Err(error) = self.write_checkpoint(&mut checkpoint) {
                    tracing::warn!(%error, "a checkpoint could not be written; a restart will read more of the log");
                }
            }
            Job::Expire(expire) => expire.run(self),
            Job::Scrub(scrub) => scrub.run(self),
            Job::End => {}
        }
    }

    fn seal(&self, segment: &Segment, frozen: Arc<Frozen>) -> io::Result<()> {
        if self.options.flush == Flush::Relaxed && !self.sync_relaxed(segment) {
            return Ok(());
        }
        segment.seal(frozen.data_end)?;
        self.index.order(&frozen);
        self.index
            .replace(write_index(self.disk.as_ref(), &self.layout, frozen));
        Ok(())
    }

    /// Numbers a checkpoint and writes it.
    pub(crate) fn write_checkpoint(&self, checkpoint: &mut Checkpoint) -> io::Result<()> {
        let mut checkpoints = self.checkpoints.lock();
        checkpoint.serial = checkpoints.next();
        checkpoints.begin();
        checkpoint.write(self.disk.as_ref(), &self.layout.root)?;
        checkpoints.written(checkpoint.position);
        Ok(())
    }

    /// What the checkpoint files hold.
    pub(crate) fn checkpoints(&self) -> Checkpoints {
        *self.checkpoints.lock()
    }
}
