//! Cuts answers out of what arrives, and looks only at what a run needs of them: number, code, body.

use kourou_proto::remoting::frame::PREFIX_BYTES;
use kourou_proto::remoting::header::FLAG_RESPONSE;
use kourou_proto::{FrameError, FrameLimits, Header, HeaderCodec, HeaderError};
use memchr::memmem::Finder;

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) opaque: i32,
    pub(crate) code: i32,
    pub(crate) codec: HeaderCodec,
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// What the broker says about it.
    pub(crate) fn remark(&self) -> String {
        Header::decode(self.codec, self.header)
            .ok()
            .and_then(|header| header.remark)
            .unwrap_or_default()
            .into_owned()
    }
}

/// A frame of the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawFrame<'a> {
    pub(crate) codec: HeaderCodec,
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// What the front of a buffer is.
#[derive(Debug)]
pub(crate) enum Front<'a> {
    /// A whole frame, and how long it is.
    Frame(RawFrame<'a>, usize),
    /// A part; the whole frame is this long, as far as can be told.
    Part(usize),
}

/// Looks at the front of `bytes`; lengths are checked before anything is waited for.
pub(crate) fn front(bytes: &[u8]) -> Result<Front<'_>, FrameError> {
    let Some((&prefix, _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(Front::Part(PREFIX_BYTES));
    };
    let [a, b, c, d, codec, high, middle, low] = prefix;
    let length = i32::from_be_bytes([a, b, c, d]);
    let Some(after_length) = u32::try_from(length).ok().filter(|&length| length >= 4) else {
        return Err(FrameError::BadLength { length });
    };
    let limit_bytes = FrameLimits::default().max_frame_bytes;
    let frame_bytes = u64::from(after_length) + 4;
    if frame_bytes > limit_bytes as u64 {
        return Err(FrameError::TooLong {
            frame_bytes,
            limit_bytes,
        });
    }
    let header_bytes = u32::from_be_bytes([0, high, middle, low]);
    if header_bytes > after_length - 4 {
        return Err(FrameError::HeaderBeyondFrame {
            header_bytes,
            length: after_length,
        });
    }
    let codec = HeaderCodec::from_code(codec).ok_or(FrameError::UnknownCodec { codec })?;
    let whole = after_length as usize + 4;
    match bytes.get(PREFIX_BYTES..whole) {
        Some(rest) => {
            let (header, body) = rest.split_at(header_bytes as usize);
            Ok(Front::Frame(RawFrame { codec, header, body }, whole))
        }
        None => Ok(Front::Part(whole)),
    }
}

/// Reads headers. An answer that says success in the usual way is only searched for its number; every other one is
/// decoded.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    opaque: Finder<'static>,
}

/// How the header of a success begins when its keys are sorted, as brokers write it.
const JSON_SUCCESS: &[u8] = b"{\"code\":0,";
/// Key and colon: inside of a string the quote would be escaped, so this is always a key.
const JSON_OPAQUE: &[u8] = b"\"opaque\":";

impl AnswerReader {
    pub(crate) fn new() -> Self {
        Self {
            opaque: Finder::new(JSON_OPAQUE),
        }
    }

    /// The answer in a frame; `None` if the frame is a request of the peer.
    pub(crate) fn read<'a>(&self, frame: &RawFrame<'a>) -> Result<Option<Answer<'a>>, HeaderError> {
        let &RawFrame { codec, header, body } = frame;
        let answer = |code, opaque| Answer {
            opaque,
            code,
            codec,
            header,
            body,
        };
        if let Some(opaque) = self.success(frame) {
            return Ok(Some(answer(0, opaque)));
        }
        let decoded = Header::decode(codec, header)?;
        Ok((decoded.flag & FLAG_RESPONSE != 0).then(|| answer(decoded.code, decoded.opaque)))
    }

    fn success(&self, frame: &RawFrame<'_>) -> Option<i32> {
        match frame.codec {
            HeaderCodec::Json => {
                let rest = frame.header.strip_prefix(JSON_SUCCESS)?;
                let at = self.opaque.find(rest)? + JSON_OPAQUE.len();
                number(rest.get(at..)?)
            }
            HeaderCodec::Rocketmq => {
                let (&[0, 0, _, _, _, a, b, c, d], _) = frame.header.split_first_chunk::<9>()? else {
                    return None;
                };
                Some(i32::from_be_bytes([a, b, c, d]))
            }
        }
    }
}

/// The plain number at the front; `None` for what is written in any other way.
fn number(text: &[u8]) -> Option<i32> {
    let mut value: i32 = 0;
    for (index, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(i32::from(byte - b'0'))?,
            b',' | b'}' | b' ' if index > 0 => return Some(value),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;
    use kourou_proto::{Command, RequestCode, ResponseCode};

    use super::*;

    pub(crate) const fn answer(opaque: i32, code: i32) -> Answer<'static> {
        Answer {
            opaque,
            code,
            codec: HeaderCodec::Json,
            header: b"",
            body: b"",
        }
    }

    fn read(wire: &[u8]) -> Option<(i32, i32)> {
        let Front::Frame(frame, whole) = front(wire).unwrap() else {
            panic!("cut short")
        };
        assert_eq!(whole, wire.len());
        AnswerReader::new()
            .read(&frame)
            .unwrap()
            .map(|answer| (answer.code, answer.opaque))
    }

    #[test]
    fn answers_are_read_in_both_codecs() {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            for (code, opaque) in [(0, 1_000_000_007), (0, 0), (0, -3), (2, 5), (17, 1_999_999_999)] {
                let reply = Command::request(RequestCode::SEND_MESSAGE_V2, opaque)
                    .with_codec(codec)
                    .reply(ResponseCode::new(code))
                    .with_field("queueId", "\"opaque\":8,")
                    .with_remark("\"opaque\":9,");
                let mut wire = BytesMut::new();
                reply.encode(&mut wire).unwrap();
                assert_eq!(read(&wire), Some((code, opaque)), "{codec:?}");
            }
        }
    }

    #[test]
    fn requests_of_the_peer_are_no_answers() {
        let mut wire = BytesMut::new();
        Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, 1)
            .encode(&mut wire)
            .unwrap();
        assert_eq!(read(&wire), None);
    }

    #[test]
    fn a_part_says_how_much_is_missing() {
        let mut wire = BytesMut::new();
        Command::request(RequestCode::HEART_BEAT, 1)
            .with_body("body")
            .encode(&mut wire)
            .unwrap();
        for end in 0..wire.len() {
            let whole = if end < PREFIX_BYTES {
                PREFIX_BYTES
            } else {
                wire.len()
            };
            assert!(matches!(front(&wire[..end]), Ok(Front::Part(bytes)) if bytes == whole));
        }
        assert!(front(&[0xff; 8]).is_err());
        assert!(front(&[0, 0, 0, 9, 0, 0, 0, 9]).is_err());
    }
}
