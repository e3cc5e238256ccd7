//! Send requests, built once and copied: only what differs from message to message is written anew, in place.

use bytes::BytesMut;
use kourou_proto::message::batch::BatchMessage;
use kourou_proto::remoting::request::{SendMessageHeader, SendNames};
use kourou_proto::{Command, HeaderCodec, RequestCode};
use memchr::memmem;

use crate::error::BenchError;
use crate::trailer::{TRAILER_BYTES, Trailer};

/// Numbers of requests have this many digits in every codec, so that each fits where another was.
pub(crate) const OPAQUE_MIN: i32 = 1_000_000_000;
/// The largest number that a run uses; the mark in the template is above it.
pub(crate) const OPAQUE_MAX: i32 = 1_999_999_998;
const OPAQUE_MARK: i32 = 1_999_999_999;

pub(crate) const PRODUCER_GROUP: &str = "kourou-bench";
/// What a new topic takes its settings from.
pub(crate) const TEMPLATE_TOPIC: &str = "TBW102";

/// Marks that stand where a value is written later; they occur nowhere else in a request.
const BORN_MARK: i64 = 1_999_999_999_999;
const BORN_DIGITS: usize = 13;
const SEQUENCE_MARK: &str = "~~~~~~~~~~~~";
const QUEUE_MARK: i32 = 1_888_888_888;
const TRAILER_MARK: &[u8; TRAILER_BYTES] = b"<<<<<<<<<<<<<<<<<<<<<<<<>>>>>>>>>>>>>>>>";

/// What the requests of one connection have in common.
#[derive(Debug, Clone)]
pub(crate) struct TemplateSpec<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queues: u32,
    pub(crate) body_bytes: usize,
    /// Messages in a request; more than one makes it a batch.
    pub(crate) batch: usize,
    /// Whether each message is half of a transaction.
    pub(crate) transactional: bool,
    pub(crate) codec: HeaderCodec,
    pub(crate) run: u64,
    pub(crate) lane: u32,
}

/// The request of one connection, ready but for what differs.
#[derive(Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    codec: HeaderCodec,
    opaque_at: usize,
    born_at: usize,
    queue_at: usize,
    queue_digits: usize,
    messages: Vec<MessageAt>,
    fill: crc32fast::Hasher,
    queues: u64,
    run: u64,
    lane: u32,
}

/// Where in the frame a message's own parts are.
#[derive(Debug)]
struct MessageAt {
    sequence: usize,
    trailer: usize,
}

/// What differs between two requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) opaque: i32,
    /// Which request of the connection; a batch has several messages.
    pub(crate) number: u64,
    pub(crate) born_unix_ms: u64,
    pub(crate) intended_ns: u64,
    pub(crate) sent_ns: u64,
}

impl Template {
    pub(crate) fn new(spec: &TemplateSpec<'_>) -> Result<Self, BenchError> {
        // The settings want at least a trailer.
        let fill_bytes = spec.body_bytes.saturating_sub(TRAILER_BYTES);
        let fill: Vec<u8> = (b'a'..=b'z').cycle().take(fill_bytes).collect();
        let body = [&fill[..], TRAILER_MARK].concat();
        // 32 digits, as the ids of other clients: run, connection, message.
        let mut key = format!(
            "UNIQ_KEY\u{1}{:016X}{:04X}{SEQUENCE_MARK}\u{2}WAIT\u{1}true\u{2}",
            spec.run,
            spec.lane & 0xFFFF
        );
        if spec.transactional {
            key += &format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{PRODUCER_GROUP}\u{2}");
        }
        let is_batch = spec.batch > 1;
        let header = SendMessageHeader {
            names: SendNames::Short,
            producer_group: PRODUCER_GROUP,
            topic: spec.topic,
            default_topic: TEMPLATE_TOPIC,
            default_topic_queue_nums: 4,
            queue_id: QUEUE_MARK,
            sys_flag: 0,
            born_timestamp_ms: BORN_MARK,
            flag: 0,
            properties: if is_batch { "WAIT\u{1}true\u{2}" } else { &key },
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: is_batch,
            broker_name: None,
        };
        let (code, body) = if is_batch {
            let message = BatchMessage {
                flag: 0,
                body: &body,
                properties: &key,
            };
            let mut record = Vec::new();
            message
                .encode(&mut record)
                .map_err(|error| BenchError::Settings(error.to_string()))?;
            (RequestCode::SEND_BATCH_MESSAGE, record.repeat(spec.batch))
        } else {
            (RequestCode::SEND_MESSAGE_V2, body)
        };
        let command = Command::request(code, OPAQUE_MARK)
            .with_codec(spec.codec)
            .with_fields(&header);
        let command = with_queue_digits(command, spec.queues).with_body(body);
        let mut frame = BytesMut::new();
        command
            .encode(&mut frame)
            .map_err(|error| BenchError::Settings(error.to_string()))?;
        let mut fill_hasher = crc32fast::Hasher::new();
        fill_hasher.update(&fill);
        Self::locate(spec, frame.to_vec(), fill_hasher)
    }

    fn locate(spec: &TemplateSpec<'_>, frame: Vec<u8>, fill: crc32fast::Hasher) -> Result<Self, BenchError> {
        let missing =
            || BenchError::Settings("the topic's name cannot be told from the marks of a template".into());
        let one = |mark: &[u8]| memmem::find(&frame, mark).ok_or_else(missing);
        let opaque_at = match spec.codec {
            HeaderCodec::Json => one(format!("\"opaque\":{OPAQUE_MARK}").as_bytes())? + b"\"opaque\":".len(),
            HeaderCodec::Rocketmq => one(&OPAQUE_MARK.to_be_bytes())?,
        };
        let queue_mark = queue_mark(spec.queues);
        let sequences = memmem::find_iter(&frame, SEQUENCE_MARK);
        let trailers = memmem::find_iter(&frame, TRAILER_MARK);
        let messages: Vec<MessageAt> = sequences
            .zip(trailers)
            .map(|(sequence, trailer)| MessageAt { sequence, trailer })
            .collect();
        if messages.len() != spec.batch.max(1) {
            return Err(missing());
        }
        Ok(Self {
            opaque_at,
            born_at: one(BORN_MARK.to_string().as_bytes())?,
            queue_at: one(queue_mark.as_bytes())?,
            queue_digits: queue_mark.len(),
            messages,
            fill,
            codec: spec.codec,
            queues: u64::from(spec.queues.max(1)),
            run: spec.run,
            lane: spec.lane,
            frame,
        })
    }

    /// Appends a request. Queues take turns, and connections begin with different ones.
    pub(crate) fn append(&self, out: &mut Vec<u8>, request: &Request) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        match self.codec {
            HeaderCodec::Json => digits(
                &mut frame[self.opaque_at..self.opaque_at + 10],
                request.opaque.unsigned_abs().into(),
            ),
            HeaderCodec::Rocketmq => {
                frame[self.opaque_at..self.opaque_at + 4].copy_from_slice(&request.opaque.to_be_bytes());
            }
        }
        digits(
            &mut frame[self.born_at..self.born_at + BORN_DIGITS],
            request.born_unix_ms,
        );
        let queue = (request.number + u64::from(self.lane)) % self.queues;
        digits(
            &mut frame[self.queue_at..self.queue_at + self.queue_digits],
            queue,
        );
        let first = request.number * self.messages.len() as u64;
        for (sequence, at) in (first..).zip(&self.messages) {
            hex(
                &mut frame[at.sequence..at.sequence + SEQUENCE_MARK.len()],
                sequence,
            );
            let trailer = Trailer {
                run: self.run,
                lane: self.lane,
                sequence,
                intended_ns: request.intended_ns,
                sent_ns: request.sent_ns,
            };
            trailer.write(&self.fill, &mut frame[at.trailer..at.trailer + TRAILER_BYTES]);
        }
    }
}

/// The queue's field with as many digits as the largest has: leading zeros are digits too.
fn with_queue_digits(mut command: Command, queues: u32) -> Command {
    let mut fields = kourou_proto::ExtFields::new();
    let mark = QUEUE_MARK.to_string();
    for (key, value) in command.header.fields.iter() {
        let value = if value == mark {
            queue_mark(queues)
        } else {
            value.to_owned()
        };
        fields.push(key, &value);
    }
    command.header.fields = fields;
    command
}

fn queue_mark(queues: u32) -> String {
    "^".repeat(queues.saturating_sub(1).to_string().len())
}

/// Fills a place with a number, leading zeros included.
fn digits(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        // One digit.
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn hex(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b"0123456789ABCDEF"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kourou_proto::message::batch::BatchMessages;
    use kourou_proto::{FrameDecoder, HeaderFields};

    use super::*;

    fn spec(codec: HeaderCodec, batch: usize) -> TemplateSpec<'static> {
        TemplateSpec {
            topic: "topic",
            queues: 12,
            body_bytes: 100,
            batch,
            transactional: false,
            codec,
            run: 0xABCD,
            lane: 3,
        }
    }

    pub(crate) fn template() -> Template {
        Template::new(&spec(HeaderCodec::Json, 1)).unwrap()
    }

    fn command(template: &Template, request: &Request) -> Command {
        let mut wire = b"before".to_vec();
        template.append(&mut wire, request);
        let mut wire = BytesMut::from(&wire[6..]);
        let frame = FrameDecoder::default().decode(&mut wire).unwrap().unwrap();
        assert!(wire.is_empty());
        Command::decode(frame).unwrap()
    }

    const REQUEST: Request = Request {
        opaque: OPAQUE_MIN + 42,
        number: 7,
        born_unix_ms: 1_700_000_000_123,
        intended_ns: 10,
        sent_ns: 20,
    };

    #[test]
    fn a_request_is_what_a_broker_reads() {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            let template = Template::new(&spec(codec, 1)).unwrap();
            let command = command(&template, &REQUEST);
            let header = SendMessageHeader::decode(&command).unwrap();
            assert_eq!((command.opaque(), command.codec), (REQUEST.opaque, codec));
            assert_eq!(
                (header.topic, header.queue_id, header.batch),
                ("topic", 10, false)
            );
            assert_eq!(header.born_timestamp_ms, 1_700_000_000_123);
            let key = "UNIQ_KEY\u{1}000000000000ABCD0003000000000007\u{2}WAIT\u{1}true\u{2}";
            assert_eq!(header.properties, key);
            assert_eq!(command.body.len(), 100);
            assert!(Trailer::is_intact(&command.body));
            let trailer = Trailer::read(&command.body).unwrap();
            assert_eq!((trailer.run, trailer.lane, trailer.sequence), (0xABCD, 3, 7));
            assert_eq!((trailer.intended_ns, trailer.sent_ns), (10, 20));
        }
    }

    #[test]
    fn each_message_of_a_batch_is_its_own() {
        let template = Template::new(&spec(HeaderCodec::Json, 3)).unwrap();
        let command = command(&template, &REQUEST);
        assert_eq!(command.code(), RequestCode::SEND_BATCH_MESSAGE);
        assert!(SendMessageHeader::decode(&command).unwrap().batch);
        let sequences: Vec<u64> = BatchMessages::new(&command.body)
            .map(|message| {
                let message = message.unwrap();
                assert!(Trailer::is_intact(message.body));
                let trailer = Trailer::read(message.body).unwrap();
                let key = format!("{:04X}{:012X}", trailer.lane, trailer.sequence);
                assert!(message.properties.contains(&key), "{}", message.properties);
                trailer.sequence
            })
            .collect();
        assert_eq!(sequences, [21, 22, 23]);
    }

    #[test]
    fn a_body_may_be_all_trailer() {
        let smallest = TemplateSpec {
            body_bytes: TRAILER_BYTES,
            ..spec(HeaderCodec::Json, 1)
        };
        let command = command(&Template::new(&smallest).unwrap(), &REQUEST);
        assert_eq!(command.body.len(), TRAILER_BYTES);
        assert!(Trailer::is_intact(&command.body));
    }
}
