//! `SendMessage` of the gRPC protocol: requests built once and copied, answers read as far as a run needs them.
//!
//! The fields and their numbers are those of `proto/apache/rocketmq/v2`. A body is the last field of its message and a request holds one
//! message, so a request ends with the body, and the body with its [`Trailer`].

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::BenchError;
use crate::template::Request;
use crate::trailer::{TRAILER_BYTES, Trailer};

/// Not compressed, and how long it is: in front of every message of a stream.
pub(super) const PREFIX_BYTES: usize = 5;
/// `Code::OK`.
pub(super) const OK: i32 = 20_000;

const NORMAL: i32 = 1;
const IDENTITY: i32 = 1;

/// Stands where a message's id is written later; occurs nowhere else in a request.
const ID_MARK: &[u8; 34] = b"~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~";

#[derive(Clone, PartialEq, prost::Message)]
struct SendMessageRequest {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<Message>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(message, optional, tag = "1")]
    topic: Option<Resource>,
    #[prost(message, optional, tag = "3")]
    system_properties: Option<SystemProperties>,
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SystemProperties {
    #[prost(string, tag = "3")]
    message_id: String,
    #[prost(int32, tag = "5")]
    body_encoding: i32,
    #[prost(int32, tag = "6")]
    message_type: i32,
    #[prost(message, optional, tag = "7")]
    born_timestamp: Option<prost_types::Timestamp>,
    #[prost(string, tag = "8")]
    born_host: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QueryRouteRequest {
    #[prost(message, optional, tag = "1")]
    topic: Option<Resource>,
}

/// What every answer begins with.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// Asks where a topic is.
pub(super) fn route(topic: &str) -> Bytes {
    framed(&QueryRouteRequest {
        topic: resource(topic),
    })
    .freeze()
}

fn resource(name: &str) -> Option<Resource> {
    Some(Resource {
        name: name.to_owned(),
    })
}

fn framed(message: &impl prost::Message) -> BytesMut {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    // Messages of a run are bounded far below, see the settings.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // There is room for all of it.
    let _ = message.encode(&mut frame);
    frame
}

/// The request of one connection, ready but for what differs.
#[derive(Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    id_at: usize,
    fill: crc32fast::Hasher,
    run: u64,
    lane: u32,
}

impl Template {
    /// For messages of so many bytes to a topic.
    pub(crate) fn new(topic: &str, body_bytes: usize, run: u64, lane: u32) -> Result<Self, BenchError> {
        // The settings want at least a trailer.
        let fill_bytes = body_bytes.saturating_sub(TRAILER_BYTES);
        let fill: Vec<u8> = (b'a'..=b'z').cycle().take(fill_bytes).collect();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fill);
        let body = [&fill[..], &[0; TRAILER_BYTES]].concat();
        let frame = framed(&SendMessageRequest {
            messages: vec![Message {
                topic: resource(topic),
                system_properties: Some(SystemProperties {
                    message_id: String::from_utf8_lossy(ID_MARK).into_owned(),
                    body_encoding: IDENTITY,
                    message_type: NORMAL,
                    // When the run is made: brokers store it and decide nothing by it.
                    born_timestamp: Some(std::time::SystemTime::now().into()),
                    born_host: "127.0.0.1".to_owned(),
                }),
                body: body.into(),
            }],
        });
        let mut marks = memchr::memmem::find_iter(&frame, ID_MARK);
        let (Some(id_at), None) = (marks.next(), marks.next()) else {
            let text = "the topic's name cannot be told from the marks of a template";
            return Err(BenchError::Settings(text.to_owned()));
        };
        Ok(Self {
            frame: frame.to_vec(),
            id_at,
            fill: hasher,
            run,
            lane,
        })
    }

    /// One request, with its prefix.
    pub(super) fn request(&self, request: &Request) -> Bytes {
        let mut frame = self.frame.clone();
        let (run, lane, number) = (self.run, self.lane & 0xFFFF, request.number & 0xFF_FFFF_FFFF);
        // The form of ids of these clients: version 1, and 16 bytes.
        let id = format!("01{run:016X}{lane:04X}{number:012X}");
        frame[self.id_at..self.id_at + ID_MARK.len()].copy_from_slice(id.as_bytes());
        let trailer = Trailer {
            run: self.run,
            lane: self.lane,
            sequence: request.number,
            intended_ns: request.intended_ns,
            sent_ns: request.sent_ns,
        };
        let at = frame.len() - TRAILER_BYTES;
        trailer.write(&self.fill, &mut frame[at..]);
        frame.into()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn each_request_is_a_message_of_its_own() {
        let template = Template::new("orders", 100, 7, 3).unwrap();
        let sent: Vec<Message> = [5, 6]
            .map(|number| {
                let bytes = template.request(&Request {
                    opaque: 0,
                    number,
                    born_unix_ms: 0,
                    intended_ns: 1,
                    sent_ns: 2,
                });
                let length = u32::from_be_bytes(*bytes[1..].first_chunk().unwrap());
                assert_eq!(length as usize, bytes.len() - PREFIX_BYTES);
                let decoded = SendMessageRequest::decode(&bytes[PREFIX_BYTES..]).unwrap();
                decoded.messages.into_iter().next().unwrap()
            })
            .into();
        for (message, number) in sent.iter().zip([5, 6]) {
            assert_eq!(message.body.len(), 100);
            assert!(Trailer::is_intact(&message.body));
            let trailer = Trailer::read(&message.body).unwrap();
            assert_eq!((trailer.run, trailer.lane, trailer.sequence), (7, 3, number));
            assert_eq!(message.topic.as_ref().unwrap().name, "orders");
        }
        let id = |message: &Message| message.system_properties.as_ref().unwrap().message_id.clone();
        assert_eq!(id(&sent[0]).len(), 34);
        assert_ne!(id(&sent[0]), id(&sent[1]));
    }
}
