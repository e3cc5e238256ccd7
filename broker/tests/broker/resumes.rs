//! Transactions that nobody decided, resumed: once, whatever crashes.

use std::sync::Arc;

use kourou_broker::receive::PullOutcome;
use kourou_broker::transaction::{Decision, EndTransaction, ResumeError, Resumed};
use kourou_engine::disk::sim::Tear;
use kourou_engine::record::RecordView;
use parking_lot::Mutex;

use crate::rig::{Channel, Got, Rig, message, pull, views};
use crate::transactions::{asked, beat, check, half};

const GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// Transactions are asked for once, then given up.
fn small() -> Rig {
    Rig::with(|options, engine| {
        options.transaction_checks_max = 1;
        engine.segment_size_bytes = 64 << 10;
    })
}

/// Lets time pass until everything that is pending was asked for, or given up if it was asked for before.
fn round(rig: &Rig, channel: &Arc<Channel>) {
    rig.clock.advance(36_000);
    beat(rig, channel);
    check(rig);
}

/// Where the messages lie that were given up.
fn given_up(rig: &Rig) -> Vec<u64> {
    let pulled = match rig.pull(&pull(GIVEN_UP, 0)) {
        Ok(Got::Found(pulled)) => pulled,
        Ok(Got::Cold(cold)) => match cold.load() {
            Ok(PullOutcome::Found(pulled)) => pulled,
            other => panic!("{other:?}"),
        },
        _ => return Vec::new(),
    };
    views(&pulled).iter().map(|view| view.position()).collect()
}

/// Resumes; `None` if the disk has failed.
fn try_resume(rig: &Rig, position: u64) -> Option<Result<Resumed, ResumeError>> {
    let told = Arc::new(Mutex::new(None));
    let teller = told.clone();
    rig.broker
        .resume_transaction(position, move |outcome| *teller.lock() = Some(outcome));
    rig.pump();
    let told = told.lock().take();
    told.filter(|outcome| !matches!(outcome, Err(ResumeError::Store(_))))
}

fn resume(rig: &Rig, position: u64) -> Resumed {
    try_resume(rig, position).unwrap().unwrap()
}

fn commit(rig: &Rig, position: u64) -> bool {
    let end = EndTransaction {
        group: "producers".into(),
        position: position as i64,
        queue_offset: 0,
        decision: Decision::Commit,
        from_check: true,
    };
    let told = Arc::new(Mutex::new(false));
    let teller = told.clone();
    rig.broker
        .end_transaction(&end, move |outcome| *teller.lock() = outcome.is_ok());
    rig.pump();
    *told.lock()
}

#[test]
fn what_nobody_decided_is_pending_again_as_if_it_had_just_been_sent() {
    let rig = small();
    let channel = Channel::new(1);
    let receipt = rig.send(half("x", &[("TAGS", "t")])).unwrap();
    for _ in 0..2 {
        round(&rig, &channel);
    }
    assert_eq!(asked(&channel), [receipt.position]);
    let [position] = given_up(&rig)[..] else {
        panic!("it was given up")
    };
    let Resumed::Now { position: again } = resume(&rig, position) else {
        panic!("for the first time")
    };
    assert_eq!(
        (rig.broker.transactions_pending(), resume(&rig, position)),
        (1, Resumed::Before)
    );
    let record = rig.broker.engine().read_at(again).unwrap();
    let view = RecordView::parse(&record).unwrap();
    assert_eq!(
        (
            view.body(),
            view.property("TRANSACTION_CHECK_TIMES"),
            view.property("TAGS")
        ),
        (b"x".as_slice(), None, Some("t"))
    );

    // It is known after a power cut, from the log, and after a clean stop, from the checkpoint.
    let rig = rig.power_cut();
    assert_eq!(resume(&rig, position), Resumed::Before);
    let rig = rig.restart();
    assert_eq!(resume(&rig, position), Resumed::Before);
    assert_eq!(rig.broker.transaction_checks(again), Some(0));
    round(&rig, &channel);
    assert_eq!(asked(&channel), [again]);
    assert!(commit(&rig, again));
    assert_eq!(rig.bodies("orders"), ["x"]);
    assert_eq!(resume(&rig, position), Resumed::Before);
    assert_eq!(rig.broker.transactions_pending(), 0);
}

#[test]
fn one_that_is_given_up_once_more_can_be_resumed_once_more() {
    let rig = small();
    let channel = Channel::new(1);
    rig.send(half("x", &[])).unwrap();
    for times in 1..4 {
        for _ in 0..2 {
            round(&rig, &channel);
        }
        let positions = given_up(&rig);
        assert_eq!(positions.len(), times);
        for (at, position) in positions.iter().enumerate() {
            let is_now = matches!(resume(&rig, *position), Resumed::Now { .. });
            assert_eq!(is_now, at + 1 == times);
        }
        assert_eq!(rig.broker.transactions_pending(), 1);
    }
}

#[test]
fn nothing_else_is_resumed() {
    let rig = small();
    let plain = rig.put("orders", "plain");
    let pending = rig.send(half("x", &[])).unwrap();
    for position in [plain.position, pending.position] {
        let error = try_resume(&rig, position).unwrap().unwrap_err();
        assert!(matches!(error, ResumeError::NotGivenUp { .. }), "{error}");
    }
    for position in [1, u64::MAX / 2] {
        let error = try_resume(&rig, position).unwrap().unwrap_err();
        assert!(matches!(error, ResumeError::Read { .. }), "{error}");
    }
    assert_eq!(rig.broker.transactions_pending(), 1);
}

#[test]
fn two_who_resume_at_once_resume_once() {
    let rig = small();
    let channel = Channel::new(1);
    rig.send(half("x", &[])).unwrap();
    for _ in 0..2 {
        round(&rig, &channel);
    }
    let position = given_up(&rig)[0];
    let told = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..2 {
        let told = told.clone();
        rig.broker
            .resume_transaction(position, move |outcome| told.lock().push(outcome));
    }
    rig.pump();
    let told = std::mem::take(&mut *told.lock());
    assert!(matches!(
        told[..],
        [Err(ResumeError::InFlight { .. }), Ok(Resumed::Now { .. })]
    ));
    assert_eq!(rig.broker.transactions_pending(), 1);
}

/// An administrator resumes what was given up, and a producer commits what it is asked for; both try until they hear of it.
fn history(rig: &Rig, channel: &Arc<Channel>) -> Option<()> {
    for name in ["a", "b"] {
        rig.broker.send(half(name, &[]), |_| {});
        rig.pump();
    }
    for _ in 0..2 {
        round(rig, channel);
        channel.asked.lock().clear();
    }
    for (at, position) in given_up(rig).into_iter().enumerate() {
        try_resume(rig, position)?.unwrap();
        if at == 0 {
            // A checkpoint is written in the midst of it.
            for _ in 0..2 {
                rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
            }
            rig.pump();
        }
    }
    settle(rig, channel);
    Some(())
}

/// Whatever is pending is asked for, and committed.
fn settle(rig: &Rig, channel: &Arc<Channel>) {
    round(rig, channel);
    for position in asked(channel) {
        commit(rig, position);
    }
}

#[test]
fn a_crash_at_every_disk_operation_resumes_each_once() {
    let quiet = small();
    let before = quiet.disk.operations();
    history(&quiet, &Channel::new(1)).unwrap();
    assert_eq!(quiet.bodies("orders"), ["a", "b"]);
    let operations = quiet.disk.operations();
    assert!(operations > before + 10);
    for op in before..operations {
        for tear in [Tear::None, Tear::All, Tear::Prefix(1), Tear::Random(op)] {
            let what = format!("crash at operation {op}, {tear:?}");
            let rig = small();
            rig.disk.crash_at(op, tear);
            history(&rig, &Channel::new(1));
            let mut rig = rig.power_cut();
            let channel = Channel::new(2);
            // What is pending by now was sent or resumed; it is given up. Whoever heard nothing tries once more.
            for _ in 0..2 {
                round(&rig, &channel);
                channel.asked.lock().clear();
            }
            let mut wanted = rig.bodies("orders");
            let shown = wanted.len();
            wanted.extend(rig.bodies(GIVEN_UP));
            let positions = given_up(&rig);
            let mut resumed = 0;
            for position in &positions {
                resumed += usize::from(matches!(resume(&rig, *position), Resumed::Now { .. }));
                rig = rig.power_cut();
                assert_eq!(resume(&rig, *position), Resumed::Before, "{what}");
            }
            assert_eq!(rig.broker.transactions_pending(), resumed, "{what}");
            settle(&rig, &channel);
            let mut bodies = rig.bodies("orders");
            assert_eq!(bodies.len(), shown + resumed, "{what}");
            bodies.sort();
            wanted.sort();
            wanted.dedup();
            assert_eq!(bodies, wanted, "each once: {what}");
            assert_eq!(rig.broker.transactions_pending(), 0, "{what}");
        }
    }
}
