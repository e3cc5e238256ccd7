//! Batches that stay one record, popped: each of their messages is out, acknowledged and counted by itself.

use kourou_broker::delivery::{AckOutcome, PeekRequest, PopRequest, PopStep, Reading};
use kourou_broker::receive::InlineSubscription;
use kourou_broker::send::SendRequest;
use kourou_engine::record::RecordView;

use crate::deliveries::{Got, INVISIBLE_MS, bodies, in_order, pairs, pop};
use crate::rig::{Rig, message, properties, text};
use crate::sends::batch;
use crate::shapes::make;

/// A batch of these bodies. The tag of each is its first letter.
fn put(rig: &Rig, bodies: &[&str]) {
    let tagged: Vec<(&str, String)> = bodies
        .iter()
        .map(|body| {
            (
                *body,
                format!("TAGS\x01{}\x02UNIQ_KEY\x01id-{body}\x02", &body[..1]),
            )
        })
        .collect();
    let parts: Vec<(&str, &str)> = tagged
        .iter()
        .map(|(body, properties)| (*body, properties.as_str()))
        .collect();
    let request = SendRequest {
        is_batch: true,
        body: batch(&parts),
        properties: properties(&[("UNIQ_KEY", bodies[0])]),
        ..message("batches", "")
    };
    rig.send(request).unwrap();
}

fn rig() -> Rig {
    let rig = Rig::new();
    make(&rig, "batches", 1, "+queue.type=BatchCQ");
    rig
}

fn some(messages_max: i32) -> PopRequest {
    PopRequest {
        messages_max,
        ..pop("batches")
    }
}

fn places(gots: &[Got]) -> Vec<(&str, i64)> {
    gots.iter()
        .map(|got| (got.body.as_str(), got.handle.offset))
        .collect()
}

#[test]
fn each_message_of_a_batch_is_a_delivery_of_its_own() {
    let rig = rig();
    put(&rig, &["a0", "a1", "a2", "b3", "b4"]);
    rig.put("batches", "single");
    put(&rig, &["c6", "c7"]);
    let first = rig.pop(&some(3));
    assert_eq!(places(&first), [("a0", 0), ("a1", 1), ("a2", 2)]);
    let rest = rig.pop(&some(32));
    assert_eq!(
        places(&rest),
        [("b3", 3), ("b4", 4), ("single", 5), ("c6", 6), ("c7", 7)]
    );
    assert!(rig.pop(&some(32)).is_empty());
    assert_eq!(rig.broker.deliveries_out("g", "batches", 0), 8);
    for got in [&first[1], &rest[0], &rest[2], &rest[4]] {
        assert_eq!(rig.ack(got), AckOutcome::Acked);
    }
    // What is left comes again, message by message, and is no batch any more.
    let rig = rig.power_cut();
    rig.after(INVISIBLE_MS);
    let again = rig.pop(&some(32));
    let mut found: Vec<_> = again.iter().map(|got| (got.body.clone(), got.times)).collect();
    found.sort();
    assert_eq!(found, pairs(&[("a0", 1), ("a2", 1), ("b4", 1), ("c6", 1)]));
    for got in &again {
        assert_eq!(rig.ack(got), AckOutcome::Acked);
    }
    rig.after(10 * INVISIBLE_MS);
    assert!(rig.pop(&some(32)).is_empty());
    assert_eq!(rig.broker.deliveries(), 0);
}

#[test]
fn a_message_of_a_batch_is_stored_as_it_was_sent() {
    let rig = rig();
    put(&rig, &["a0", "a1"]);
    let PopStep::Taken(taken) = rig.broker.begin_pop(&some(32), Reading::Disk).unwrap() else {
        panic!("there are messages")
    };
    let popped = rig.wait(|done| taken.store(done)).unwrap();
    let messages = &popped.queues[0].messages;
    for (at, message) in messages.iter().enumerate() {
        let view = RecordView::parse(&message.record).unwrap();
        assert_eq!(text(view.body()), format!("a{at}"));
        assert_eq!(view.property("UNIQ_KEY"), Some(&*format!("id-a{at}")));
        assert_eq!((view.property("INNER_NUM"), view.is_batch()), (None, false));
        view.verify(view.position()).unwrap();
    }
    assert_eq!(messages.len(), 2);
}

#[test]
fn a_filter_looks_at_each_message_of_a_batch() {
    let rig = rig();
    put(&rig, &["a0", "b1", "a2", "c3"]);
    let tagged = |expression: &str| PopRequest {
        subscription: InlineSubscription {
            expression: expression.into(),
            expression_type: "TAG".into(),
        },
        ..some(32)
    };
    assert_eq!(places(&rig.pop(&tagged("b || c"))), [("b1", 1), ("c3", 3)]);
    // What was passed over is done with.
    assert!(rig.pop(&some(32)).is_empty());
}

#[test]
fn an_offset_in_the_middle_of_a_batch_means_the_rest_of_it() {
    let rig = rig();
    put(&rig, &["a0", "a1", "a2"]);
    rig.put("batches", "b");
    let (group, topic) = ("g".into(), "batches".into());
    rig.pop(&some(1));
    rig.wait(|done| rig.broker.commit_offset_durably(&group, &topic, 0, 2, done))
        .unwrap();
    assert_eq!(places(&rig.pop(&some(32))), [("a2", 2), ("b", 3)]);
    // Set back, those that are out are left out.
    rig.wait(|done| rig.broker.commit_offset_durably(&group, &topic, 0, 0, done))
        .unwrap();
    assert_eq!(places(&rig.pop(&some(32))), [("a1", 1)]);
}

#[test]
fn in_order_a_batch_comes_again_without_what_was_acknowledged() {
    let rig = rig();
    put(&rig, &["a0", "a1", "a2"]);
    put(&rig, &["b3"]);
    let ordered = |attempt: &str, messages_max: i32| PopRequest {
        topic: "batches".into(),
        messages_max,
        ..in_order(attempt)
    };
    let first = rig.pop(&ordered("one", 2));
    assert_eq!(places(&first), [("a0", 0), ("a1", 1)]);
    assert!(rig.pop(&ordered("two", 2)).is_empty());
    rig.ack(&first[0]);
    let rig = rig.power_cut();
    rig.after(INVISIBLE_MS);
    let again = rig.pop(&ordered("two", 2));
    assert_eq!(
        (bodies(&again), again[0].times, again[0].handle.offset),
        (vec!["a1"], 1, 1)
    );
    rig.ack(&again[0]);
    assert_eq!(places(&rig.pop(&ordered("three", 32))), [("a2", 2), ("b3", 3)]);
}

#[test]
fn a_look_shows_each_message_of_a_batch_once() {
    let rig = rig();
    put(&rig, &["a0", "a1", "a2"]);
    rig.pop(&some(1));
    let peeked = rig
        .broker
        .peek(&PeekRequest {
            group: "g".into(),
            topic: "batches".into(),
            queue_id: 0,
            messages_max: 32,
        })
        .unwrap();
    let shown: Vec<_> = peeked
        .records
        .iter()
        .map(|record| text(RecordView::parse(record).unwrap().body()))
        .collect();
    assert_eq!((shown, peeked.rest), (vec!["a1".to_owned(), "a2".to_owned()], 2));
}
