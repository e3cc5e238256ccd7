//! Wire formats of Apache RocketMQ: bytes in, typed values out.
//!
//! Nothing here does I/O, reads a clock or keeps state between calls. Every decoder takes bytes from a stranger:
//! it checks lengths before it allocates, stops at named limits ([`limits`]) and answers with a typed error.
//!
//! The path of one request through this crate:
//!
//! ```text
//! BytesMut --FrameDecoder--> Frame { codec, header, body }      remoting::frame
//!          --Command::decode--> Command { header, body, .. }    remoting::command, remoting::header
//!          --SendMessageHeader::decode--> typed header          remoting::request
//!          --HeartbeatData::decode--> typed body                body (JSON), message (records)
//! ```
//!
//! and back: `request.reply(code)` builds the answer in the codec the request used, `encode_head` writes everything
//! in front of the body, so that a body can be a list of slices in one vectored write.
//!
//! ```
//! use bytes::BytesMut;
//! use kourou_proto::remoting::request::QueueHeader;
//! use kourou_proto::remoting::response::OffsetResponse;
//! use kourou_proto::{Command, FrameDecoder, HeaderFields, RequestCode, ResponseCode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client asks ...
//! let mut wire = BytesMut::new();
//! Command::request(RequestCode::GET_MIN_OFFSET, 7)
//!     .with_fields(&QueueHeader { topic: "orders", queue_id: 3 })
//!     .encode(&mut wire)?;
//!
//! // ... and a broker answers.
//! let frame = FrameDecoder::default().decode(&mut wire)?.ok_or("incomplete")?;
//! let request = Command::decode(frame)?;
//! let reply = match request.code() {
//!     RequestCode::GET_MIN_OFFSET => {
//!         let header = QueueHeader::decode(&request)?;
//!         assert_eq!((header.topic, header.queue_id), ("orders", 3));
//!         request.reply(ResponseCode::SUCCESS).with_fields(&OffsetResponse { offset: 42 })
//!     }
//!     _ => request.reply(ResponseCode::REQUEST_CODE_NOT_SUPPORTED),
//! };
//! assert_eq!((reply.opaque(), reply.field("offset")), (7, Some("42")));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod body;
pub mod json;
pub mod limits;
pub mod message;
pub mod remoting;
mod text;

pub use remoting::code::{RequestCode, ResponseCode};
pub use remoting::command::Command;
pub use remoting::fields::{ExtFields, FieldError, HeaderFields};
pub use remoting::frame::{Frame, FrameDecoder, FrameError, FrameLimits};
pub use remoting::header::{Header, HeaderCodec, HeaderError};
pub use remoting::language::Language;
