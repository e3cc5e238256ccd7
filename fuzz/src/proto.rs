//! Checks of the wire formats.

use bytes::BytesMut;
use kourou_proto::body::*;
use kourou_proto::message::batch::BatchMessages;
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::message::stored::StoredMessages;
use kourou_proto::message::{properties, sysflag};
use kourou_proto::remoting::request::{PullMessageHeader, RegisterBrokerHeader, SendMessageHeader};
use kourou_proto::{Command, ExtFields, Frame, FrameDecoder, FrameLimits, Header, HeaderCodec, HeaderFields};

/// A stream of frames: what is cut out is as long as it said, and nothing is asked for beyond the limits.
pub fn frame(data: &[u8]) {
    const LIMITS: FrameLimits = FrameLimits {
        max_frame_bytes: 4096,
        max_header_bytes: 1024,
    };
    let decoder = FrameDecoder::new(LIMITS);
    let whole = frames(&decoder, &mut BytesMut::from(data));
    for frame in &whole {
        assert!(frame.header.len() <= LIMITS.max_header_bytes);
        assert!(8 + frame.header.len() + frame.body.len() <= LIMITS.max_frame_bytes);
        if let Ok(command) = Command::decode(frame.clone()) {
            typed(&command);
        }
    }
    // However the bytes arrive, the same frames come out.
    let mut buffer = BytesMut::new();
    let mut pieces = Vec::new();
    for piece in data.chunks(7) {
        buffer.extend_from_slice(piece);
        pieces.extend(frames(&decoder, &mut buffer));
        assert!(buffer.capacity() <= 1024 * 1024);
        if decoder.decode(&mut buffer).is_err() {
            break;
        }
    }
    assert_eq!(whole, pieces);
}

fn frames(decoder: &FrameDecoder, buffer: &mut BytesMut) -> Vec<Frame> {
    std::iter::from_fn(|| decoder.decode(buffer).ok().flatten()).collect()
}

/// The JSON header.
pub fn header_json(data: &[u8]) {
    header(HeaderCodec::Json, data);
}

/// The binary header.
pub fn header_binary(data: &[u8]) {
    header(HeaderCodec::Rocketmq, data);
}

/// A header that was read is written so that it reads the same, in its own codec and as JSON.
fn header(codec: HeaderCodec, data: &[u8]) {
    let Ok(header) = Header::decode(codec, data) else {
        return;
    };
    for codec in [codec, HeaderCodec::Json] {
        let mut written = BytesMut::new();
        header
            .encode(codec, &mut written)
            .expect("what was read can be written");
        let again = Header::decode(codec, &written).expect("what was written can be read");
        assert_eq!(again, header);
    }
    typed(&Command {
        codec,
        header,
        body: Default::default(),
    });
}

/// The typed headers that take the most from strangers.
fn typed(command: &Command) {
    if let Ok(send) = SendMessageHeader::decode(command) {
        let mut fields = ExtFields::new();
        send.write_fields(&mut fields);
        assert_eq!(SendMessageHeader::from_fields(&fields).as_ref(), Ok(&send));
        properties::iter(send.properties).for_each(drop);
    }
    if let Ok(pull) = PullMessageHeader::decode(command) {
        let mut fields = ExtFields::new();
        pull.write_fields(&mut fields);
        assert_eq!(PullMessageHeader::from_fields(&fields).as_ref(), Ok(&pull));
    }
    let _ = RegisterBrokerHeader::decode(command);
}

/// JSON bodies, the first byte choosing which: one that was read is written so that it reads the same.
pub fn json_body(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else {
        return;
    };
    macro_rules! bodies {
        ($($number:literal => $body:ident,)*) => {
            match which.wrapping_sub(b'a') % 24 {
                $($number => {
                    if let Ok(body) = $body::decode(text) {
                        let written = body.encode();
                        let again = $body::decode(&written).expect("what was written can be read");
                        // A number that is none equals nothing, itself included; its text does.
                        assert_eq!(again.encode(), written);
                    }
                })*
                _ => {}
            }
        };
    }
    bodies! {
        0 => HeartbeatData,
        1 => ConsumerList,
        2 => LockBatchRequest,
        3 => LockBatchResponse,
        4 => TopicRouteData,
        5 => ClusterInfo,
        6 => TopicConfig,
        7 => TopicConfigTable,
        8 => RegisterBrokerBody,
        9 => DataVersion,
        10 => KvTable,
        11 => TopicList,
        12 => SubscriptionGroupConfig,
        13 => SubscriptionGroupTable,
        14 => TopicStatsTable,
        15 => ConsumeStats,
        16 => ConsumerConnection,
        17 => ProducerConnection,
        18 => ConsumerOffsetTable,
        19 => ResetOffsetBody,
        20 => GroupList,
        21 => CheckClientConfig,
        22 => BrokerMemberGroupBody,
    }
}

/// A batch of acknowledgements: what its bits stand for is counted right, in order, and no more than the body has room for.
pub fn acks(data: &[u8]) {
    let Ok(batch) = BatchAckRequest::decode(data) else {
        return;
    };
    let mut bits = 0;
    for ack in &batch.acks {
        let distances: Vec<usize> = ack.bits.iter().map(|distance| distance as usize).collect();
        assert!(distances.is_sorted_by(|one, next| one < next));
        assert_eq!(distances.len(), ack.bits.count());
        let again = AckBits::of(&distances);
        assert!(again.iter().eq(ack.bits.iter()));
        bits += distances.last().map_or(0, |last| last + 1);
    }
    // A letter is six bits.
    assert!(bits <= data.len() * 6, "{bits} bits of {} bytes", data.len());
}

/// Registrations, the first byte giving how the header describes them.
pub fn registration(data: &[u8]) {
    let Some((&how, body)) = data.split_first() else {
        return;
    };
    let version = if how & 2 == 0 { 479 } else { 399 };
    let Ok(body) = RegisterBrokerBody::decode_from(body, how & 1 != 0, version) else {
        return;
    };
    let again = RegisterBrokerBody::decode_from(&body.encode(), false, 479);
    assert_eq!(
        again.expect("what was written can be read").encode(),
        body.encode()
    );
}

/// Batches, stored records, property strings and ids out of the same bytes.
pub fn message(data: &[u8]) {
    let batch: Vec<_> = BatchMessages::new(data).map_while(Result::ok).collect();
    let mut written = Vec::new();
    for message in &batch {
        message
            .encode(&mut written)
            .expect("what was read can be written");
    }
    let again: Result<Vec<_>, _> = BatchMessages::new(&written).collect();
    assert_eq!(again.expect("what was written can be read"), batch);

    let stored: Vec<_> = StoredMessages::new(data).map_while(Result::ok).collect();
    written.clear();
    for message in &stored {
        message
            .encode(&mut written)
            .expect("what was read can be written");
        let _ = sysflag::Compression::of(message.sys_flag);
    }
    let again: Result<Vec<_>, _> = StoredMessages::new(&written).collect();
    assert_eq!(again.expect("what was written can be read"), stored);

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A value may hold the inner separator when it comes from outside, and is not written then.
    let plain = |pair: &(&str, &str)| !pair.1.contains(properties::NAME_VALUE_SEPARATOR);
    let pairs: Vec<_> = properties::iter(text).filter(plain).collect();
    let written = properties::encode(pairs.iter().copied());
    assert!(properties::iter(&written).eq(pairs));
    if let Ok(id) = OffsetMessageId::parse(text) {
        assert_eq!(OffsetMessageId::parse(&id.to_string()), Ok(id));
    }
}
