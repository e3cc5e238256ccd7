//! The command header, and the two ways to write it.

mod binary;
mod json;
mod json_plain;

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::fields::ExtFields;
use super::frame::PREFIX_BYTES;
use super::language::Language;
use super::version;
use crate::json::JsonError;
use crate::limits::MAX_HEADER_BYTES;

/// How a header is written. A request is answered in the codec that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeaderCodec {
    /// A JSON object.
    #[default]
    Json,
    /// Upstream's binary form.
    Rocketmq,
}

impl HeaderCodec {
    /// The type byte of a frame.
    pub const fn code(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Rocketmq => 1,
        }
    }

    /// By the type byte of a frame.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Json),
            1 => Some(Self::Rocketmq),
            _ => None,
        }
    }
}

/// Bit of [`Header::flag`]: this answers a request.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of [`Header::flag`]: nobody waits for an answer, so none may be sent.
pub const FLAG_ONEWAY: i32 = 2;

/// The header of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// A request code or a response code, by [`FLAG_RESPONSE`].
    pub code: i32,
    /// What the sender is written in.
    pub language: Language,
    /// The sender's protocol version.
    pub version: i32,
    /// The number that pairs an answer with its request; chosen by whoever asks.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// A text for people, on answers that failed.
    pub remark: Option<Cow<'static, str>>,
    /// What depends on the code.
    pub fields: ExtFields,
}

impl Header {
    /// A header of ours, without fields.
    pub const fn new(code: i32, opaque: i32, flag: i32) -> Self {
        Self {
            code,
            language: Language::Rust,
            version: version::CURRENT,
            opaque,
            flag,
            remark: None,
            fields: ExtFields::new(),
        }
    }

    /// Makes this what [`Header::new`] gives, and keeps the memory of its fields.
    pub fn clear(&mut self, code: i32, opaque: i32, flag: i32) {
        self.code = code;
        self.language = Language::Rust;
        self.version = version::CURRENT;
        self.opaque = opaque;
        self.flag = flag;
        self.remark = None;
        self.fields.clear();
    }

    /// Reads a header.
    ///
    /// # Errors
    /// It is malformed or beyond a limit. The connection cannot know which request this was, so it has to be closed.
    pub fn decode(codec: HeaderCodec, bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut header = Self::new(0, 0, 0);
        header.fields = ExtFields::with_capacity(bytes.len().min(MAX_HEADER_BYTES));
        header.decode_into(codec, bytes)?;
        Ok(header)
    }

    /// Reads a header over this one, in the memory that this one has: whoever reads many needs no new memory for each.
    ///
    /// # Errors
    /// As [`Header::decode`]; what this one holds then means nothing.
    pub fn decode_into(&mut self, codec: HeaderCodec, bytes: &[u8]) -> Result<(), HeaderError> {
        self.clear_read();
        if bytes.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong {
                header_bytes: bytes.len(),
            });
        }
        match codec {
            HeaderCodec::Json => json::decode(self, bytes),
            HeaderCodec::Rocketmq => binary::decode(self, bytes),
        }
    }

    /// What a header is before anything of it has been read.
    fn clear_read(&mut self) {
        self.clear(0, 0, 0);
        self.language = Language::Other;
        self.version = 0;
    }

    /// Appends the header alone.
    ///
    /// # Errors
    /// A part of it is longer than the codec can say.
    pub fn encode(&self, codec: HeaderCodec, out: &mut BytesMut) -> Result<(), EncodeError> {
        match codec {
            HeaderCodec::Json => {
                json::encode(self, out);
                Ok(())
            }
            HeaderCodec::Rocketmq => binary::encode(self, out),
        }
    }

    /// Appends all of a frame that comes before its body of `body_bytes`.
    ///
    /// # Errors
    /// The frame or a part of its header is longer than the wire can say; nothing has been appended then.
    pub fn encode_head(
        &self,
        codec: HeaderCodec,
        body_bytes: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.encode_head_at(start, codec, body_bytes, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_head_at(
        &self,
        start: usize,
        codec: HeaderCodec,
        body_bytes: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        out.put_bytes(0, PREFIX_BYTES);
        self.encode(codec, out)?;
        let header_bytes = out.len() - start - PREFIX_BYTES;
        if header_bytes > MAX_HEADER_BYTES {
            return Err(EncodeError::HeaderTooLong { header_bytes });
        }
        let frame_bytes = 4 + header_bytes as u64 + body_bytes as u64;
        let length = i32::try_from(frame_bytes).map_err(|_| EncodeError::FrameTooLong { frame_bytes })?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        // Below 2^24 by MAX_HEADER_BYTES, so the top byte is free for the codec.
        out[start + 4..start + 8].copy_from_slice(&(header_bytes as u32).to_be_bytes());
        out[start + 4] = codec.code();
        Ok(())
    }

    /// Whether this answers a request.
    pub const fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    pub const fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::new(0, 0, 0)
    }
}

/// A header that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Longer than [`MAX_HEADER_BYTES`].
    #[error("a header of {header_bytes} bytes is too long")]
    TooLong {
        /// Its length.
        header_bytes: usize,
    },
    /// The JSON is malformed.
    #[error("header {0}")]
    Json(#[from] JsonError),
    /// The binary form ends inside `part`.
    #[error("the header ends inside its {part}")]
    Truncated {
        /// Which part.
        part: &'static str,
    },
    /// A length in the binary form that is negative or leads beyond its block.
    #[error("the {part} claims {length} bytes where {available} are left")]
    BadLength {
        /// Which part.
        part: &'static str,
        /// The claim.
        length: i64,
        /// What is there.
        available: usize,
    },
    /// More extension fields than allowed.
    #[error("more than {limit} extension fields")]
    TooManyFields {
        /// The most allowed.
        limit: usize,
    },
    /// The name of an extension field is longer than allowed.
    #[error("the name of an extension field has {key_bytes} bytes")]
    KeyTooLong {
        /// Its length.
        key_bytes: usize,
    },
    /// Bytes behind the end of the binary form.
    #[error("{0} bytes behind the header's end")]
    TrailingBytes(usize),
}

/// A command that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The header is longer than [`MAX_HEADER_BYTES`].
    #[error("a header of {header_bytes} bytes is too long")]
    HeaderTooLong {
        /// Its length.
        header_bytes: usize,
    },
    /// The frame's length does not fit its field.
    #[error("a frame of {frame_bytes} bytes is too long")]
    FrameTooLong {
        /// Its length.
        frame_bytes: u64,
    },
    /// The name of an extension field does not fit the binary form.
    #[error("the name of an extension field has {key_bytes} bytes")]
    KeyTooLong {
        /// Its length.
        key_bytes: usize,
    },
}

#[cfg(test)]
mod tests;
