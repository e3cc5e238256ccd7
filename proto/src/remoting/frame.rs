//! Frames: how commands are cut out of a byte stream.
//!
//! ```text
//!  0        4      5           8               8 + header length      4 + length
//!  +--------+------+-----------+---------------+----------------------+
//!  | length | type | header    | header        | body                 |
//!  |  i32   |  u8  | length u24|               |                      |
//!  +--------+------+-----------+---------------+----------------------+
//!           |<------------------------- length ---------------------->|
//! ```

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::header::HeaderCodec;
use crate::limits::{MAX_FRAME_BYTES, MAX_HEADER_BYTES};

/// Bytes in front of the header.
pub const PREFIX_BYTES: usize = 8;

/// The most that is reserved at once on the word of a length field; a buffer that is already larger may double.
const RESERVE_STEP_BYTES: usize = 64 * 1024;

/// One command as it travels, not yet looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// How the header is written.
    pub codec: HeaderCodec,
    /// The command header.
    pub header: Bytes,
    /// Everything behind it.
    pub body: Bytes,
}

/// How long frames and headers may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The whole frame, its length field included.
    pub max_frame_bytes: usize,
    /// The command header.
    pub max_header_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            max_frame_bytes: MAX_FRAME_BYTES,
            max_header_bytes: MAX_HEADER_BYTES,
        }
    }
}

/// A frame that cannot be. The stream cannot be followed beyond it, so the connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is negative, or less than what a frame has to have.
    #[error("a frame of {length} bytes cannot be")]
    BadLength {
        /// The length field.
        length: i32,
    },
    /// The frame is longer than allowed.
    #[error("a frame of {frame_bytes} bytes is longer than {limit_bytes}")]
    TooLong {
        /// The frame, its length field included.
        frame_bytes: u64,
        /// The longest allowed.
        limit_bytes: usize,
    },
    /// The header is longer than the frame that holds it.
    #[error("a header of {header_bytes} bytes does not fit a frame of {length}")]
    HeaderBeyondFrame {
        /// The header length.
        header_bytes: u32,
        /// The length field.
        length: u32,
    },
    /// The header is longer than allowed.
    #[error("a header of {header_bytes} bytes is longer than {limit_bytes}")]
    HeaderTooLong {
        /// The header length.
        header_bytes: u32,
        /// The longest allowed.
        limit_bytes: usize,
    },
    /// The header is in no codec we know.
    #[error("unknown header codec {codec}")]
    UnknownCodec {
        /// The type byte.
        codec: u8,
    },
}

/// Cuts frames out of a receive buffer. Keeps nothing itself: what is incomplete stays in the buffer.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameDecoder {
    limits: FrameLimits,
}

impl FrameDecoder {
    /// A decoder with these limits.
    pub const fn new(limits: FrameLimits) -> Self {
        Self { limits }
    }

    /// Takes the next whole frame from the front of `buffer`, without copying. `None` means that more bytes are
    /// needed; the buffer then has room for some, never for more than the limit.
    ///
    /// # Errors
    /// The prefix lies. Everything in it is checked as soon as its eight bytes are there, before the rest is waited
    /// for or allocated.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((&length, _)) = buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(length);
        let Some(length) = u32::try_from(length).ok().filter(|&length| length >= 4) else {
            return Err(FrameError::BadLength { length });
        };
        let frame_bytes = u64::from(length) + 4;
        if frame_bytes > self.limits.max_frame_bytes as u64 {
            return Err(FrameError::TooLong {
                frame_bytes,
                limit_bytes: self.limits.max_frame_bytes,
            });
        }
        let Some((&prefix, _)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let [_, _, _, _, codec, high, middle, low] = prefix;
        let codec = HeaderCodec::from_code(codec).ok_or(FrameError::UnknownCodec { codec })?;
        let header_bytes = u32::from_be_bytes([0, high, middle, low]);
        if header_bytes > length - 4 {
            return Err(FrameError::HeaderBeyondFrame { header_bytes, length });
        }
        if header_bytes as usize > self.limits.max_header_bytes {
            let limit_bytes = self.limits.max_header_bytes;
            return Err(FrameError::HeaderTooLong {
                header_bytes,
                limit_bytes,
            });
        }
        let wanted = length as usize + 4;
        if buffer.len() < wanted {
            let missing = wanted - buffer.len();
            buffer.reserve(missing.min(RESERVE_STEP_BYTES.max(buffer.len())));
            return Ok(None);
        }
        let mut frame = buffer.split_to(wanted);
        frame.advance(PREFIX_BYTES);
        let header = frame.split_to(header_bytes as usize).freeze();
        Ok(Some(Frame {
            codec,
            header,
            body: frame.freeze(),
        }))
    }
}

#[cfg(test)]
mod tests;
