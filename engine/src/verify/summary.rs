//! What a closed store holds, without reading all of it: what the newest checkpoint says, and the records behind that.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{ClosedStore, Seen};
use crate::error::OpenError;
use crate::index::QueueRange;
use crate::view::View;
use crate::view::checkpoint::Checkpoint;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Where it begins in the log.
    pub start: u64,
    /// How long its file is.
    pub file_size_bytes: u64,
    /// Whether it has an index file.
    pub has_index: bool,
    /// When its first record was stored, in milliseconds since the epoch; `None` if it has none.
    pub first_store_ms: Option<i64>,
}

/// One checkpoint file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// The file.
    pub file: PathBuf,
    /// How long it is.
    pub size_bytes: u64,
    /// What it says, or why it says nothing.
    pub content: Result<CheckpointContent, String>,
}

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointContent {
    /// Counts the checkpoints of the store.
    pub serial: u64,
    /// Counts its lives.
    pub epoch: u64,
    /// Where a start goes on.
    pub position: u64,
    /// When the last record before that was stored, in milliseconds since the epoch.
    pub last_store_ms: i64,
}

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many positions a segment covers.
    pub segment_size_bytes: u64,
    /// All segments, oldest first, the one that was made ahead included.
    pub segments: Vec<SegmentSummary>,
    /// Both checkpoint files, as far as they are there.
    pub checkpoints: Vec<CheckpointSummary>,
    /// All queues, by topic and number, with their readable offsets.
    pub queues: BTreeMap<(String, u32), QueueRange>,
    /// Where the log begins.
    pub first_position: u64,
    /// Where it ends.
    pub end_position: u64,
    /// When the last record was stored, in milliseconds since the epoch; `None` if there is none.
    pub last_store_ms: Option<i64>,
    /// Records that the next start reads again.
    pub replayed_records: u64,
    /// Places behind the newest checkpoint that are damaged; whether there are any before it says [`ClosedStore::verify`].
    pub damaged_places: u64,
}

impl ClosedStore {
    /// Sums up what the store holds. Reads the newest checkpoint and what is behind it: all of the log, if there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn summary(&self) -> Result<Summary, OpenError> {
        let kept = Checkpoint::look(self.disk.as_ref(), &self.layout.root);
        let mut summary = Summary {
            segment_size_bytes: self.segment_size_bytes,
            ..Summary::default()
        };
        let mut newest: Option<Checkpoint> = None;
        for one in kept {
            let content = one
                .content
                .map_err(|error| error.to_string())
                .and_then(|content| content);
            summary.checkpoints.push(CheckpointSummary {
                file: one.path,
                size_bytes: one.size_bytes,
                content: content.as_ref().map(content_of).map_err(Clone::clone),
            });
            if let Ok(checkpoint) = content
                && newest
                    .as_ref()
                    .is_none_or(|newest| newest.serial < checkpoint.serial)
            {
                newest = Some(checkpoint);
            }
        }
        let (expired_end, from) = newest
            .as_ref()
            .map_or((0, 0), |newest| (newest.first, newest.position));
        self.sum_up_segments(expired_end, &mut summary)?;
        if let Some(newest) = newest {
            summary.last_store_ms = (newest.position > 0).then_some(newest.last_store_ms);
            for queue in newest.queues {
                let range = QueueRange {
                    min: queue.min,
                    max: queue.live.end(),
                };
                let name = (queue.name.topic.to_string(), queue.name.queue_id);
                summary.queues.insert(name, range);
            }
        }
        let end = self.walk_log(from.max(summary.first_position), true, &mut |seen| {
            summary.see(&seen);
            ControlFlow::Continue(())
        })?;
        summary.end_position = end.max(from);
        Ok(summary)
    }

    fn sum_up_segments(&self, expired_end: u64, summary: &mut Summary) -> Result<(), OpenError> {
        let indexes = self.list(&self.layout.index)?;
        for start in self.segment_starts()? {
            if start < expired_end {
                continue;
            }
            let segment = self.segment(start)?;
            let name = crate::segment::name(start);
            let file_size_bytes = segment
                .file
                .size_bytes()
                .map_err(OpenError::io("measure", &segment.path))?;
            let mut first_store_ms = None;
            let _end = self.walk_segment(&segment, start, true, false, &mut |seen| {
                if let Seen::Record { record, .. } = seen {
                    first_store_ms = Some(record.store_ms());
                }
                ControlFlow::Break(())
            })?;
            summary.segments.push(SegmentSummary {
                start,
                file_size_bytes,
                has_index: indexes.iter().any(|listed| listed.name == name),
                first_store_ms,
            });
        }
        summary.first_position = summary.segments.first().map_or(0, |segment| segment.start);
        Ok(())
    }

    /// Brings `view` to where a start would bring it: what the newest checkpoint holds for it, then the records behind that, up to the
    /// first damage. Whether there was none.
    ///
    /// # Errors
    /// What the disk says; `View` if the view refuses what the checkpoint holds.
    pub fn replay(&self, view: &dyn View) -> Result<bool, OpenError> {
        let newest = Checkpoint::look(self.disk.as_ref(), &self.layout.root)
            .into_iter()
            .filter_map(|kept| kept.content.ok()?.ok())
            .max_by_key(|checkpoint| checkpoint.serial);
        let from = newest.as_ref().map_or(0, |newest| newest.position);
        if let Some(newest) = newest {
            view.restore(&newest.view)
                .map_err(|reason| OpenError::View { reason })?;
            view.restore_recent(&newest.recent);
        }
        let mut is_whole = true;
        self.walk_log(from, true, &mut |seen| match seen {
            Seen::Record { record, .. } => {
                view.apply(&record);
                ControlFlow::Continue(())
            }
            Seen::Damaged { .. } => {
                is_whole = false;
                ControlFlow::Break(())
            }
        })?;
        Ok(is_whole)
    }
}

fn content_of(checkpoint: &Checkpoint) -> CheckpointContent {
    CheckpointContent {
        serial: checkpoint.serial,
        epoch: checkpoint.epoch,
        position: checkpoint.position,
        last_store_ms: checkpoint.last_store_ms,
    }
}

impl Summary {
    fn see(&mut self, seen: &Seen<'_>) {
        let Seen::Record { record, .. } = seen else {
            self.damaged_places += 1;
            return;
        };
        self.replayed_records += 1;
        self.last_store_ms = self.last_store_ms.max(Some(record.store_ms()));
        if record.indexed() {
            let first = record.queue_offset();
            let max = first.saturating_add(record.offsets().into());
            self.queues
                .entry((record.topic().to_owned(), record.queue_id()))
                .and_modify(|range| range.max = max)
                .or_insert(QueueRange { min: first, max });
        }
    }
}
