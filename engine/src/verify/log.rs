//! The log from end to end: every record, every mark, what is between and what is behind.

use std::ops::Range;
use std::path::PathBuf;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::book::{Book, KeySum, QueueSeen, Queues, SoFar};
use super::finding::{FINDINGS_MAX, Finding, Kind, Progress, QueuePlace, Report};
use super::{ClosedStore, unreadable};
use crate::disk::{BLOCK_SIZE_BYTES, OpenMode};
use crate::error::OpenError;
use crate::index::file::Sealed;
use crate::index::{IndexEntry, KeyEntry, QueueKey, QueueName, Slot};
use crate::limits::{APPEND_SIZE_BYTES_MAX, BLANK_SIZE_BYTES};
use crate::log::mark::{MARK_SIZE_BYTES, Mark};
use crate::log::scan::{Found, Nothing, Scanner};
use crate::options::Flush;
use crate::record::{IMPORTED, QUEUES_BEGIN, QueueStart, RecordView, STATE_TOPIC};
use crate::segment::{self, Segment};
use crate::view::checkpoint::Checkpoint;

/// Progress is told after this much.
const TOLD_EVERY_BYTES: u64 = 1 << 20;

/// A look at the log, as far as it has come.
pub(super) struct Audit<'a> {
    store: &'a ClosedStore,
    report: Report,
    progress: &'a mut dyn FnMut(Progress),
    told_bytes: u64,
    /// The whole ones, until the log has come to their positions: the nearest last.
    checkpoints: Vec<(&'a Checkpoint, Book<'a>)>,
    /// Where a start goes on, and whether what follows was written without a sync.
    newest: u64,
    relaxed: bool,
    queues: Queues,
    /// Damaged stretches so far.
    stretches: usize,
    keys: KeySum,
    last_store_ms: i64,
    /// What goes by was imported: it was stored by another store, and in no order that is known here.
    importing: bool,
    /// Where queues begin that were imported.
    starts: HashMap<QueueName, u64, RandomState>,
    last_epoch: u64,
    entries: Vec<IndexEntry>,
}

/// What became of one segment.
enum Ended {
    /// It is complete: the log goes on with the next.
    Sealed,
    /// The log ends here.
    Log(u64),
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        store: &'a ClosedStore,
        whole: &'a [(PathBuf, Checkpoint)],
        report: Report,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let newest = whole.first();
        let mut checkpoints: Vec<_> = whole
            .iter()
            .map(|(path, checkpoint)| (checkpoint, Book::checkpoint(path.clone(), checkpoint)))
            .collect();
        checkpoints.sort_by_key(|(checkpoint, _)| std::cmp::Reverse(checkpoint.position));
        let mut report = report;
        report.checkpoints = checkpoints.len() as u64;
        if let Some((_, only)) = newest
            && whole.len() == 1
            && only.serial > 1
            && report
                .findings
                .iter()
                .all(|finding| finding.kind != Kind::Checkpoint)
        {
            let other = Checkpoint {
                serial: only.serial + 1,
                ..only.clone()
            };
            report.add(
                Finding::new(Kind::CheckpointMissing, other.path(&store.layout.root), 0)
                    .expected("a second checkpoint")
                    .found("none"),
            );
        }
        Self {
            store,
            report,
            progress,
            told_bytes: 0,
            newest: newest.map_or(0, |(_, newest)| newest.position),
            relaxed: newest.is_some_and(|(_, newest)| newest.flush == Flush::Relaxed),
            checkpoints,
            queues: Queues::default(),
            stretches: 0,
            keys: KeySum::default(),
            last_store_ms: i64::MIN,
            importing: false,
            starts: HashMap::default(),
            last_epoch: 0,
            entries: Vec::new(),
        }
    }

    pub(super) fn report(mut self) -> Report {
        self.report.queues = self.queues.len() as u64;
        self.tell_progress();
        self.report
    }

    /// Looks at all of the log.
    pub(super) fn log(&mut self, segments: &[Segment]) -> Result<(), OpenError> {
        self.add_index_sizes(segments);
        let mut end = segments.first().map_or(0, |segment| segment.start);
        let mut at = 0;
        while let Some(segment) = segments.get(at) {
            end = segment.start + self.store.segment_size_bytes;
            self.keys = KeySum::default();
            at += 1;
            if let Ended::Log(tail) = self.segment(segment, &segments[at..])? {
                end = tail;
                break;
            }
        }
        for ahead in &segments[at..] {
            self.ahead(ahead);
        }
        self.report.end_position = end;
        // One that lies where a segment ended that has no next one yet.
        self.keys = KeySum::default();
        self.finish_checkpoints(end, end, &[]);
        for (checkpoint, book) in std::mem::take(&mut self.checkpoints) {
            let beyond = Finding::new(Kind::CheckpointLog, book.path(), 0)
                .expected(format!(
                    "a log that has something at position {}",
                    checkpoint.position
                ))
                .found(format!("one that ends at {end}"));
            self.report.add(beyond);
        }
        Ok(())
    }

    fn add_index_sizes(&mut self, segments: &[Segment]) {
        for segment in segments {
            let path = self.store.layout.index.join(segment::name(segment.start));
            let file = self.store.disk.open(&path, OpenMode::Read);
            if let Ok(size) = file.and_then(|file| file.size_bytes()) {
                self.report.total_bytes += size;
            }
        }
    }

    fn looked(&mut self, size_bytes: u64) {
        self.report.looked_bytes += size_bytes;
        if self.report.looked_bytes - self.told_bytes >= TOLD_EVERY_BYTES {
            self.tell_progress();
        }
    }

    fn tell_progress(&mut self) {
        self.told_bytes = self.report.looked_bytes;
        (self.progress)(Progress {
            looked_bytes: self.report.looked_bytes,
            total_bytes: self.report.total_bytes,
        });
    }

    /// Walks through one segment. `later` are those behind it.
    fn segment(&mut self, segment: &Segment, later: &[Segment]) -> Result<Ended, OpenError> {
        let segment_end = segment.start + self.store.segment_size_bytes;
        let mut scanner = match Scanner::new(segment) {
            Ok(scanner) => scanner,
            Err(error) => {
                self.report.add(unreadable(&segment.path, 0, &error));
                return Ok(Ended::Sealed);
            }
        };
        let index = self.index(segment);
        let mut damaged: Vec<Range<u64>> = Vec::new();
        let mut at = segment.start;
        let (ended, data_end) = loop {
            self.finish_checkpoints(at, segment.start, &damaged);
            let (broken_at, nothing) = match scanner.look(at, segment_end) {
                Ok(Found::Record(record)) => {
                    let size = u64::from(record.size_bytes());
                    self.record(segment, &record, at, index.as_ref());
                    self.looked(size);
                    at += size;
                    continue;
                }
                Ok(Found::Mark(mark)) => match self.mark(segment, &mut scanner, mark, segment_end) {
                    None => {
                        at += MARK_SIZE_BYTES;
                        continue;
                    }
                    Some(broken) => broken,
                },
                Ok(Found::Blank) => {
                    self.looked(BLANK_SIZE_BYTES);
                    self.rest(segment, &mut scanner, at + BLANK_SIZE_BYTES, 0);
                    break (Ended::Sealed, Some(at));
                }
                Ok(Found::Nothing(nothing)) => (at, nothing),
                Err(error) => {
                    if scanner.read_little() {
                        continue;
                    }
                    let good = self.unreadable(segment, &scanner, at, &error);
                    let next = self.resync(segment, &mut scanner, good.saturating_sub(1), segment_end);
                    self.looked(next.saturating_sub(good));
                    self.add_damage(&mut damaged, at..next);
                    at = next;
                    continue;
                }
            };
            if self.may_end(&mut scanner, at, broken_at, later) {
                let reach = if self.relaxed {
                    u64::MAX
                } else {
                    APPEND_SIZE_BYTES_MAX + 2 * BLOCK_SIZE_BYTES as u64
                };
                self.rest(segment, &mut scanner, at, reach);
                break (Ended::Log(at), None);
            }
            if at >= scanner.file_end() {
                self.no_end(segment, at);
                break (Ended::Sealed, None);
            }
            if broken_at > at {
                // What the mark says is told; the records behind it are looked at one by one.
                self.looked(MARK_SIZE_BYTES);
                at += MARK_SIZE_BYTES;
                continue;
            }
            let next = self.resync(segment, &mut scanner, at, segment_end);
            self.tell_broken(segment, at..next, &nothing, index.as_ref(), segment_end);
            self.looked(next - at);
            self.add_damage(&mut damaged, at..next);
            at = next;
        };
        if let Some(index) = index {
            let so_far = self.so_far(segment.start, &damaged);
            let mut findings = Vec::new();
            index.finish(&so_far, data_end.filter(|_| damaged.is_empty()), &mut |finding| {
                findings.push(finding);
            });
            findings.into_iter().for_each(|finding| self.report.add(finding));
            if let Ended::Log(_) = ended {
                self.report.add(
                    Finding::new(Kind::IndexStray, index.path(), 0)
                        .expected("no index of a segment that is not complete")
                        .found("one"),
                );
            }
        }
        Ok(ended)
    }

    /// The index file of a segment, if it is of use. All of its bytes are looked at, now or when the segment has gone by.
    fn index(&mut self, segment: &Segment) -> Option<Book<'a>> {
        let disk = self.store.disk.as_ref();
        let path = self.store.layout.index.join(segment::name(segment.start));
        let size = match read_through(self.store, &path) {
            Ok(size) => size,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Those behind the newest checkpoint are written by the start that replays them.
                if segment.start + self.store.segment_size_bytes <= self.newest {
                    self.report.add(
                        Finding::new(Kind::IndexMissing, path, 0)
                            .expected("the index of a complete segment")
                            .found("none"),
                    );
                }
                return None;
            }
            Err(error) => {
                self.report.add(unreadable(path, 0, &error));
                return None;
            }
        };
        self.looked(size);
        let reason = match Sealed::open(disk, &path) {
            Ok(Ok(sealed)) if sealed.segment_start() == segment.start => {
                self.report.indexes += 1;
                return Some(Book::Index { path, sealed });
            }
            Ok(Ok(sealed)) => format!("one of the segment at {}", sealed.segment_start()),
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        let broken = Finding::new(Kind::Index, path, 0)
            .expected("a whole index file of this segment")
            .found(reason);
        self.report.add(broken);
        None
    }

    fn record(
        &mut self,
        segment: &Segment,
        record: &RecordView<'_>,
        position: u64,
        index: Option<&Book<'_>>,
    ) {
        self.report.records += 1;
        let at = |kind| Finding {
            position: Some(position),
            size_bytes: record.size_bytes().into(),
            ..Finding::new(kind, &segment.path, segment.offset(position))
        };
        self.note_import(record);
        if record.store_ms() < self.last_store_ms && !self.importing {
            self.report.add(
                at(Kind::StoreTime)
                    .expected(format!("a store time of at least {}", self.last_store_ms))
                    .found(record.store_ms().to_string()),
            );
        }
        self.last_store_ms = self.last_store_ms.max(record.store_ms());
        for key in record.keys() {
            self.keys.add(KeyEntry::new(key, segment.offset(position)));
        }
        if !record.indexed() {
            return;
        }
        self.report.messages += 1;
        if let Some((expected, found)) = self.in_queue(record, segment.start) {
            self.report
                .add(at(Kind::QueueOffset).expected(expected).found(found));
        }
        let size = self.store.segment_size_bytes;
        let speaks_of = |checkpoint: &Checkpoint| {
            position < checkpoint.position
                && checkpoint.position - checkpoint.position % size == segment.start
        };
        let checkpoints = self.checkpoints.iter();
        let books = checkpoints.filter(|(checkpoint, _)| speaks_of(checkpoint));
        for book in books.map(|(_, book)| book).chain(index) {
            if let Some(finding) = book.compare(record, position, &mut self.entries) {
                self.report.add(finding);
            }
        }
    }

    fn note_import(&mut self, record: &RecordView<'_>) {
        if record.topic() != STATE_TOPIC {
            return;
        }
        if record.queue_id() == u32::from(QUEUES_BEGIN) {
            self.importing = true;
            for start in QueueStart::decode(record.body()) {
                let name = QueueName {
                    topic: start.topic.into(),
                    queue_id: start.queue_id,
                };
                self.starts.entry(name).or_insert(start.offset);
            }
        } else if record.queue_id() == u32::from(IMPORTED) {
            self.importing = false;
        }
    }

    /// Takes a record into its queue. What was expected and found, if it has no place there.
    fn in_queue(&mut self, record: &RecordView<'_>, segment_start: u64) -> Option<(String, String)> {
        let key = QueueKey {
            topic: record.topic(),
            queue_id: record.queue_id(),
        };
        let offset = record.queue_offset();
        let offsets = u64::from(record.offsets());
        let next = offset.saturating_add(offsets);
        let stretches = self.stretches;
        let Some(seen) = self.queues.get_mut(&key) else {
            let name = QueueName {
                topic: record.topic().into(),
                queue_id: record.queue_id(),
            };
            self.queues.insert(
                name,
                QueueSeen {
                    first: offset,
                    next,
                    stretches,
                    segment_start,
                    count: offsets,
                },
            );
            let from_the_start = self.report.first_position == 0 && stretches == 0;
            let start = self.starts.get(&key).copied().unwrap_or(0);
            return (from_the_start && offset != start).then(|| self.offset_text(record, start));
        };
        let expected = seen.next;
        let may_be_missing = stretches > seen.stretches && offset > expected;
        seen.count = if seen.segment_start == segment_start {
            seen.count + offsets
        } else {
            offsets
        };
        seen.segment_start = segment_start;
        seen.next = next;
        seen.stretches = stretches;
        (offset != expected && !may_be_missing).then(|| self.offset_text(record, expected))
    }

    fn offset_text(&self, record: &RecordView<'_>, expected: u64) -> (String, String) {
        (
            format!(
                "offset {expected} of queue {} of {}",
                record.queue_id(),
                record.topic()
            ),
            format!("offset {}", record.queue_offset()),
        )
    }

    /// Takes in a mark. Where what it begins is broken, and how, if it is.
    fn mark(
        &mut self,
        segment: &Segment,
        scanner: &mut Scanner<'_>,
        mark: Mark,
        segment_end: u64,
    ) -> Option<(u64, Nothing)> {
        let at = |kind, position| Finding {
            position: Some(position),
            ..Finding::new(kind, &segment.path, segment.offset(position))
        };
        if mark.epoch < self.last_epoch {
            self.report.add(
                at(Kind::Epoch, mark.position)
                    .expected(format!("life {} of the store, or a later one", self.last_epoch))
                    .found(mark.epoch.to_string()),
            );
        }
        self.last_epoch = self.last_epoch.max(mark.epoch);
        match scanner.broken_after(mark, segment_end) {
            Ok(None) => {
                self.looked(MARK_SIZE_BYTES);
                None
            }
            Ok(Some((broken_at, nothing))) => {
                if nothing == Nothing::BadBatch {
                    self.report.add(
                        at(Kind::Batch, broken_at)
                            .expected("a record of the batch that begins before")
                            .found(nothing.to_string()),
                    );
                }
                Some((broken_at, nothing))
            }
            // It is met again record by record.
            Err(_) => {
                self.looked(MARK_SIZE_BYTES);
                None
            }
        }
    }

    /// Whether the log can end at `at`, where something is broken at `broken_at`.
    fn may_end(&mut self, scanner: &mut Scanner<'_>, at: u64, broken_at: u64, later: &[Segment]) -> bool {
        if at < self.newest {
            return false;
        }
        if self.relaxed {
            return true;
        }
        // What cannot be read is met later.
        if scanner.mark_after(broken_at).is_ok_and(|mark| mark.is_some()) {
            return false;
        }
        !later.iter().any(|segment| {
            let end = segment.start + self.store.segment_size_bytes;
            let scanner = Scanner::new(segment);
            scanner.is_ok_and(|mut scanner| {
                matches!(
                    scanner.look(segment.start, end),
                    Ok(Found::Record(_) | Found::Mark(_) | Found::Blank)
                )
            })
        })
    }

    /// Where something whole lies behind a broken place: the end of the file, if nothing does.
    fn resync(
        &mut self,
        segment: &Segment,
        scanner: &mut Scanner<'_>,
        broken_at: u64,
        segment_end: u64,
    ) -> u64 {
        let file_end = scanner.file_end();
        // Something begins, or everything ends, where the newest checkpoint says.
        let limit = if self.newest > broken_at {
            self.newest.min(file_end)
        } else {
            file_end
        };
        let mut from = broken_at;
        loop {
            match scanner.next_whole(from, segment_end, limit) {
                Ok(next) => return next.unwrap_or(limit),
                Err(error) => {
                    if scanner.read_little() {
                        continue;
                    }
                    let good = self.unreadable(segment, scanner, from, &error);
                    if good >= limit {
                        return good.min(file_end);
                    }
                    from = good - 1;
                }
            }
        }
    }

    /// Reports the first blocks that cannot be read from `from` on. Returns where reading goes on.
    fn unreadable(
        &mut self,
        segment: &Segment,
        scanner: &Scanner<'_>,
        from: u64,
        error: &std::io::Error,
    ) -> u64 {
        let block = BLOCK_SIZE_BYTES as u64;
        let mut bytes = vec![0; BLOCK_SIZE_BYTES];
        let mut bad: Option<u64> = None;
        let mut at = segment.offset(from) / block * block;
        let end = segment.offset(scanner.file_end());
        while at < end {
            let size = (end - at).min(block) as usize;
            let is_bad = segment.file.read_at(&mut bytes[..size], at).is_err();
            match bad {
                None if is_bad => bad = Some(at),
                Some(_) if !is_bad => break,
                _ => {}
            }
            at += block;
        }
        let bad_at = bad.unwrap_or_else(|| segment.offset(from));
        let finding = unreadable(&segment.path, bad_at, error);
        self.report.add(Finding {
            position: Some(segment.start + bad_at),
            size_bytes: at.min(end).saturating_sub(bad_at),
            ..finding
        });
        // One that was only unreadable once is not read again for ever.
        (segment.start + at.min(end)).max(from + 1)
    }

    fn add_damage(&mut self, damaged: &mut Vec<Range<u64>>, range: Range<u64>) {
        self.stretches += 1;
        // A bound on memory; what is told of records in between is not looked at then.
        let is_full = damaged.len() >= FINDINGS_MAX;
        match damaged.last_mut() {
            Some(last) if is_full => last.end = range.end,
            _ => damaged.push(range),
        }
    }

    fn tell_broken(
        &mut self,
        segment: &Segment,
        range: Range<u64>,
        nothing: &Nothing,
        index: Option<&Book<'_>>,
        segment_end: u64,
    ) {
        let is_mark = *nothing == Nothing::BadMark || range.end - range.start == MARK_SIZE_BYTES;
        let place = place_of(index, &self.checkpoints, segment.start, &range);
        let file_end = segment
            .file
            .size_bytes()
            .map_or(segment_end, |size| segment.start + size);
        let ends = range.end == file_end && place.is_none() && segment_end <= self.newest;
        let (kind, expected) = if ends {
            (Kind::SegmentEnd, "what ends the segment's records")
        } else if is_mark && place.is_none() {
            (Kind::Mark, "the mark of a group or a batch")
        } else {
            (Kind::Record, "a record")
        };
        let finding = Finding::new(kind, &segment.path, segment.offset(range.start))
            .expected(expected)
            .found(nothing.to_string());
        self.report.add(Finding {
            position: Some(range.start),
            size_bytes: range.end - range.start,
            place,
            ..finding
        });
    }

    fn no_end(&mut self, segment: &Segment, at: u64) {
        let is_told = self.report.findings.last().is_some_and(|last| {
            last.file == segment.path && last.offset + last.size_bytes == segment.offset(at)
        });
        if !is_told {
            let finding = Finding::new(Kind::SegmentEnd, &segment.path, segment.offset(at))
                .expected("what ends the segment's records")
                .found("the end of the file");
            self.report.add(Finding {
                position: Some(at),
                ..finding
            });
        }
    }

    /// What is behind the records must be zeros. A torn write may have left something within `reach`.
    fn rest(&mut self, segment: &Segment, scanner: &mut Scanner<'_>, from: u64, reach: u64) {
        let file_end = scanner.file_end();
        let step = 1 << 16;
        let mut found: Option<(u64, u64)> = None;
        let mut at = from;
        while at < file_end {
            let size = step.min(file_end - at);
            match scanner.bytes(at, size) {
                Ok(bytes) => {
                    let is_set = |byte: &u8| *byte != 0;
                    if let (Some(first), Some(last)) =
                        (bytes.iter().position(is_set), bytes.iter().rposition(is_set))
                    {
                        let first = found.map_or(at + first as u64, |(first, _)| first);
                        found = Some((first, at + last as u64 + 1));
                    }
                    self.looked(size);
                    at += size;
                }
                Err(error) => {
                    if !scanner.read_little() {
                        at = self.unreadable(segment, scanner, at, &error);
                    }
                }
            }
        }
        let Some((first, end)) = found else { return };
        let kind = if end - from <= reach {
            Kind::TornTail
        } else {
            Kind::Zeros
        };
        let finding = Finding::new(kind, &segment.path, segment.offset(first))
            .expected("zeros behind the last record")
            .found("other bytes");
        self.report.add(Finding {
            position: Some(first),
            size_bytes: end - first,
            ..finding
        });
    }

    /// A segment that the log has not come to.
    fn ahead(&mut self, segment: &Segment) {
        match Scanner::new(segment) {
            Ok(mut scanner) => {
                let reach = if self.relaxed { u64::MAX } else { 0 };
                self.rest(segment, &mut scanner, segment.start, reach);
            }
            Err(error) => self.report.add(unreadable(&segment.path, 0, &error)),
        }
    }

    fn so_far<'b>(&'b self, segment_start: u64, damaged: &'b [Range<u64>]) -> SoFar<'b> {
        SoFar {
            queues: &self.queues,
            segment_start,
            damaged,
            stretches: self.stretches,
            keys: self.keys,
            last_store_ms: self.last_store_ms,
            last_epoch: self.last_epoch,
            first_position: self.report.first_position,
        }
    }

    /// Compares the checkpoints at `at`; those before it are at no record's beginning.
    fn finish_checkpoints(&mut self, at: u64, segment_start: u64, damaged: &[Range<u64>]) {
        while let Some((checkpoint, book)) = self
            .checkpoints
            .pop_if(|(checkpoint, _)| checkpoint.position <= at)
        {
            let mut findings = Vec::new();
            if checkpoint.position == at {
                let so_far = self.so_far(segment_start, damaged);
                book.finish(&so_far, None, &mut |finding| findings.push(finding));
            } else if !damaged.iter().any(|range| range.contains(&checkpoint.position)) {
                findings.push(
                    Finding::new(Kind::CheckpointLog, book.path(), 0)
                        .expected("a position where something begins")
                        .found(format!("{}, which is in the middle", checkpoint.position)),
                );
            }
            findings.into_iter().for_each(|finding| self.report.add(finding));
        }
    }
}

/// Reads all of a file, so that a block that is unreadable is an error here. Returns its size.
fn read_through(store: &ClosedStore, path: &std::path::Path) -> std::io::Result<u64> {
    let file = store.disk.open(path, OpenMode::Read)?;
    let size = file.size_bytes()?;
    let mut bytes = vec![0; 64 << 10];
    let mut at = 0;
    while at < size {
        let count = (size - at).min(bytes.len() as u64) as usize;
        file.read_at(&mut bytes[..count], at)?;
        at += count as u64;
    }
    Ok(size)
}

/// The queue and offset of the first record in a damaged stretch, if an index or a checkpoint knows.
fn place_of(
    index: Option<&Book<'_>>,
    checkpoints: &[(&Checkpoint, Book<'_>)],
    segment_start: u64,
    range: &Range<u64>,
) -> Option<QueuePlace> {
    let mut first: Option<(u64, QueuePlace)> = None;
    let mut see = |topic: &str, queue_id: u32, queue_offset: u64, slot: Slot| {
        if range.contains(&slot.position) && first.as_ref().is_none_or(|(at, _)| slot.position < *at) {
            let place = QueuePlace {
                topic: topic.to_owned(),
                queue_id,
                queue_offset,
            };
            first = Some((slot.position, place));
        }
    };
    if let Some(Book::Index { sealed, .. }) = index {
        let mut at = 0;
        while let Some(run) = sealed.run_at(at) {
            for (slot, offset) in run.slots.unwrap_or_default().iter().zip(run.base..) {
                if let (Some(slot), Some(topic)) = (Slot::decode(slot), run.topic) {
                    see(topic, run.queue_id, offset, slot);
                }
            }
            at += 1;
        }
    }
    for (checkpoint, _) in checkpoints {
        if checkpoint.position < segment_start {
            continue;
        }
        for queue in &checkpoint.queues {
            for (slot, offset) in queue.live.slots.iter().zip(queue.live.base..) {
                see(&queue.name.topic, queue.name.queue_id, offset, *slot);
            }
        }
    }
    first.map(|(_, place)| place)
}
