//! Going through the log, record by record.

use bytes::Bytes;

use super::Engine;
use crate::error::ReadError;
use crate::limits::APPEND_SIZE_BYTES_MAX;
use crate::log::mark::{MARK_SIZE_BYTES, Mark};
use crate::record::{Peek, RecordError, peek_size};

impl Engine {
    /// The next record from `position` on, checked, and where it lies; `None` at the end of what is durable. `position` is that of a record, its
    /// end, or [`Engine::first_position`]. State records are among them. May block on the disk.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn next_record(&self, position: u64) -> Result<Option<(u64, Bytes)>, ReadError> {
        const HEAD: usize = 8;
        let mut position = position;
        let segment_size_bytes = self.inner.shared.segment_size_bytes;
        while position < self.watermark() {
            let segment_end = (position / segment_size_bytes + 1) * segment_size_bytes;
            let head = match self.inner.shared.tail_cache.slice(position, HEAD) {
                Some(head) => head,
                None => self.read_bytes(position, HEAD)?,
            };
            if Mark::announced_by(&head) {
                position += MARK_SIZE_BYTES;
                continue;
            }
            match peek_size(&head) {
                Peek::Blank(_) => position = segment_end,
                Peek::Message(size) if u64::from(size) <= APPEND_SIZE_BYTES_MAX => {
                    let bytes = self.read(position, size)?;
                    self.check_record(position, &bytes)?;
                    return Ok(Some((position, bytes)));
                }
                _ => {
                    let found = super::magic(&head);
                    return Err(self.corrupt(position, RecordError::BadMagic { found }));
                }
            }
        }
        Ok(None)
    }
}
