//! Walking a segment from record to record, checking each.

use std::io;

use super::mark::{Begins, MARK_SIZE_BYTES, Mark};
use crate::limits::APPEND_SIZE_BYTES_MAX;
use crate::record::{Peek, RecordError, RecordView, peek_size};
use crate::segment::Segment;

/// Read at a time. Larger records make the window larger, for themselves.
const WINDOW_SIZE_BYTES: u64 = 1 << 20;

/// Searched at a time where something is unreadable.
const LITTLE_SIZE_BYTES: u64 = 512;

/// Size and magic.
const HEAD_SIZE_BYTES: u64 = 8;

/// Whether bytes announce something.
fn begins(bytes: &[u8]) -> bool {
    matches!(peek_size(bytes), Peek::Message(_) | Peek::Blank(_)) || Mark::announced_by(bytes)
}

/// What lies at a position.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole record that belongs here.
    Record(RecordView<'a>),
    /// A whole mark that belongs here.
    Mark(Mark),
    /// The rest of the segment is blank.
    Blank,
    /// None of these.
    Nothing(Nothing),
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// The file ends here.
    FileEnd,
    /// Zeros.
    Zeros,
    /// A size or magic that nothing has, or a size that the file has no room for.
    NoHead,
    /// A mark that is not whole, or of another place.
    BadMark,
    /// The end of a batch in the wrong place: its records do not fill it.
    BadBatch,
    /// A record that is not whole, or of another place.
    BadRecord(RecordError),
}

impl std::fmt::Display for Nothing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FileEnd => f.write_str("the end of the file"),
            Self::Zeros => f.write_str("zeros"),
            Self::NoHead => f.write_str("bytes that begin no record"),
            Self::BadMark => f.write_str("a damaged mark"),
            Self::BadBatch => f.write_str("a batch that its records do not fill"),
            Self::BadRecord(error) => write!(f, "a damaged record ({error})"),
        }
    }
}

/// Reads one segment through a window.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    segment: &'a Segment,
    /// Position after the file's last byte.
    file_end: u64,
    window: Vec<u8>,
    window_start: u64,
    /// Read at a time.
    window_size_bytes: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(segment: &'a Segment) -> io::Result<Self> {
        let file_end = segment.start + segment.file.size_bytes()?;
        Ok(Self {
            segment,
            file_end,
            window: Vec::new(),
            window_start: 0,
            window_size_bytes: WINDOW_SIZE_BYTES,
        })
    }

    pub(crate) fn file_end(&self) -> u64 {
        self.file_end
    }

    /// Looks at `position`, where a record, a mark or the end must be; `segment_end` is where the segment's positions end.
    pub(crate) fn look(&mut self, position: u64, segment_end: u64) -> io::Result<Found<'_>> {
        if position >= self.file_end {
            return Ok(Found::Nothing(Nothing::FileEnd));
        }
        let head = self.bytes(position, 8)?;
        let size = match peek_size(head) {
            Peek::Message(size) => u64::from(size),
            Peek::Blank(size) if position + u64::from(size) == segment_end => return Ok(Found::Blank),
            Peek::Zero => return Ok(Found::Nothing(Nothing::Zeros)),
            Peek::Short => return Ok(Found::Nothing(Nothing::FileEnd)),
            _ if Mark::announced_by(head) => MARK_SIZE_BYTES,
            _ => return Ok(Found::Nothing(Nothing::NoHead)),
        };
        if size > APPEND_SIZE_BYTES_MAX || position + size > self.file_end.min(segment_end) {
            return Ok(Found::Nothing(Nothing::NoHead));
        }
        let bytes = self.bytes(position, size)?;
        if Mark::announced_by(bytes) {
            return Ok(Mark::decode(bytes, position).map_or(Found::Nothing(Nothing::BadMark), Found::Mark));
        }
        Ok(
            match RecordView::parse(bytes).and_then(|record| record.verify_own(position).map(|()| record)) {
                Ok(record) => Found::Record(record),
                Err(error) => Found::Nothing(Nothing::BadRecord(error)),
            },
        )
    }

    /// Where what a mark at `position` begins is broken, and how: of a batch the first place that is not a whole record of it. `None`
    /// if everything can be taken in that the mark promises; a group's promises nothing.
    pub(crate) fn broken_after(
        &mut self,
        mark: Mark,
        segment_end: u64,
    ) -> io::Result<Option<(u64, Nothing)>> {
        let Begins::Batch { size_bytes } = mark.begins else {
            return Ok(None);
        };
        let mut at = mark.position + MARK_SIZE_BYTES;
        let end = at + u64::from(size_bytes);
        while at < end {
            match self.look(at, segment_end)? {
                Found::Record(record) if at + u64::from(record.size_bytes()) <= end => {
                    at += u64::from(record.size_bytes());
                }
                Found::Nothing(nothing) => return Ok(Some((at, nothing))),
                Found::Record(_) | Found::Mark(_) | Found::Blank => {
                    return Ok(Some((at, Nothing::BadBatch)));
                }
            }
        }
        Ok(None)
    }

    /// From now on no more is read than is asked for, so that what is unreadable costs little else. Whether that is something new.
    pub(crate) fn read_little(&mut self) -> bool {
        std::mem::replace(&mut self.window_size_bytes, LITTLE_SIZE_BYTES) != LITTLE_SIZE_BYTES
    }

    /// The first place behind `position`, and before `limit`, where a record, a mark or the segment's end is whole.
    pub(crate) fn next_whole(
        &mut self,
        position: u64,
        segment_end: u64,
        limit: u64,
    ) -> io::Result<Option<u64>> {
        let limit = limit.min(self.file_end);
        let mut heads = Vec::new();
        let mut at = position + 1;
        while at + HEAD_SIZE_BYTES <= limit {
            let size = self.window_size_bytes.min(self.file_end - at);
            let bytes = self.bytes(at, size)?;
            let whole = bytes.len() - (HEAD_SIZE_BYTES as usize - 1);
            heads.clear();
            heads.extend((0..whole).filter(|start| begins(&bytes[*start..])));
            for head in heads.iter().map(|head| at + *head as u64) {
                if head < limit && !matches!(self.look(head, segment_end)?, Found::Nothing(_)) {
                    return Ok(Some(head));
                }
            }
            at += whole as u64;
        }
        Ok(None)
    }

    /// The first whole group mark after `position`, if there is one.
    pub(crate) fn mark_after(&mut self, position: u64) -> io::Result<Option<u64>> {
        let magic = Mark::group_magic();
        let mut at = position + 1;
        while at + MARK_SIZE_BYTES <= self.file_end {
            let size = self.window_size_bytes.min(self.file_end - at);
            let bytes = self.bytes(at, size)?;
            // A mark may begin in this window and end in the next, so the last bytes are looked at again.
            let whole = bytes.len() - (MARK_SIZE_BYTES as usize - 1);
            for start in 0..whole {
                if bytes[start + 4..start + 8] == magic
                    && Mark::decode(&bytes[start..], at + start as u64).is_some()
                {
                    return Ok(Some(at + start as u64));
                }
            }
            at += whole as u64;
        }
        Ok(None)
    }

    /// The last position in `[from, to)` whose byte is not zero, plus one; `from` if all are.
    pub(crate) fn zeros_from(&mut self, from: u64, to: u64) -> io::Result<u64> {
        let mut end = from;
        let mut at = from;
        while at < to {
            let size = self.window_size_bytes.min(to - at);
            let bytes = self.bytes(at, size)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += size;
        }
        Ok(end)
    }

    /// `size` bytes at `position`, or fewer where the file ends.
    pub(crate) fn bytes(&mut self, position: u64, size: u64) -> io::Result<&[u8]> {
        let end = (position + size).min(self.file_end);
        let window_end = self.window_start + self.window.len() as u64;
        if position < self.window_start || end > window_end {
            let ahead = if self.window_size_bytes == LITTLE_SIZE_BYTES {
                0
            } else {
                self.window_size_bytes
            };
            let read = size.max(ahead).min(self.file_end - position);
            self.window
                .resize(usize::try_from(read).map_err(io::Error::other)?, 0);
            self.window_start = position;
            if let Err(error) = self
                .segment
                .file
                .read_at(&mut self.window, self.segment.offset(position))
            {
                // What a failed read left behind must not be taken for the disk's content.
                self.window.clear();
                return Err(error);
            }
        }
        // Both lie inside the window, which is memory.
        let start = (position - self.window_start) as usize;
        Ok(&self.window[start..(end - self.window_start) as usize])
    }
}
