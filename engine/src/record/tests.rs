use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const POSITION: u64 = 0x0123_4567_89ab;
const QUEUE_OFFSET: u64 = 77;
const STORE_MS: i64 = 1_700_000_000_123;

fn draft<'a>(topic: &'a str, body: &'a [u8], properties: &'a [u8]) -> RecordDraft<'a> {
    RecordDraft {
        topic,
        queue_id: 3,
        flag: 9,
        sys_flag: 0,
        born_ms: 1_700_000_000_000,
        born_host: "10.1.2.3:4567".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 2,
        prepared_transaction_offset: 5,
        body,
        properties,
    }
}

fn stored(record: &EncodedRecord) -> Vec<u8> {
    let mut out = vec![0xEE; record.size_bytes() as usize];
    record.write_into(&mut out, QUEUE_OFFSET, POSITION, STORE_MS);
    out
}

/// The bytes that Apache's encoder would make: an independent reading of the layout, field by field.
fn by_hand(topic_size: &[u8], topic: &str, magic: u32, properties: &[u8], with_checksum: bool) -> Vec<u8> {
    let body = b"hello";
    let mut rest = Vec::new();
    rest.extend_from_slice(&magic.to_be_bytes());
    rest.extend_from_slice(&(crc32fast::hash(body) & 0x7FFF_FFFF).to_be_bytes());
    rest.extend_from_slice(&3_i32.to_be_bytes());
    rest.extend_from_slice(&9_i32.to_be_bytes());
    rest.extend_from_slice(&QUEUE_OFFSET.to_be_bytes());
    rest.extend_from_slice(&POSITION.to_be_bytes());
    rest.extend_from_slice(&0_i32.to_be_bytes());
    rest.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    rest.extend_from_slice(&[10, 1, 2, 3]);
    rest.extend_from_slice(&4567_i32.to_be_bytes());
    rest.extend_from_slice(&STORE_MS.to_be_bytes());
    rest.extend_from_slice(&[127, 0, 0, 1]);
    rest.extend_from_slice(&10911_i32.to_be_bytes());
    rest.extend_from_slice(&2_i32.to_be_bytes());
    rest.extend_from_slice(&5_i64.to_be_bytes());
    rest.extend_from_slice(&5_i32.to_be_bytes());
    rest.extend_from_slice(body);
    rest.extend_from_slice(topic_size);
    rest.extend_from_slice(topic.as_bytes());
    let properties_size = properties.len() + if with_checksum { 20 } else { 0 };
    rest.extend_from_slice(&i16::try_from(properties_size).unwrap().to_be_bytes());
    rest.extend_from_slice(properties);
    let total = 4 + rest.len() + if with_checksum { 20 } else { 0 };
    let mut record = u32::try_from(total).unwrap().to_be_bytes().to_vec();
    record.extend_from_slice(&rest);
    if with_checksum {
        let crc = crc32fast::hash(&record) & 0x7FFF_FFFF;
        let digits: String = format!("{crc:010}").chars().rev().collect();
        record.extend_from_slice(format!("__CRC32#\u{1}{digits}\u{2}").as_bytes());
    }
    record
}

#[test]
fn v1_bytes_are_those_of_the_layout() {
    let properties = b"KEYS\x01k1 k2\x02TAGS\x01TagA\x02";
    let record = draft("TopicTest", b"hello", properties).encode().unwrap();
    assert_eq!(
        stored(&record),
        by_hand(&[9], "TopicTest", 0xDAA3_20A7, properties, true)
    );
    assert_eq!(record.topic(), "TopicTest");
    assert_eq!(record.tags_code(), tags_code("TagA"));
    assert_eq!(record.properties(), properties);
    assert!(record.indexed());
}

#[test]
fn v2_starts_at_128_bytes_of_topic() {
    let short = "t".repeat(127);
    let record = draft(&short, b"hello", b"").encode().unwrap();
    assert_eq!(stored(&record), by_hand(&[127], &short, 0xDAA3_20A7, b"", true));
    let long = "t".repeat(128);
    let record = draft(&long, b"hello", b"").encode().unwrap();
    assert_eq!(stored(&record), by_hand(&[0, 128], &long, 0xDAA3_20AB, b"", true));
}

#[test]
fn a_record_without_checksum_property_is_verified_by_its_body() {
    let mut bytes = by_hand(&[1], "T", 0xDAA3_20A7, b"A\x01b", false);
    let view = RecordView::parse(&bytes).unwrap();
    assert!(!view.has_record_checksum());
    assert_eq!(view.verify(POSITION), Ok(()));
    assert_eq!(view.properties(), b"A\x01b");
    assert_eq!(view.property("A"), Some("b"));

    let body_at = bytes.windows(5).position(|window| window == b"hello").unwrap();
    bytes[body_at] ^= 1;
    let error = RecordView::parse(&bytes).unwrap().verify(POSITION).unwrap_err();
    assert!(matches!(error, RecordError::BodyChecksum { .. }), "{error}");
}

#[test]
fn a_terminator_is_inserted_before_the_checksum() {
    let record = draft("T", b"hello", b"A\x01b").encode().unwrap();
    assert_eq!(
        stored(&record),
        by_hand(&[1], "T", 0xDAA3_20A7, b"A\x01b\x02", true)
    );
    assert_eq!(record.properties(), b"A\x01b\x02");
}

#[test]
fn an_old_checksum_property_is_left_out() {
    let old = "__CRC32#\u{1}0123456789\u{2}";
    for (given, kept) in [
        (format!("{old}A\u{1}b\u{2}"), "A\u{1}b\u{2}"),
        (format!("A\u{1}b\u{2}{old}"), "A\u{1}b\u{2}"),
        (format!("{old}A\u{1}b"), "A\u{1}b\u{2}"),
        (
            format!("A\u{1}b\u{2}{}", old.trim_end_matches('\u{2}')),
            "A\u{1}b\u{2}",
        ),
        (
            format!("{old}A\u{1}b\u{2}{old}{old}C\u{1}d"),
            "A\u{1}b\u{2}C\u{1}d\u{2}",
        ),
        (old.to_owned(), ""),
        (old.trim_end_matches('\u{2}').to_owned(), ""),
        ("__CRC32#\u{1}".to_owned(), ""),
    ] {
        let record = draft("T", b"", given.as_bytes()).encode().unwrap();
        let bytes = stored(&record);
        let view = RecordView::parse(&bytes).unwrap();
        assert_eq!(view.verify(POSITION), Ok(()), "{given:?}");
        assert_eq!(view.properties(), kept.as_bytes(), "{given:?}");
        assert_eq!(view.property("__CRC32#"), None);
    }
}

#[test]
fn only_the_limits_are_in_the_way() {
    let body = vec![1; 4 * 1024 * 1024];
    draft("T", &body, b"").encode().unwrap();
    let body = vec![1; 4 * 1024 * 1024 + 1];
    let error = draft("T", &body, b"").encode().unwrap_err();
    assert_eq!(
        error,
        EncodeError::BodyTooLarge {
            size_bytes: body.len(),
            max_bytes: BODY_SIZE_BYTES_MAX
        }
    );
    draft("T", &body, b"")
        .encode_within(&Limits {
            body_size_bytes_max: body.len(),
        })
        .unwrap();

    let properties = |size: usize| [b"A\x01".as_slice(), &vec![b'x'; size - 3], b"\x02"].concat();
    let record = draft("T", b"", &properties(32747)).encode().unwrap();
    assert_eq!(
        RecordView::parse(&stored(&record)).unwrap().verify(POSITION),
        Ok(())
    );
    let error = draft("T", b"", &properties(32748)).encode().unwrap_err();
    assert_eq!(
        error,
        EncodeError::PropertiesTooLarge {
            size_bytes: 32768,
            max_bytes: 32767
        }
    );

    draft(&"t".repeat(255), b"", b"").encode().unwrap();
    let error = draft(&"t".repeat(256), b"", b"").encode().unwrap_err();
    assert_eq!(
        error,
        EncodeError::TopicTooLong {
            size_bytes: 256,
            max_bytes: 255
        }
    );
    assert_eq!(draft("", b"", b"").encode().unwrap_err(), EncodeError::TopicEmpty);
    let error = RecordDraft {
        queue_id: 1 << 31,
        ..draft("T", b"", b"")
    }
    .encode()
    .unwrap_err();
    assert_eq!(error, EncodeError::QueueIdTooLarge { queue_id: 1 << 31 });
}

#[test]
fn transaction_types_decide_what_is_indexed() {
    for (sys_flag, indexed) in [
        (0, true),
        (4, false),
        (8, true),
        (12, false),
        (4 | 1, false),
        (8 | 2, true),
    ] {
        let record = RecordDraft {
            sys_flag,
            ..draft("T", b"", b"")
        }
        .encode()
        .unwrap();
        assert_eq!(record.indexed(), indexed, "{sys_flag}");
        assert_eq!(
            RecordView::parse(&stored(&record)).unwrap().indexed(),
            indexed,
            "{sys_flag}"
        );
    }
}

#[test]
fn host_flags_follow_the_hosts() {
    let v6: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    let v4: SocketAddr = "1.2.3.4:5".parse().unwrap();
    for (born_host, store_host, flags) in [(v4, v4, 0), (v6, v4, 0x10), (v4, v6, 0x20), (v6, v6, 0x30)] {
        for given in [0, 0x30] {
            let record = RecordDraft {
                born_host,
                store_host,
                sys_flag: given,
                ..draft("T", b"b", b"")
            };
            let bytes = stored(&record.encode().unwrap());
            let view = RecordView::parse(&bytes).unwrap();
            assert_eq!(view.sys_flag(), flags);
            assert_eq!((view.born_host(), view.store_host()), (born_host, store_host));
            assert_eq!(view.verify(POSITION), Ok(()));
            assert_eq!(view.store_ms(), STORE_MS);
        }
    }
}

#[test]
fn state_records_carry_kind_and_payload_and_are_not_indexed() {
    let record = state(513, b"payload", 42);
    assert!(!record.indexed());
    let bytes = stored(&record);
    let view = RecordView::parse(&bytes).unwrap();
    assert_eq!(
        (view.topic(), view.queue_id(), view.body()),
        (STATE_TOPIC, 513, b"payload".as_slice())
    );
    assert_eq!(view.born_ms(), 42);
    assert!(!view.indexed());
    assert_eq!(view.verify(POSITION), Ok(()));
}

#[test]
fn a_record_of_another_position_is_refused() {
    let bytes = stored(&draft("T", b"b", b"").encode().unwrap());
    let error = RecordView::parse(&bytes).unwrap().verify(0).unwrap_err();
    assert_eq!(
        error,
        RecordError::WrongPosition {
            expected: 0,
            found: POSITION
        }
    );
}

#[test]
fn every_flipped_bit_is_found() {
    let v6 = "[2001:db8::1]:9".parse().unwrap();
    let long = "t".repeat(130);
    for draft in [
        draft("TopicTest", b"hello", b"KEYS\x01k1 k2\x02TAGS\x01TagA\x02"),
        RecordDraft {
            born_host: v6,
            sys_flag: 8,
            ..draft(&long, b"", b"")
        },
    ] {
        let mut bytes = stored(&draft.encode().unwrap());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verified = RecordView::parse(&bytes).and_then(|view| view.verify(POSITION));
            assert!(verified.is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(RecordView::parse(&bytes).unwrap().verify(POSITION), Ok(()));
    }
}

#[test]
fn what_follows_the_record_does_not_matter() {
    let mut bytes = stored(&draft("T", b"b", b"").encode().unwrap());
    let size = bytes.len();
    assert_eq!(peek_size(&bytes), Peek::Message(u32::try_from(size).unwrap()));
    bytes.extend_from_slice(&[0xFF; 100]);
    let view = RecordView::parse(&bytes).unwrap();
    assert_eq!(view.bytes().len(), size);
    assert_eq!(view.verify(POSITION), Ok(()));
    for cut in 0..size {
        let error = RecordView::parse(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, RecordError::Truncated { .. }), "{cut}: {error}");
    }
}

#[test]
fn structure_is_checked_without_the_checksum() {
    let good = stored(&draft("T", b"bb", b"").encode().unwrap());
    let refused = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        RecordView::parse(&bytes).unwrap_err()
    };
    assert!(matches!(refused(4, &[0; 4]), RecordError::BadMagic { found: 0 }));
    assert!(matches!(
        refused(4, &MAGIC_BLANK.to_be_bytes()),
        RecordError::BadMagic { .. }
    ));
    for total in [0_u32, 90, 92, 0x8000_0000, u32::MAX] {
        let error = refused(0, &total.to_be_bytes());
        assert!(
            matches!(error, RecordError::SizesDisagree { total_bytes } if total_bytes == total),
            "{error}"
        );
    }
    assert!(matches!(
        refused(0, &1000_u32.to_be_bytes()),
        RecordError::Truncated {
            needed_bytes: 1000,
            ..
        }
    ));
    for body in [-1, 1, 3, i32::MAX, i32::MIN] {
        assert!(matches!(
            refused(84, &body.to_be_bytes()),
            RecordError::SizesDisagree { .. }
        ));
    }
    assert!(matches!(refused(90, &[0xFF]), RecordError::SizesDisagree { .. }));
    assert!(matches!(refused(91, &[0xFF]), RecordError::TopicNotUtf8));
    for properties in [-1_i16, 19, 21, i16::MIN] {
        assert!(matches!(
            refused(92, &properties.to_be_bytes()),
            RecordError::SizesDisagree { .. }
        ));
    }
    assert_eq!(
        refused(52, &65536_u32.to_be_bytes()),
        RecordError::BadPort { found: 65536 }
    );
}

fn any_host() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

fn any_properties() -> impl Strategy<Value = Vec<u8>> {
    let entry = ("[A-Za-z_#]{1,12}", "[a-z0-9\u{e9}\u{4e2d}]{0,20}");
    (proptest::collection::vec(entry, 0..8), any::<bool>()).prop_map(|(entries, terminated)| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| format!("{name}\u{1}{value}"))
            .collect();
        let mut string = entries.join("\u{2}");
        if terminated && !string.is_empty() {
            string.push('\u{2}');
        }
        string.into_bytes()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_what_is_read(
        topic in "[a-zA-Z0-9%_-]{1,255}",
        queue_id in 0..=i32::MAX as u32,
        (flag, sys_flag, born_ms, reconsume_times, prepared_transaction_offset) in
            any::<(i32, i32, i64, i32, i64)>(),
        born_host in any_host(),
        store_host in any_host(),
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        properties in any_properties(),
        (queue_offset, position, store_ms) in any::<(u64, u64, i64)>(),
    ) {
        let record = RecordDraft {
            topic: &topic, queue_id, flag, sys_flag, born_ms, born_host, store_host, reconsume_times,
            prepared_transaction_offset, body: &body, properties: &properties,
        }
        .encode()
        .unwrap();
        let mut bytes = vec![0; record.size_bytes() as usize];
        record.write_into(&mut bytes, queue_offset, position, store_ms);
        let view = RecordView::parse(&bytes).unwrap();
        prop_assert_eq!(view.verify(position), Ok(()));
        prop_assert_eq!(view.size_bytes(), record.size_bytes());
        prop_assert_eq!(view.topic(), &topic);
        prop_assert_eq!(view.queue_id(), queue_id);
        prop_assert_eq!(view.flag(), flag);
        prop_assert_eq!(view.sys_flag() & !0x30, sys_flag & !0x30);
        prop_assert_eq!(view.queue_offset(), queue_offset);
        prop_assert_eq!(view.position(), position);
        prop_assert_eq!(view.born_ms(), born_ms);
        prop_assert_eq!(view.born_host().ip(), born_host.ip());
        prop_assert_eq!(view.born_host().port(), born_host.port());
        prop_assert_eq!(view.store_ms(), store_ms);
        prop_assert_eq!(view.store_host().ip(), store_host.ip());
        prop_assert_eq!(view.reconsume_times(), reconsume_times);
        prop_assert_eq!(view.prepared_transaction_offset(), prepared_transaction_offset);
        prop_assert_eq!(view.body(), &body);
        prop_assert!(view.has_record_checksum());
        prop_assert_eq!(view.tags_code(), record.tags_code());
        prop_assert_eq!(view.indexed(), record.indexed());
        prop_assert_eq!(view.properties(), record.properties());
        let mut kept = properties.clone();
        if !kept.is_empty() && kept.last() != Some(&2) {
            kept.push(2);
        }
        prop_assert_eq!(view.properties(), kept);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), v2 in any::<bool>()) {
        let _ = RecordView::parse(&bytes);
        let size = u32::try_from(bytes.len()).unwrap();
        if let Some(head) = bytes.first_chunk_mut::<8>() {
            head[..4].copy_from_slice(&size.to_be_bytes());
            head[4..].copy_from_slice(&if v2 { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        }
        if let Ok(view) = RecordView::parse(&bytes) {
            let _ = (view.verify(0), view.properties(), view.property("TAGS"), view.tags_code());
        }
    }
}

/// A torn write can take the end of a record, checksum and all, and leave the body whole.
#[test]
fn a_record_that_lost_its_checksum_is_not_our_own() {
    let record = RecordDraft {
        properties: b"KEYS\x01some keys\x02",
        ..RecordDraft::new("orders", 0, b"body")
    }
    .encode()
    .unwrap();
    let mut bytes = vec![0; record.size_bytes() as usize];
    record.write_into(&mut bytes, 1, 4096, 5);
    RecordView::parse(&bytes).unwrap().verify_own(4096).unwrap();
    let size = bytes.len();
    bytes[size - 25..].fill(0);
    let torn = RecordView::parse(&bytes).unwrap();
    assert_eq!(torn.verify(4096), Ok(()));
    assert_eq!(torn.verify_own(4096), Err(RecordError::ChecksumDamaged));
}
