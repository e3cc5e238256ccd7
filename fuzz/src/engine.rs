//! Checks of the store's format.

use kourou_engine::record::{EncodedRecord, Peek, RecordDraft, RecordView, peek_size};

/// Where a record that is encoded here says it lies.
const POSITION: u64 = 1 << 40;

/// Bytes that may be a record, then the same bytes as parts of one.
pub fn record(data: &[u8]) {
    if let Ok(view) = RecordView::parse(data) {
        stored(&view);
    }
    if let Some(draft) = draft(data) {
        encoded(&draft, usize::from(data[0]));
    }
}

/// A record that was read says nothing that its bytes do not hold, and is written so that it reads the same.
fn stored(view: &RecordView<'_>) {
    assert_eq!(peek_size(view.bytes()), Peek::Message(view.size_bytes()));
    assert_eq!(view.bytes().len(), view.size_bytes() as usize);
    assert!(view.body().len() + view.topic().len() + view.properties().len() < view.bytes().len());
    let _any = (
        view.verify(view.position()),
        view.verify(0),
        view.property("TAGS"),
    );

    let draft = RecordDraft {
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
    };
    // A topic may be too long for us, a queue id negative.
    let Ok(record) = draft.encode() else { return };
    assert_eq!(
        (record.tags_code(), record.indexed()),
        (view.tags_code(), view.indexed())
    );
    let bytes = stamped(&record, view.queue_offset(), view.position(), view.store_ms());
    compare(&read(&bytes, view.position()), &draft);
    // What we would have written ourselves is written again to the byte. (A short topic can be written with a long size, and
    // checksum properties can hide among the others: neither is something that we write.)
    if view.has_record_checksum() && view.verify(view.position()).is_ok() && bytes.len() == view.bytes().len()
    {
        assert_eq!(bytes, view.bytes());
    }
}

/// The parts of a record: sizes in the first bytes, then topic, properties and body.
fn draft(data: &[u8]) -> Option<RecordDraft<'_>> {
    let (&[_, flags, queue_id, topic_size, properties_size], rest) = data.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(topic_size.into())?;
    let (properties, body) = rest.split_at_checked(properties_size.into())?;
    Some(RecordDraft {
        sys_flag: flags.into(),
        properties,
        ..RecordDraft::new(str::from_utf8(topic).ok()?, queue_id.into(), body)
    })
}

/// A record that was written reads as it was meant, and not at all once a bit of it has changed.
fn encoded(draft: &RecordDraft<'_>, change: usize) {
    let Ok(record) = draft.encode() else { return };
    let mut bytes = stamped(&record, 7, POSITION, -1);
    let view = read(&bytes, POSITION);
    compare(&view, draft);
    assert!(view.has_record_checksum());
    assert_eq!(view.properties(), record.properties());
    assert_eq!((view.queue_offset(), view.store_ms()), (7, -1));

    let at = (change * 31) % bytes.len();
    bytes[at] ^= 1 << (change % 8);
    assert!(
        RecordView::parse(&bytes)
            .and_then(|view| view.verify(POSITION))
            .is_err()
    );
}

fn stamped(record: &EncodedRecord, queue_offset: u64, position: u64, store_ms: i64) -> Vec<u8> {
    let mut bytes = vec![0; record.size_bytes() as usize];
    record.write_into(&mut bytes, queue_offset, position, store_ms);
    bytes
}

fn read(bytes: &[u8], position: u64) -> RecordView<'_> {
    match RecordView::parse(bytes).and_then(|view| view.verify(position).map(|()| view)) {
        Ok(view) => view,
        Err(error) => panic!("a record just written: {error}"),
    }
}

fn compare(view: &RecordView<'_>, draft: &RecordDraft<'_>) {
    const HOST_FLAGS: i32 = 0x30;
    assert_eq!(view.topic(), draft.topic);
    assert_eq!(view.queue_id(), draft.queue_id);
    assert_eq!(view.flag(), draft.flag);
    assert_eq!(view.sys_flag() & !HOST_FLAGS, draft.sys_flag & !HOST_FLAGS);
    assert_eq!(view.born_ms(), draft.born_ms);
    assert_eq!(
        (view.born_host(), view.store_host()),
        (draft.born_host, draft.store_host)
    );
    assert_eq!(view.reconsume_times(), draft.reconsume_times);
    assert_eq!(
        view.prepared_transaction_offset(),
        draft.prepared_transaction_offset
    );
    assert_eq!(view.body(), draft.body);
}
