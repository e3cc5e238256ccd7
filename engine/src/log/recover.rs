//! Finding out what a store holds: from the newest checkpoint, through the records after it, to the end of the log.
//!
//! 1. The checkpoint gives the state of the queues and of the view at a position, and the entries of the segment it lies in.
//! 2. Older segments are known by their index files. One that is missing or damaged is made again from its segment.
//! 3. From the position on every record is checked and taken in, until something is not a whole record.
//! 4. That is the end if it can be: a power cut tears at most one group, and nothing was ever written behind a torn group.
//!    So a whole group mark, or a segment with records, behind that place means damage, which is reported and left alone.
//!    (A relaxed life may lose anything that was not synced, in any order; there the first gap is the end.)
//!    If the place is in a batch, the end is where that begins: its records are in the log all or not at all.
//! 5. What was found is made durable, since from now on it counts as that. A sync does not suffice: after one that failed the kernel
//!    shows what it never wrote, and has nothing left to write. So what may be meant, the last group, is written once more.
//! 6. What is left of a torn group is overwritten with zeros before anything is appended, so that it can never be taken for a later
//!    group.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scan::{Found, Nothing, Scanner};
use crate::disk::{BLOCK_SIZE_BYTES, Disk, OpenMode};
use crate::error::OpenError;
use crate::index::file::Sealed;
use crate::index::{
    Frozen, KeyEntry, LastKey, LiveKeys, NewKeys, QueueIndex, QueueKey, QueueNo, SegmentIndex, Slot, file,
};
use crate::limits::{APPEND_SIZE_BYTES_MAX, BLANK_SIZE_BYTES};
use crate::log::mark::{Begins, MARK_SIZE_BYTES};
use crate::options::Flush;
use crate::record::RecordView;
use crate::segment::{self, Segment};
use crate::store::Layout;
use crate::view::View;
use crate::view::checkpoint::{Checkpoint, Checkpoints, Keys};

/// How much is written again at a time.
const KEEP_WRITE_BYTES: usize = 1 << 20;

/// What an open found, for the log and for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of log that were read after the checkpoint.
    pub replayed_bytes: u64,
    /// Records in them.
    pub replayed_records: u64,
    /// Bytes of a torn group that were cut off.
    pub cut_bytes: u64,
    /// Index files that had to be made again.
    pub rebuilt_indexes: u64,
}

/// A log that is ready to be appended to.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) index: QueueIndex,
    pub(crate) tail: u64,
    pub(crate) partial: Vec<u8>,
    pub(crate) last_store_ms: i64,
    /// Of the life that begins.
    pub(crate) epoch: u64,
    /// What the two checkpoint files hold.
    pub(crate) checkpoints: Checkpoints,
    /// Whether a checkpoint should be written before the first append.
    pub(crate) checkpoint: Need,
    pub(crate) report: Recovery,
}

/// How much a new life needs a checkpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It would say nothing new.
    None,
    /// It would shorten the next replay.
    Wanted,
    /// The newest one says that what follows it was written in the other mode; the next recovery would misjudge it.
    Required,
}

/// Recovers the log of a store. `flush` is the mode of the life that begins.
pub(crate) fn recover(
    disk: &dyn Disk,
    layout: &Layout,
    segment_size_bytes: u64,
    flush: Flush,
    view: &dyn View,
) -> Result<Recovered, OpenError> {
    let whole = Checkpoint::read(disk, &layout.root)
        .map_err(|(path, error)| OpenError::io("read the checkpoint", path)(error))?;
    let checkpoints = Checkpoints::of(&whole);
    let checkpoint = whole.into_iter().next();
    let known = checkpoint.is_some();
    // What had expired by then goes now, if it is still there.
    let expired_end = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.first);
    let (expired, segments) = open_segments(disk, layout, segment_size_bytes, expired_end)?;
    let first = segments.first().map_or(0, |segment| segment.start);
    if !known && first > 0 {
        return Err(OpenError::Corrupt {
            file: layout.root.join("checkpoint.0"),
            offset: 0,
            expected: format!(
                "a checkpoint that says what the log before position {first} meant, which has expired"
            ),
            found: "none in either file".into(),
        });
    }
    let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint {
        serial: 0,
        epoch: 0,
        flush: Flush::Durable,
        position: 0,
        last_store_ms: 0,
        first: 0,
        queues: Vec::new(),
        keys: Keys::Unknown,
        view: Vec::new(),
        recent: Vec::new(),
    });
    let covered = first..=first + segments.len() as u64 * segment_size_bytes;
    if !covered.contains(&checkpoint.position) {
        return Err(OpenError::Corrupt {
            file: layout.log.clone(),
            offset: 0,
            expected: format!("segments that reach position {}", checkpoint.position),
            found: format!("segments for positions {} to {}", covered.start(), covered.end()),
        });
    }
    if known {
        view.restore(&checkpoint.view)
            .map_err(|reason| OpenError::View { reason })?;
        view.restore_recent(&checkpoint.recent);
    }

    let mut report = Recovery::default();
    let live_start = checkpoint.position - checkpoint.position % segment_size_bytes;
    let mut older = Vec::new();
    for segment in segments.iter().filter(|segment| segment.start < live_start) {
        older.push(sealed_index(
            disk,
            layout,
            segment,
            segment_size_bytes,
            &mut report,
        )?);
    }
    let (keys, last_key) = match checkpoint.keys {
        Keys::Known { live, last } => (live, last),
        Keys::Unknown => keys_before(&segments, live_start, checkpoint.position, segment_size_bytes)?,
    };
    let live_keys = LiveKeys {
        segment_start: live_start,
        entries: keys,
    };
    let replay = Replay {
        disk,
        layout,
        segment_size_bytes,
        index: QueueIndex::restored(checkpoint.queues, older, &live_keys, last_key),
        keys: Vec::new(),
        view,
        relaxed: checkpoint.flush == Flush::Relaxed,
        last_store_ms: checkpoint.last_store_ms,
        epoch: checkpoint.epoch,
        last_group: checkpoint.position,
        report,
    };
    if first > checkpoint.first {
        replay.index.find_floors();
    }
    let (replay, tail) = replay.run(&segments, checkpoint.position)?;

    for path in expired {
        disk.remove(&path)
            .and_then(|()| disk.sync_dir(&layout.log))
            .map_err(OpenError::io("remove", path))?;
    }
    let mut segments = segments;
    // A segment beyond the tail was prepared and never used, or belongs to a relaxed life's lost end. Gone for good before the log
    // can grow into its place; the last one first, so that a crash leaves no gap.
    let kept = segments.partition_point(|segment| segment.start <= tail);
    for unused in segments.drain(kept..).rev() {
        disk.remove(&unused.path)
            .and_then(|()| disk.sync_dir(&layout.log))
            .map_err(OpenError::io("remove", &unused.path))?;
    }
    let partial = match segments.last() {
        Some(last) if tail < last.start + segment_size_bytes => last_block(last, tail)?,
        _ => Vec::new(),
    };
    let need = if checkpoint.flush != flush {
        Need::Required
    } else if !known || checkpoint.position != tail {
        Need::Wanted
    } else {
        Need::None
    };
    Ok(Recovered {
        segments,
        tail,
        partial,
        last_store_ms: replay.last_store_ms,
        epoch: replay.epoch + 1,
        checkpoints,
        checkpoint: need,
        report: replay.report,
        index: replay.index,
    })
}

/// The segments from `first` on, in order, and the files of those before it, oldest first.
fn open_segments(
    disk: &dyn Disk,
    layout: &Layout,
    segment_size_bytes: u64,
    first: u64,
) -> Result<(Vec<PathBuf>, Vec<Arc<Segment>>), OpenError> {
    let mut starts = Vec::new();
    for listed in disk
        .list(&layout.log)
        .map_err(OpenError::io("list", &layout.log))?
    {
        match segment::parse_name(&listed.name) {
            Some(start) => starts.push(start),
            None => tracing::warn!(
                name = listed.name,
                "a file in the log folder is not a segment; leaving it alone"
            ),
        }
    }
    starts.sort_unstable();
    let kept = starts.split_off(starts.partition_point(|start| *start < first));
    let expired = starts
        .iter()
        .map(|start| segment::path(&layout.log, *start))
        .collect();
    let starts = kept;
    for (start, expected) in starts
        .iter()
        .zip((starts.first().copied().unwrap_or(0)..).step_by(step(segment_size_bytes)))
    {
        if *start != expected {
            return Err(OpenError::Corrupt {
                file: layout.log.join(segment::name(expected)),
                offset: 0,
                expected: "a segment of this name".into(),
                found: format!("the next one is {}", segment::name(*start)),
            });
        }
    }
    let segments = starts.into_iter().map(|start| {
        let path = segment::path(&layout.log, start);
        let file = disk
            .open(&path, OpenMode::ReadWrite)
            .map_err(OpenError::io("open", &path))?;
        Ok(Arc::new(Segment::new(start, path, file)))
    });
    Ok((expired, segments.collect::<Result<_, OpenError>>()?))
}

fn step(segment_size_bytes: u64) -> usize {
    // At most 2 GiB, which fits any usize this runs on.
    usize::try_from(segment_size_bytes).unwrap_or(usize::MAX)
}

/// The index of a segment that is complete: from its file or, if that is of no use, from the segment.
fn sealed_index(
    disk: &dyn Disk,
    layout: &Layout,
    segment: &Arc<Segment>,
    segment_size_bytes: u64,
    report: &mut Recovery,
) -> Result<SegmentIndex, OpenError> {
    let path = layout.index.join(segment::name(segment.start));
    let reason = match Sealed::open(disk, &path)? {
        Ok(sealed) if sealed.segment_start() == segment.start => {
            segment
                .seal(sealed.data_end())
                .map_err(OpenError::io("map", &segment.path))?;
            return Ok(SegmentIndex::Sealed(Arc::new(sealed)));
        }
        Ok(sealed) => format!("it is of the segment at {}", sealed.segment_start()),
        Err(reason) => reason,
    };
    tracing::warn!(file = %path.display(), reason, "making an index file again from its segment");
    report.rebuilt_indexes += 1;
    let frozen = index_of(segment, segment_size_bytes)?;
    segment
        .seal(frozen.data_end)
        .map_err(OpenError::io("map", &segment.path))?;
    Ok(write_index(disk, layout, frozen))
}

/// Puts an index, which has been ordered, into its file; it stays in memory if that fails, and the next open tries again.
pub(crate) fn write_index(disk: &dyn Disk, layout: &Layout, frozen: Arc<Frozen>) -> SegmentIndex {
    let path = layout.index.join(segment::name(frozen.segment_start));
    let opened = file::write(disk, &path, &frozen)
        .map_err(|error| error.to_string())
        .and_then(|()| Sealed::open(disk, &path).map_err(|error| error.to_string())?);
    match opened {
        Ok(sealed) => SegmentIndex::Sealed(Arc::new(sealed)),
        Err(reason) => {
            tracing::warn!(file = %path.display(), reason, "an index file could not be written; it stays in memory");
            SegmentIndex::Frozen(frozen)
        }
    }
}

/// Reads a complete segment and makes its index.
pub(crate) fn index_of(segment: &Segment, segment_size_bytes: u64) -> Result<Arc<Frozen>, OpenError> {
    let segment_end = segment.start + segment_size_bytes;
    let index = QueueIndex::default();
    let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
    let mut position = segment.start;
    let mut keys = Vec::new();
    loop {
        match scanner
            .look(position, segment_end)
            .map_err(OpenError::io("read", &segment.path))?
        {
            Found::Record(record) => {
                let queue = record.indexed().then(|| {
                    let expected = index.expect(queue_key(&record));
                    if expected.next_offset == 0 {
                        index.begin_at(expected.queue, record.queue_offset());
                    }
                    expected.queue
                });
                publish(&index, queue, &record, position, segment.start, &mut keys);
                position += u64::from(record.size_bytes());
            }
            Found::Mark(_) => position += MARK_SIZE_BYTES,
            Found::Blank => break,
            Found::Nothing(nothing) => return Err(corrupt(segment, position, &nothing)),
        }
    }
    let frozen = index.freeze(segment.start, position);
    index.order(&frozen);
    Ok(frozen)
}

/// The keys of the records from `start`, where a segment begins, to `end`: for a checkpoint that did not keep them.
fn keys_before(
    segments: &[Arc<Segment>],
    start: u64,
    end: u64,
    segment_size_bytes: u64,
) -> Result<(Vec<KeyEntry>, LastKey), OpenError> {
    let mut keys = Vec::new();
    let mut last = LastKey::default();
    let Some(segment) = segments.iter().find(|segment| segment.start == start) else {
        return Ok((keys, last));
    };
    let read = |error| OpenError::io("read", &segment.path)(error);
    let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
    let mut position = start;
    while position < end {
        match scanner.look(position, start + segment_size_bytes).map_err(read)? {
            Found::Record(record) => {
                let before = keys.len();
                keys.extend(record.keys().map(|key| KeyEntry::new(key, position - start)));
                if keys.len() > before {
                    last = LastKey {
                        position,
                        store_ms: record.store_ms(),
                    };
                }
                position += u64::from(record.size_bytes());
            }
            Found::Mark(_) => position += MARK_SIZE_BYTES,
            Found::Blank => break,
            Found::Nothing(nothing) => return Err(corrupt(segment, position, &nothing)),
        }
    }
    Ok((keys, last))
}

/// Makes a record's entries, if it has a place in a queue, and keys readable. `keys` is memory for them.
fn publish(
    index: &QueueIndex,
    queue: Option<QueueNo>,
    record: &RecordView<'_>,
    position: u64,
    segment_start: u64,
    keys: &mut Vec<KeyEntry>,
) {
    let place = position - segment_start;
    keys.clear();
    keys.extend(record.keys().map(|key| KeyEntry::new(key, place)));
    let keys = NewKeys {
        segment_start,
        store_ms: record.store_ms(),
        entries: keys,
    };
    let entries = queue
        .into_iter()
        .flat_map(|queue| entries(queue, record, position));
    index.publish(entries, &keys);
}

fn corrupt(segment: &Segment, position: u64, found: &Nothing) -> OpenError {
    OpenError::Corrupt {
        file: segment.path.clone(),
        offset: segment.offset(position),
        expected: "a record".into(),
        found: found.to_string(),
    }
}

fn queue_key<'a>(record: &RecordView<'a>) -> QueueKey<'a> {
    QueueKey {
        topic: record.topic(),
        queue_id: record.queue_id(),
    }
}

/// The record's entries: one for each offset that it takes.
fn entries(
    queue: QueueNo,
    record: &RecordView<'_>,
    position: u64,
) -> impl Iterator<Item = (QueueNo, Slot)> + use<> {
    let offsets = record.offsets();
    let slot = Slot::new(
        position,
        record.store_ms(),
        record.size_bytes(),
        record.tags_code(),
    );
    std::iter::repeat_n((queue, slot.spanning(record.is_batch())), offsets as usize)
}

/// The bytes of the block that the tail lies in, up to the tail.
fn last_block(segment: &Segment, tail: u64) -> Result<Vec<u8>, OpenError> {
    let mut bytes = vec![0; (tail % BLOCK_SIZE_BYTES as u64) as usize];
    let start = tail - bytes.len() as u64;
    segment
        .file
        .read_at(&mut bytes, segment.offset(start))
        .map_err(OpenError::io("read", &segment.path))?;
    Ok(bytes)
}

struct Replay<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    segment_size_bytes: u64,
    index: QueueIndex,
    /// Memory for the keys of a record.
    keys: Vec<KeyEntry>,
    view: &'a dyn View,
    /// The life that wrote these records did not sync them before it answered.
    relaxed: bool,
    last_store_ms: i64,
    epoch: u64,
    /// Where the newest group begins, of those that were taken in.
    last_group: u64,
    report: Recovery,
}

impl Replay<'_> {
    /// Takes in everything from `position` on. Returns the log's end.
    fn run(mut self, segments: &[Arc<Segment>], position: u64) -> Result<(Self, u64), OpenError> {
        let mut position = position;
        let live = segments.partition_point(|segment| segment.start + self.segment_size_bytes <= position);
        for (at, segment) in segments.iter().enumerate().skip(live) {
            let (end, blank) = self.segment(segment, position)?;
            self.keep(segment, position, end, blank)
                .map_err(OpenError::io("write the end of", &segment.path))?;
            if blank {
                let frozen = self.index.freeze(segment.start, end);
                self.index.order(&frozen);
                segment.seal(end).map_err(OpenError::io("map", &segment.path))?;
                self.index.replace(write_index(self.disk, self.layout, frozen));
                position = segment.start + self.segment_size_bytes;
                continue;
            }
            if !self.relaxed {
                self.refuse_records_after(segments.get(at + 1..).unwrap_or_default(), segment, end)?;
            }
            return Ok((self, end));
        }
        Ok((self, position))
    }

    /// Takes in one segment from `position` on. Returns where it ends, and whether that is because it is complete.
    fn segment(&mut self, segment: &Segment, position: u64) -> Result<(u64, bool), OpenError> {
        let read = |error| OpenError::io("read", &segment.path)(error);
        let segment_end = segment.start + self.segment_size_bytes;
        let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
        let mut position = position;
        loop {
            let (broken_at, nothing) = match scanner.look(position, segment_end).map_err(read)? {
                Found::Record(record) => {
                    self.record(segment, &record, position)?;
                    position += u64::from(record.size_bytes());
                    self.report.replayed_bytes += u64::from(record.size_bytes());
                    self.report.replayed_records += 1;
                    continue;
                }
                Found::Mark(mark) => match scanner.broken_after(mark, segment_end).map_err(read)? {
                    None => {
                        self.epoch = self.epoch.max(mark.epoch);
                        if matches!(mark.begins, Begins::Group) {
                            self.last_group = position;
                        }
                        position += MARK_SIZE_BYTES;
                        self.report.replayed_bytes += MARK_SIZE_BYTES;
                        continue;
                    }
                    Some(broken) => broken,
                },
                Found::Blank => return Ok((position, true)),
                Found::Nothing(nothing) => (position, nothing),
            };
            if !self.relaxed && scanner.mark_after(broken_at).map_err(read)?.is_some() {
                return Err(corrupt(segment, broken_at, &nothing));
            }
            // A batch that is broken anywhere is cut where it begins.
            self.cut(segment, &mut scanner, position)
                .map_err(OpenError::io("clear the end of", &segment.path))?;
            return Ok((position, false));
        }
    }

    fn record(&mut self, segment: &Segment, record: &RecordView<'_>, position: u64) -> Result<(), OpenError> {
        let mut queue = None;
        if record.indexed() {
            let expected = self.index.expect(queue_key(record));
            if record.queue_offset() != expected.next_offset {
                return Err(OpenError::Corrupt {
                    file: segment.path.clone(),
                    offset: segment.offset(position),
                    expected: format!(
                        "offset {} of queue {} of topic {}",
                        expected.next_offset,
                        record.queue_id(),
                        record.topic()
                    ),
                    found: format!("offset {}", record.queue_offset()),
                });
            }
            queue = Some(expected.queue);
        }
        publish(
            &self.index,
            queue,
            record,
            position,
            segment.start,
            &mut self.keys,
        );
        self.index.begin_queues(record);
        self.last_store_ms = self.last_store_ms.max(record.store_ms());
        self.view.apply(record);
        Ok(())
    }

    /// Makes what was taken in from `begin` to `end` durable, with the blank that may follow.
    ///
    /// What a life before this one wrote may be in the page cache only: a relaxed one, one that was killed between a write and its
    /// sync, or one whose sync failed. In the last case the pages count as clean, so that they are written again: as they are, so
    /// that it does not matter where a crash ends that. Of a durable life only the last group can be meant, as it ends with a failure.
    fn keep(&self, segment: &Segment, begin: u64, end: u64, blank: bool) -> io::Result<()> {
        if begin == end && !blank {
            return Ok(());
        }
        let from = if self.relaxed {
            begin
        } else {
            self.last_group.max(begin)
        };
        let block = BLOCK_SIZE_BYTES as u64;
        let mut at = segment.offset(from) / block * block;
        let file_end = segment.file.size_bytes()?;
        let to = (segment.offset(end) + BLANK_SIZE_BYTES)
            .next_multiple_of(block)
            .min(file_end);
        let mut bytes = vec![0; KEEP_WRITE_BYTES];
        while at < to {
            let count = (to - at).min(KEEP_WRITE_BYTES as u64);
            let bytes = &mut bytes[..count as usize];
            segment.file.read_at(bytes, at)?;
            segment.file.write_at(bytes, at)?;
            at += count;
        }
        segment.file.sync()
    }

    /// Overwrites with zeros what a torn group left behind `position`.
    fn cut(&mut self, segment: &Segment, scanner: &mut Scanner<'_>, position: u64) -> io::Result<()> {
        let reach = if self.relaxed {
            u64::MAX
        } else {
            APPEND_SIZE_BYTES_MAX + 2 * BLOCK_SIZE_BYTES as u64
        };
        let limit = scanner.file_end().min(position.saturating_add(reach));
        let end = scanner.zeros_from(position.min(limit), limit)?;
        if end <= position {
            return Ok(());
        }
        self.report.cut_bytes = end - position;
        let zeros = vec![0; 64 << 10];
        let mut at = position;
        while at < end {
            let count = (end - at).min(zeros.len() as u64);
            segment
                .file
                .write_at(&zeros[..count as usize], segment.offset(at))?;
            at += count;
        }
        let outcome = segment.file.sync();
        if outcome.is_err() {
            // The next open would see zeros that may be on no disk, and leave them. One byte lets it clear all of this again.
            let _ = segment.file.write_at(&[0xFF], segment.offset(end - 1));
        }
        outcome
    }

    /// The log ends at `end`; a later segment that holds records says that it did not always.
    fn refuse_records_after(
        &self,
        later: &[Arc<Segment>],
        ended: &Segment,
        end: u64,
    ) -> Result<(), OpenError> {
        for segment in later {
            let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
            let found = scanner
                .look(segment.start, segment.start + self.segment_size_bytes)
                .map_err(OpenError::io("read", &segment.path))?;
            if !matches!(found, Found::Nothing(_)) {
                return Err(corrupt(ended, end, &Nothing::NoHead));
            }
        }
        Ok(())
    }
}

/// Removes index files that no segment has any more.
pub(crate) fn remove_stray_indexes(disk: &dyn Disk, dir: &Path, segments: &[Arc<Segment>]) -> io::Result<()> {
    for listed in disk.list(dir)? {
        let stray = segment::parse_name(&listed.name).is_some_and(|start| {
            segments
                .binary_search_by_key(&start, |segment| segment.start)
                .is_err()
        });
        if stray {
            disk.remove(&dir.join(&listed.name))?;
        }
    }
    Ok(())
}
