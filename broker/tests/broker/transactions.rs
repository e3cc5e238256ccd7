//! Transactions: visible once or never, whatever is decided when, whoever is there to be asked, wherever the power is cut.

use std::sync::Arc;

use kourou_broker::client::HeartbeatData;
use kourou_broker::receive::PullRequest;
use kourou_broker::send::{SendReceipt, SendRequest};
use kourou_broker::transaction::{Decision, EndTransaction, Outcome, TransactionError};
use kourou_engine::disk::sim::Tear;
use kourou_engine::record::RecordView;
use parking_lot::Mutex;

use crate::rig::{Channel, Rig, START_MS, message, properties, pull, send_back, text, views};

use Decision::{Commit, Rollback};

pub(crate) fn half(body: &str, more: &[(&str, &str)]) -> SendRequest<'static> {
    let mut pairs = vec![("UNIQ_KEY", body), ("TRAN_MSG", "true"), ("PGROUP", "producers")];
    pairs.extend_from_slice(more);
    SendRequest {
        sys_flag: 0x4,
        properties: properties(&pairs),
        ..message("orders", body)
    }
}

fn begin(rig: &Rig, body: &str) -> SendReceipt {
    rig.send(half(body, &[])).unwrap()
}

fn end(receipt: &SendReceipt, decision: Decision) -> EndTransaction<'static> {
    EndTransaction {
        group: "producers".into(),
        position: receipt.position as i64,
        queue_offset: receipt.queue_offset as i64,
        decision,
        from_check: false,
    }
}

pub(crate) fn decide(rig: &Rig, receipt: &SendReceipt, decision: Decision) -> Result<(), TransactionError> {
    rig.wait(|done| rig.broker.end_transaction(&end(receipt, decision), done))
}

/// A producer that beats as often as it must.
pub(crate) fn beat(rig: &Rig, channel: &Arc<Channel>) {
    let data = HeartbeatData {
        client_id: "p".to_owned(),
        producer_groups: vec!["producers".to_owned()],
        ..HeartbeatData::default()
    };
    rig.beat(channel, &data);
}

pub(crate) fn check(rig: &Rig) -> Option<i64> {
    let next_ms = rig.broker.check_transactions();
    rig.pump();
    next_ms
}

pub(crate) fn asked(channel: &Channel) -> Vec<u64> {
    let asked = std::mem::take(&mut *channel.asked.lock());
    asked.into_iter().map(|(position, _)| position).collect()
}

#[test]
fn visible_when_committed_and_not_before() {
    let rig = Rig::new();
    rig.put("orders", "before");
    let receipt = rig
        .send(SendRequest {
            queue_id: 2,
            ..half("half", &[("TAGS", "t"), ("REAL_TOPIC", "lies")])
        })
        .unwrap();
    assert_eq!((receipt.queue_id, receipt.queue_offset), (2, 0));
    assert_eq!(receipt.transaction_id, "half");
    assert_eq!(rig.broker.max_offset("orders", 2), 0);
    assert_eq!(rig.broker.max_offset("RMQ_SYS_TRANS_HALF_TOPIC", 0), 0);
    assert_eq!(rig.broker.transactions_pending(), 1);

    rig.clock.advance(3);
    decide(&rig, &receipt, Commit).unwrap();
    assert_eq!(rig.broker.transactions_pending(), 0);
    let request = PullRequest {
        queue_id: 2,
        ..pull("orders", 0)
    };
    let pulled = rig.pull(&request).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!(
        (view.topic(), view.queue_id(), view.queue_offset(), view.body()),
        ("orders", 2, 0, b"half".as_slice())
    );
    assert_eq!(view.sys_flag(), 0x8);
    assert_eq!(view.prepared_transaction_offset(), receipt.position as i64);
    assert_eq!((view.born_ms(), view.store_ms()), (START_MS - 5, START_MS + 3));
    for (name, value) in [
        ("UNIQ_KEY", "half"),
        ("__transactionId__", "half"),
        ("TRAN_MSG", "true"),
        ("PGROUP", "producers"),
        ("REAL_TOPIC", "orders"),
        ("REAL_QID", "2"),
        ("TAGS", "t"),
    ] {
        assert_eq!(view.property(name), Some(value), "{name}");
    }
}

#[test]
fn rolled_back_is_never_visible() {
    let rig = Rig::new();
    let receipt = begin(&rig, "never");
    decide(&rig, &receipt, Rollback).unwrap();
    assert_eq!(rig.broker.transactions_pending(), 0);
    rig.put("orders", "after");
    assert_eq!(rig.bodies("orders"), ["after"], "and takes no offset");
    let rig = rig.power_cut();
    assert_eq!(
        (rig.broker.transactions_pending(), rig.bodies("orders")),
        (0, vec!["after".to_owned()])
    );
}

#[test]
fn the_first_decision_holds_in_every_order() {
    for first in [Commit, Rollback] {
        for second in [Commit, Rollback] {
            for restart in [0, 1, 2] {
                let rig = Rig::new();
                let receipt = begin(&rig, "x");
                decide(&rig, &receipt, first).unwrap();
                let rig = match restart {
                    0 => rig,
                    1 => rig.power_cut(),
                    _ => rig.restart(),
                };
                match decide(&rig, &receipt, second) {
                    Ok(()) => assert_eq!(first, second),
                    Err(TransactionError::Ended { outcome, .. }) => {
                        assert_ne!(first, second);
                        assert_eq!(outcome, Outcome::from(first));
                    }
                    // A checkpoint does not carry how transactions ended.
                    Err(TransactionError::NotPending { .. }) => assert_eq!(restart, 2),
                    Err(error) => panic!("{error}"),
                }
                let expected: &[&str] = if first == Commit { &["x"] } else { &[] };
                assert_eq!(rig.bodies("orders"), expected);
                assert_eq!(rig.broker.transactions_pending(), 0);
            }
        }
    }
}

#[test]
fn of_two_decisions_at_the_same_time_one_is_stored() {
    for (first, second) in [
        (Commit, Commit),
        (Commit, Rollback),
        (Rollback, Commit),
        (Rollback, Rollback),
    ] {
        let rig = Rig::new();
        let receipt = begin(&rig, "x");
        let told: Arc<Mutex<Vec<bool>>> = Arc::default();
        for decision in [first, second, second] {
            let told = told.clone();
            rig.broker
                .end_transaction(&end(&receipt, decision), move |ended| {
                    told.lock().push(ended.is_ok())
                });
        }
        rig.pump();
        assert_eq!(
            *told.lock(),
            [false, false, true],
            "the later ones hear at once that they are late"
        );
        let expected: &[&str] = if first == Commit { &["x"] } else { &[] };
        assert_eq!(rig.bodies("orders"), expected);
    }
}

#[test]
fn whose_it_is_not_may_not_decide() {
    let rig = Rig::new();
    let receipt = begin(&rig, "x");
    let refused = |end: EndTransaction<'_>| {
        let error: Result<(), TransactionError> = rig.wait(|done| rig.broker.end_transaction(&end, done));
        error.unwrap_err().response_code()
    };
    let good = end(&receipt, Commit);
    for bad in [
        EndTransaction {
            group: "others".into(),
            ..good.clone()
        },
        EndTransaction {
            queue_offset: 1,
            ..good.clone()
        },
        EndTransaction {
            position: good.position + 1,
            ..good.clone()
        },
        EndTransaction {
            position: -1,
            ..good.clone()
        },
        EndTransaction {
            position: i64::MAX,
            ..good.clone()
        },
    ] {
        assert_eq!(refused(bad), kourou_broker::code::SYSTEM_ERROR);
    }
    let plain = rig.put("orders", "plain");
    assert_eq!(refused(end(&plain, Commit)), kourou_broker::code::SYSTEM_ERROR);
    let back = rig.send_back(send_back("g", receipt.position));
    assert!(back.is_err(), "a half message is nobody's to send back");
    decide(&rig, &receipt, Commit).unwrap();
    assert_eq!(rig.bodies("orders"), ["plain", "x"]);
}

#[test]
fn a_message_says_itself_how_long_nobody_is_asked() {
    let rig = Rig::new();
    let channel = Channel::new(1);
    beat(&rig, &channel);
    let receipt = rig
        .send(half("x", &[("CHECK_IMMUNITY_TIME_IN_SECONDS", "2")]))
        .unwrap();
    assert_eq!(check(&rig), Some(START_MS + 2_000));
    rig.clock.advance(2_000);
    check(&rig);
    assert_eq!(asked(&channel), [receipt.position]);
    rig.clock.advance(1);
    let late = decide(&rig, &receipt, Commit).unwrap_err();
    assert_eq!(
        late.response_code(),
        kourou_broker::code::ILLEGAL_OPERATION,
        "{late}"
    );
    let answer = EndTransaction {
        from_check: true,
        ..end(&receipt, Commit)
    };
    rig.wait::<Result<_, _>>(|done| rig.broker.end_transaction(&answer, done))
        .unwrap();
    assert_eq!(rig.bodies("orders"), ["x"]);

    for unclear in ["-1", "soon"] {
        let receipt = rig
            .send(half("y", &[("CHECK_IMMUNITY_TIME_IN_SECONDS", unclear)]))
            .unwrap();
        assert_eq!(check(&rig), Some(rig.now_ms() + 6_000));
        rig.clock.advance(10_000);
        decide(&rig, &receipt, Rollback).unwrap();
    }
}

#[test]
fn a_producer_is_asked_so_often_and_then_the_transaction_is_given_up() {
    let rig = Rig::new();
    let channel = Channel::new(1);
    beat(&rig, &channel);
    let receipt = begin(&rig, "x");
    assert_eq!(check(&rig), Some(START_MS + 6_000));
    for times in 0..15 {
        rig.clock.set(START_MS + 6_000 + times * 30_000 - 1);
        beat(&rig, &channel);
        check(&rig);
        assert_eq!(asked(&channel), [], "never early");
        rig.clock.advance(1);
        assert_eq!(check(&rig), Some(rig.now_ms() + 30_000));
        check(&rig);
        let questions = channel.asked.lock().clone();
        let question = RecordView::parse(&questions[0].1).unwrap();
        question.verify(receipt.position).unwrap();
        assert_eq!(asked(&channel), [receipt.position]);
        assert_eq!(
            (
                question.topic(),
                question.queue_id(),
                question.sys_flag(),
                question.body()
            ),
            ("orders", 0, 0, b"x".as_slice())
        );
        let count = (times + 1).to_string();
        assert_eq!(question.property("TRANSACTION_CHECK_TIMES"), Some(count.as_str()));
        assert_eq!(question.property("PGROUP"), Some("producers"));
        assert_eq!(
            rig.broker.transaction_checks(receipt.position),
            Some(times as u32 + 1)
        );
    }
    rig.clock.advance(30_000);
    beat(&rig, &channel);
    assert_eq!(rig.broker.max_offset("TRANS_CHECK_MAX_TIME_TOPIC", 0), 0);
    check(&rig);
    assert_eq!((asked(&channel), rig.broker.transactions_pending()), (vec![], 0));
    assert_eq!(rig.bodies("TRANS_CHECK_MAX_TIME_TOPIC"), ["x"]);
    let pulled = rig.pull(&pull("TRANS_CHECK_MAX_TIME_TOPIC", 0)).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!(view.property("TRANSACTION_CHECK_TIMES"), Some("15"));
    assert_eq!(view.property("REAL_TOPIC"), Some("orders"));
    assert!(matches!(
        decide(&rig, &receipt, Commit),
        Err(TransactionError::Ended {
            outcome: Outcome::GivenUp,
            ..
        })
    ));
    let rig = rig.power_cut();
    assert_eq!(
        (rig.broker.transactions_pending(), rig.bodies("orders").len()),
        (0, 0)
    );
}

#[test]
fn whoever_is_not_there_is_not_asked_and_loses_nothing() {
    let rig = Rig::new();
    let receipt = begin(&rig, "x");
    for _ in 0..40 {
        rig.clock.advance(30_000);
        check(&rig);
    }
    assert_eq!(rig.broker.transaction_checks(receipt.position), Some(0));
    let (deaf, hearing) = (Channel::new(1), Channel::new(2));
    *deaf.deaf.lock() = true;
    beat(&rig, &deaf);
    rig.clock.advance(30_000);
    check(&rig);
    assert_eq!(rig.broker.transaction_checks(receipt.position), Some(0));
    rig.broker.channel_closed(1);
    beat(&rig, &hearing);
    rig.clock.advance(30_000);
    check(&rig);
    assert_eq!(asked(&hearing), [receipt.position]);
    decide(&rig, &receipt, Commit).unwrap();
    rig.clock.advance(30_000);
    assert_eq!(check(&rig), None);
    assert_eq!(
        (asked(&hearing).len(), rig.bodies("orders")),
        (0, vec!["x".to_owned()])
    );
}

#[test]
fn the_producers_of_a_group_are_asked_in_turn_and_others_never() {
    let rig = Rig::new();
    let channels = [Channel::new(1), Channel::new(2)];
    channels.iter().for_each(|channel| beat(&rig, channel));
    let stranger = Channel::new(3);
    let data = HeartbeatData {
        client_id: "s".to_owned(),
        producer_groups: vec!["strangers".to_owned()],
        ..HeartbeatData::default()
    };
    rig.beat(&stranger, &data);
    for at in 0..10 {
        begin(&rig, &at.to_string());
    }
    rig.clock.advance(6_000);
    check(&rig);
    assert_eq!(channels.each_ref().map(|channel| asked(channel).len()), [5, 5]);
    assert_eq!(asked(&stranger), []);
}

#[test]
fn stuck_transactions_do_not_keep_others_waiting() {
    let rig = Rig::with(|options, _| options.limits.transaction_checks_per_round = 3);
    // Of nobody who is there, and older than the rest.
    for at in 0..50 {
        let stuck = SendRequest {
            properties: properties(&[("TRAN_MSG", "true"), ("PGROUP", "gone")]),
            ..half(&format!("stuck {at}"), &[])
        };
        rig.send(stuck).unwrap();
    }
    let channel = Channel::new(1);
    beat(&rig, &channel);
    rig.clock.advance(1);
    let receipt = begin(&rig, "x");
    rig.clock.advance(6_000);
    while rig
        .broker
        .next_transaction_check_ms()
        .is_some_and(|due_ms| due_ms <= rig.now_ms())
    {
        let next_ms = check(&rig).unwrap();
        assert!(next_ms > rig.now_ms());
    }
    assert_eq!(asked(&channel), [receipt.position], "in the same millisecond");
}

#[test]
fn a_restart_keeps_what_is_pending_and_how_often_it_was_asked_for() {
    let mut rig = Rig::new();
    let first = begin(&rig, "first");
    for round in 1..=6 {
        let channel = Channel::new(round);
        beat(&rig, &channel);
        rig.clock.advance(36_000);
        beat(&rig, &channel);
        check(&rig);
        assert_eq!(asked(&channel), [first.position]);
        rig = if round % 2 == 0 {
            rig.restart()
        } else {
            rig.power_cut()
        };
        assert_eq!(rig.broker.transaction_checks(first.position), Some(round as u32));
        assert_eq!(
            rig.broker.next_transaction_check_ms(),
            Some(rig.now_ms() + 30_000)
        );
    }
    let second = begin(&rig, "second");
    decide(&rig, &second, Commit).unwrap();
    decide(&rig, &first, Commit).unwrap();
    let rig = rig.restart();
    assert_eq!(
        (rig.broker.transactions_pending(), rig.bodies("orders")),
        (0, vec!["second".into(), "first".into()])
    );
}

#[test]
fn a_delay_begins_with_the_commit() {
    for level in ["1", "99"] {
        let rig = Rig::new();
        let receipt = rig.send(half("later", &[("DELAY", level)])).unwrap();
        assert_eq!(rig.broker.timers_pending(), 0);
        rig.clock.advance(5_000);
        decide(&rig, &receipt, Commit).unwrap();
        assert_eq!(
            (rig.broker.transactions_pending(), rig.broker.timers_pending()),
            (0, 1)
        );
        let rig = rig.power_cut();
        let wait_ms = if level == "1" { 1_000 } else { 7_200_000 };
        rig.clock.advance(wait_ms - 1);
        rig.deliver();
        assert_eq!(rig.bodies("orders").len(), 0);
        rig.clock.advance(1);
        rig.deliver();
        assert_eq!(rig.bodies("orders"), ["later"]);
        let rig = rig.power_cut();
        rig.deliver();
        assert_eq!((rig.bodies("orders").len(), rig.broker.timers_pending()), (1, 0));
    }
}

#[test]
fn so_many_may_be_pending_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.transactions_max = 2);
    let first = begin(&rig, "a");
    begin(&rig, "b");
    let error = rig.send(half("c", &[])).unwrap_err();
    assert_eq!(error.response_code(), kourou_broker::code::SYSTEM_BUSY, "{error}");
    decide(&rig, &first, Rollback).unwrap();
    begin(&rig, "c");
}

#[test]
fn a_broker_may_refuse_transactions() {
    let rig = Rig::with(|options, _| options.reject_transactions = true);
    let error = rig.send(half("x", &[])).unwrap_err();
    assert_eq!(
        error.response_code(),
        kourou_broker::code::NO_PERMISSION,
        "{error}"
    );
}

#[test]
fn a_message_that_is_sent_back_is_no_half() {
    let rig = Rig::new();
    let request = SendRequest {
        reconsume_times: 1,
        ..half("again", &[("DELAY", "1")])
    };
    rig.send(request).unwrap();
    assert_eq!(
        (rig.broker.transactions_pending(), rig.broker.timers_pending()),
        (0, 1)
    );
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["again"]);
}

#[test]
fn a_group_that_the_message_does_not_name_is_the_senders() {
    let rig = Rig::new();
    let request = SendRequest {
        properties: properties(&[("TRAN_MSG", "true")]),
        ..half("x", &[])
    };
    let receipt = rig.send(request).unwrap();
    decide(&rig, &receipt, Commit).unwrap();
    assert_eq!(rig.bodies("orders"), ["x"]);
}

#[test]
fn a_decision_that_the_disk_has_no_room_for_can_be_made_later() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = 64 << 20);
    let receipt = begin(&rig, &"x".repeat(1_000));
    let other = begin(&rig, "other");
    rig.disk.set_capacity_bytes(0);
    for size in [200_000, 2_000, 20] {
        let body = "x".repeat(size);
        while rig.send(message("filler", &body)).is_ok() {}
    }
    let full = decide(&rig, &receipt, Commit).unwrap_err();
    assert_eq!(
        full.response_code(),
        kourou_broker::code::SERVICE_NOT_AVAILABLE,
        "{full}"
    );
    decide(&rig, &other, Rollback).unwrap();
    assert_eq!(rig.broker.transactions_pending(), 1);
    rig.disk.set_capacity_bytes(1 << 40);
    rig.pump();
    // The log finds out by itself that there is room again.
    while decide(&rig, &receipt, Commit).is_err() {
        rig.clock.advance(100);
        assert!(rig.now_ms() < START_MS + 2_000);
    }
    assert_eq!(rig.bodies("orders").len(), 1);
}

/// Sends halves and decides them, with whatever happens to the disk on the way; who was told what.
fn history(rig: &Rig, channel: &Arc<Channel>) -> Vec<(SendReceipt, Option<Decision>)> {
    let mut told = Vec::new();
    for at in 0..6 {
        let sent: Arc<Mutex<Option<SendReceipt>>> = Arc::default();
        let kept = sent.clone();
        rig.broker.send(half(&at.to_string(), &[]), move |answer| {
            *kept.lock() = answer.ok()
        });
        rig.pump();
        let Some(receipt) = sent.lock().take() else {
            continue;
        };
        let decision = match at % 3 {
            0 => Some(Commit),
            1 => Some(Rollback),
            _ => None,
        };
        let answered = Arc::new(Mutex::new(false));
        if let Some(decision) = decision {
            let answered = answered.clone();
            rig.broker
                .end_transaction(&end(&receipt, decision), move |ended| {
                    *answered.lock() = ended.is_ok();
                });
        }
        if at == 3 {
            // Fills a segment, so that a checkpoint is written in the midst of it.
            for _ in 0..2 {
                rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
            }
        }
        rig.pump();
        rig.clock.advance(6_000);
        beat(rig, channel);
        check(rig);
        let answered = *answered.lock();
        told.push((receipt, decision.filter(|_| answered)));
    }
    told
}

#[test]
fn a_crash_at_every_disk_operation_commits_once_and_shows_nothing_else() {
    let small = || {
        Rig::with(|options, engine| {
            engine.segment_size_bytes = 64 << 10;
            options.transaction_checks_max = 2;
        })
    };
    let quiet = small();
    let before = quiet.disk.operations();
    history(&quiet, &Channel::new(1));
    let operations = quiet.disk.operations();
    assert!(operations > before + 20);
    for op in before..operations {
        let rig = small();
        rig.disk.crash_at(op, Tear::None);
        let told = history(&rig, &Channel::new(1));
        let rig = rig.power_cut();
        let shown = rig.bodies("orders");
        for (receipt, decision) in &told {
            let times = shown
                .iter()
                .filter(|body| **body == receipt.transaction_id)
                .count();
            let pending = rig.broker.transaction_checks(receipt.position).is_some();
            match decision {
                Some(Commit) => assert_eq!((times, pending), (1, false), "crash at operation {op}"),
                Some(Rollback) => assert_eq!((times, pending), (0, false), "crash at operation {op}"),
                // It may have been decided and the answer lost.
                None => assert!(times + usize::from(pending) <= 1, "crash at operation {op}"),
            }
        }
        // What was not answered is decided again.
        for (at, (receipt, _)) in told.iter().enumerate() {
            let _ = decide(&rig, receipt, if at % 2 == 0 { Commit } else { Rollback });
        }
        let shown = rig.bodies("orders");
        assert!(
            shown
                .iter()
                .all(|body| shown.iter().filter(|other| *other == body).count() == 1)
        );
        // Halves whose answer was lost are asked for and given up.
        for round in 0..4 {
            rig.clock.advance(36_000);
            beat(&rig, &Channel::new(2 + round));
            check(&rig);
        }
        assert_eq!(rig.broker.transactions_pending(), 0, "crash at operation {op}");
        let rig = rig.restart();
        assert_eq!(rig.bodies("orders"), shown, "crash at operation {op}");
        let pulled = rig.pull(&pull("orders", 0)).ok();
        if let Some(crate::rig::Got::Found(pulled)) = pulled {
            for (offset, view) in views(&pulled).iter().enumerate() {
                assert_eq!(
                    view.queue_offset(),
                    offset as u64,
                    "no gaps: {}",
                    text(view.body())
                );
            }
        }
    }
}
