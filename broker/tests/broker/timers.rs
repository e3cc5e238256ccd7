//! Messages for a time: when they come, and exactly once.

use kourou_broker::DelayError;
use kourou_broker::receive::PullRequest;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_broker::transaction::{Decision, EndTransaction, TransactionError};
use kourou_engine::disk::sim::Tear;

use crate::rig::{Rig, START_MS, message, properties, pull, text, views};

const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) fn timed(topic: &str, body: &str, more: &[(&str, &str)]) -> SendRequest<'static> {
    let all: Vec<(&str, &str)> = [("UNIQ_KEY", body)]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    SendRequest {
        properties: properties(&all),
        ..message(topic, body)
    }
}

pub(crate) fn timed_at(topic: &str, body: &str, due_ms: i64) -> SendRequest<'static> {
    timed(topic, body, &[("TIMER_DELIVER_MS", &due_ms.to_string())])
}

fn delivered(rig: &Rig) -> u64 {
    rig.broker.max_offset("orders", 0)
}

#[test]
fn each_property_is_kept_to_the_millisecond() {
    for (name, value) in [
        ("TIMER_DELAY_SEC", "7".to_owned()),
        ("TIMER_DELAY_MS", "7000".to_owned()),
        ("TIMER_DELIVER_MS", (START_MS + 7_000).to_string()),
    ] {
        let rig = Rig::new();
        let receipt = rig.send(timed("orders", "later", &[(name, &value)])).unwrap();
        assert_eq!(rig.broker.max_offset("rmq_sys_wheel_timer", 0), 1);
        assert_eq!(rig.broker.deliver_due(), Some(START_MS + 7_000));
        rig.clock.advance(6_999);
        rig.deliver();
        assert_eq!(delivered(&rig), 0, "{name}");
        rig.clock.advance(1);
        rig.deliver();
        assert_eq!((delivered(&rig), rig.broker.timers_pending()), (1, 0), "{name}");

        let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
        let view = views(&pulled)[0];
        assert_eq!((view.topic(), view.body()), ("orders", b"later".as_slice()));
        assert_eq!(view.prepared_transaction_offset(), receipt.position as i64);
        for (name, value) in [
            (name, value),
            ("TIMER_OUT_MS", (START_MS + 7_000).to_string()),
            ("TIMER_ENQUEUE_MS", START_MS.to_string()),
            ("TIMER_DEQUEUE_MS", (START_MS + 7_000).to_string()),
            ("REAL_TOPIC", "orders".to_owned()),
            ("REAL_QID", "0".to_owned()),
            ("UNIQ_KEY", "later".to_owned()),
        ] {
            assert_eq!(view.property(name), Some(value.as_str()), "{name}");
        }
    }
}

#[test]
fn a_time_that_has_come_makes_an_ordinary_message() {
    let rig = Rig::new();
    for due_ms in [START_MS, START_MS - 1, 0, -5] {
        let receipt = rig.send(timed_at("orders", "now", due_ms)).unwrap();
        assert_eq!(receipt.recall_handle, "");
    }
    assert_eq!((delivered(&rig), rig.broker.timers_pending()), (4, 0));
}

#[test]
fn what_was_a_timer_is_an_ordinary_message_when_it_is_sent_on() {
    let rig = Rig::new();
    rig.send(timed_at("orders", "later", START_MS + 10)).unwrap();
    rig.clock.advance(10);
    rig.deliver();
    let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
    let again = SendRequest {
        properties: views(&pulled)[0].properties().to_vec().into(),
        ..message("orders", "again")
    };
    rig.send(again).unwrap();
    assert_eq!(rig.bodies("orders"), ["later", "again"]);
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let rig = Rig::with(|options, _| options.timer_delay_ms_max = 3 * DAY_MS);
    let illegal = kourou_broker::code::MESSAGE_ILLEGAL;
    for (name, value, why) in [
        (
            "TIMER_DELIVER_MS",
            (START_MS + 3 * DAY_MS + 1).to_string(),
            "259200 s",
        ),
        ("TIMER_DELAY_SEC", "259201".to_owned(), "timer-max-delay-sec"),
        ("TIMER_DELAY_SEC", i64::MAX.to_string(), "timer-max-delay-sec"),
        ("TIMER_DELAY_MS", "soon".to_owned(), "\"soon\""),
        ("TIMER_DEL_UNIQKEY", "key".to_owned(), "recall handle"),
    ] {
        let error = rig.send(timed("orders", "later", &[(name, &value)])).unwrap_err();
        assert_eq!(error.response_code(), illegal, "{name} {value}");
        assert!(error.to_string().contains(why), "{error}");
    }
    rig.send(timed_at("orders", "later", START_MS + 3 * DAY_MS))
        .unwrap();

    let rig = Rig::with(|options, _| options.timers = false);
    let error = rig.send(timed_at("orders", "later", START_MS + 5)).unwrap_err();
    assert!(
        matches!(error, SendError::Delay(DelayError::NotEnabled)),
        "{error}"
    );
    assert_eq!(error.response_code(), kourou_broker::code::SYSTEM_ERROR);
    // Delay levels, and times that have come, need no timers.
    rig.send(timed("orders", "level", &[("DELAY", "1")])).unwrap();
    rig.send(timed_at("orders", "now", START_MS)).unwrap();
}

#[test]
fn nobody_puts_a_timer_in_by_hand() {
    let rig = Rig::new();
    let error = rig.send(message("rmq_sys_wheel_timer", "later")).unwrap_err();
    assert_eq!(error.response_code(), kourou_broker::code::NO_PERMISSION);
}

#[test]
fn a_batch_cannot_wait() {
    let rig = Rig::new();
    let batch = |due_ms: i64| {
        let due = properties(&[("KEYS", "k"), ("TIMER_DELIVER_MS", &due_ms.to_string())]);
        let plain = properties(&[("KEYS", "TIMER_DELIVER_MS")]);
        SendRequest {
            is_batch: true,
            body: crate::sends::batch(&[("a", text(&plain).as_str()), ("b", text(&due).as_str())]),
            ..message("orders", "")
        }
    };
    let error = rig.send(batch(START_MS + 1)).unwrap_err();
    assert_eq!(error.response_code(), kourou_broker::code::MESSAGE_ILLEGAL);
    assert_eq!(delivered(&rig), 0);
    rig.send(batch(START_MS)).unwrap();
    assert_eq!(delivered(&rig), 2);
}

#[test]
fn many_days_pass_in_no_time() {
    let rig = Rig::new();
    for day in 1..=40 {
        rig.send(timed(
            "orders",
            &format!("day {day}"),
            &[("TIMER_DELAY_SEC", &(day * 86_400).to_string())],
        ))
        .unwrap();
    }
    let mut rig = rig;
    for day in 1..=40 {
        rig.clock.set(START_MS + day * DAY_MS - 1);
        rig.deliver();
        assert_eq!(delivered(&rig), day as u64 - 1);
        if day % 7 == 0 {
            rig = rig.power_cut();
        }
        rig.clock.set(START_MS + day * DAY_MS);
        rig.deliver();
        assert_eq!(delivered(&rig), day as u64);
    }
}

fn half(rig: &Rig, body: &str, more: &[(&str, &str)]) -> SendReceipt {
    let all: Vec<(&str, &str)> = [("TRAN_MSG", "true")]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    rig.send(timed("orders", body, &all)).unwrap()
}

fn commit(rig: &Rig, half: &SendReceipt) {
    let end = EndTransaction {
        group: "producers".into(),
        position: half.position as i64,
        queue_offset: half.queue_offset as i64,
        decision: Decision::Commit,
        from_check: true,
    };
    rig.wait::<Result<(), TransactionError>>(|done| rig.broker.end_transaction(&end, done))
        .unwrap();
}

#[test]
fn a_transaction_waits_from_its_commit_on() {
    let rig = Rig::new();
    let relative = half(&rig, "relative", &[("TIMER_DELAY_MS", "1000")]);
    let at = half(
        &rig,
        "at",
        &[("TIMER_DELIVER_MS", &(START_MS + 5_500).to_string())],
    );
    let over = half(
        &rig,
        "over",
        &[("TIMER_DELIVER_MS", &(START_MS + 3_000).to_string())],
    );
    assert_eq!(relative.recall_handle, "");
    rig.clock.advance(4_900);
    for half in [&relative, &at, &over] {
        commit(&rig, half);
    }
    assert_eq!(rig.bodies("orders"), ["over"], "its time came before the commit");
    assert_eq!(
        (rig.broker.timers_pending(), rig.broker.transactions_pending()),
        (2, 0)
    );
    let rig = rig.power_cut();
    rig.clock.set(START_MS + 5_499);
    rig.deliver();
    assert_eq!(delivered(&rig), 1);
    rig.clock.advance(1);
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["over", "at"]);
    rig.clock.set(START_MS + 5_900);
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["over", "at", "relative"]);

    let error = rig
        .send(timed(
            "orders",
            "far",
            &[("TRAN_MSG", "true"), ("TIMER_DELAY_SEC", "99999999999")],
        ))
        .unwrap_err();
    assert_eq!(error.response_code(), kourou_broker::code::MESSAGE_ILLEGAL);
}

#[test]
fn a_deleted_topic_loses_nothing_and_holds_nobody_up() {
    let rig = Rig::new();
    for (topic, queue_id) in [("orders", 3), ("other", 0)] {
        rig.send(SendRequest {
            queue_id,
            ..timed_at(topic, topic, START_MS + 1_000)
        })
        .unwrap();
    }
    rig.wait(|done| rig.broker.delete_topic("orders", done)).unwrap();
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!((rig.bodies("other").len(), rig.broker.timers_pending()), (1, 0));
    rig.wait(|done| {
        rig.broker
            .put_topic(kourou_broker::topic::TopicConfig::new("orders", 4), done)
    })
    .unwrap();
    let request = PullRequest {
        queue_id: 3,
        ..pull("orders", 0)
    };
    assert_eq!(views(&rig.pull(&request).unwrap().found())[0].body(), b"orders");
}

#[test]
fn a_topic_that_shrank_meanwhile_gets_its_message_in_a_queue_that_is_left() {
    let rig = Rig::new();
    rig.send(SendRequest {
        queue_id: 3,
        ..timed_at("orders", "later", START_MS + 1_000)
    })
    .unwrap();
    rig.wait(|done| {
        rig.broker
            .put_topic(kourou_broker::topic::TopicConfig::new("orders", 1), done)
    })
    .unwrap();
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["later"]);
}

#[test]
fn cold_timers_are_read_in_the_order_of_the_disk_and_delivered_in_theirs() {
    let rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = 64 << 10;
        engine.tail_cache_size_bytes = 16 << 10;
        options.limits.timers_read_max = 10;
    });
    for at in 0..200_i64 {
        let body = format!("{at:03}{}", "x".repeat((at * 131 % 3_000) as usize));
        // The later it is sent the earlier it is due.
        rig.send(timed_at("orders", &body, START_MS + 1_000 - at))
            .unwrap();
    }
    rig.clock.advance(1_000);
    for _ in 0..10 {
        rig.deliver();
    }
    let found: Vec<String> = rig
        .bodies("orders")
        .iter()
        .map(|body| body[..3].to_owned())
        .collect();
    let wanted: Vec<String> = (0..200).rev().map(|at| format!("{at:03}")).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_crash_at_every_disk_operation_delivers_exactly_once() {
    let small = || Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
    let history = |rig: &Rig| {
        for at in 0..3 {
            rig.broker
                .send(timed_at("orders", &at.to_string(), START_MS + 1_000 + at), |_| {});
            rig.pump();
        }
        rig.clock.advance(1_001);
        rig.broker.deliver_due();
        rig.pump();
        // Fills a segment, so that a checkpoint is written in the midst of it.
        for _ in 0..2 {
            rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
            rig.pump();
        }
        rig.broker
            .send(timed("orders", "last", &[("TIMER_DELAY_MS", "5000")]), |_| {});
        rig.pump();
        rig.clock.advance(5_000);
        rig.broker.deliver_due();
        rig.pump();
    };
    let quiet = small();
    let before = quiet.disk.operations();
    history(&quiet);
    let operations = quiet.disk.operations();
    assert!(operations > before + 8);
    for op in before..operations {
        let rig = small();
        rig.disk.crash_at(op, Tear::None);
        history(&rig);
        let rig = rig.power_cut();
        rig.clock.advance(10_000);
        let stored = rig.broker.max_offset("rmq_sys_wheel_timer", 0);
        rig.deliver();
        rig.deliver();
        assert_eq!(delivered(&rig), stored, "crash at operation {op}");
        assert_eq!(rig.broker.timers_pending(), 0, "crash at operation {op}");
    }
}
