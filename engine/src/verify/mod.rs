//! Looking at a closed store: whether every byte of it is what was written. Nothing is ever changed.
//!
//! ```no_run
//! use std::sync::Arc;
//! use kourou_engine::disk::{StdDisk, WriterKind};
//! use kourou_engine::verify::{ClosedStore, Verdict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Arc::new(StdDisk::new("./data", WriterKind::Auto));
//! let report = ClosedStore::open(disk, "./data")?.verify(&mut |_progress| {})?;
//! for finding in &report.findings {
//!     println!("{finding}: {}; {}", finding.kind.meaning(), finding.kind.remedy());
//! }
//! assert_eq!(report.verdict(), Verdict::Clean);
//! # Ok(())
//! # }
//! ```
//!
//! The log is read once, from end to end, through a window of a megabyte. What the index files and the checkpoints say of a record is
//! compared when the record comes by, and counted, so that nothing can be missing there and nothing invented:
//!
//! ```text
//!   identity -> checkpoints -> each segment: | mark | record | ... | blank | zeros |     and its index file
//!                                  \ the queues, slots and keys of a checkpoint at its position
//! ```
//!
//! In memory are a window, the queues that the log has, and the two checkpoints: what an open needs, too.
//!
//! Bytes that mean nothing and are not compared: in a checkpoint file what is behind the body, left over from a longer one; and the
//! process id in the lock file.

mod book;
mod finding;
mod log;
mod summary;
mod walk;

use std::any::Any;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use finding::{Finding, Kind, Progress, QueuePlace, Report, Severity, Verdict};
pub use summary::{CheckpointContent, CheckpointSummary, SegmentSummary, Summary};
pub use walk::Seen;

use crate::disk::{Disk, OpenMode};
use crate::error::OpenError;
use crate::limits::{SEGMENT_SIZE_BYTES_MAX, SEGMENT_SIZE_BYTES_MIN};
use crate::segment::{self, Segment};
use crate::store::{self, Layout};
use crate::view::checkpoint::{Checkpoint, Kept};
use log::Audit;

/// Files in a store's folder that are no part of what is compared.
const UNCHECKED: [&str; 2] = ["lock", "identity.new"];
const COMPARED: [&str; 3] = ["identity", "checkpoint.0", "checkpoint.1"];

/// A store that nobody has open, and nobody can open while this lives.
#[derive(Debug)]
pub struct ClosedStore {
    disk: Arc<dyn Disk>,
    layout: Layout,
    segment_size_bytes: u64,
    /// What is wrong with the identity file.
    identity: Option<OpenError>,
    _held: Box<dyn Any + Send + Sync>,
}

impl ClosedStore {
    /// Takes a store to look at it. Several may do so at once.
    ///
    /// # Errors
    /// `Locked` if a process has it open, `NotAStore` if the folder is none, `Version` if it is of another version; and what the disk
    /// says. A damaged identity file is no error as long as the segments tell how large they are.
    pub fn open(disk: Arc<dyn Disk>, dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let layout = Layout::new(&dir.into());
        store::refuse_foreign(disk.as_ref(), &layout)?;
        let held = store::hold(disk.as_ref(), &layout)?;
        store::check_import(disk.as_ref(), &layout, false)?;
        let (segment_size_bytes, identity) = match store::read_identity(disk.as_ref(), &layout) {
            Ok(Some(size)) => (size, None),
            Ok(None) => {
                return Err(OpenError::NotAStore {
                    dir: layout.root,
                    found: "nothing".into(),
                });
            }
            Err(error @ OpenError::Corrupt { .. }) => match size_by_names(disk.as_ref(), &layout) {
                Some(size) => (size, Some(error)),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        Ok(Self {
            disk,
            layout,
            segment_size_bytes,
            identity,
            _held: held,
        })
    }

    /// Looks at everything. `progress` is told now and then how far it has come.
    ///
    /// # Errors
    /// If the disk does not even list the folders. What cannot be read is a finding.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Report, OpenError> {
        let mut report = Report::default();
        self.look_at_root(&mut report)?;
        let kept = Checkpoint::look(self.disk.as_ref(), &self.layout.root);
        let mut whole = Vec::new();
        for one in kept {
            self.look_at_checkpoint(one, &mut report, &mut whole);
        }
        whole.sort_unstable_by_key(|(_, checkpoint): &(PathBuf, Checkpoint)| {
            std::cmp::Reverse(checkpoint.serial)
        });
        let expired_end = whole.first().map_or(0, |(_, newest)| newest.first);
        let segments = self.look_at_log_folder(expired_end, &mut report)?;
        let first = segments.first().map_or(0, |segment| segment.start);
        report.first_position = first;
        if whole.is_empty() && first > 0 {
            let found = Finding::new(Kind::Floor, self.layout.root.join("checkpoint.0"), 0)
                .expected(format!(
                    "a checkpoint: the log before position {first} has expired"
                ))
                .found("none in either file");
            report.add(found);
        }
        let mut audit = Audit::new(self, &whole, report, progress);
        audit.log(&segments)?;
        let mut report = audit.report();
        self.look_at_index_folder(&segments, &mut report)?;
        Ok(report)
    }

    fn look_at_root(&self, report: &mut Report) -> Result<(), OpenError> {
        let root = &self.layout.root;
        for listed in self.disk.list(root).map_err(OpenError::io("list", root))? {
            if COMPARED.contains(&listed.name.as_str()) {
                report.total_bytes += listed.size_bytes;
            } else if !UNCHECKED.contains(&listed.name.as_str()) {
                report.add(foreign(root.join(&listed.name), listed.size_bytes));
            }
        }
        // It was compared as a whole.
        report.looked_bytes += store::SIZE_BYTES as u64;
        if let Some(OpenError::Corrupt {
            file,
            offset,
            expected,
            found,
        }) = &self.identity
        {
            let finding = Finding::new(Kind::Identity, file, *offset)
                .expected(expected.as_str())
                .found(found.as_str());
            report.add(finding);
        }
        Ok(())
    }

    fn look_at_checkpoint(&self, kept: Kept, report: &mut Report, whole: &mut Vec<(PathBuf, Checkpoint)>) {
        match kept.content {
            Ok(content) => {
                report.looked_bytes += kept.size_bytes;
                match content {
                    Ok(checkpoint) => whole.push((kept.path, checkpoint)),
                    Err(reason) => report.add(
                        Finding::new(Kind::Checkpoint, kept.path, 0)
                            .expected("a whole checkpoint")
                            .found(reason),
                    ),
                }
            }
            Err(error) => report.add(
                Finding::new(Kind::Unreadable, kept.path, 0)
                    .expected("a checkpoint")
                    .found(error.to_string()),
            ),
        }
    }

    /// The segments that have not expired, in order, and what is wrong with their names and sizes.
    fn look_at_log_folder(&self, expired_end: u64, report: &mut Report) -> Result<Vec<Segment>, OpenError> {
        let dir = &self.layout.log;
        let mut starts = BTreeSet::new();
        for listed in self.list(dir)? {
            let path = dir.join(&listed.name);
            let size = self.segment_size_bytes;
            let is_place = |start: &u64| start.is_multiple_of(size) && start.checked_add(size).is_some();
            match segment::parse_name(&listed.name).filter(is_place) {
                Some(start) if start < expired_end => {
                    let expired = Finding::new(Kind::Expired, path, 0)
                        .expected(format!("no segment before position {expired_end}"))
                        .found("one");
                    report.add(expired);
                }
                Some(start) => {
                    starts.insert(start);
                    report.total_bytes += listed.size_bytes;
                    if listed.size_bytes > self.segment_size_bytes {
                        let long = Finding::new(Kind::SegmentSize, path, self.segment_size_bytes)
                            .expected(format!("{} bytes at the most", self.segment_size_bytes))
                            .found(format!("{} bytes", listed.size_bytes));
                        report.add(long);
                    }
                }
                None => report.add(foreign(path, listed.size_bytes)),
            }
        }
        let mut segments = Vec::new();
        let mut expected = starts.first().copied().unwrap_or(0);
        for start in starts {
            if start != expected {
                let hole = Finding::new(Kind::Hole, dir.join(segment::name(expected)), 0)
                    .expected("a segment of this name")
                    .found(format!("the next one is {}", segment::name(start)));
                report.add(Finding {
                    position: Some(expected),
                    ..hole
                });
            }
            expected = start.saturating_add(self.segment_size_bytes);
            let path = segment::path(dir, start);
            match self.disk.open(&path, OpenMode::Read) {
                Ok(file) => segments.push(Segment::new(start, path, file)),
                Err(error) => report.add(unreadable(path, 0, &error)),
            }
        }
        report.segments = segments.len() as u64;
        Ok(segments)
    }

    /// Index files that no segment has. Those of segments have been counted with them.
    fn look_at_index_folder(&self, segments: &[Segment], report: &mut Report) -> Result<(), OpenError> {
        let dir = &self.layout.index;
        for listed in self.list(dir)? {
            let path = dir.join(&listed.name);
            match segment::parse_name(&listed.name) {
                Some(start) if segments.iter().any(|segment| segment.start == start) => {}
                Some(_) => report.add(
                    Finding::new(Kind::IndexStray, path, 0)
                        .expected("no index without its segment")
                        .found("one"),
                ),
                None => report.add(foreign(path, listed.size_bytes)),
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<crate::disk::Listed>, OpenError> {
        match self.disk.list(dir) {
            // A start that did not get far.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(OpenError::io("list", dir)),
        }
    }
}

/// How large segments are, by where they begin.
fn size_by_names(disk: &dyn Disk, layout: &Layout) -> Option<u64> {
    let listed = disk.list(&layout.log).ok()?;
    let starts: BTreeSet<u64> = listed
        .iter()
        .filter_map(|listed| segment::parse_name(&listed.name))
        .collect();
    let next = starts.iter().skip(1);
    let size = starts.iter().zip(next).map(|(one, next)| next - one).min()?;
    (SEGMENT_SIZE_BYTES_MIN..=SEGMENT_SIZE_BYTES_MAX)
        .contains(&size)
        .then_some(size)
}

fn foreign(path: PathBuf, size_bytes: u64) -> Finding {
    Finding {
        size_bytes,
        ..Finding::new(Kind::Foreign, path, 0)
    }
    .expected("a file of the store")
    .found("another")
}

fn unreadable(path: impl Into<PathBuf>, offset: u64, error: &std::io::Error) -> Finding {
    Finding::new(Kind::Unreadable, path, offset)
        .expected("bytes")
        .found(error.to_string())
}
