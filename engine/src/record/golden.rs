//! Records that Apache RocketMQ wrote; `golden/README.md` says how they were made.

use super::{Peek, RecordDraft, RecordError, RecordView, peek_size, tags_code};

const WITH_CHECKSUM: &[u8] = include_bytes!("golden/apache-5.4.0-crc.bin");
const WITHOUT: &[u8] = include_bytes!("golden/apache-5.4.0.bin");

/// The records with their positions.
fn records(log: &[u8]) -> Vec<(u64, RecordView<'_>)> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let view = RecordView::parse(&log[at..]).unwrap();
        assert_eq!(peek_size(&log[at..]), Peek::Message(view.size_bytes()));
        records.push((at as u64, view));
        at += view.bytes().len();
    }
    records
}

fn encode_again(view: &RecordView<'_>) -> Vec<u8> {
    let record = RecordDraft {
        topic: view.topic(),
        queue_id: view.queue_id(),
        flag: view.flag(),
        sys_flag: view.sys_flag(),
        born_ms: view.born_ms(),
        born_host: view.born_host(),
        store_host: view.store_host(),
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
        body: view.body(),
        properties: view.properties(),
    }
    .encode()
    .unwrap();
    let mut bytes = vec![0; record.size_bytes() as usize];
    record.write_into(&mut bytes, view.queue_offset(), view.position(), view.store_ms());
    bytes
}

#[test]
fn apaches_records_are_read_and_verified() {
    for (log, with_checksum) in [(WITH_CHECKSUM, true), (WITHOUT, false)] {
        let records = records(log);
        assert_eq!(records.len(), 5);
        for (position, view) in &records {
            assert_eq!(view.verify(*position), Ok(()));
            assert_eq!(view.has_record_checksum(), with_checksum);
            assert_eq!(view.store_host(), "127.0.0.1:10911".parse().unwrap());
            assert_eq!(view.born_ms(), 1_700_000_000_000);
            assert_eq!(view.property("TRACE_ON"), Some("true"));
            assert_eq!(view.property("__CRC32#"), None);
        }
        let view = &records[0].1;
        assert_eq!(
            (view.topic(), view.body(), view.queue_offset()),
            ("TopicTest", b"hello".as_slice(), 0)
        );
        assert_eq!(
            (view.property("KEYS"), view.tags_code()),
            (Some("k1 k2"), tags_code("TagA"))
        );
        let view = &records[1].1;
        assert_eq!((view.flag(), view.queue_offset()), (42, 1));
        assert_eq!(
            view.property("name"),
            Some("\u{4e2d}\u{6587} caf\u{e9} \u{1F600}")
        );
        assert_eq!(view.body(), "\u{6d88}\u{606f}".as_bytes());
        let view = &records[2].1;
        assert_eq!((view.topic().len(), view.body().len()), (127, 2048));
        assert_eq!(records[3].1.topic(), "SCHEDULE_TOPIC_XXXX");
        assert_eq!(
            (records[4].1.topic(), records[4].1.body()),
            ("TopicTest", b"delayed".as_slice())
        );
    }
}

#[test]
fn what_apache_wrote_with_checksums_is_what_we_write() {
    for (_, view) in records(WITH_CHECKSUM) {
        assert_eq!(encode_again(&view), view.bytes());
    }
}

#[test]
fn what_apache_wrote_without_gets_a_checksum_and_changes_in_nothing_else() {
    for (position, old) in records(WITHOUT) {
        let bytes = encode_again(&old);
        let new = RecordView::parse(&bytes).unwrap();
        assert_eq!(new.verify(position), Ok(()));
        assert_eq!(bytes.len(), old.bytes().len() + 20);
        assert_eq!(new.properties(), old.properties());
        let properties_size_at = old.bytes().len() - old.properties().len() - 2;
        assert_eq!(bytes[4..properties_size_at], old.bytes()[4..properties_size_at]);
    }
}

#[test]
fn a_flipped_bit_in_apaches_records_is_found_where_a_checksum_covers_it() {
    let mut log = WITH_CHECKSUM.to_vec();
    for (position, view) in records(WITH_CHECKSUM) {
        let at = usize::try_from(position).unwrap();
        for bit in (0..view.bytes().len() * 8).step_by(3) {
            log[at + bit / 8] ^= 1 << (bit % 8);
            let result = RecordView::parse(&log[at..]).and_then(|view| view.verify(position));
            assert!(result.is_err(), "record at {position}, bit {bit}");
            log[at + bit / 8] ^= 1 << (bit % 8);
        }
    }
    let mut log = WITHOUT.to_vec();
    log[90] ^= 1;
    let error = RecordView::parse(&log).unwrap().verify(0).unwrap_err();
    assert!(matches!(error, RecordError::BodyChecksum { .. }), "{error}");
}
