//! Offsets: seen at once, kept over restarts, and where a new group begins.

use kourou_broker::code;
use kourou_broker::send::SendRequest;
use kourou_engine::Boundary;

use crate::rig::{Channel, Rig, START_MS, heartbeat, message, subscription};

/// A topic with a message, and a group.
fn rig() -> Rig {
    let rig = Rig::new();
    rig.put("orders", "hi");
    rig.beat(&Channel::new(1), &heartbeat("c", "g", &[]));
    rig
}

fn committed(rig: &Rig) -> Option<i64> {
    rig.broker.committed_offset("g", "orders", 0, false)
}

#[test]
fn a_commit_is_seen_at_once_and_durable_with_the_tick() {
    let rig = rig();
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap();
    assert_eq!(committed(&rig), Some(1));
    assert_eq!(rig.broker.tick(), START_MS + 1_000);
    rig.pump();
    let rig = rig.power_cut();
    assert_eq!(committed(&rig), None, "not yet due");

    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap();
    rig.clock.advance(1_000);
    assert_eq!(rig.broker.tick(), START_MS + 2_000);
    rig.pump();
    let rig = rig.power_cut();
    assert_eq!(committed(&rig), Some(1));
}

#[test]
fn a_commit_with_an_answer_is_durable_when_it_is_answered() {
    let rig = rig();
    rig.wait(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 1, done)
    })
    .unwrap();
    let rig = rig.power_cut();
    assert_eq!(committed(&rig), Some(1));
}

#[test]
fn close_flushes() {
    let rig = rig();
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 3, 7)
        .unwrap();
    let rig = rig.restart();
    assert_eq!(rig.broker.committed_offset("g", "orders", 3, false), Some(7));
    assert_eq!(rig.broker.engine().recovery().replayed_records, 0);
}

#[test]
fn the_last_one_wins_also_when_it_is_smaller() {
    let rig = rig();
    for offset in [9, 3] {
        rig.wait(|done| {
            rig.broker
                .commit_offset_durably(&"g".into(), &"orders".into(), 0, offset, done)
        })
        .unwrap();
    }
    assert_eq!(committed(&rig.power_cut()), Some(3));
}

#[test]
fn many_offsets_take_several_records() {
    let rig = Rig::with(|options, _| options.limits.offsets_per_record_max = 2);
    rig.put("orders", "hi");
    rig.beat(&Channel::new(1), &heartbeat("c", "g", &[]));
    for queue_id in 0..4 {
        rig.broker
            .commit_offset(&"g".into(), &"orders".into(), queue_id, i64::from(queue_id) + 1)
            .unwrap();
    }
    rig.clock.advance(1_000);
    rig.broker.tick();
    rig.pump();
    let rig = rig.power_cut();
    for queue_id in 0..4 {
        let offset = rig.broker.committed_offset("g", "orders", queue_id, false);
        assert_eq!(offset, Some(i64::from(queue_id) + 1));
    }
}

#[test]
fn refusals() {
    let rig = rig();
    let code_of = |group: &str, topic: &str, queue_id: i32, offset: i64| {
        rig.broker
            .commit_offset(&group.into(), &topic.into(), queue_id, offset)
            .unwrap_err()
            .response_code()
    };
    assert_eq!(code_of("g", "nothing", 0, 1), code::TOPIC_NOT_EXIST);
    assert_eq!(
        code_of("nobody", "orders", 0, 1),
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
    assert_eq!(code_of("g", "orders", 4, 1), code::INVALID_PARAMETER);
    assert_eq!(code_of("g", "orders", -1, 1), code::INVALID_PARAMETER);
    assert_eq!(code_of("g", "orders", 0, -1), code::INVALID_PARAMETER);
}

#[test]
fn a_new_group_on_a_young_topic_begins_at_zero() {
    let rig = Rig::with(|options, engine| {
        options.young_log_size_bytes = 4_000;
        engine.tail_cache_size_bytes = 64 << 10;
    });
    let begin = |rig: &Rig, zero: bool| rig.broker.committed_offset("new", "orders", 0, zero);
    assert_eq!(begin(&rig, true), None, "no topic");
    rig.put("orders", "hi");
    assert_eq!(begin(&rig, true), Some(0));
    assert_eq!(begin(&rig, false), None, "only if asked for");
    assert_eq!(
        rig.broker.committed_offset("new", "orders", 1, true),
        None,
        "an empty queue"
    );
    let rig = rig.restart();
    assert_eq!(begin(&rig, true), Some(0), "the log is still short");
    let body = "x".repeat(100_000);
    for _ in 0..5 {
        rig.put("filler", &body);
    }
    let rig = rig.restart();
    assert_eq!(begin(&rig, true), None, "grown old");
}

#[test]
fn offsets_go_with_their_topic_and_group() {
    let rig = rig();
    rig.wait(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 1, done)
    })
    .unwrap();
    rig.wait(|done| rig.broker.delete_topic("orders", done)).unwrap();
    assert_eq!(committed(&rig), None);
    let rig = rig.power_cut();
    assert_eq!(committed(&rig), None);
    rig.put("orders", "again");
    rig.wait(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 1, done)
    })
    .unwrap();
    rig.wait(|done| rig.broker.delete_group("g", true, done)).unwrap();
    assert_eq!(committed(&rig), None);
}

#[test]
fn queues_by_offset_and_time() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.put("orders", "hi");
        rig.clock.advance(100);
    }
    assert_eq!(
        (
            rig.broker.min_offset("orders", 0),
            rig.broker.max_offset("orders", 0)
        ),
        (0, 3)
    );
    assert_eq!(rig.broker.max_offset("orders", 1), 0);
    let at = |ms: i64| {
        rig.broker
            .offset_by_time("orders", 0, START_MS + ms, Boundary::Lower)
    };
    assert_eq!((at(-5), at(0), at(50), at(100), at(900)), (0, 0, 1, 1, 3));
    assert_eq!(rig.broker.earliest_store_ms("orders", 0), Some(START_MS));
    assert_eq!(rig.broker.earliest_store_ms("orders", 1), None);
}

#[test]
fn lag_is_what_is_written_and_not_committed() {
    let rig = Rig::new();
    let channel = Channel::new(1);
    rig.beat(&channel, &heartbeat("c", "g", &[subscription("orders", &[], 1)]));
    for _ in 0..5 {
        rig.put("orders", "hi");
        rig.clock.advance(10);
    }
    rig.send(SendRequest {
        queue_id: 1,
        ..message("orders", "hi")
    })
    .unwrap();
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 2)
        .unwrap();
    let progress = rig.broker.consume_stats("g", None);
    let lags: Vec<u64> = progress
        .iter()
        .map(kourou_broker::stats::QueueProgress::lag)
        .collect();
    assert_eq!(lags, [3, 1, 0, 0]);
    assert_eq!(
        (progress[0].consumer_offset, progress[0].last_store_ms),
        (2, START_MS + 10)
    );
    let stats = rig.broker.topic_stats("orders").unwrap();
    assert_eq!(
        (stats.len(), stats[0].max_offset, stats[0].last_store_ms),
        (4, 5, START_MS + 40)
    );
    assert!(rig.broker.topic_stats("nothing").is_none());
    assert_eq!(rig.broker.groups_of_topic("orders").len(), 1);
    assert_eq!(rig.broker.topics_of_group("g").len(), 1);
    // Members that no longer subscribe do not consume.
    rig.beat(&channel, &heartbeat("c", "g", &[subscription("other", &[], 2)]));
    assert!(rig.broker.consume_stats("g", None).is_empty());
}
