//! What says where records are, compared with the records: an index file, or a checkpoint up to its position.

use std::ops::Range;
use std::path::PathBuf;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::finding::{Finding, Kind};
use crate::index::file::Sealed;
use crate::index::{IndexEntry, KeyEntry, QueueKey, QueueName, QueueRecord, Slot};
use crate::record::RecordView;
use crate::view::checkpoint::{Checkpoint, Keys};

/// The queues that have gone by.
pub(super) type Queues = HashMap<QueueName, QueueSeen, RandomState>;

/// What has gone by of one queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueSeen {
    /// The first offset that the log has of it.
    pub(super) first: u64,
    /// The offset after the last one.
    pub(super) next: u64,
    /// How many damaged stretches there had been by then.
    pub(super) stretches: usize,
    /// The segment of the last one, and how many offsets there were in it.
    pub(super) segment_start: u64,
    pub(super) count: u64,
}

/// Keys, counted and summed up whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeySum {
    count: u64,
    sum: u64,
}

impl KeySum {
    pub(super) fn add(&mut self, entry: KeyEntry) {
        // Each key becomes a number that others do not make up for by chance.
        let mixed = entry.to_bits().wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.sum = self.sum.wrapping_add(mixed ^ mixed >> 31);
        self.count += 1;
    }
}

/// What the log came to at the place up to which a book speaks.
#[derive(Debug)]
pub(super) struct SoFar<'a> {
    pub(super) queues: &'a Queues,
    /// Where the segment begins.
    pub(super) segment_start: u64,
    /// Damaged stretches of the segment: nothing can be said of what is told about these.
    pub(super) damaged: &'a [Range<u64>],
    /// How many there are in all of the log so far.
    pub(super) stretches: usize,
    pub(super) keys: KeySum,
    pub(super) last_store_ms: i64,
    pub(super) last_epoch: u64,
    pub(super) first_position: u64,
}

impl SoFar<'_> {
    fn is_damaged(&self, position: u64) -> bool {
        let behind = self.damaged.partition_point(|range| range.start <= position);
        behind > 0 && position < self.damaged[behind - 1].end
    }

    fn count_in_segment(&self, key: QueueKey<'_>) -> u64 {
        let seen = self.queues.get(&key);
        seen.map_or(0, |seen| {
            if seen.segment_start == self.segment_start {
                seen.count
            } else {
                0
            }
        })
    }
}

/// Says where records are.
#[derive(Debug)]
pub(super) enum Book<'a> {
    Index {
        path: PathBuf,
        sealed: Sealed,
    },
    Checkpoint {
        path: PathBuf,
        checkpoint: &'a Checkpoint,
        by_name: HashMap<QueueKey<'a>, &'a QueueRecord, RandomState>,
    },
}

impl<'a> Book<'a> {
    pub(super) fn checkpoint(path: PathBuf, checkpoint: &'a Checkpoint) -> Self {
        let key = |queue: &'a QueueRecord| QueueKey {
            topic: &queue.name.topic,
            queue_id: queue.name.queue_id,
        };
        Self::Checkpoint {
            path,
            by_name: checkpoint
                .queues
                .iter()
                .map(|queue| (key(queue), queue))
                .collect(),
            checkpoint,
        }
    }

    /// Compares a record's entries.
    pub(super) fn compare(
        &self,
        record: &RecordView<'_>,
        position: u64,
        spare: &mut Vec<IndexEntry>,
    ) -> Option<Finding> {
        let key = QueueKey {
            topic: record.topic(),
            queue_id: record.queue_id(),
        };
        let slot = Slot::new(
            position,
            record.store_ms(),
            record.size_bytes(),
            record.tags_code(),
        )
        .spanning(record.is_batch());
        let first = record.queue_offset();
        for offset in first..first.saturating_add(record.offsets().into()) {
            let expected = slot.at(offset);
            spare.clear();
            self.copy(key, offset, spare)?;
            if spare.first() != Some(&expected) {
                let found = spare.first().map_or_else(|| "none".into(), entry_text);
                let kind = match self {
                    Self::Index { .. } => Kind::IndexLog,
                    Self::Checkpoint { .. } => Kind::CheckpointLog,
                };
                let what = format!(
                    "for offset {offset} of queue {} of {} an entry: {}",
                    key.queue_id,
                    key.topic,
                    entry_text(&expected)
                );
                return Some(Finding::new(kind, self.path(), 0).expected(what).found(found));
            }
        }
        None
    }

    /// Adds the entry of an offset, if there is one. `None` if that part is damaged, which is told elsewhere.
    fn copy(&self, key: QueueKey<'_>, offset: u64, out: &mut Vec<IndexEntry>) -> Option<()> {
        match self {
            Self::Index { sealed, .. } => match sealed.find(key) {
                Some(found) => found.copy(offset, 1, out).ok(),
                None => Some(()),
            },
            Self::Checkpoint { by_name, .. } => {
                if let Some(queue) = by_name.get(&key) {
                    queue.live.copy(offset, 1, out);
                }
                Some(())
            }
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Index { path, .. } | Self::Checkpoint { path, .. } => path.clone(),
        }
    }

    /// Everything that it speaks of has gone by: compares what it says in all. `data_end` is where the segment's records end, if
    /// that is known.
    pub(super) fn finish(&self, so_far: &SoFar<'_>, data_end: Option<u64>, tell: &mut dyn FnMut(Finding)) {
        match self {
            Self::Index { path, sealed } => Index { path, sealed, so_far }.finish(data_end, tell),
            Self::Checkpoint { path, checkpoint, .. } => {
                let differs = |expected: String, found: String| {
                    Finding::new(Kind::CheckpointLog, path, 0)
                        .expected(expected)
                        .found(found)
                };
                finish_checkpoint(self, checkpoint, so_far, &mut |expected, found| {
                    tell(differs(expected, found));
                });
            }
        }
    }
}

fn entry_text(entry: &IndexEntry) -> String {
    format!(
        "position {}, {} bytes, tag hash {}, stored at {}{}",
        entry.position,
        entry.size_bytes,
        entry.tags_code,
        entry.store_ms,
        if entry.spans { ", a batch" } else { "" }
    )
}

/// How many of these slots are of records that are whole.
fn count_whole(slots: impl Iterator<Item = Slot>, so_far: &SoFar<'_>) -> u64 {
    slots.filter(|slot| !so_far.is_damaged(slot.position)).count() as u64
}

fn finish_checkpoint(
    book: &Book<'_>,
    checkpoint: &Checkpoint,
    so_far: &SoFar<'_>,
    differs: &mut dyn FnMut(String, String),
) {
    for queue in &checkpoint.queues {
        let QueueName { topic, queue_id } = &queue.name;
        let key = QueueKey {
            topic,
            queue_id: *queue_id,
        };
        let name = format!("queue {queue_id} of {topic}");
        let told = count_whole(queue.live.slots.iter().copied(), so_far);
        let there = so_far.count_in_segment(key);
        if told != there {
            differs(format!("{there} entries of {name}"), told.to_string());
        }
        let (min, end) = (queue.min, queue.live.end());
        match so_far.queues.get(&key) {
            Some(seen) => {
                let may_hide = so_far.stretches > seen.stretches && end > seen.next;
                if end != seen.next && !may_hide {
                    differs(format!("{name} to end at offset {}", seen.next), end.to_string());
                }
                // The log may begin later than it did then; and what it begins with may be damaged.
                let may_rise = checkpoint.first < so_far.first_position || so_far.stretches > 0;
                if min > seen.first || min < seen.first && !may_rise {
                    differs(
                        format!("{name} to begin at offset {}", seen.first),
                        min.to_string(),
                    );
                }
            }
            None if min != end && checkpoint.first == so_far.first_position && so_far.stretches == 0 => {
                differs(format!("{name} to be empty"), format!("offsets {min} to {end}"));
            }
            None => {}
        }
    }
    for (name, seen) in so_far.queues {
        let key = QueueKey {
            topic: &name.topic,
            queue_id: name.queue_id,
        };
        if let Book::Checkpoint { by_name, .. } = book
            && !by_name.contains_key(&key)
        {
            differs(
                format!(
                    "queue {} of {}, which ends at offset {}",
                    name.queue_id, name.topic, seen.next
                ),
                "no such queue".into(),
            );
        }
    }
    if let Keys::Known { live, .. } = &checkpoint.keys {
        let mut told = KeySum::default();
        live.iter()
            .filter(|entry| !so_far.is_damaged(so_far.segment_start + entry.at()))
            .for_each(|entry| told.add(*entry));
        if told != so_far.keys {
            differs(keys_text(so_far.keys), keys_text(told));
        }
    }
    if checkpoint.last_store_ms < so_far.last_store_ms {
        differs(
            format!("a last store time of at least {}", so_far.last_store_ms),
            checkpoint.last_store_ms.to_string(),
        );
    }
    if checkpoint.epoch < so_far.last_epoch {
        differs(
            format!("life {} of the store, or a later one", so_far.last_epoch),
            checkpoint.epoch.to_string(),
        );
    }
}

fn keys_text(keys: KeySum) -> String {
    format!("{} keys with sum {:#018x}", keys.count, keys.sum)
}

/// An index file, once its segment has gone by.
struct Index<'a> {
    path: &'a PathBuf,
    sealed: &'a Sealed,
    so_far: &'a SoFar<'a>,
}

impl Index<'_> {
    fn finish(&self, data_end: Option<u64>, tell: &mut dyn FnMut(Finding)) {
        if let Some(end) = data_end.filter(|end| *end != self.sealed.data_end()) {
            // In the header.
            let differs = Finding::new(Kind::IndexLog, self.path, 24);
            tell(
                differs
                    .expected(format!("records up to position {end}"))
                    .found(self.sealed.data_end().to_string()),
            );
        }
        let mut at = 0;
        let mut slots = 0;
        let mut last: Option<(&str, u32)> = None;
        while let Some(run) = self.sealed.run_at(at) {
            let in_directory = Finding::new(Kind::Index, self.path, run.directory_offset);
            let name = run.topic.map(|topic| (topic, run.queue_id));
            if name.is_none() || name <= last {
                tell(
                    in_directory
                        .expected("queues ordered by topic and number")
                        .found(format!("{name:?} behind {last:?}")),
                );
            } else if run.first_slot != slots {
                tell(
                    in_directory
                        .expected(format!("a run that begins with entry {slots}"))
                        .found(run.first_slot.to_string()),
                );
            } else {
                self.run(&run, tell);
            }
            last = name;
            slots = u64::saturating_add(slots, run.slot_count);
            at += 1;
        }
        if slots != self.sealed.entry_count() {
            tell(
                Finding::new(Kind::Index, self.path, 32)
                    .expected(format!("{slots} entries, as the directory has"))
                    .found(self.sealed.entry_count().to_string()),
            );
        }
        self.keys(tell);
    }

    fn run(&self, run: &crate::index::file::RunAt<'_>, tell: &mut dyn FnMut(Finding)) {
        let Some(slots) = run.slots else {
            let size_bytes = run.slot_count.saturating_mul(Slot::SIZE_BYTES as u64);
            let broken = Finding::new(Kind::Index, self.path, run.slots_offset)
                .expected("entries that match their checksum")
                .found("others");
            return tell(Finding { size_bytes, ..broken });
        };
        let key = QueueKey {
            topic: run.topic.unwrap_or_default(),
            queue_id: run.queue_id,
        };
        let told = count_whole(slots.iter().filter_map(|slot| Slot::decode(slot)), self.so_far);
        let there = self.so_far.count_in_segment(key);
        if told != there {
            let name = format!("queue {} of {}", key.queue_id, key.topic);
            tell(
                Finding::new(Kind::IndexLog, self.path, run.slots_offset)
                    .expected(format!("{there} entries of {name}, as the segment has records"))
                    .found(told.to_string()),
            );
        }
    }

    fn keys(&self, tell: &mut dyn FnMut(Finding)) {
        let start = self.so_far.segment_start;
        let mut told = KeySum::default();
        let outcome = self.sealed.all_keys(&mut |entry| {
            if !self.so_far.is_damaged(start + entry.at()) {
                told.add(entry);
            }
        });
        let finding = |kind, offset| Finding::new(kind, self.path, offset);
        match outcome {
            Err((offset, what)) => tell(
                finding(Kind::Index, offset)
                    .expected("a whole table of keys")
                    .found(what),
            ),
            Ok(()) if told != self.so_far.keys => tell(
                finding(Kind::IndexLog, 48)
                    .expected(keys_text(self.so_far.keys))
                    .found(keys_text(told)),
            ),
            Ok(()) => {}
        }
    }
}
