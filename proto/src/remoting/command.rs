//! A command: one request or response, header and body together.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::code::{RequestCode, ResponseCode};
use super::fields::HeaderFields;
use super::frame::Frame;
use super::header::{EncodeError, FLAG_ONEWAY, FLAG_RESPONSE, Header, HeaderCodec, HeaderError};

/// A request or a response. The default one means nothing; it is for [`Command::decode_into`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// How the header came, or is to go.
    pub codec: HeaderCodec,
    /// The header.
    pub header: Header,
    /// The body; empty if there is none.
    pub body: Bytes,
}

impl Command {
    /// A request of ours.
    pub fn request(code: RequestCode, opaque: i32) -> Self {
        Self {
            codec: HeaderCodec::Json,
            header: Header::new(code.value(), opaque, 0),
            body: Bytes::new(),
        }
    }

    /// Looks into a frame.
    ///
    /// # Errors
    /// The header is malformed; the connection has to be closed.
    pub fn decode(frame: Frame) -> Result<Self, HeaderError> {
        let header = Header::decode(frame.codec, &frame.header)?;
        Ok(Self {
            codec: frame.codec,
            header,
            body: frame.body,
        })
    }

    /// Looks into a frame, in the memory that this command has: see [`Header::decode_into`].
    ///
    /// # Errors
    /// As [`Command::decode`]; what this command holds then means nothing.
    pub fn decode_into(&mut self, frame: Frame) -> Result<(), HeaderError> {
        self.header.decode_into(frame.codec, &frame.header)?;
        self.codec = frame.codec;
        self.body = frame.body;
        Ok(())
    }

    /// An answer to this request: same codec, same opaque, still without fields, remark and body.
    pub fn reply(&self, code: ResponseCode) -> Self {
        Self {
            codec: self.codec,
            header: Header::new(code.value(), self.header.opaque, FLAG_RESPONSE),
            body: Bytes::new(),
        }
    }

    /// Adds the fields of a typed header.
    #[must_use]
    pub fn with_fields<'a>(mut self, fields: &impl HeaderFields<'a>) -> Self {
        self.header.fields.make_room();
        fields.write_fields(&mut self.header.fields);
        self
    }

    /// Adds one field.
    #[must_use]
    pub fn with_field(mut self, key: &str, value: &str) -> Self {
        self.header.fields.push(key, value);
        self
    }

    /// Sets the text for people.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<Cow<'static, str>>) -> Self {
        self.header.remark = Some(remark.into());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the codec; requests of ours go as JSON otherwise.
    #[must_use]
    pub fn with_codec(mut self, codec: HeaderCodec) -> Self {
        self.codec = codec;
        self
    }

    /// Marks a request that nobody waits for.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.header.flag |= FLAG_ONEWAY;
        self
    }

    /// What a request asks for.
    pub const fn code(&self) -> RequestCode {
        RequestCode::new(self.header.code)
    }

    /// How a response turned out.
    pub const fn response_code(&self) -> ResponseCode {
        ResponseCode::new(self.header.code)
    }

    /// The number that pairs request and answer.
    pub const fn opaque(&self) -> i32 {
        self.header.opaque
    }

    /// The sender's protocol version.
    pub const fn version(&self) -> i32 {
        self.header.version
    }

    /// The text for people, empty if there is none.
    pub fn remark(&self) -> &str {
        self.header.remark.as_deref().unwrap_or_default()
    }

    /// One field as text.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.header.fields.get(key)
    }

    /// Whether this answers a request.
    pub const fn is_response(&self) -> bool {
        self.header.is_response()
    }

    /// Whether nobody waits for an answer.
    pub const fn is_oneway(&self) -> bool {
        self.header.is_oneway()
    }

    /// Appends all of the frame that comes before a body of `body_bytes`, which the caller sends behind it: the body
    /// of this command is not looked at, so that it can be a list of slices.
    ///
    /// # Errors
    /// The frame or a part of its header is longer than the wire can say; nothing has been appended then.
    pub fn encode_head(&self, body_bytes: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.header.encode_head(self.codec, body_bytes, out)
    }

    /// Appends the whole frame, with this command's body.
    ///
    /// # Errors
    /// As [`Command::encode_head`].
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head(self.body.len(), out)?;
        out.put_slice(&self.body);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remoting::frame::FrameDecoder;

    #[test]
    fn a_reply_finds_its_request() {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            let request = Command::request(RequestCode::GET_MAX_OFFSET, -5).with_codec(codec);
            let reply = request
                .reply(ResponseCode::TOPIC_NOT_EXIST)
                .with_remark("no topic")
                .with_body("x");
            let mut wire = BytesMut::new();
            reply.encode(&mut wire).unwrap();
            let frame = FrameDecoder::default().decode(&mut wire).unwrap().unwrap();
            let read = Command::decode(frame).unwrap();
            assert_eq!(read, reply);
            assert_eq!((read.opaque(), read.codec, read.is_response()), (-5, codec, true));
            assert_eq!(read.response_code(), ResponseCode::TOPIC_NOT_EXIST);
        }
    }

    #[test]
    fn a_frame_too_long_leaves_no_trace() {
        let mut wire = BytesMut::from(&b"before"[..]);
        let request = Command::request(RequestCode::HEART_BEAT, 1);
        let error = request
            .encode_head(usize::try_from(i32::MAX).unwrap(), &mut wire)
            .unwrap_err();
        assert!(matches!(error, EncodeError::FrameTooLong { .. }));
        assert_eq!(&wire[..], b"before");
    }
}
