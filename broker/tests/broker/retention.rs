//! What expires and what outlasts its segment: topics, offsets, timers, half messages and deliveries.

use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::delivery::{AckOutcome, DeliveryError, PopStep, Reading};
use kourou_broker::receive::{PullOutcome, PullRequest, PullStatus};
use kourou_broker::send::{SendError, SendReceipt};
use kourou_broker::transaction::Decision::{Commit, Rollback};
use kourou_broker::transaction::{Outcome, TransactionError};
use kourou_engine::disk::Disk;
use kourou_engine::disk::sim::{SimDisk, Tear};
use kourou_engine::record::RecordView;
use kourou_engine::{AppendError, Boundary, ReadError, Retention};

use crate::deliveries::{bodies, in_order, pairs, pop};
use crate::recalls::recall;
use crate::rig::{Channel, Got, Rig, START_MS, message, pull, text, views};
use crate::timers::{timed, timed_at};
use crate::transactions::{asked, beat, check, decide, half};

const HOUR_MS: i64 = 3_600_000;
const SEGMENT: u64 = 64 << 10;

/// Keeps an hour, in small segments.
fn an_hour() -> Rig {
    Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        engine.tail_cache_size_bytes = SEGMENT;
        options.retention.age_ms_max = Some(HOUR_MS);
    })
}

/// Keeps as little as can be, and waits for nothing.
fn least() -> Rig {
    Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        engine.tail_cache_size_bytes = SEGMENT;
        options.retention.size_bytes_max = Some(0);
        options.retention_hold_ms = 0;
    })
}

impl Rig {
    fn first_position(&self) -> u64 {
        self.broker.engine().first_position()
    }

    /// Sends fillers until the log has left the segment that it is in, and what it was in before has a checkpoint behind it.
    fn leave_segment(&self) {
        let end = (self.broker.engine().watermark() / SEGMENT + 1) * SEGMENT;
        while self.broker.engine().watermark() < end + SEGMENT / 4 {
            self.put("filler", &"x".repeat(10_000));
        }
    }

    /// Looks what is to go as often as that changes something.
    fn expire(&self) {
        loop {
            let before = (self.first_position(), self.broker.expiry());
            self.clock
                .advance(self.broker.options().limits.expiry_interval_ms);
            self.broker.tick();
            self.pump();
            if before == (self.first_position(), self.broker.expiry()) {
                return;
            }
        }
    }

    /// Commits an offset for a group, which is made if need be.
    fn commit(&self, group: &str, topic: &str, offset: i64) {
        let request = PullRequest {
            group: group.into(),
            ..pull(topic, 0)
        };
        self.pull(&request).unwrap();
        let (group, topic) = (group.into(), topic.into());
        self.pump();
        self.broker.commit_offset(&group, &topic, 0, offset).unwrap();
    }

    /// The record at an offset of queue 0.
    fn record(&self, topic: &str, offset: i64) -> Bytes {
        match self.pull(&pull(topic, offset)).unwrap() {
            Got::Found(mut pulled) => pulled.records.remove(0),
            Got::Cold(cold) => match cold.load().unwrap() {
                PullOutcome::Found(mut pulled) => pulled.records.remove(0),
                other => panic!("{other:?}"),
            },
            Got::Empty(empty) => panic!("{empty:?}"),
        }
    }

    /// The bodies in queue 0 of a topic, from its first offset on.
    fn kept(&self, topic: &str) -> Vec<String> {
        let min = self.broker.min_offset(topic, 0);
        let mut request = pull(topic, min as i64);
        let mut bodies = Vec::new();
        while let Ok(got) = self.pull(&request) {
            let pulled = match got {
                Got::Found(pulled) => pulled,
                Got::Cold(cold) => match cold.load().unwrap() {
                    PullOutcome::Found(pulled) => pulled,
                    other => panic!("{other:?}"),
                },
                Got::Empty(_) => break,
            };
            bodies.extend(views(&pulled).iter().map(|view| text(view.body())));
            request.offset = pulled.place.next_offset as i64;
        }
        bodies
    }
}

#[test]
fn what_is_too_old_is_gone_and_clients_are_told_where_the_rest_begins() {
    let rig = an_hour();
    let old = rig.put("orders", "old");
    rig.put("once", "only");
    rig.commit("readers", "orders", 1);
    rig.leave_segment();
    rig.clock.advance(HOUR_MS / 2);
    rig.put("orders", "new");
    rig.expire();
    assert_eq!(rig.first_position(), 0, "nothing is an hour old");
    rig.clock.advance(HOUR_MS / 2);
    rig.expire();
    assert_eq!(rig.first_position(), SEGMENT);
    assert_eq!(rig.broker.expiry().segments, 1);

    let check = |rig: &Rig| {
        let broker = &rig.broker;
        assert_eq!(
            (broker.min_offset("orders", 0), broker.max_offset("orders", 0)),
            (1, 2)
        );
        let empty = rig.pull(&pull("orders", 0)).unwrap().empty();
        assert_eq!(
            (empty.status, empty.place.next_offset, empty.place.min_offset),
            (PullStatus::OffsetTooSmall, 1, 1)
        );
        assert_eq!(rig.kept("orders"), ["new"]);
        // A queue that has nothing left is not a new one.
        assert_eq!(
            (broker.min_offset("once", 0), broker.max_offset("once", 0)),
            (1, 1)
        );
        let empty = rig.pull(&pull("once", 0)).unwrap().empty();
        assert_eq!(
            (empty.status, empty.place.next_offset),
            (PullStatus::OffsetTooSmall, 1)
        );
        let empty = rig.pull(&pull("once", 1)).unwrap().empty();
        assert_eq!(empty.status, PullStatus::OffsetOverflowOne);
        let read = broker.record_at(old.position);
        assert!(matches!(read, Err(ReadError::Outside { .. })), "{read:?}");
        assert_eq!(broker.offset_by_time("orders", 0, START_MS, Boundary::Lower), 1);
        assert_eq!(broker.earliest_store_ms("once", 0), None);
        // What state records said that have expired.
        assert!(broker.topic("once").is_some());
        assert_eq!(broker.committed_offset("readers", "orders", 0, false), Some(1));
        // A topic that lost its beginning is not young.
        assert_eq!(broker.committed_offset("others", "orders", 0, true), None);
    };
    check(&rig);
    let rig = rig.power_cut();
    check(&rig);
    let rig = rig.restart();
    check(&rig);
    assert_eq!(rig.put("once", "again").queue_offset, 1);
    assert_eq!(rig.kept("once"), ["again"]);
}

#[test]
fn nothing_is_looked_for_if_everything_is_kept() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = SEGMENT);
    rig.put("orders", "a");
    rig.leave_segment();
    rig.leave_segment();
    rig.clock.advance(1_000 * 24 * HOUR_MS);
    rig.expire();
    assert_eq!((rig.first_position(), rig.broker.expiry().segments), (0, 0));
}

#[test]
fn a_group_below_the_beginning_goes_on_with_what_is_left() {
    let rig = least();
    for body in ["a", "b"] {
        rig.put("orders", body);
    }
    rig.commit("g", "orders", 0);
    rig.leave_segment();
    rig.put("orders", "c");
    rig.expire();
    assert_eq!(rig.broker.min_offset("orders", 0), 2);
    let gots = rig.pop(&pop("orders"));
    assert_eq!(bodies(&gots), ["c"]);
    assert_eq!(rig.ack(&gots[0]), AckOutcome::Acked);
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(3));
}

/// However far away its time is, a timer comes in its time, once.
#[test]
fn timers_outlast_their_segments() {
    let mut rig = an_hour();
    let far_ms = START_MS + 30 * 24 * HOUR_MS;
    let receipt = rig.send(timed_at("orders", "far", far_ms)).unwrap();
    let recalled = rig.send(timed_at("orders", "recalled", far_ms)).unwrap();
    rig.send(timed_at("orders", "near", START_MS + 2 * HOUR_MS + 5))
        .unwrap();
    let level = timed("orders", "level", &[("DELAY", "18"), ("TIMER_OUT_MS", "5")]);
    let level_ms = rig.now_ms() + 2 * HOUR_MS;
    rig.send(level).unwrap();
    for round in 0..4 {
        rig.leave_segment();
        rig.clock.advance(HOUR_MS);
        rig.expire();
        assert!(rig.first_position() > receipt.position, "round {round}");
        assert!(rig.broker.expiry().carried > 0, "round {round}");
        rig = if round % 2 == 0 {
            rig.power_cut()
        } else {
            rig.restart()
        };
        if rig.now_ms() < level_ms {
            rig.deliver();
            assert!(rig.kept("orders").is_empty(), "never early");
            assert_eq!(rig.broker.timers_pending(), 4);
            assert_eq!(rig.broker.next_timer_ms(), Some(level_ms), "to the millisecond");
        }
    }
    rig.deliver();
    assert_eq!(rig.kept("orders"), ["level", "near"]);
    assert_eq!(recall(&rig, &recalled).unwrap(), "recalled");
    rig.clock.set(far_ms - 1);
    rig.deliver();
    assert_eq!(rig.broker.timers_pending(), 1);
    rig.clock.advance(1);
    rig.deliver();
    assert_eq!(rig.kept("orders"), ["level", "near", "far"]);
    let record = rig.record("orders", 2);
    let view = RecordView::parse(&record).unwrap();
    assert_eq!(view.property("UNIQ_KEY"), Some("far"));
    assert_eq!(
        (view.born_ms(), view.flag(), view.reconsume_times()),
        (START_MS - 5, 7, 0)
    );
    assert_eq!(rig.broker.timers_pending(), 0);
}

/// Many, so that one go is not enough; large ones among them.
#[test]
fn no_more_timers_are_moved_at_once_than_may_be() {
    let rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        options.retention.size_bytes_max = Some(0);
        options.limits.carried_max = 7;
    });
    let due_ms = START_MS + HOUR_MS;
    for number in 0..20 {
        let body = format!("{number}-{}", "y".repeat(number * 100));
        rig.send(timed_at("orders", &body, due_ms)).unwrap();
    }
    rig.leave_segment();
    let looks: Vec<u64> = (0..6)
        .map(|_| {
            rig.clock.advance(rig.broker.options().limits.expiry_again_ms);
            rig.broker.tick();
            rig.pump();
            rig.broker.expiry().carried
        })
        .collect();
    assert_eq!(looks, [7, 14, 20, 20, 20, 20], "soon again, while there is more");
    assert_eq!(rig.first_position(), SEGMENT);
    assert_eq!(rig.broker.timers_pending(), 20);
    rig.clock.set(due_ms);
    rig.deliver();
    assert_eq!(rig.kept("orders").len(), 20);
}

#[test]
fn half_messages_outlast_their_segments_under_the_position_that_their_producer_knows() {
    let mut rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        engine.tail_cache_size_bytes = SEGMENT;
        options.retention.size_bytes_max = Some(0);
    });
    let [committed, back, asked_for] =
        ["committed", "back", "asked"].map(|body| rig.send(half(body, &[])).unwrap());
    for round in 0..3 {
        rig.leave_segment();
        rig.expire();
        assert!(rig.first_position() > asked_for.position);
        rig = if round % 2 == 0 {
            rig.power_cut()
        } else {
            rig.restart()
        };
        assert_eq!(rig.broker.transactions_pending(), 3, "round {round}");
    }
    decide(&rig, &committed, Commit).unwrap();
    decide(&rig, &back, Rollback).unwrap();
    let rig = rig.power_cut();
    assert_eq!(rig.kept("orders"), ["committed"]);
    let record = rig.record("orders", 0);
    let named = RecordView::parse(&record).unwrap().prepared_transaction_offset();
    assert_eq!(named, committed.position as i64, "what it ends");
    let again = decide(&rig, &committed, Rollback).unwrap_err();
    assert!(matches!(
        again,
        TransactionError::NotPending { .. } | TransactionError::Ended { .. }
    ));
    // The producer is asked by the position that it was told.
    let channel = Channel::new(1);
    beat(&rig, &channel);
    rig.clock.advance(60_000);
    check(&rig);
    let message = channel.asked.lock()[0].1.clone();
    let view = RecordView::parse(&message).unwrap();
    view.verify(asked_for.position).unwrap();
    assert_eq!(asked(&channel), [asked_for.position]);
    decide(&rig, &asked_for, Commit).unwrap();
    assert_eq!(rig.kept("orders"), ["committed", "asked"]);
    assert_eq!(rig.broker.transactions_pending(), 0);
}

#[test]
fn half_messages_that_nobody_decides_for_as_long_as_messages_are_kept_are_given_up() {
    let rig = an_hour();
    let receipt = rig.send(half("undecided", &[])).unwrap();
    rig.leave_segment();
    rig.clock.advance(HOUR_MS);
    rig.expire();
    assert_eq!(rig.first_position(), SEGMENT);
    assert_eq!(rig.broker.transactions_pending(), 0);
    assert_eq!(rig.kept("TRANS_CHECK_MAX_TIME_TOPIC"), ["undecided"]);
    let late = decide(&rig, &receipt, Commit).unwrap_err();
    let outcome = matches!(
        late,
        TransactionError::Ended {
            outcome: Outcome::GivenUp,
            ..
        }
    );
    assert!(outcome, "{late}");
}

#[test]
fn a_segment_waits_for_what_is_out_of_it() {
    let rig = an_hour();
    rig.put("orders", "a");
    rig.leave_segment();
    rig.clock.advance(HOUR_MS);
    let gots = rig.pop(&pop("orders"));
    rig.expire();
    assert_eq!(
        (rig.first_position(), rig.broker.deliveries()),
        (0, 1),
        "it is out"
    );
    assert_eq!(rig.ack(&gots[0]), AckOutcome::Acked);
    rig.expire();
    assert_eq!((rig.first_position(), rig.broker.deliveries()), (SEGMENT, 0));
    assert!(rig.popped("orders").is_empty());
}

/// Whoever never says anything and never lets go does not keep the log from being emptied; what it has is not lost.
#[test]
fn what_is_out_for_too_long_is_delivered_again_before_its_message_goes() {
    let rig = an_hour();
    for body in ["a", "b"] {
        rig.put("orders", body);
    }
    rig.leave_segment();
    rig.clock.advance(HOUR_MS);
    let mut request = pop("orders");
    request.invisible_ms = 48 * HOUR_MS;
    let gots = rig.pop(&request);
    rig.expire();
    let hold_ms = rig.broker.options().retention_hold_ms;
    rig.clock.advance(hold_ms - 60_000);
    rig.expire();
    assert_eq!(rig.first_position(), 0);
    assert_eq!(rig.ack(&gots[0]), AckOutcome::Acked);
    rig.clock.advance(60_000);
    rig.expire();
    assert_eq!(rig.first_position(), SEGMENT);
    let rig = rig.power_cut();
    assert_eq!(rig.popped("orders"), pairs(&[("b", 1)]));
    let late = rig.try_ack(&gots[1].handle).unwrap_err();
    assert!(matches!(late, DeliveryError::OffsetOutside { .. }), "{late}");
}

#[test]
fn what_is_out_in_order_for_too_long_becomes_a_dead_letter() {
    let rig = least();
    for body in ["a", "b", "c"] {
        rig.put("orders", body);
    }
    let gots = rig.pop(&in_order(""));
    assert_eq!(bodies(&gots), ["a", "b", "c"]);
    assert_eq!(rig.ack(&gots[1]), AckOutcome::Acked);
    rig.leave_segment();
    rig.put("orders", "d");
    rig.expire();
    assert!(rig.first_position() >= SEGMENT);
    assert_eq!(rig.kept("%DLQ%g"), ["a", "c"]);
    let gots = rig.pop(&in_order(""));
    assert_eq!(bodies(&gots), ["d"], "the queue goes on");
}

/// Beside a disk that fills nothing is waited for, and what is pending is not lost for it.
#[test]
fn a_disk_that_fills_is_emptied_and_takes_messages_again() {
    let rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = 4 << 20;
        engine.ahead_size_bytes = 1 << 20;
        engine.tail_cache_size_bytes = SEGMENT;
        options.retention = Retention {
            disk_percent_max: Some(100),
            ..Retention::default()
        };
    });
    let receipt = rig.send(half("half", &[])).unwrap();
    rig.send(timed_at("orders", "far", START_MS + HOUR_MS)).unwrap();
    rig.put("orders", "out");
    let gots = rig.pop(&pop("orders"));
    assert_eq!(bodies(&gots), ["out"]);
    rig.disk.set_capacity_bytes(14 << 20);
    let filler = "x".repeat(100_000);
    let mut refused = None;
    for _ in 0..1_000 {
        if let Err(error) = rig.send(message("filler", &filler)) {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(
        matches!(refused, SendError::Store(AppendError::Full { .. })),
        "{refused}"
    );
    rig.commit("readers", "filler", 7);
    rig.expire();
    assert!(rig.first_position() > 0);
    rig.put("filler", &filler);
    let free_bytes = rig.disk.free_bytes(std::path::Path::new("/store")).unwrap();
    assert!(free_bytes > 1 << 20, "{free_bytes}");
    let rig = rig.power_cut();
    assert_eq!(
        rig.broker.committed_offset("readers", "filler", 0, false),
        Some(7)
    );
    assert_eq!(
        (rig.broker.timers_pending(), rig.broker.transactions_pending()),
        (1, 1)
    );
    decide(&rig, &receipt, Commit).unwrap();
    rig.clock.set(START_MS + HOUR_MS);
    rig.deliver();
    let kept = rig.kept("orders");
    assert_eq!(kept, ["half", "far"]);
    assert_eq!(
        rig.popped("orders").len(),
        3,
        "what was out, once more, and these"
    );
}

/// A record that rots keeps the log from nothing, once it had its time.
#[test]
fn what_cannot_be_read_goes_with_its_segment_in_the_end() {
    let rig = an_hour();
    let timer = rig
        .send(timed_at("orders", "rots", START_MS + 90 * HOUR_MS))
        .unwrap();
    rig.send(timed_at("orders", "stays", START_MS + 90 * HOUR_MS))
        .unwrap();
    rig.put("orders", "a");
    rig.leave_segment();
    rig.clock.advance(HOUR_MS);
    let rig = rig.restart();
    let segment = std::path::Path::new("/store/log/00000000000000000000");
    rig.disk.spoil(segment, timer.position, 1).unwrap();
    rig.expire();
    assert_eq!(rig.first_position(), 0);
    rig.clock.advance(rig.broker.options().retention_hold_ms);
    rig.expire();
    assert_eq!((rig.first_position(), rig.broker.timers_pending()), (SEGMENT, 1));
    let rig = rig.power_cut();
    rig.clock.set(START_MS + 90 * HOUR_MS);
    rig.deliver();
    assert_eq!(rig.kept("orders"), ["stays"]);
}

/// What is pending in a segment that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Half,
    Timer,
    Popped,
}

/// Something of some kinds, in a segment that expires. What the sender of the half message was told.
fn history(rig: &Rig, kinds: &[Kind]) -> Option<SendReceipt> {
    let received = Arc::new(parking_lot::Mutex::new(None));
    if kinds.contains(&Kind::Half) {
        let tell = received.clone();
        rig.broker
            .send(half("half", &[]), move |sent| *tell.lock() = sent.ok());
    }
    if kinds.contains(&Kind::Timer) {
        let far = timed_at("orders", "far", START_MS + 90 * HOUR_MS);
        rig.broker.send(far, |_| {});
    }
    if kinds.contains(&Kind::Popped) {
        rig.broker.send(message("popped", "out"), |_| {});
    }
    rig.pump();
    if let Ok(PopStep::Taken(taken)) = rig.broker.begin_pop(&pop("popped"), Reading::Disk) {
        taken.store(|_| {});
    }
    rig.pump();
    for _ in 0..9 {
        rig.broker.send(message("filler", &"x".repeat(10_000)), |_| {});
        rig.pump();
    }
    for _ in 0..6 {
        rig.clock.advance(10_000);
        rig.broker.tick();
        rig.pump();
    }
    received.lock().take()
}

/// Wherever the power goes while a segment with pending things expires, each of them is there afterwards, once.
#[test]
fn a_crash_at_every_disk_operation_leaves_everything_pending_once() {
    let all = [Kind::Half, Kind::Timer, Kind::Popped];
    // Each alone as well: one that is still needed would keep the segment for the others.
    for kinds in [&all[..], &all[..1], &all[1..2], &all[2..]] {
        every_crash(kinds);
    }
}

fn every_crash(kinds: &[Kind]) {
    let quiet = least();
    let before = quiet.disk.operations();
    history(&quiet, kinds);
    let operations = quiet.disk.operations();
    assert!(quiet.first_position() >= SEGMENT);
    assert!(quiet.broker.expiry().carried >= kinds.len() as u64);
    for op in before..operations {
        for tear in [Tear::None, Tear::All] {
            let what = format!("{kinds:?}, operation {op}, {tear:?}");
            let rig = least();
            rig.disk.crash_at(op, tear);
            let half = history(&rig, kinds);
            let rig = rig.power_cut();
            let stored = |topic| rig.broker.max_offset(topic, 0);
            let timers = stored("rmq_sys_wheel_timer").min(1);
            assert_eq!(rig.broker.timers_pending() as u64, timers, "{what}");
            let halves = rig.broker.transactions_pending();
            assert!((usize::from(half.is_some())..=1).contains(&halves), "{what}");
            // What was popped comes again: in its time if it is still out, or it has been delivered again already.
            if rig.broker.committed_offset("g", "popped", 0, false) == Some(1) {
                rig.after(HOUR_MS);
                let again = rig.pop(&pop("popped"));
                assert_eq!(bodies(&again), ["out"], "{what}");
                rig.ack(&again[0]);
            }
            // Once more, over whatever the crash left.
            for _ in 0..2 {
                rig.leave_segment();
                rig.expire();
            }
            assert!(rig.first_position() >= SEGMENT, "{what}");
            let mut expected = Vec::new();
            if timers > 0 {
                expected.push("far");
            }
            if let Some(half) = &half {
                decide(&rig, half, Commit).unwrap();
                expected.push("half");
            }
            rig.clock.set(START_MS + 90 * HOUR_MS);
            rig.deliver();
            let mut kept = rig.kept("orders");
            kept.sort();
            assert_eq!(kept, expected, "{what}");
        }
    }
}

#[test]
fn the_disk_is_used_no_more_than_it_may_be() {
    let rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        options.retention = Retention {
            disk_percent_max: Some(80),
            ..Retention::default()
        };
    });
    rig.disk.set_capacity_bytes(20 * SEGMENT);
    let used = |disk: &SimDisk| {
        100 - disk.free_bytes(std::path::Path::new("/store")).unwrap() * 100 / (20 * SEGMENT)
    };
    let mut most = 0;
    for _ in 0..400 {
        rig.put("filler", &"x".repeat(10_000));
        rig.clock.advance(1_000);
        rig.broker.tick();
        rig.pump();
        most = most.max(used(&rig.disk));
    }
    assert!((80..95).contains(&most), "{most} %");
    assert!(rig.broker.expiry().segments > 40);
    assert!(
        used(&rig.disk) > 60,
        "and no less than that: {} %",
        used(&rig.disk)
    );
}
