//! Delay levels: when, where, and exactly once.

use std::sync::Arc;

use kourou_broker::DELAY_LEVELS_MS;
use kourou_broker::send::SendRequest;
use kourou_broker::topic::Listener;
use kourou_engine::disk::sim::Tear;
use parking_lot::Mutex;

use crate::rig::{Rig, START_MS, message, properties, pull, views};

fn delayed(topic: &str, body: &str, level: i32) -> SendRequest<'static> {
    SendRequest {
        queue_id: 2,
        properties: properties(&[("UNIQ_KEY", body), ("DELAY", &level.to_string())]),
        ..message(topic, body)
    }
}

fn delivered(rig: &Rig) -> usize {
    rig.broker.max_offset("orders", 2) as usize
}

#[test]
fn never_early_and_then_at_once() {
    let rig = Rig::new();
    let receipt = rig.send(delayed("orders", "later", 3)).unwrap();
    assert_eq!(receipt.queue_id, 2, "the client is told its own queue");
    assert_eq!(rig.broker.max_offset("SCHEDULE_TOPIC_XXXX", 2), 1);
    assert_eq!(rig.broker.deliver_due(), Some(START_MS + 10_000));
    rig.clock.advance(9_999);
    rig.deliver();
    assert_eq!(delivered(&rig), 0);
    rig.clock.advance(1);
    rig.deliver();
    assert_eq!((delivered(&rig), rig.broker.timers_pending()), (1, 0));
    assert_eq!(rig.broker.deliver_due(), None);

    let pulled = rig
        .pull(&kourou_broker::receive::PullRequest {
            queue_id: 2,
            ..pull("orders", 0)
        })
        .unwrap()
        .found();
    let view = views(&pulled)[0];
    assert_eq!(
        (view.topic(), view.queue_id(), view.body()),
        ("orders", 2, b"later".as_slice())
    );
    assert_eq!(
        (view.store_ms(), view.born_ms()),
        (START_MS + 10_000, START_MS - 5)
    );
    assert_eq!(
        (view.property("UNIQ_KEY"), view.property("DELAY")),
        (Some("later"), Some("3"))
    );
    assert_eq!(
        (view.property("REAL_TOPIC"), view.property("REAL_QID")),
        (Some("orders"), Some("2"))
    );
    assert_eq!(view.prepared_transaction_offset(), receipt.position as i64);
}

#[test]
fn every_level_waits_its_time() {
    let rig = Rig::new();
    for level in 1..=19 {
        rig.send(delayed("orders", &level.to_string(), level)).unwrap();
    }
    for (at, delay_ms) in DELAY_LEVELS_MS.into_iter().enumerate() {
        rig.clock.set(START_MS + delay_ms - 1);
        rig.deliver();
        assert_eq!(delivered(&rig), at, "level {} is not early", at + 1);
        rig.clock.set(START_MS + delay_ms);
        rig.deliver();
        let expected = if at + 1 == DELAY_LEVELS_MS.len() {
            at + 2
        } else {
            at + 1
        };
        assert_eq!(
            delivered(&rig),
            expected,
            "level {}; above the highest is the highest",
            at + 1
        );
    }
}

#[test]
fn the_level_wins_over_other_timers() {
    let rig = Rig::new();
    let request = SendRequest {
        properties: properties(&[("DELAY", "1"), ("TIMER_DELAY_SEC", "9"), ("REAL_TOPIC", "lies")]),
        ..message("orders", "later")
    };
    rig.send(request).unwrap();
    rig.clock.advance(1_000);
    rig.deliver();
    let pulled = rig.pull(&pull("orders", 0)).unwrap().found();
    assert_eq!(views(&pulled)[0].property("TIMER_DELAY_SEC"), None);
}

#[test]
fn a_delayed_message_at_the_very_start_of_the_log_is_delivered_once() {
    let rig = Rig::new();
    // A topic that is built in needs no record, so this would be the first.
    let receipt = rig
        .send(SendRequest {
            queue_id: 0,
            ..delayed("BenchmarkTest", "first", 1)
        })
        .unwrap();
    assert_ne!(receipt.position, 0);
    rig.clock.advance(1_000);
    rig.deliver();
    let rig = rig.power_cut();
    rig.deliver();
    assert_eq!(rig.bodies("BenchmarkTest"), ["first"]);
}

#[test]
fn a_crash_at_any_moment_delivers_exactly_once() {
    // Before anything, with the delivery appended but not written, and after it was written.
    for moment in 0..3 {
        let rig = Rig::new();
        for at in 0..5 {
            rig.send(delayed("orders", &at.to_string(), 1)).unwrap();
        }
        rig.clock.advance(1_000);
        if moment > 0 {
            rig.broker.deliver_due();
        }
        if moment > 1 {
            rig.pump();
        }
        let rig = rig.power_cut();
        assert_eq!(rig.broker.timers_pending(), if moment > 1 { 0 } else { 5 });
        rig.deliver();
        rig.deliver();
        assert_eq!(delivered(&rig), 5, "moment {moment}");
        let rig = rig.restart();
        rig.deliver();
        assert_eq!((delivered(&rig), rig.broker.timers_pending()), (5, 0));
    }
}

#[test]
fn a_crash_at_every_disk_operation_delivers_exactly_once() {
    let history = |rig: &Rig| {
        for at in 0..3 {
            rig.broker.send(delayed("orders", &at.to_string(), 1), |_| {});
            rig.pump();
        }
        rig.clock.advance(1_000);
        rig.broker.deliver_due();
        rig.pump();
        // Fills a segment, so that a checkpoint is written in the midst of it.
        for _ in 0..2 {
            rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
            rig.pump();
        }
        rig.broker.send(delayed("orders", "last", 2), |_| {});
        rig.pump();
        rig.clock.advance(5_000);
        rig.broker.deliver_due();
        rig.pump();
    };
    let small = || Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
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
        let stored = (0..2)
            .map(|queue_id| rig.broker.max_offset("SCHEDULE_TOPIC_XXXX", queue_id))
            .sum::<u64>();
        rig.deliver();
        rig.deliver();
        assert_eq!(delivered(&rig) as u64, stored, "crash at operation {op}");
        assert_eq!(rig.broker.timers_pending(), 0, "crash at operation {op}");
    }
}

#[test]
fn while_a_delivery_is_being_written_it_is_not_started_again() {
    let rig = Rig::new();
    rig.send(delayed("orders", "later", 1)).unwrap();
    rig.clock.advance(1_000);
    for _ in 0..3 {
        rig.broker.deliver_due();
    }
    rig.pump();
    rig.deliver();
    assert_eq!(delivered(&rig), 1);
}

#[test]
fn a_refused_delivery_waits_and_is_tried_again() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = 4 << 20);
    rig.send(delayed("orders", "later", 1)).unwrap();
    // Fill the disk to the last byte that messages get.
    rig.disk.set_capacity_bytes(0);
    for size in [200_000, 2_000, 20] {
        let body = "x".repeat(size);
        while rig.send(message("filler", &body)).is_ok() {}
    }
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!((delivered(&rig), rig.broker.timers_pending()), (0, 1));
    assert_eq!(rig.broker.next_timer_ms(), Some(rig.now_ms() + 100));
    rig.disk.set_capacity_bytes(1 << 40);
    rig.pump();
    rig.clock.advance(100);
    rig.deliver();
    rig.clock.advance(100);
    rig.deliver();
    assert_eq!((delivered(&rig), rig.broker.timers_pending()), (1, 0));
}

#[test]
fn a_checkpoint_carries_timers() {
    let rig = Rig::new();
    rig.send(delayed("orders", "later", 1)).unwrap();
    let rig = rig.restart();
    assert_eq!(rig.broker.engine().recovery().replayed_records, 0);
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!(delivered(&rig), 1);
}

#[test]
fn so_many_may_wait_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.timers_max = 1);
    let position = rig.put("orders", "hi").position;
    rig.send(delayed("orders", "a", 1)).unwrap();
    let error = rig.send(delayed("orders", "b", 1)).unwrap_err();
    assert_eq!(
        error.response_code(),
        kourou_broker::code::SYSTEM_ERROR,
        "{error}"
    );
    let error = rig.send_back(crate::rig::send_back("g", position)).unwrap_err();
    assert_eq!(
        error.response_code(),
        kourou_broker::code::SYSTEM_ERROR,
        "{error}"
    );
    rig.clock.advance(1_000);
    rig.deliver();
    rig.send(delayed("orders", "b", 1)).unwrap();
}

#[derive(Default)]
struct Alarm(Mutex<Vec<i64>>);

impl Listener for Alarm {
    fn timer_due(&self, due_ms: i64) {
        self.0.lock().push(due_ms);
    }
}

#[test]
fn whoever_owns_time_hears_of_earlier_timers_only() {
    let rig = Rig::new();
    rig.send(delayed("orders", "a", 5)).unwrap();
    let alarm = Arc::new(Alarm::default());
    rig.broker.set_listener(alarm.clone());
    rig.send(delayed("orders", "b", 6)).unwrap();
    rig.send(delayed("orders", "c", 1)).unwrap();
    assert_eq!(
        *alarm.0.lock(),
        [START_MS + 60_000, START_MS + 1_000],
        "the first is told when somebody begins to listen"
    );
}

#[test]
fn many_timers_are_delivered_in_order() {
    let rig = Rig::with(|options, _| options.limits.timers_in_flight_max = 7);
    for at in 0..100 {
        rig.send(SendRequest {
            queue_id: 0,
            ..delayed("orders", &at.to_string(), 1)
        })
        .unwrap();
    }
    rig.clock.advance(2_000);
    for _ in 0..20 {
        rig.deliver();
    }
    assert_eq!(
        rig.bodies("orders"),
        (0..100).map(|at| at.to_string()).collect::<Vec<_>>()
    );
}
