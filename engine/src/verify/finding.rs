//! What a look at a store comes to.

use std::fmt;
use std::path::PathBuf;

/// Findings that are kept; further ones are counted.
pub(super) const FINDINGS_MAX: usize = 10_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// What a kill or a power cut leaves behind, or what is not the store's. The next start sees to it, or leaves it alone.
    Leftover,
    /// Something is not as it was written, and nothing is lost: it means nothing, is there twice, or is made again from the log.
    Harmless,
    /// A part of the log is not as it was written, or what says what the log means.
    Loss,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Where a record, or what is between records, should be is something else.
    Record,
    /// The mark of a group or of a batch is damaged.
    Mark,
    /// A batch does not reach as far as its mark says.
    Batch,
    /// A segment that others follow does not say where its records end.
    SegmentEnd,
    /// A segment is missing.
    Hole,
    /// A segment's file is longer than its segments are.
    SegmentSize,
    /// There are bytes where nothing was ever written but zeros.
    Zeros,
    /// A queue's offsets do not follow each other.
    QueueOffset,
    /// A record was stored before the one before it.
    StoreTime,
    /// A mark is of an earlier life of the store than the one before it.
    Epoch,
    /// A part of a file cannot be read.
    Unreadable,
    /// The file that makes the folder a store is damaged.
    Identity,
    /// A checkpoint is not whole.
    Checkpoint,
    /// A checkpoint speaks of another log than this one.
    CheckpointLog,
    /// No checkpoint says what the records meant that have expired.
    Floor,
    /// An index file is not whole.
    Index,
    /// An index file does not say what its segment says.
    IndexLog,
    /// What a torn write left behind the last whole record.
    TornTail,
    /// A complete segment has no index file.
    IndexMissing,
    /// An index file has no complete segment.
    IndexStray,
    /// A segment that has expired is still there.
    Expired,
    /// One of the two checkpoints is not there.
    CheckpointMissing,
    /// A file that is none of the store's.
    Foreign,
}

impl Kind {
    /// How bad that is.
    pub fn severity(self) -> Severity {
        self.facts().0
    }

    /// Its name, for programs: lower case, with hyphens.
    pub fn name(self) -> &'static str {
        self.facts().1
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        self.facts().2
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        self.facts().3
    }

    fn facts(self) -> (Severity, &'static str, &'static str, &'static str) {
        use Severity::{Harmless, Leftover, Loss};
        const COPY: &str = "save the folder, and look after the disk";
        const NOTHING: &str = "nothing: the next start sees to it";
        const AGAIN: &str =
            "look after the disk; the file is made again by the next start, or when the part is next used";
        match self {
            Self::Record => (
                Loss,
                "record",
                "the record that was here cannot be read, and no other is touched",
                "save the folder; read the record from a copy if there is one: kourou never delivers it as it is",
            ),
            Self::Mark => (
                Harmless,
                "mark",
                "the records around it are whole; a start that reads the log again from before it is refused",
                COPY,
            ),
            Self::Batch => (
                Loss,
                "batch",
                "records of it are missing or belong to something else",
                COPY,
            ),
            Self::SegmentEnd => (
                Harmless,
                "segment-end",
                "no record is touched; it is only used when the index is made again from the segment",
                COPY,
            ),
            Self::Hole => (
                Loss,
                "hole",
                "all its records are missing, and the store does not open",
                "put the file back from a copy",
            ),
            Self::SegmentSize => (
                Harmless,
                "segment-size",
                "what is behind the segment's end is never read",
                "look who else writes to the folder",
            ),
            Self::Zeros => (
                Harmless,
                "zeros",
                "no record is touched: nothing is stored there",
                "look after the disk, which does not keep what was written",
            ),
            Self::QueueOffset => (
                Loss,
                "queue-offset",
                "records of the queue are missing, or there twice",
                COPY,
            ),
            Self::StoreTime => (Loss, "store-time", "a search by time may miss records here", COPY),
            Self::Epoch => (
                Loss,
                "epoch",
                "this part of the log may be left over from an earlier one",
                COPY,
            ),
            Self::Unreadable => (
                Loss,
                "unreadable",
                "the disk does not give these bytes; what lies there cannot be read",
                "copy the folder to another disk with a tool that goes on behind bad blocks, and use that",
            ),
            Self::Identity => (
                Loss,
                "identity",
                "the store does not open, although its log may be whole",
                "put the file back from a copy, or from another store with segments of the same size",
            ),
            Self::Checkpoint => (
                Harmless,
                "checkpoint",
                "it rotted, or was being written when the process died; the other one counts, and a start reads more of the log",
                "nothing: it is written again by the next clean stop or the next full segment",
            ),
            Self::CheckpointLog => (
                Loss,
                "checkpoint-log",
                "a start from it would believe what the log does not say",
                "save the folder, then remove this checkpoint: the other one, or the whole log, is read instead",
            ),
            Self::Floor => (
                Loss,
                "floor",
                "topics, offsets and timers whose records have expired are forgotten, and the store does not open",
                "put a checkpoint back from a copy",
            ),
            Self::Index => (Harmless, "index", "no record is touched", AGAIN),
            Self::IndexLog => (
                Harmless,
                "index-log",
                "records are not found by queue or key, or others in their place",
                "save the folder, then remove the index file while the store is closed: the next start makes it again",
            ),
            Self::TornTail => (
                Leftover,
                "torn-tail",
                "a write that nobody was told about did not end; or bytes rotted where nothing is stored",
                NOTHING,
            ),
            Self::IndexMissing => (
                Leftover,
                "index-missing",
                "the process died before it was written, or somebody removed it",
                NOTHING,
            ),
            Self::IndexStray => (
                Leftover,
                "index-stray",
                "the process died before it was removed",
                NOTHING,
            ),
            Self::Expired => (
                Leftover,
                "expired",
                "the power went before its removal was durable",
                NOTHING,
            ),
            Self::CheckpointMissing => (
                Leftover,
                "checkpoint-missing",
                "the store never had two, or somebody removed it",
                NOTHING,
            ),
            Self::Foreign => (
                Leftover,
                "foreign",
                "it is not the store's, and was not looked at",
                "nothing, if you know what it is",
            ),
        }
    }
}

/// A record's place in its queue, as the index tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePlace {
    /// The topic.
    pub topic: String,
    /// The queue of the topic.
    pub queue_id: u32,
    /// The first offset that the record takes.
    pub queue_offset: u64,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// In which file.
    pub file: PathBuf,
    /// At which byte of the file.
    pub offset: u64,
    /// How many bytes are concerned; 0 if that cannot be said.
    pub size_bytes: u64,
    /// The position in the log, if the file is a segment.
    pub position: Option<u64>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Of a record: where consumers miss it.
    pub place: Option<QueuePlace>,
}

impl Finding {
    pub(super) fn new(kind: Kind, file: impl Into<PathBuf>, offset: u64) -> Self {
        Self {
            kind,
            file: file.into(),
            offset,
            size_bytes: 0,
            position: None,
            expected: String::new(),
            found: String::new(),
            place: None,
        }
    }

    pub(super) fn expected(self, expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            ..self
        }
    }

    pub(super) fn found(self, found: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            offset,
            expected,
            found,
            ..
        } = self;
        write!(
            f,
            "{} at byte {offset}: expected {expected}, found {found}",
            file.display()
        )?;
        if let Some(position) = self.position {
            write!(f, " (position {position} of the log)")?;
        }
        if let Some(place) = &self.place {
            let QueuePlace {
                topic,
                queue_id,
                queue_offset,
            } = place;
            write!(
                f,
                ", the record of offset {queue_offset} in queue {queue_id} of {topic}"
            )?;
        }
        Ok(())
    }
}

/// How far a look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were looked at.
    pub looked_bytes: u64,
    /// Of how many.
    pub total_bytes: u64,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Every byte of every file of the store was looked at, and is what was written; what a crash leaves may be there.
    Clean,
    /// Something is not.
    Findings,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What is not as it should be, in the order of the files: at most 10,000.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub further_findings: u64,
    /// Bytes that were looked at.
    pub looked_bytes: u64,
    /// Bytes that there are, of the store's own files.
    pub total_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Those of them that have a place in a queue.
    pub messages: u64,
    /// Queues that have records.
    pub queues: u64,
    /// Index files that were compared with their segments.
    pub indexes: u64,
    /// Checkpoints that were compared with the log.
    pub checkpoints: u64,
    /// Where the log begins.
    pub first_position: u64,
    /// Where it ends.
    pub end_position: u64,
    /// Worse than what a crash leaves.
    is_bad: bool,
}

impl Report {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        if self.is_bad || self.looked_bytes != self.total_bytes {
            Verdict::Findings
        } else {
            Verdict::Clean
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.is_bad |= finding.kind.severity() > Severity::Leftover;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.further_findings += 1;
        }
    }
}
