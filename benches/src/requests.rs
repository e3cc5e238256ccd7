//! Requests as the Java client makes them, as bytes.

use bytes::BytesMut;
use kourou_proto::message::batch::BatchMessage;
use kourou_proto::remoting::request::{PullMessageHeader, SendMessageHeader, SendNames};
use kourou_proto::{Command, HeaderCodec, RequestCode};

/// The topic that all requests are about.
pub const TOPIC: &str = "BenchTopic";
/// Its queues.
pub const QUEUES: u32 = 8;
/// The group of every consumer.
pub const GROUP: &str = "bench_consumers";
/// The tag of every second message; the others have [`OTHER_TAG`].
pub const TAG: &str = "TagA";
/// See [`TAG`].
pub const OTHER_TAG: &str = "TagB";

/// The unique key of every message that is sent. One after the other they are no retries of each other, so whoever writes a request
/// fills its last [`KEY_DIGITS`] with other digits first, see [`renew_keys`].
const UNIQUE_KEY: &str = "7F00000100002A139A5E2B3C4D5E0001";
const KEY_DIGITS: usize = 8;

/// Where in a request as it travels the digits are that make each message's unique key its own.
pub fn key_places(wire: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(wire, UNIQUE_KEY)
        .map(|at| at + UNIQUE_KEY.len() - KEY_DIGITS)
        .collect()
}

/// Gives each message a unique key that was not used before; `next` counts them.
pub fn renew_keys(wire: &mut [u8], places: &[usize], next: &mut u32) {
    for place in places {
        let mut rest = *next;
        for digit in wire[*place..*place + KEY_DIGITS].iter_mut().rev() {
            *digit = b"0123456789ABCDEF"[(rest & 15) as usize];
            rest >>= 4;
        }
        *next += 1;
    }
}

/// The properties of a message as the Java client makes them, with this tag.
pub fn properties(tag: &str) -> String {
    format!("UNIQ_KEY\u{1}{UNIQUE_KEY}\u{2}WAIT\u{1}true\u{2}TAGS\u{1}{tag}\u{2}")
}

/// The header of a send of one message.
pub fn send_header(names: SendNames, properties: &str, queue_id: i32) -> SendMessageHeader<'_> {
    SendMessageHeader {
        names,
        producer_group: "bench_producers",
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        flag: 0,
        properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: Some(0),
        batch: false,
        broker_name: None,
    }
}

/// A send of one message, short names.
pub fn send(codec: HeaderCodec, tag: &str, queue_id: i32, body: &[u8]) -> Command {
    send_named(codec, SendNames::Short, tag, queue_id, body)
}

/// A send of one message.
pub fn send_named(codec: HeaderCodec, names: SendNames, tag: &str, queue_id: i32, body: &[u8]) -> Command {
    let code = match names {
        SendNames::Short => RequestCode::SEND_MESSAGE_V2,
        SendNames::Long => RequestCode::SEND_MESSAGE,
    };
    Command::request(code, 1)
        .with_codec(codec)
        .with_fields(&send_header(names, &properties(tag), queue_id))
        .with_body(body.to_vec())
}

/// A send of a batch of `count` messages.
///
/// # Panics
/// A message is too long for a batch.
pub fn send_batch(codec: HeaderCodec, queue_id: i32, count: usize, body: &[u8]) -> Command {
    let properties = properties(TAG);
    let message = BatchMessage {
        flag: 0,
        body,
        properties: &properties,
    };
    let mut bodies = Vec::new();
    for _ in 0..count {
        message.encode(&mut bodies).expect("lengths that fit a batch");
    }
    let header = SendMessageHeader {
        batch: true,
        ..send_header(SendNames::Short, "", queue_id)
    };
    Command::request(RequestCode::SEND_BATCH_MESSAGE, 1)
        .with_codec(codec)
        .with_fields(&header)
        .with_body(bodies)
}

/// The header of a pull of at most 32 messages that is never held.
pub fn pull_header(queue_id: i32, offset: i64, subscription: &str) -> PullMessageHeader<'_> {
    PullMessageHeader {
        subscription: Some(subscription),
        sub_version: 1_700_000_000_000,
        ..PullMessageHeader::of_all(GROUP, TOPIC, queue_id, offset)
    }
}

/// A pull of at most 32 messages that is never held.
pub fn pull(codec: HeaderCodec, queue_id: i32, offset: i64, subscription: &str) -> Command {
    Command::request(RequestCode::PULL_MESSAGE, 1)
        .with_codec(codec)
        .with_fields(&pull_header(queue_id, offset, subscription))
}

/// A command as it travels, `times` times in a row.
///
/// # Panics
/// The command does not fit a frame.
pub fn wire(command: &Command, times: usize) -> Vec<u8> {
    let mut wire = BytesMut::new();
    command.encode(&mut wire).expect("a frame within all limits");
    wire.repeat(times)
}
