//! Sending: the checks, what is stored, what is answered.

use bytes::Bytes;
use kourou_broker::code;
use kourou_broker::send::{BatchError, SendError, SendRequest};
use kourou_broker::topic::{TopicConfig, TopicFilterType, perm};
use kourou_engine::record::RecordView;

use crate::rig::{
    Channel, Got, Rig, START_MS, heartbeat, message, producer_host, properties, pull, store_host, text, views,
};

fn code_of(rig: &Rig, request: SendRequest<'_>) -> i32 {
    rig.send(request).unwrap_err().response_code()
}

#[test]
fn a_message_is_stored_as_it_was_sent() {
    let rig = Rig::new();
    let sent = properties(&[
        ("KEYS", "k1 k2"),
        ("UNIQ_KEY", "ABC"),
        ("TAGS", "red"),
        ("POP_CK", "1 2"),
        ("CLUSTER", "x"),
    ]);
    let receipt = rig
        .send(SendRequest {
            properties: sent,
            sys_flag: 0x301,
            ..message("orders", "hi")
        })
        .unwrap();
    assert_eq!((receipt.queue_id, receipt.queue_offset), (0, 0));
    assert_eq!(receipt.transaction_id, "ABC");
    assert_eq!((&*receipt.region, receipt.trace_on), ("DefaultRegion", true));
    assert_eq!(
        receipt.offset_msg_id(),
        format!("0A00000100002A9F{:016X}", receipt.position)
    );

    let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!(
        (text(view.body()).as_str(), view.topic(), view.flag()),
        ("hi", "orders", 7)
    );
    assert_eq!(
        (view.born_ms(), view.born_host()),
        (START_MS - 5, producer_host())
    );
    assert_eq!((view.store_ms(), view.store_host()), (START_MS, store_host()));
    assert_eq!(
        (view.sys_flag(), view.reconsume_times(), view.position()),
        (0x301, 0, receipt.position)
    );
    assert_eq!(
        text(view.properties()),
        "KEYS\x01k1 k2\x02UNIQ_KEY\x01ABC\x02TAGS\x01red\x02MSG_REGION\x01DefaultRegion\x02TRACE_ON\x01true\x02\
         CLUSTER\x01DefaultCluster\x02"
    );
}

#[test]
fn a_message_without_an_id_gets_one() {
    let rig = Rig::new();
    let (first, second) = (rig.put("orders", "a"), rig.put("orders", "b"));
    let id = first.transaction_id;
    assert_eq!(id.len(), 32);
    assert_ne!(id, second.transaction_id);
    let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
    assert_eq!(views(&pulled)[0].property("UNIQ_KEY"), Some(id.as_str()));
}

#[test]
fn a_first_send_makes_its_topic() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    let config = rig.broker.topic("orders").unwrap();
    assert_eq!(
        (config.read_queues, config.write_queues, config.perm),
        (4, 4, perm::READ | perm::WRITE)
    );
    let many = SendRequest {
        default_topic_queues: 100,
        ..message("wide", "hi")
    };
    rig.send(many).unwrap();
    assert_eq!(
        rig.broker.topic("wide").unwrap().write_queues,
        8,
        "no more than the template has"
    );
    assert_eq!(
        code_of(
            &rig,
            SendRequest {
                default_topic: "nothing".into(),
                ..message("new", "")
            }
        ),
        code::TOPIC_NOT_EXIST
    );

    let strict = Rig::with(|options, _| options.auto_create_topic = false);
    let error = strict.send(message("orders", "hi")).unwrap_err();
    assert_eq!(error.response_code(), code::TOPIC_NOT_EXIST);
    assert!(
        error
            .to_string()
            .starts_with("topic[orders] not exist, apply first please!")
    );
    // A retry topic is made even so.
    strict.send(message("%RETRY%g", "hi")).unwrap();
    assert_eq!(strict.broker.topic("%RETRY%g").unwrap().write_queues, 1);
}

#[test]
fn first_sends_at_once_make_a_topic_once() {
    let rig = Rig::new();
    let before = rig.broker.topics_version().counter;
    let answers = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    for at in 0..10 {
        let answers = answers.clone();
        let request = message("orders", &at.to_string());
        rig.broker.send(request, move |answer| {
            answers.lock().push(answer.unwrap().queue_offset)
        });
    }
    rig.pump();
    assert_eq!(*answers.lock(), (0..10).collect::<Vec<_>>());
    assert_eq!(
        rig.bodies("orders"),
        (0..10).map(|at| at.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(rig.broker.topics_version().counter, before + 1);
}

#[test]
fn first_sends_from_many_threads_make_each_topic_once() {
    const TOPICS: usize = 12;
    const THREADS: usize = 4;
    let rig = Rig::with(|_, engine| engine.threads = kourou_engine::Threads::Background);
    let senders: Vec<_> = (0..THREADS)
        .map(|_| {
            let broker = rig.broker.clone();
            std::thread::spawn(move || {
                let (answers, answered) = std::sync::mpsc::channel();
                for at in 0..TOPICS {
                    let answers = answers.clone();
                    broker.send(message(&format!("t{at}"), "hi"), move |sent| {
                        answers.send(sent.is_ok()).unwrap()
                    });
                }
                drop(answers);
                assert_eq!(answered.iter().filter(|ok| *ok).count(), TOPICS);
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    assert_eq!(rig.broker.topics_version().counter, TOPICS as i64);
    for at in 0..TOPICS {
        assert_eq!(rig.broker.max_offset(&format!("t{at}"), 0), THREADS as u64);
    }
    rig.broker.close().unwrap();
}

#[test]
fn so_many_sends_wait_for_topics_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.creation_waiters_max = 1);
    rig.broker
        .send(message("orders", "first"), |sent| assert!(sent.is_ok()));
    let error = rig.send(message("orders", "second")).unwrap_err();
    assert_eq!(error.response_code(), code::SYSTEM_BUSY, "{error}");
    rig.put("orders", "third");
    assert_eq!(rig.bodies("orders"), ["first", "third"]);
}

#[test]
fn a_closed_broker_says_so() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    rig.broker.close().unwrap();
    rig.broker.close().unwrap();
    assert_eq!(
        code_of(&rig, message("orders", "late")),
        code::SERVICE_NOT_AVAILABLE
    );
    assert_eq!(code_of(&rig, message("new", "late")), code::SERVICE_NOT_AVAILABLE);
}

#[test]
fn checks_answer_with_the_protocols_codes() {
    let rig = Rig::with(|options, _| {
        options.limits.topics_max = 3;
        options.reject_transactions = true;
    });
    rig.put("orders", "hi");
    assert_eq!(code_of(&rig, message("a b", "")), code::INVALID_PARAMETER);
    assert_eq!(code_of(&rig, message("", "")), code::INVALID_PARAMETER);
    assert_eq!(
        code_of(&rig, message(&"t".repeat(128), "")),
        code::INVALID_PARAMETER
    );
    assert_eq!(
        code_of(&rig, message("SCHEDULE_TOPIC_XXXX", "")),
        code::NO_PERMISSION
    );
    assert_eq!(
        code_of(&rig, message("RMQ_SYS_TRANS_HALF_TOPIC", "")),
        code::NO_PERMISSION
    );
    assert_eq!(
        code_of(
            &rig,
            SendRequest {
                queue_id: 4,
                ..message("orders", "")
            }
        ),
        code::INVALID_PARAMETER
    );
    let half = SendRequest {
        properties: properties(&[("TRAN_MSG", "true")]),
        ..message("orders", "")
    };
    assert_eq!(code_of(&rig, half), code::NO_PERMISSION);
    assert_eq!(
        code_of(
            &rig,
            SendRequest {
                sys_flag: 4,
                ..message("orders", "")
            }
        ),
        code::NO_PERMISSION
    );
    let timer = SendRequest {
        properties: properties(&[("TIMER_DELAY_SEC", "soon")]),
        ..message("orders", "")
    };
    assert_eq!(code_of(&rig, timer), code::MESSAGE_ILLEGAL);
    let large = "x".repeat((4 << 20) + 1);
    assert_eq!(code_of(&rig, message("orders", &large)), code::MESSAGE_ILLEGAL);
    let value = "x".repeat(32_767);
    let long = SendRequest {
        properties: properties(&[("k", &value)]),
        ..message("orders", "")
    };
    assert_eq!(code_of(&rig, long), code::MESSAGE_ILLEGAL);
    rig.put("second", "");
    rig.put("third", "");
    assert_eq!(code_of(&rig, message("fourth", "")), code::SYSTEM_ERROR);
    assert_eq!(rig.bodies("orders"), ["hi"], "and nothing was stored");
}

#[test]
fn the_broker_chooses_a_queue_where_the_client_does_not() {
    let rig = Rig::new();
    let queues: Vec<u32> = (0..8)
        .map(|_| {
            rig.send(SendRequest {
                queue_id: -1,
                ..message("orders", "")
            })
            .unwrap()
            .queue_id
        })
        .collect();
    for queue_id in 0..4 {
        assert_eq!(queues.iter().filter(|chosen| **chosen == queue_id).count(), 2);
    }
}

#[test]
fn a_broker_that_is_read_only_refuses_ordered_topics_only() {
    let rig = Rig::with(|options, _| options.perm = perm::READ);
    let ordered = TopicConfig {
        order: true,
        ..TopicConfig::new("ordered", 1)
    };
    rig.wait(|done| rig.broker.put_topic(ordered, done)).unwrap();
    assert_eq!(code_of(&rig, message("ordered", "")), code::NO_PERMISSION);
    rig.put("orders", "hi");
}

#[test]
fn a_topic_with_several_tags_marks_its_messages() {
    let rig = Rig::new();
    let config = TopicConfig {
        filter_type: TopicFilterType::MultiTag,
        ..TopicConfig::new("tagged", 1)
    };
    rig.wait(|done| rig.broker.put_topic(config, done)).unwrap();
    rig.send(SendRequest {
        sys_flag: 0xC0,
        ..message("tagged", "")
    })
    .unwrap();
    let pulled = rig.pull(&pull("tagged", 0)).unwrap().found();
    assert_eq!(
        views(&pulled)[0].sys_flag(),
        2,
        "and what clients may not set is not set"
    );
}

pub(crate) fn batch(messages: &[(&str, &str)]) -> Bytes {
    let mut out = Vec::new();
    for (body, properties) in messages {
        let size = 22 + body.len() + properties.len();
        for field in [size as i32, 0, 0, 3, body.len() as i32] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(&(properties.len() as i16).to_be_bytes());
        out.extend_from_slice(properties.as_bytes());
    }
    out.into()
}

#[test]
fn a_batch_becomes_messages() {
    let rig = Rig::new();
    let body = batch(&[
        ("one", "UNIQ_KEY\x01A\x02"),
        ("two", "TAGS\x01t\x02"),
        ("three", ""),
    ]);
    let request = SendRequest {
        is_batch: true,
        body,
        ..message("orders", "")
    };
    let receipt = rig.send(request).unwrap();
    assert_eq!((receipt.queue_offset, receipt.batch_positions.len()), (0, 3));
    assert_eq!(receipt.batch_positions[0], receipt.position);
    assert_eq!(receipt.offset_msg_id().split(',').count(), 3);
    let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
    let stored: Vec<_> = views(&pulled)
        .iter()
        .map(|view| (text(view.body()), text(view.properties()), view.flag()))
        .collect();
    let expected = [
        ("one", "UNIQ_KEY\x01A\x02"),
        ("two", "TAGS\x01t\x02"),
        ("three", ""),
    ];
    assert_eq!(
        stored,
        expected.map(|(body, properties)| (body.to_owned(), properties.to_owned(), 3))
    );
}

#[test]
fn batches_that_cannot_be() {
    let rig = Rig::new();
    let body = batch(&[("one", "")]);
    let send = |topic: &str, body: Bytes, pairs: &[(&str, &str)]| {
        let request = SendRequest {
            is_batch: true,
            body,
            properties: properties(pairs),
            ..message(topic, "")
        };
        rig.send(request).unwrap_err()
    };
    for error in [
        send("%RETRY%g", body.clone(), &[]),
        send("orders", body.clone(), &[("DELAY", "3")]),
        send("orders", body.clone(), &[("TRAN_MSG", "true")]),
        send("orders", Bytes::new(), &[]),
        send("orders", body.slice(..body.len() - 1), &[]),
    ] {
        assert_eq!(error.response_code(), code::MESSAGE_ILLEGAL, "{error}");
    }
    let error = send("orders", Bytes::from(vec![0; (4 << 20) + 1]), &[]);
    assert!(matches!(
        error,
        SendError::IllegalBatch(BatchError::TooLarge { .. })
    ));
    assert_eq!(rig.bodies("orders").len(), 0);
}

#[test]
fn a_resend_is_retried_until_it_is_a_dead_letter() {
    let rig = Rig::new();
    let resend = |times: i32, times_max: Option<i32>| {
        let request = SendRequest {
            reconsume_times: times,
            reconsume_times_max: times_max,
            properties: properties(&[("RETRY_TOPIC", "orders"), ("DELAY", "3")]),
            ..message("%RETRY%g", "again")
        };
        rig.send(request).unwrap();
        (rig.broker.timers_pending(), rig.bodies("%DLQ%g").len())
    };
    assert_eq!(resend(16, None), (1, 0), "the default is 16 times");
    assert_eq!(resend(17, None), (1, 1));
    assert_eq!(resend(3, Some(3)), (2, 1));
    assert_eq!(resend(4, Some(3)), (2, 2));
    let pulled = rig.pull(&pull("%DLQ%g", 0)).unwrap().found();
    let dead = views(&pulled)[0];
    assert_eq!(
        (dead.property("DELAY"), dead.property("RETRY_TOPIC")),
        (Some("-1"), Some("orders"))
    );
    assert_eq!((dead.topic(), dead.reconsume_times()), ("%DLQ%g", 17));
    assert_eq!(rig.broker.topic("%DLQ%g").unwrap().write_queues, 1);
}

#[test]
fn a_group_that_consumes_in_order_cannot_retry_later() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    let queue = kourou_broker::QueueKey {
        topic: "orders",
        queue_id: 0,
    };
    assert_eq!(rig.broker.lock_queues("g", "client", &[queue]), [true]);
    let resend = SendRequest {
        reconsume_times: 1,
        ..message("%RETRY%g", "again")
    };
    rig.send(resend.clone()).unwrap();
    assert_eq!(rig.bodies("%DLQ%g"), ["again"]);
    rig.clock.advance(60_001);
    rig.send(resend).unwrap();
    assert_eq!(rig.bodies("%DLQ%g").len(), 1);
    assert_eq!(rig.bodies("%RETRY%g"), ["again"]);
}

#[test]
fn a_resend_needs_its_group() {
    let rig = Rig::with(|options, _| options.auto_create_group = false);
    assert_eq!(
        code_of(&rig, message("%RETRY%g", "")),
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
}

#[test]
fn what_is_acknowledged_survives_and_nothing_else_is_seen() {
    let rig = Rig::new();
    rig.put("orders", "kept");
    rig.broker.send(message("orders", "not yet written"), |_| {});
    assert_eq!(rig.bodies("orders"), ["kept"]);
    let rig = rig.power_cut();
    assert_eq!(rig.bodies("orders"), ["kept"]);
    assert!(rig.broker.topic("orders").is_some());
    rig.put("orders", "next");
    assert_eq!(rig.restart().bodies("orders"), ["kept", "next"]);
}

#[test]
fn a_full_disk_is_said_and_reading_goes_on() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = 4 << 20);
    rig.put("orders", "kept");
    rig.disk.set_capacity_bytes(0);
    let body = "x".repeat(200_000);
    // More than what is written ahead.
    let error = (0..200)
        .find_map(|_| rig.send(message("orders", &body)).err())
        .unwrap();
    assert_eq!(error.response_code(), code::SERVICE_NOT_AVAILABLE, "{error}");
    let found = rig.pull(&pull("orders", 0)).unwrap();
    assert!(matches!(found, Got::Found(_) | Got::Cold(_)));
}

#[test]
fn the_record_of_a_receipt_can_be_looked_at() {
    let rig = Rig::new();
    let receipt = rig.put("orders", "hi");
    let record = rig.broker.record_at(receipt.position).unwrap();
    assert_eq!(RecordView::parse(&record).unwrap().body(), b"hi");
    assert!(rig.broker.record_at(receipt.position + 1).is_err());
    assert!(
        rig.broker.record_at(0).is_err(),
        "the topic's record is not a message"
    );
    rig.beat(&Channel::new(1), &heartbeat("c", "g", &[]));
}
