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
        let mut end = from;
        let starts = self.segment_starts()?;
        for (number, start) in starts.iter().enumerate() {
            let segment_end = start + self.segment_size_bytes;
            if segment_end <= from {
                continue;
            }
            let segment = self.segment(*start)?;
            let later = starts.len() - number - 1;
            match self.walk_segment(&segment, from.max(*start), later > 0, see)? {
                (at, ControlFlow::Continue(())) => end = at,
                (at, ControlFlow::Break(())) => return Ok(at),
            }
        }
        Ok(end)
    }

    /// Where the segments begin, in order.
    pub(super) fn segment_starts(&self) -> Result<Vec<u64>, OpenError> {
        let listed = self.list(&self.layout.log)?;
        let mut starts: Vec<_> = listed
            .iter()
            .filter_map(|listed| segment::parse_name(&listed.name))
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

    fn walk_segment(
        &self,
        segment: &Segment,
        from: u64,
        has_next: bool,
        see: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<(u64, ControlFlow<()>), OpenError> {
        let read = |error| OpenError::io("read", &segment.path)(error);
        let segment_end = segment.start + self.segment_size_bytes;
        let mut scanner = Scanner::new(segment).map_err(OpenError::io("measure", &segment.path))?;
        let mut at = from;
        // What was asked for may be the middle of a record.
        let mut is_boundary = from == segment.start;
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
