//! The engine: one open store.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::disk::{Disk, Durability};
use crate::error::{AppendError, CloseError, OpenError, ReadError, StopReason};
use crate::index::{Boundary, Damaged, IndexEntry, QueueKey, QueueRange};
use crate::limits::{APPEND_SIZE_BYTES_MAX, RELAXED_SYNC_INTERVAL_MS};
use crate::log::pending::{Append, AppendDone, Appended, One, Several, Shut};
use crate::log::pressure::Pressure;
use crate::log::recover::{self, Need, Recovery};
use crate::log::writer::Writer;
use crate::options::{Flush, Options, Threads};
use crate::planted::{self, Bug};
use crate::record::{EncodedRecord, EncodedRecords, Peek, RecordError, RecordView, peek_size};
use crate::scrub::Damage;
use crate::segment;
use crate::shared::{Job, Parts, Shared};
use crate::store::{self, Layout};
use crate::view::View;

mod completion;
mod find;
mod follow;
mod import;
mod retain;
mod scrub;
mod walk;
mod window;

use completion::Completion;
pub use find::KeyQuery;
pub use follow::{Follow, Records, Snapshot};
use window::{WINDOW_SIZE_BYTES_MAX, Window};

/// One open store. Clones are handles to the same store; all methods may be called from any thread.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    recovery: Recovery,
    writes_how: String,
    /// Used by the writer's thread, by whoever drives it in its place, or by whoever pumps.
    writer: Arc<Mutex<Writer>>,
    /// Until it is closed.
    running: Mutex<Option<Running>>,
    /// Keeps other processes out. Released when the last handle goes.
    _lock: Box<dyn std::any::Any + Send + Sync>,
}

enum Running {
    Manual,
    Background {
        writer: JoinHandle<()>,
        ahead: JoinHandle<()>,
        jobs: JoinHandle<()>,
    },
}

/// Whether the log takes appends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Running,
    /// The disk is full: messages are refused, state records are taken while the reserve lasts.
    Full,
    /// A write failed; the log takes nothing until the store is opened again.
    Stopped(Arc<StopReason>),
    /// It was closed.
    Closed,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("dir", &self.inner.shared.layout.root)
            .field("watermark", &self.watermark())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the store in `options.dir`, or makes one there. When this returns, everything that was ever acknowledged is
    /// readable and `view` has taken in every record.
    ///
    /// After a clean close this reads the checkpoint and the directories of the index files; after a kill, also the records
    /// since the last checkpoint: one segment at the most.
    ///
    /// # Errors
    /// See [`OpenError`]. A store that is damaged is left as it is.
    pub fn open(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        view: Arc<dyn View>,
    ) -> Result<Self, OpenError> {
        check(&options)?;
        let layout = Layout::new(&options.dir);
        let disk_ref = disk.as_ref();
        disk_ref
            .create_dir_all(&layout.root)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => OpenError::NotAFolder {
                    path: layout.root.clone(),
                },
                _ => OpenError::io("create", &layout.root)(source),
            })?;
        store::refuse_foreign(disk_ref, &layout)?;
        let lock = store::lock(disk_ref, &layout)?;
        store::check_import(disk_ref, &layout, options.importing)?;
        if options.importing {
            store::begin_import(disk_ref, &layout)?;
        }
        for dir in [&layout.log, &layout.index] {
            disk_ref
                .create_dir_all(dir)
                .map_err(OpenError::io("create", dir))?;
        }
        let segment_size_bytes = store::identify(disk_ref, &layout, options.segment_size_bytes)?;

        let mut recovered = recover::recover(
            disk_ref,
            &layout,
            segment_size_bytes,
            options.flush,
            view.as_ref(),
        )?;
        recover::remove_stray_indexes(disk_ref, &layout.index, &recovered.segments)
            .map_err(OpenError::io("tidy", &layout.index))?;
        let covers_tail = |start: u64| recovered.tail < start + segment_size_bytes;
        if !recovered
            .segments
            .last()
            .is_some_and(|last| covers_tail(last.start))
        {
            let live = segment::create(disk_ref, &layout.log, recovered.tail)
                .map_err(OpenError::io("create a segment in", &layout.log))?;
            recovered.segments.push(live);
        }
        let Some(live) = recovered.segments.last().map(Arc::clone) else {
            unreachable!("a segment was pushed if there was none");
        };
        let zeroed_end = live.start
            + live
                .file
                .size_bytes()
                .map_err(OpenError::io("measure", &live.path))?;
        let durability = match options.flush {
            Flush::Durable if planted::is(Bug::ShowsBeforeDurable) => Durability::Relaxed,
            Flush::Durable => Durability::Durable,
            Flush::Relaxed => Durability::Relaxed,
        };
        let groups = disk_ref
            .group_writer(durability)
            .map_err(OpenError::io("set up a writer in", &layout.log))?;
        let writes_how = groups.describe();
        let threads = options.threads;
        let shared = Arc::new(Shared::new(Parts {
            options,
            layout,
            segment_size_bytes,
            disk,
            clock,
            view,
            index: recovered.index,
            segments: recovered.segments,
            live: Arc::clone(&live),
            zeroed_end,
            tail: recovered.tail,
            checkpoints: recovered.checkpoints,
        }));
        let writer = Writer::new(
            Arc::clone(&shared),
            groups,
            live,
            recovered.tail,
            recovered.partial,
            recovered.last_store_ms,
            recovered.epoch,
        );
        if recovered.checkpoint != Need::None {
            let mut checkpoint = writer.checkpoint();
            match shared.write_checkpoint(&mut checkpoint) {
                Ok(()) => {}
                // A full disk is no reason not to serve what it holds.
                Err(error)
                    if error.kind() == io::ErrorKind::StorageFull && recovered.checkpoint == Need::Wanted =>
                {
                    tracing::warn!(%error, "no room for a checkpoint; the next start reads the log again");
                }
                Err(error) => {
                    let path = checkpoint.path(&shared.layout.root);
                    return Err(OpenError::io("write the checkpoint", path)(error));
                }
            }
        }
        let writer = Arc::new(Mutex::new(writer));
        let running = match threads {
            Threads::Manual => Running::Manual,
            Threads::Background => {
                start(&shared, &writer).map_err(OpenError::io("start threads for", &shared.layout.root))?
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                recovery: recovered.report,
                writes_how,
                writer,
                running: Mutex::new(Some(running)),
                _lock: lock,
            }),
        })
    }

    /// What the open found.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery
    }

    /// How groups are written, for people: e.g. "pwrite, O_DIRECT + DSYNC".
    pub fn writes_how(&self) -> &str {
        &self.inner.writes_how
    }

    /// Appends records, which stand next to each other in the log and are there all or not at all. `done` is told where
    /// once they are durable, applied to the view and readable; or why they are not in the log. See [`AppendDone`].
    ///
    /// Allocates nothing, once warm.
    pub fn append_with(&self, records: EncodedRecords, done: Box<dyn AppendDone>) {
        if records.is_empty() {
            done.done(Ok(&[]), records);
            return;
        }
        self.inner.shared.pending.push(Append {
            records,
            is_reserved: false,
            stored_ms: None,
            done,
        });
    }

    /// As [`Engine::append_with`], for a caller that has more to append: nobody is woken for it. It waits until
    /// [`Engine::drive`], which must follow, or until somebody else appends.
    pub fn enqueue(&self, records: EncodedRecords, done: Box<dyn AppendDone>) {
        if records.is_empty() {
            done.done(Ok(&[]), records);
            return;
        }
        self.inner.shared.pending.push_quietly(Append {
            records,
            is_reserved: false,
            stored_ms: None,
            done,
        });
    }

    /// Sees to it that what was enqueued gets written.
    ///
    /// If the log's writer is asleep and no more than a few small appends wait, for which space is there, this thread writes them,
    /// which takes as long as one durable write, and completes them: on an idle log that takes half as long as waking the
    /// writer and being woken.
    /// Otherwise the writer is woken, if need be, and this returns at once. With [`Threads::Manual`] it does nothing.
    pub fn drive(&self) {
        let shared = &self.inner.shared;
        let Some(size_bytes) = shared.pending.claim() else {
            return;
        };
        if let Some(mut writer) = self.inner.writer.try_lock()
            && writer.is_ready_for(size_bytes)
        {
            writer.run_once();
        }
        // Somebody else may be writing who looks for no more, and more may have come.
        shared.pending.wake();
    }

    /// Has what was enqueued written by the log's writer. With [`Threads::Manual`] it does nothing.
    pub fn hand_over(&self) {
        self.inner.shared.pending.wake();
    }

    /// Appends a record. `done` is called as [`AppendDone::done`] would be.
    pub fn append(
        &self,
        record: EncodedRecord,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        self.append_with(record.into(), Box::new(One(done)));
    }

    /// Appends records that stand next to each other in the log, and are there all or not at all. `done` is called as
    /// [`AppendDone::done`] would be.
    pub fn append_batch(
        &self,
        records: EncodedRecords,
        done: impl FnOnce(Result<Vec<Appended>, AppendError>) + Send + 'static,
    ) {
        self.append_with(records, Box::new(Several(done)));
    }

    /// Appends a record and waits until it is durable. With [`Threads::Manual`] it pumps meanwhile.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_blocking(&self, record: EncodedRecord) -> Result<Appended, AppendError> {
        let completion = Completion::new();
        self.enqueue(record.into(), Box::new(One(completion.sender())));
        self.drive();
        self.pump();
        completion.wait()
    }

    /// Appends a record; the future is ready when `done` of [`Engine::append`] would be called. Dropping it does not take the
    /// record back.
    pub fn append_future(
        &self,
        record: EncodedRecord,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static {
        let completion = Completion::new();
        self.append(record, completion.sender());
        completion
    }

    /// The readable offsets of a queue; `None` if nothing was ever stored in it.
    pub fn queue_range(&self, topic: &str, queue_id: u32) -> Option<QueueRange> {
        self.inner.shared.index.range(QueueKey { topic, queue_id })
    }

    /// All queues with their readable offsets, in no particular order.
    pub fn queues(&self) -> Vec<(Arc<str>, u32, QueueRange)> {
        self.inner.shared.index.ranges()
    }

    /// Adds the readable entries of a queue from offset `from` on to `out`, in order, at most `max_count`. Adds none if `from`
    /// is outside the readable range. May block on the disk for entries of older segments.
    pub fn entries(
        &self,
        topic: &str,
        queue_id: u32,
        from: u64,
        max_count: usize,
        out: &mut Vec<IndexEntry>,
    ) {
        let key = QueueKey { topic, queue_id };
        let before = out.len();
        self.with_whole_index(|| {
            out.truncate(before);
            self.inner.shared.index.copy(key, from, max_count, out)
        });
    }

    /// The offset after the last one that the record of `entry` takes: the next one, unless it spans several. Those are found in
    /// few steps, however many they are. May block as [`Engine::entries`] does.
    pub fn end_of_record(&self, topic: &str, queue_id: u32, entry: &IndexEntry) -> u64 {
        let after = entry.queue_offset + 1;
        if !entry.spans {
            return after;
        }
        let mut found = Vec::with_capacity(1);
        let mut is_of_record = |offset: u64| {
            found.clear();
            self.entries(topic, queue_id, offset, 1, &mut found);
            found
                .first()
                .is_some_and(|other| other.position == entry.position)
        };
        // Of the record up to `low`, not from `high` on.
        let (mut low, mut high) = (entry.queue_offset, after);
        while is_of_record(high) {
            low = high;
            high += high - entry.queue_offset;
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if is_of_record(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// The offset of a queue that a moment points at, by store time; `None` if nothing was ever stored in the queue.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: u32,
        store_ms: i64,
        boundary: Boundary,
    ) -> Option<u64> {
        let key = QueueKey { topic, queue_id };
        self.with_whole_index(|| self.inner.shared.index.offset_by_time(key, store_ms, boundary))
            .flatten()
    }

    /// The bytes of a record if they are in memory. Never blocks, and needs no check: they are the bytes that were written.
    pub fn read_hot(&self, position: u64, size_bytes: u32) -> Option<Bytes> {
        self.inner.shared.tail_cache.slice(position, size_bytes as usize)
    }

    /// Whether the record at `position` is in memory.
    pub fn is_hot(&self, position: u64) -> bool {
        self.inner.shared.tail_cache.holds(position)
    }

    /// The bytes of a record, from memory or from the disk; what comes from the disk is checked. May block.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, position: u64, size_bytes: u32) -> Result<Bytes, ReadError> {
        match self.read_hot(position, size_bytes) {
            Some(bytes) => Ok(bytes),
            None => self
                .read_cold(position, size_bytes)
                .inspect_err(|error| self.tell_damage(error, position)),
        }
    }

    /// Adds the bytes of these records to `records`, in order, up to the first that cannot be read. What lies close together on
    /// the disk is read together. May block; see [`Engine::read`].
    ///
    /// # Errors
    /// See [`ReadError`]; of the first record that cannot be read. Those before it have been added.
    pub fn read_many(&self, entries: &[IndexEntry], records: &mut Vec<Bytes>) -> Result<(), ReadError> {
        let mut window = Window::none();
        for (at, entry) in entries.iter().enumerate() {
            let (position, size_bytes) = (entry.position, entry.size_bytes);
            if let Some(record) = self.read_hot(position, size_bytes) {
                records.push(record);
                continue;
            }
            if !window.holds(entry) {
                window = self.window(&entries[at..]);
            }
            let record = match window.slice(entry) {
                Some(record) => {
                    self.check_record(position, &record)
                        .inspect_err(|error| self.tell_damage(error, position))?;
                    record
                }
                None => self
                    .read_cold(position, size_bytes)
                    .inspect_err(|error| self.tell_damage(error, position))?,
            };
            records.push(record);
        }
        Ok(())
    }

    /// The first of these records and those behind it that are near, in one piece; none if they cannot be had so.
    fn window(&self, entries: &[IndexEntry]) -> Window {
        let Some(first) = entries.first() else {
            return Window::none();
        };
        let start = first.position;
        let Some(segment) = self.inner.shared.segments.find(start) else {
            return Window::none();
        };
        let limit = (start + WINDOW_SIZE_BYTES_MAX).min(segment.mapped_end());
        let near = entries
            .iter()
            .map(|entry| entry.position + u64::from(entry.size_bytes))
            .take_while(|end| (start..=limit).contains(end));
        // A part that is unreadable costs no record but its own: they are then read one by one.
        let bytes = near.last().and_then(|end| segment.mapped(start, end).ok()?);
        Window {
            start,
            bytes: bytes.unwrap_or_default(),
        }
    }

    /// The record that begins at `position`, from memory or from the disk, checked. May block.
    ///
    /// # Errors
    /// See [`ReadError`]; `Corrupt` also if no record begins there.
    pub fn read_at(&self, position: u64) -> Result<Bytes, ReadError> {
        const HEAD: usize = 8;
        let shared = &self.inner.shared;
        let head = match shared.tail_cache.slice(position, HEAD) {
            Some(head) => head,
            None => self.read_bytes(position, HEAD)?,
        };
        match peek_size(&head) {
            Peek::Message(size) if u64::from(size) <= APPEND_SIZE_BYTES_MAX => {
                let bytes = match self.read_hot(position, size) {
                    Some(bytes) => bytes,
                    None => self.read_cold(position, size)?,
                };
                // In memory too, `position` may be the middle of a record whose bytes happen to look like a head.
                self.check_record(position, &bytes)?;
                Ok(bytes)
            }
            _ => Err(self.corrupt(position, RecordError::BadMagic { found: magic(&head) })),
        }
    }

    /// The first position that is not durable yet: the end of what can be read.
    pub fn watermark(&self) -> u64 {
        self.inner.shared.durable.position()
    }

    /// Waits until something is durable at `position`, at most `timeout`; returns the watermark. For those who follow the
    /// log's tail.
    pub fn wait_for(&self, position: u64, timeout: Duration) -> u64 {
        self.inner.shared.durable.wait_for(position, timeout)
    }

    /// The first position that the log still holds.
    pub fn first_position(&self) -> u64 {
        self.inner.shared.segments.first_position()
    }

    /// How many segment files the log has.
    pub fn segment_count(&self) -> usize {
        self.inner.shared.segments.count()
    }

    /// Bytes of appends that are not durable yet. Costs next to nothing.
    pub fn in_flight_bytes(&self) -> u64 {
        self.inner.shared.pending.in_flight_bytes()
    }

    /// How much is on its way to the disk, and how long that takes: what to judge by whether to append more. Reads the clock.
    pub fn pressure(&self) -> Pressure {
        self.inner.shared.pending.pressure()
    }

    /// Whether the log takes appends.
    pub fn health(&self) -> Health {
        match self.inner.shared.pending.why_shut() {
            Some(Shut::Stopped(reason)) => Health::Stopped(reason),
            Some(Shut::Closed) => Health::Closed,
            None if self.inner.shared.is_full() => Health::Full,
            None => Health::Running,
        }
    }

    /// With [`Threads::Manual`]: writes everything that waits, completes it, and does the work behind it. Otherwise nothing.
    ///
    /// Completions run inside this call, and may append but not pump.
    pub fn pump(&self) {
        let running = self.inner.running.lock();
        if let Some(Running::Manual) = *running {
            loop {
                self.inner.writer.lock().run_pending();
                // They may append.
                if !self.inner.shared.run_jobs_now() {
                    break;
                }
            }
            self.inner.shared.ahead.run_now();
        }
    }

    /// Writes what waits, writes a checkpoint and ends the threads. Appends that come later fail; reads go on. A second call
    /// does nothing.
    ///
    /// # Errors
    /// See [`CloseError`].
    pub fn close(&self) -> Result<(), CloseError> {
        let shared = &self.inner.shared;
        let Some(running) = self.inner.running.lock().take() else {
            return Ok(());
        };
        shared.pending.shut(Shut::Closed);
        match running {
            Running::Manual => {
                self.inner.writer.lock().run_pending();
                shared.run_jobs_now();
            }
            Running::Background { writer, ahead, jobs } => {
                join(writer);
                // Somebody may be writing in its place.
                drop(self.inner.writer.lock());
                shared.ahead.close();
                join(ahead);
                shared.submit(Job::End);
                join(jobs);
            }
        }
        let writer = self.inner.writer.lock();
        if let Some(Shut::Stopped(reason)) = shared.pending.why_shut() {
            return Err(CloseError::Stopped(reason));
        }
        let mut checkpoint = writer.checkpoint();
        let synced = match shared.options.flush {
            Flush::Durable => Ok(()),
            Flush::Relaxed => writer.sync(),
        };
        synced
            .and_then(|()| shared.write_checkpoint(&mut checkpoint))
            .map_err(|source| CloseError::Checkpoint {
                path: checkpoint.path(&shared.layout.root),
                source,
            })
    }

    fn read_bytes(&self, position: u64, size_bytes: usize) -> Result<Bytes, ReadError> {
        let shared = &self.inner.shared;
        let end = shared.durable.position();
        // Where the log begins is asked for when it turned out not to have the position: segments expire meanwhile.
        let outside = || ReadError::Outside {
            position,
            first: self.first_position(),
            end,
        };
        if position
            .checked_add(size_bytes as u64)
            .is_none_or(|read_end| read_end > end)
        {
            return Err(outside());
        }
        let segment = shared.segments.find(position).ok_or_else(outside)?;
        segment
            .read(position, size_bytes)
            .map_err(|source| ReadError::Io {
                file: segment.path.clone(),
                offset: segment.offset(position),
                source,
            })
    }

    fn read_cold(&self, position: u64, size_bytes: u32) -> Result<Bytes, ReadError> {
        let bytes = self.read_bytes(position, size_bytes as usize)?;
        self.check_record(position, &bytes)?;
        Ok(bytes)
    }

    fn check_record(&self, position: u64, bytes: &[u8]) -> Result<(), ReadError> {
        if planted::is(Bug::ChecksNothing) {
            return Ok(());
        }
        RecordView::parse(bytes)
            .and_then(|record| record.verify_own(position))
            .map_err(|source| self.corrupt(position, source))
    }

    /// Tells damage that a reader has met where the index says that a record lies.
    fn tell_damage(&self, error: &ReadError, position: u64) {
        if let ReadError::Corrupt { file, offset, source } = error {
            let damage = Damage::of_record(file, *offset, position, source.to_string());
            self.inner.shared.places.tell(&damage);
        }
    }

    fn corrupt(&self, position: u64, source: RecordError) -> ReadError {
        let shared = &self.inner.shared;
        match shared.segments.find(position) {
            Some(segment) => {
                let (file, offset) = (segment.path.clone(), segment.offset(position));
                ReadError::Corrupt { file, offset, source }
            }
            None => ReadError::Outside {
                position,
                first: self.first_position(),
                end: self.watermark(),
            },
        }
    }

    /// Looks something up in the index; a damaged part of it is first made again from its segment. `None` if that fails.
    fn with_whole_index<T>(&self, mut look_up: impl FnMut() -> Result<T, Damaged>) -> Option<T> {
        let shared = &self.inner.shared;
        // Each round mends one segment, so there are at most as many rounds as segments.
        for _ in 0..=shared.segments.count() {
            match look_up() {
                Ok(found) => return Some(found),
                Err(Damaged { segment_start }) => {
                    let Some(segment) = shared.segments.starting_at(segment_start) else {
                        // It has expired meanwhile.
                        continue;
                    };
                    tracing::warn!(
                        segment_start,
                        "an index file is damaged; making it again from its segment"
                    );
                    match recover::index_of(&segment, shared.segment_size_bytes) {
                        Ok(frozen) => {
                            let index = recover::write_index(shared.disk.as_ref(), &shared.layout, frozen);
                            if !shared.index.replace(index) {
                                shared.remove_index(segment_start);
                            }
                        }
                        Err(error) => {
                            tracing::error!(segment_start, %error, "an index could not be made again");
                            return None;
                        }
                    }
                }
            }
        }
        None
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without a close: end the threads as a kill would, but leave none behind.
        let Some(running) = self.running.get_mut().take() else {
            return;
        };
        self.shared.pending.shut(Shut::Closed);
        if let Running::Background { writer, ahead, jobs } = running {
            // A completion may hold the last handle; its thread cannot join itself.
            if writer.thread().id() != std::thread::current().id() {
                join(writer);
            }
            self.shared.ahead.close();
            join(ahead);
            self.shared.submit(Job::End);
            // So may somebody who is asked what may expire.
            if jobs.thread().id() != std::thread::current().id() {
                join(jobs);
            }
        }
    }
}

fn check(options: &Options) -> Result<(), OpenError> {
    let refuse = |option, value, why| Err(OpenError::Option { option, value, why });
    if options.pending_size_bytes_max == 0 {
        return refuse("pending_size_bytes_max", 0, "nothing could ever be appended");
    }
    if options.group_size_bytes_max > APPEND_SIZE_BYTES_MAX {
        return refuse(
            "group_size_bytes_max",
            options.group_size_bytes_max,
            "a group holds 16 MiB at the most",
        );
    }
    Ok(())
}

fn start(shared: &Arc<Shared>, writer: &Arc<Mutex<Writer>>) -> io::Result<Running> {
    let spawn = |name: &str| {
        std::thread::Builder::new()
            .name(name.into())
            .stack_size(256 << 10)
    };
    let ahead = spawn("kourou-ahead").spawn({
        let shared = Arc::clone(shared);
        move || shared.ahead.run()
    })?;
    let jobs = spawn("kourou-seal").spawn({
        let shared = Arc::clone(shared);
        move || shared.run_jobs(Duration::from_millis(RELAXED_SYNC_INTERVAL_MS))
    })?;
    let writer = spawn("kourou-log").spawn({
        let (shared, writer) = (Arc::clone(shared), Arc::clone(writer));
        move || {
            while shared.pending.wait() {
                writer.lock().run_pending();
            }
        }
    })?;
    Ok(Running::Background { writer, ahead, jobs })
}

fn join<T>(thread: JoinHandle<T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn magic(head: &[u8]) -> u32 {
    head.get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}
