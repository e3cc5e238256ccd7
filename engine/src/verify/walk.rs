//! Going through the records of a closed store, and summing it up.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::ClosedStore;
use crate::disk::OpenMode;
use crate::error::OpenError;
use crate::log::mark::MARK_SIZE_BYTES;
use crate::log::scan::{Found, Scanner};
use crate::record::RecordView;
use crate::segment::{self, Segment};

/// What lies in the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// A whole record.
    Record {
        /// Where it lies.
        position: u64,
        /// It.
        record: RecordView<'a>,
    },
    /// Bytes that are no record, where something should be.
    Damaged {
        /// The segment's file.
        file: PathBuf,
        /// At which byte of it.
        offset: u64,
        /// Where in the log.
        position: u64,
        /// How far it is to the next that is whole.
        size_bytes: u64,
        /// What is there.
        found: String,
    },
}

impl ClosedStore {
    /// Shows the records from position `from` on, or from the first behind it, until `see` breaks or the log ends. Damage is shown and passed
    /// over. Returns where it ended.
    ///
    /// # Errors
    /// What the disk says.
    pub fn walk(
        &self,
        from: u64,
        see: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<u64, OpenError> {
        self.walk_log(from, false, see)
    }

    /// The same; something is known to begin at `from`, if that is said.
    pub(super) fn walk_log(
        &self,
        from: u64,
        is_boundary: bool,
        see: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<u64, OpenError> {
        let mut end = from;
        let starts = self.segment_starts()?;
        for (number, start) in starts.iter().enumerate() {
            if start + self.segment_size_bytes <= from {
                continue;
            }
            let segment = self.segment(*start)?;
            let at = from.max(*start);
            let is_boundary = is_boundary || at == *start;
            let later = starts.get(number + 1..).unwrap_or_default();
            // One that was made ahead holds nothing.
            let goes_on = later.iter().any(|start| self.holds_something(*start));
            match self.walk_segment(&segment, at, is_boundary, goes_on, see)? {
                (at, ControlFlow::Continue(())) => end = at,
                (at, ControlFlow::Break(())) => return Ok(at),
            }
            if !goes_on {
                break;
            }
        }
        Ok(end)
    }

    /// Whether something whole lies at a segment's beginning.
    fn holds_something(&self, start: u64) -> bool {
        let Ok(segment) = self.segment(start) else {
            return false;
        };
        let end = start + self.segment_size_bytes;
        Scanner::new(&segment).is_ok_and(|mut scanner| {
            let found = scanner.look(start, end);
            matches!(found, Ok(Found::Record(_) | Found::Mark(_) | Found::Blank))
        })
    }

    /// Where the segments begin, in order.
    pub(super) fn segment_starts(&self) -> Result<Vec<u64>, OpenError> {
        let listed = self.list(&self.layout.log)?;
        let mut starts: Vec<_> = listed
            .iter()
            .filter_map(|listed| segment::parse_name(&listed.name))
            .filter(|start| start.checked_add(self.segment_size_bytes).is_some())
            .collect();
        starts.sort_unstable();
        Ok(starts)
    }

    pub(super) fn segment(&self, start: u64) -> Result<Segment, OpenError> {
        let path = segment::path(&self.layout.log, start);
        let file = self
            .disk
            .open(&path, OpenMode::Read)
            .map_err(OpenError::io("open", &path))?;
        Ok(Segment::new(start, path, file))
    }

    pub(super) fn walk_segment(
        &self,
        segment: &Segment,
        from: u64,
        is_boundary: bool,
        has_next: bool,
        see: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<(u64, ControlFlow<()>), OpenError> {
        let read = |error| OpenError::io("read", &segment.path)(error);
        let segment_end = segment.start + self.segment_size_bytes;
        let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
        let mut at = from;
        // What was asked for may be the middle of a record.
        let mut is_boundary = is_boundary;
        loop {
            match scanner.look(at, segment_end).map_err(read)? {
                Found::Record(record) => {
                    let size = u64::from(record.size_bytes());
                    let position = at;
                    if see(Seen::Record { position, record }).is_break() {
                        return Ok((at, ControlFlow::Break(())));
                    }
                    at += size;
                }
                Found::Mark(_) => at += MARK_SIZE_BYTES,
                Found::Blank => return Ok((segment_end, ControlFlow::Continue(()))),
                Found::Nothing(nothing) => {
                    let next = scanner.next_whole(at, segment_end, u64::MAX).map_err(read)?;
                    if next.is_none() && !has_next || at >= scanner.file_end() {
                        return Ok((at, ControlFlow::Continue(())));
                    }
                    let next = next.unwrap_or_else(|| scanner.file_end());
                    let damaged = Seen::Damaged {
                        file: segment.path.clone(),
                        offset: segment.offset(at),
                        position: at,
                        size_bytes: next - at,
                        found: nothing.to_string(),
                    };
                    if is_boundary && see(damaged).is_break() {
                        return Ok((at, ControlFlow::Break(())));
                    }
                    at = next;
                }
            }
            is_boundary = true;
        }
    }
}
