//! Message types, priorities, and batches that stay one record.

use bytes::Bytes;
use kourou_broker::code;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_broker::topic::{AttributeChanges, TopicConfig};
use kourou_engine::disk::sim::Tear;

use crate::bell::Bell;
use crate::rig::{Got, Rig, message, properties, pull, pull_tagged, send_back, text, views};
use crate::sends::batch;

pub(crate) fn make(rig: &Rig, topic: &str, queues: u32, attributes: &str) {
    let changes = AttributeChanges::parse(attributes).unwrap();
    let config = TopicConfig::new(topic, queues);
    rig.wait(|done| rig.broker.put_topic_with(config, &changes, done))
        .unwrap();
}

fn with(topic: &str, pairs: &[(&str, &str)]) -> SendRequest<'static> {
    SendRequest {
        properties: properties(pairs),
        ..message(topic, "x")
    }
}

#[test]
fn a_topic_that_declares_a_type_takes_no_other() {
    let rig = Rig::new();
    make(&rig, "delayed", 1, "+message.type=DELAY");
    make(&rig, "ordered", 1, "+message.type=FIFO");
    make(&rig, "mixed", 1, "+message.type=MIXED");
    rig.send(with("delayed", &[("DELAY", "1")])).unwrap();
    let error = rig.send(with("delayed", &[])).unwrap_err();
    assert_eq!(error.response_code(), code::MESSAGE_ILLEGAL);
    assert_eq!(
        error.to_string(),
        "TopicMessageType validate failed, the expected type is DELAY, but actual type is NORMAL: topic[delayed] takes \
         only messages of its type; send to another topic, or change the topic's attribute message.type"
    );
    // Who chooses the queue keeps the order without saying so; a delay would break it.
    for pairs in [&[][..], &[("__SHARDINGKEY", "k")]] {
        rig.send(with("ordered", pairs)).unwrap();
    }
    assert!(matches!(
        rig.send(with("ordered", &[("DELAY", "1")])),
        Err(SendError::Type(_))
    ));
    for topic in ["mixed", "made by its first send"] {
        let topic = topic.replace(' ', "_");
        for pairs in [
            &[][..],
            &[("DELAY", "1")],
            &[("TRAN_MSG", "true")],
            &[("__SHARDINGKEY", "k")],
        ] {
            rig.send(with(&topic, pairs)).unwrap();
        }
    }
    let lax = Rig::with(|options, _| options.check_message_types = false);
    make(&lax, "delayed", 1, "+message.type=DELAY");
    lax.send(with("delayed", &[])).unwrap();
}

#[test]
fn the_more_urgent_the_higher_the_queue() {
    let rig = Rig::new();
    make(&rig, "urgent", 4, "+message.type=PRIORITY");
    let queue_of = |pairs: &[(&str, &str)]| {
        let receipt = rig.send(with("urgent", pairs)).unwrap();
        receipt.queue_id
    };
    for (priority, queue) in [("0", 0), ("2", 2), ("3", 3), ("9", 3)] {
        assert_eq!(queue_of(&[("_SYS_MSG_PRIORITY_", priority)]), queue);
    }
    // Where something else decides, a priority is left out; one below 0 is none.
    make(&rig, "plain", 4, "");
    let stored = |pairs: &[(&str, &str)]| {
        let receipt = rig.send(with("plain", pairs)).unwrap();
        let record = rig.broker.record_at(receipt.position).unwrap();
        let view = kourou_engine::record::RecordView::parse(&record).unwrap();
        (
            receipt.queue_id,
            view.property("_SYS_MSG_PRIORITY_").map(str::to_owned),
        )
    };
    let sharded = [("_SYS_MSG_PRIORITY_", "2"), ("__SHARDINGKEY", "k")];
    assert_eq!(stored(&sharded), (0, None));
    assert_eq!(stored(&[("_SYS_MSG_PRIORITY_", "2")]), (2, Some("2".to_owned())));
    assert_eq!(
        stored(&[("_SYS_MSG_PRIORITY_", "-1")]),
        (0, Some("-1".to_owned()))
    );
}

fn inner_batch(count: usize) -> SendRequest<'static> {
    let messages: Vec<String> = (0..count).map(|at| format!("m{at}")).collect();
    let parts: Vec<(&str, &str)> = messages
        .iter()
        .map(|body| (body.as_str(), "TAGS\x01t\x02"))
        .collect();
    SendRequest {
        is_batch: true,
        body: batch(&parts),
        properties: properties(&[("UNIQ_KEY", "BATCH"), ("INNER_NUM", "7")]),
        ..message("batches", "")
    }
}

/// Queue 0 as a consumer sees it: first offset, number of offsets and next offset of each pull.
fn walk(rig: &Rig, from: i64) -> Vec<(u64, u32, u64)> {
    let mut request = pull("batches", from);
    request.messages_max = 1;
    let mut seen = Vec::new();
    loop {
        let pulled = match rig.pull(&request).unwrap() {
            Got::Found(pulled) => pulled,
            Got::Cold(cold) => match cold.load().unwrap() {
                kourou_broker::receive::PullOutcome::Found(pulled) => pulled,
                other => panic!("{other:?}"),
            },
            Got::Empty(_) => return seen,
        };
        let records = views(&pulled);
        assert_eq!(records.len(), 1);
        seen.push((
            records[0].queue_offset(),
            records[0].offsets(),
            pulled.place.next_offset,
        ));
        request.offset = pulled.place.next_offset as i64;
    }
}

#[test]
fn a_batch_with_an_id_stays_one_record_in_batch_queues() {
    let rig = Rig::new();
    make(&rig, "batches", 1, "+queue.type=BatchCQ");
    rig.put("batches", "one before");
    let receipt: SendReceipt = rig.send(inner_batch(1_000)).unwrap();
    assert!(receipt.is_inner_batch);
    assert_eq!(
        (receipt.queue_offset, receipt.transaction_id.as_str()),
        (1, "BATCH")
    );
    assert_eq!(receipt.offset_msg_id().len(), 32);
    assert_eq!(rig.put("batches", "one behind").queue_offset, 1_001);

    let whole = [(0, 1, 1), (1, 1_000, 1_001), (1_001, 1, 1_002)];
    assert_eq!(walk(&rig, 0), whole);
    assert_eq!(
        walk(&rig, 500),
        whole[1..],
        "the middle of a record is the record"
    );
    let found = rig.pull(&pull("batches", 0)).unwrap().found();
    assert_eq!(views(&found).len(), 3, "each record once");
    let record = &views(&found)[1];
    assert_eq!(
        record.property("INNER_NUM"),
        Some("1000"),
        "what the client says does not count"
    );
    assert_eq!(record.sys_flag() & 0xC0, 0xC0);
    assert_eq!(record.body(), &inner_batch(1_000).body[..]);
    // Each message has a tag of its own, which its consumer looks at.
    let tagged = rig.pull(&pull_tagged("batches", 0, "t")).unwrap().found();
    assert_eq!((views(&tagged).len(), tagged.place.next_offset), (1, 1_002));

    // A batch of one is a batch as well.
    let lone = SendRequest {
        queue_id: 0,
        topic: "lone".into(),
        ..inner_batch(1)
    };
    make(&rig, "lone", 1, "+queue.type=BatchCQ");
    rig.send(lone).unwrap();
    let tagged = rig.pull(&pull_tagged("lone", 0, "t")).unwrap().found();
    assert_eq!((views(&tagged).len(), tagged.place.next_offset), (1, 1));

    // Derived from the log again, and from a checkpoint.
    let rig = rig.power_cut();
    assert_eq!(walk(&rig, 0), whole);
    let rig = rig.restart();
    assert_eq!(walk(&rig, 0), whole);
    assert_eq!(rig.put("batches", "goes on").queue_offset, 1_002);
}

#[test]
fn a_batch_is_taken_apart_elsewhere() {
    let rig = Rig::new();
    make(&rig, "batches", 1, "+queue.type=BatchCQ");
    let nameless = SendRequest {
        properties: properties(&[]),
        ..inner_batch(3)
    };
    let receipt = rig.send(nameless).unwrap();
    assert_eq!(
        (receipt.is_inner_batch, receipt.batch_positions.len()),
        (false, 3)
    );
    let plain = SendRequest {
        topic: "plain".into(),
        ..inner_batch(3)
    };
    let receipt = rig.send(plain).unwrap();
    assert_eq!(
        (receipt.is_inner_batch, receipt.batch_positions.len()),
        (false, 3)
    );
    let damaged = SendRequest {
        body: Bytes::from_static(b"\0\0\0\x09not a batch"),
        ..inner_batch(1)
    };
    assert_eq!(
        rig.send(damaged).unwrap_err().response_code(),
        code::MESSAGE_ILLEGAL
    );
}

#[test]
fn a_held_pull_hears_of_a_batch_and_a_batch_can_be_sent_back() {
    let rig = Rig::new();
    make(&rig, "batches", 1, "+queue.type=BatchCQ");
    let bell = Bell::default();
    let all = bell.held(&rig, &pull("batches", 0));
    let tagged = bell.held(&rig, &pull_tagged("batches", 0, "t"));
    let receipt = rig.send(inner_batch(5)).unwrap();
    assert_eq!(bell.rung(), 2);
    drop((all, tagged));

    rig.send_back(send_back("readers", receipt.position)).unwrap();
    rig.clock.advance(11_000);
    rig.deliver();
    let retried = rig.pull(&pull("%RETRY%readers", 0)).unwrap().found();
    let record = &views(&retried)[0];
    assert_eq!((record.offsets(), retried.place.next_offset), (5, 5));
    assert_eq!(text(&record.body()[20..22]), "m0");
}

#[test]
fn a_crash_at_every_disk_operation_leaves_whole_batches_only() {
    let history = |rig: &Rig| {
        let mut acknowledged = 0;
        for at in 0..6 {
            let outcome = std::sync::Arc::new(parking_lot::Mutex::new(None));
            let told = outcome.clone();
            rig.broker.send(inner_batch(10 + at), move |done| {
                *told.lock() = Some(done.is_ok())
            });
            rig.pump();
            if *outcome.lock() != Some(true) {
                break;
            }
            acknowledged += 1;
        }
        acknowledged
    };
    let rig = Rig::new();
    make(&rig, "batches", 1, "+queue.type=BatchCQ");
    let before = rig.disk.operations();
    assert_eq!(history(&rig), 6);
    let operations = rig.disk.operations();
    for op in before..operations {
        for tear in [Tear::None, Tear::All, Tear::Prefix(1), Tear::Random(op)] {
            let rig = Rig::new();
            make(&rig, "batches", 1, "+queue.type=BatchCQ");
            rig.disk.crash_at(op, tear);
            let acknowledged = history(&rig);
            let rig = rig.power_cut();
            let seen = walk(&rig, 0);
            assert!(seen.len() >= acknowledged, "crash at {op}: {seen:?}");
            let mut next = 0;
            for (at, (first, offsets, after)) in seen.iter().enumerate() {
                assert_eq!((*first, *offsets), (next, 10 + at as u32), "crash at {op}");
                next = first + u64::from(*offsets);
                assert_eq!(*after, next);
            }
            let receipt = rig.send(inner_batch(3)).unwrap();
            assert_eq!(receipt.queue_offset, next);
        }
    }
}
