use proptest::prelude::*;

use super::*;

/// As `MessageDecoder.encode` of 5.3.3 writes it.
const JAVA: &[u8] = b"\0\0\0\x87\xda\xa3\x20\xa7\x36\x10\xa6\x86\0\0\0\x03\0\0\0\x05\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\x10\x92\0\0\0\0\
    \0\0\x01\x8b\xcf\xe5\x68\x7b\x0a\0\0\x09\0\0\x15\xb3\0\0\x01\x8b\xcf\xe5\x69\xc8\x0a\0\0\x01\0\0\x2a\x9f\0\0\0\x01\
    \0\0\0\0\0\0\0\0\0\0\0\x05hello\x09TopicTest\0\x1eKEYS\x01k1 k2\x02name\x01\xe5\x80\xbc\x02TAGS\x01TagA\x02";

fn java_message() -> StoredMessage<'static> {
    StoredMessage {
        topic: "TopicTest",
        queue_id: 3,
        queue_offset: 42,
        position: 4242,
        flag: 5,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_123,
        born_host: "10.0.0.9:5555".parse().unwrap(),
        store_timestamp_ms: 1_700_000_000_456,
        store_host: "10.0.0.1:10911".parse().unwrap(),
        reconsume_times: 1,
        prepared_transaction_position: 0,
        body: b"hello",
        properties: "KEYS\u{1}k1 k2\u{2}name\u{1}\u{503c}\u{2}TAGS\u{1}TagA\u{2}",
    }
}

#[test]
fn as_java_writes_it() {
    let two = [JAVA, JAVA].concat();
    let read: Vec<_> = StoredMessages::new(&two).map(Result::unwrap).collect();
    assert_eq!(read, [java_message(), java_message()]);
    assert_eq!(read[0].property("TAGS"), Some("TagA"));
    let mut written = Vec::new();
    java_message().encode(&mut written).unwrap();
    assert_eq!(written, JAVA);
}

#[test]
fn a_long_topic_takes_the_second_version() {
    let topic = format!("%RETRY%{}", "g".repeat(200));
    let message = StoredMessage {
        topic: &topic,
        ..java_message()
    };
    let mut written = Vec::new();
    message.encode(&mut written).unwrap();
    assert_eq!(written[4..8], MAGIC_V2.to_be_bytes());
    assert_eq!(StoredMessage::parse(&written), Ok((message, &[][..])));
}

#[test]
fn every_cut_is_seen() {
    for end in 1..JAVA.len() {
        assert_eq!(
            StoredMessages::new(&JAVA[..end]).last(),
            Some(Err(StoredError::Damaged)),
            "{end}"
        );
    }
}

#[test]
fn damage_is_named() {
    let with = |at: usize, byte: u8| {
        let mut record = JAVA.to_vec();
        record[at] = byte;
        StoredMessages::new(&record).last().unwrap().unwrap_err()
    };
    assert_eq!(
        with(7, 0),
        StoredError::UnknownMagic(i32::from_be_bytes([0xda, 0xa3, 0x20, 0]))
    );
    assert_eq!(with(0, 0xff), StoredError::Damaged);
    assert!(matches!(
        with(88, b'H'),
        StoredError::BodyChecksum {
            expected: 0x3610_a686,
            ..
        }
    ));
    assert_eq!(with(94, 0xff), StoredError::NoText("topic"));
    assert_eq!(with(106, 0xff), StoredError::NoText("property string"));
    assert_eq!(with(84, 0x80), StoredError::Damaged);
}

proptest! {
    #[test]
    fn round_trip(
        topic in "[a-zA-Z0-9_%-]{1,200}",
        numbers in any::<[i64; 5]>(),
        small in any::<[i32; 3]>(),
        sys_flag in 0..0x800i32,
        hosts in any::<(std::net::IpAddr, u16, std::net::IpAddr, u16)>(),
        body in any::<Vec<u8>>(),
        properties in ".{0,40}",
    ) {
        let (born_ip, born_port, store_ip, store_port) = hosts;
        let mut message = StoredMessage {
            topic: &topic,
            queue_id: small[0],
            queue_offset: numbers[0],
            position: numbers[1],
            flag: small[1],
            sys_flag,
            born_timestamp_ms: numbers[2],
            born_host: SocketAddr::new(born_ip, born_port),
            store_timestamp_ms: numbers[3],
            store_host: SocketAddr::new(store_ip, store_port),
            reconsume_times: small[2],
            prepared_transaction_position: numbers[4],
            body: &body,
            properties: &properties,
        };
        let mut record = Vec::new();
        message.encode(&mut record).unwrap();
        message.sys_flag &= !(BORN_HOST_V6 | STORE_HOST_V6);
        message.sys_flag |= if born_ip.is_ipv6() { BORN_HOST_V6 } else { 0 };
        message.sys_flag |= if store_ip.is_ipv6() { STORE_HOST_V6 } else { 0 };
        prop_assert_eq!(StoredMessage::parse(&record), Ok((message, &[][..])));
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let _ = StoredMessages::new(&bytes).count();
        bytes = JAVA.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        prop_assert!(StoredMessages::new(&bytes).count() <= 1);
    }
}
