//! An administrator sets a group's offset while it pops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_broker::delivery::{AckOutcome, PopHold, PopRequest, PopStep, Reading, Waiter};
use kourou_broker::offset::ResetRequest;
use kourou_broker::receive::InlineSubscription;

use crate::deliveries::{INVISIBLE_MS, bodies, in_order, pop};
use crate::rig::Rig;

fn one_queue() -> PopRequest {
    PopRequest {
        queue_id: 0,
        ..pop("orders")
    }
}

fn some(messages_max: i32) -> PopRequest {
    PopRequest {
        messages_max,
        ..one_queue()
    }
}

fn to(offset: i64) -> ResetRequest {
    ResetRequest {
        group: "g".into(),
        topic: "orders".into(),
        queue_id: Some(0),
        offset: Some(offset),
        timestamp_ms: 0,
        force: true,
        as_list: false,
    }
}

fn reset(rig: &Rig, offset: i64) {
    rig.wait(|done| rig.broker.reset_offsets(&to(offset), done))
        .unwrap();
}

fn with_messages(count: usize) -> Rig {
    let rig = Rig::new();
    for number in 0..count {
        rig.put("orders", &number.to_string());
    }
    rig
}

#[test]
fn set_back_a_group_gets_again_what_was_acknowledged_and_not_what_is_out() {
    let rig = with_messages(5);
    let gots = rig.pop(&some(4));
    for at in [0, 2] {
        rig.ack(&gots[at]);
    }
    reset(&rig, 0);
    assert_eq!(
        bodies(&rig.pop(&some(2))),
        ["0", "2"],
        "1 and 3 are with somebody"
    );
    // The old handles still work.
    assert_eq!(rig.ack(&gots[1]), AckOutcome::Acked);
    let rig = rig.power_cut();
    assert!(!rig.broker.reset_waits("g", "orders", 0), "the pop has taken it");
    assert_eq!(bodies(&rig.pop(&some(32))), ["4"]);
    rig.after(INVISIBLE_MS);
    let mut again: Vec<_> = rig
        .pop(&one_queue())
        .into_iter()
        .chain(rig.pop(&pop("orders")))
        .map(|got| (got.body, got.times))
        .collect();
    again.sort();
    let expected: Vec<_> = ["0", "2", "3", "4"].map(|body| (body.to_owned(), 1)).into();
    assert_eq!(again, expected);
}

#[test]
fn set_forth_a_group_goes_on_there_and_what_is_out_comes_again() {
    let rig = with_messages(6);
    let gots = rig.pop(&some(2));
    reset(&rig, 4);
    assert_eq!(bodies(&rig.pop(&one_queue())), ["4", "5"]);
    rig.ack(&gots[0]);
    rig.after(INVISIBLE_MS);
    let mut again: Vec<_> = rig.pop(&pop("orders")).into_iter().map(|got| got.body).collect();
    again.sort();
    assert_eq!(again, ["1", "4", "5"]);
}

#[test]
fn in_order_a_reset_ends_what_blocks_the_queue() {
    let rig = with_messages(4);
    let ordered = |attempt: &str| PopRequest {
        queue_id: 0,
        messages_max: 2,
        ..in_order(attempt)
    };
    let gots = rig.pop(&ordered("one"));
    assert!(rig.pop(&ordered("two")).is_empty());
    rig.clock.advance(1);
    reset(&rig, 1);
    let now = rig.pop(&ordered("two"));
    assert_eq!(bodies(&now), ["1", "2"]);
    // An old handle says nothing of the new block.
    assert_eq!(rig.ack(&gots[1]), AckOutcome::NotOut);
    assert!(rig.pop(&ordered("three")).is_empty());
    for got in &now {
        assert_eq!(rig.ack(got), AckOutcome::Acked);
    }
    assert_eq!(bodies(&rig.power_cut().pop(&ordered("three"))), ["3"]);
}

#[test]
fn whoever_waits_is_woken_by_a_reset() {
    let rig = with_messages(3);
    for got in rig.pop(&one_queue()) {
        rig.ack(&got);
    }
    for (request, wakes) in [
        (one_queue(), 1),
        (pop("orders"), 1),
        (
            PopRequest {
                group: "h".into(),
                ..one_queue()
            },
            0,
        ),
        (
            PopRequest {
                queue_id: 1,
                ..one_queue()
            },
            0,
        ),
    ] {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let hold = rig.broker.hold_pop(&request, Waiter::Pop, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let Ok(PopHold::Held(_guard)) = hold else {
            panic!("not held")
        };
        reset(&rig, 1);
        assert_eq!(woken.load(Ordering::Relaxed), wakes, "{request:?}");
    }
    assert_eq!(bodies(&rig.pop(&one_queue())), ["1", "2"]);
}

/// A pop that was taken before the reset and handed out after it.
#[test]
fn a_pop_that_meets_a_reset_on_its_way_hands_out_nothing() {
    let rig = with_messages(4);
    rig.pop(&some(1));
    let PopStep::Taken(taken) = rig.broker.begin_pop(&some(2), Reading::Disk).unwrap() else {
        panic!("there are messages")
    };
    reset(&rig, 3);
    let popped = rig.wait(|done| taken.store(done)).unwrap();
    assert!(popped.queues.is_empty());
    assert_eq!(bodies(&rig.pop(&some(2))), ["3"]);
}

/// The pop's record is in the log behind that of the reset, which nobody had applied when it was appended.
#[test]
fn a_pop_that_is_logged_behind_a_reset_does_not_undo_it() {
    for pop_first in [false, true] {
        let rig = with_messages(4);
        rig.pop(&some(1));
        let PopStep::Taken(taken) = rig.broker.begin_pop(&some(2), Reading::Disk).unwrap() else {
            panic!("there are messages")
        };
        let reset = || {
            let request = to(0);
            rig.broker
                .reset_offsets(&request, |outcome| assert!(outcome.is_ok()));
        };
        let gots = rig.wait(|done| {
            if pop_first {
                taken.store(done);
                reset();
            } else {
                reset();
                taken.store(done);
            }
        });
        assert_eq!(gots.unwrap().queues.len(), 1);
        assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(0));
        let rig = rig.power_cut();
        assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(0));
        // All that was handed out is out, and so passed over.
        assert_eq!(bodies(&rig.pop(&one_queue())), ["3"]);
    }
}

/// A look that finds nothing it wants moves the group on; not away from where it was set meanwhile.
#[test]
fn what_nobody_wants_is_passed_over_and_a_reset_counts_for_all_that() {
    let rig = with_messages(4);
    let unwanted = PopRequest {
        subscription: InlineSubscription {
            expression: "other".into(),
            expression_type: "TAG".into(),
        },
        ..one_queue()
    };
    assert!(rig.pop(&unwanted).is_empty());
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(4));
    reset(&rig, 2);
    assert!(rig.pop(&unwanted).is_empty());
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(4));
    reset(&rig, 2);
    let rig = rig.power_cut();
    assert_eq!(bodies(&rig.pop(&one_queue())), ["2", "3"]);
}
