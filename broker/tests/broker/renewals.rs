//! Deliveries that are renewed under the handle that they have, and those that are given up.

use kourou_broker::delivery::{AckOutcome, DeliveryError, Handle, PopRequest};
use kourou_broker::receive::PullOutcome;

use crate::deliveries::pop;
use crate::rig::{Got, Rig, pull, text, views};

const INVISIBLE_MS: i64 = 60_000;

impl Rig {
    fn renew(&self, handle: &Handle, invisible_ms: i64) -> Result<(), DeliveryError> {
        self.wait(|done| self.broker.renew(handle, invisible_ms, done))
    }

    fn give_up(&self, handle: &Handle) -> Result<(), DeliveryError> {
        self.wait(|done| self.broker.bury(handle, None, done))
    }

    fn later(&self, ms: i64) {
        self.clock.advance(ms);
        self.redeliver();
    }

    /// What lies in the group's dead-letter topic: bodies, and how often each was tried.
    fn dead(&self) -> Vec<(String, i32)> {
        let pulled = match self.pull(&pull("%DLQ%g", 0)).unwrap() {
            Got::Cold(cold) => match cold.load().unwrap() {
                PullOutcome::Found(pulled) => pulled,
                other => panic!("{other:?}"),
            },
            got => got.found(),
        };
        let dead = views(&pulled).into_iter().map(|view| {
            assert_eq!(view.property("DLQ_ORIGIN_TOPIC"), Some("orders"));
            (text(view.body()), view.reconsume_times())
        });
        dead.collect()
    }
}

fn in_order() -> PopRequest {
    PopRequest {
        ordered: true,
        ..pop("orders")
    }
}

#[test]
fn a_renewed_delivery_keeps_its_handle() {
    let rig = Rig::new();
    rig.put("orders", "a");
    rig.put("orders", "b");
    let got = rig.pop(&pop("orders"));
    let (a, b) = (&got[0].handle, &got[1].handle);
    rig.clock.advance(INVISIBLE_MS - 1);
    rig.renew(a, 2 * INVISIBLE_MS).unwrap();
    rig.later(1);
    // The other one is delivered again, and this one waits.
    let again = rig.pop(&pop("orders"));
    assert_eq!((again.len(), &*again[0].body), (1, "b"));
    assert!(matches!(rig.renew(b, 1), Err(DeliveryError::NotOut { .. })));
    assert!(matches!(rig.renew(a, -1), Err(DeliveryError::Invisible { .. })));
    let rig = rig.power_cut();
    rig.later(INVISIBLE_MS);
    rig.renew(a, INVISIBLE_MS).unwrap();
    let rig = rig.restart();
    rig.later(INVISIBLE_MS - 1);
    assert_eq!(rig.try_ack(a).unwrap(), AckOutcome::Acked);
    rig.later(10 * INVISIBLE_MS);
    let left = rig.pop(&pop("orders"));
    assert_eq!((left.len(), &*left[0].body, left[0].times), (1, "b", 2));
}

#[test]
fn a_renewal_may_end_it_early() {
    let rig = Rig::new();
    rig.put("orders", "a");
    let got = rig.pop(&pop("orders"));
    rig.renew(&got[0].handle, 1_000).unwrap();
    rig.later(999);
    assert!(rig.pop(&pop("orders")).is_empty());
    rig.later(1);
    let again = rig.pop(&pop("orders"));
    assert_eq!((&*again[0].body, again[0].times), ("a", 1));
    assert_eq!(rig.try_ack(&got[0].handle).unwrap(), AckOutcome::NotOut);
}

#[test]
fn what_is_said_while_a_renewal_is_written_is_not_lost() {
    let rig = Rig::new();
    rig.put("orders", "a");
    rig.put("orders", "b");
    let got = rig.pop(&pop("orders"));
    for one in &got {
        rig.broker
            .renew(&one.handle, 0, |renewed| assert!(renewed.is_ok()));
    }
    let acked = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let told = acked.clone();
    rig.broker.ack(&got[0].handle, move |outcome| {
        *told.lock() = Some(outcome.unwrap())
    });
    let changed: Result<_, DeliveryError> =
        rig.wait(|done| rig.broker.change_invisible(&got[1].handle, 100, done));
    assert_eq!(*acked.lock(), Some(AckOutcome::Acked));
    rig.later(99);
    assert!(rig.pop(&pop("orders")).is_empty(), "b has the newer time");
    let newer = Handle {
        pop_ms: changed.unwrap().pop_ms,
        invisible_ms: 100,
        ..got[1].handle.clone()
    };
    assert_eq!(rig.try_ack(&newer).unwrap(), AckOutcome::Acked);
    let rig = rig.power_cut();
    rig.later(INVISIBLE_MS);
    assert!(rig.pop(&pop("orders")).is_empty());
    assert_eq!(rig.broker.deliveries(), 0);
}

#[test]
fn what_is_given_up_is_a_dead_letter_and_out_no_more() {
    let rig = Rig::new();
    rig.put("orders", "a");
    rig.put("orders", "b");
    let got = rig.pop(&pop("orders"));
    rig.give_up(&got[0].handle).unwrap();
    assert_eq!(rig.dead(), [("a".to_owned(), 1)]);
    for handle in [
        &got[0].handle,
        &Handle {
            pop_ms: 1,
            ..got[1].handle.clone()
        },
    ] {
        assert!(matches!(rig.give_up(handle), Err(DeliveryError::NotOut { .. })));
    }
    assert_eq!(rig.try_ack(&got[0].handle).unwrap(), AckOutcome::NotOut);
    // Out of the retry topic, too.
    rig.later(INVISIBLE_MS);
    let again = rig.pop(&pop("orders"));
    rig.give_up(&again[0].handle).unwrap();
    let rig = rig.power_cut();
    rig.later(2 * INVISIBLE_MS);
    assert!(rig.pop(&pop("orders")).is_empty());
    assert_eq!(rig.dead(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(
        (rig.broker.deliveries(), rig.broker.next_redelivery_ms()),
        (0, None)
    );
}

#[test]
fn given_up_in_order_it_blocks_nothing() {
    let rig = Rig::new();
    for body in ["a", "b", "c"] {
        rig.put("orders", body);
    }
    let request = PopRequest {
        messages_max: 2,
        ..in_order()
    };
    let got = rig.pop(&request);
    assert_eq!(rig.try_ack(&got[1].handle).unwrap(), AckOutcome::Acked);
    assert!(rig.pop(&request).is_empty());
    rig.give_up(&got[0].handle).unwrap();
    assert!(matches!(
        rig.give_up(&got[0].handle),
        Err(DeliveryError::NotOut { .. })
    ));
    let rig = rig.power_cut();
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(2));
    let next = rig.pop(&request);
    assert_eq!((next.len(), &*next[0].body, next[0].times), (1, "c", 0));
    assert_eq!(rig.dead(), [("a".to_owned(), 1)]);
}
