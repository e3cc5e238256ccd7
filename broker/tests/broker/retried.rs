//! A send that is tried again is stored once.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::Broker;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_engine::disk::sim::Tear;
use parking_lot::Mutex;

use crate::rig::{Rig, START_MS, message, properties};

const WINDOW_MS: i64 = 60_000;

/// A message with a unique key.
fn keyed(id: &str, body: &str) -> SendRequest<'static> {
    SendRequest {
        properties: properties(&[("UNIQ_KEY", id), ("TAGS", "t"), ("KEYS", "k")]),
        ..message("orders", body)
    }
}

/// As a client makes it when it tries again: born later, for another queue.
fn again(request: &SendRequest<'static>) -> SendRequest<'static> {
    SendRequest {
        born_ms: request.born_ms + 3_000,
        queue_id: request.queue_id + 1,
        ..request.clone()
    }
}

fn with(id: &str, body: &str, more: (&str, &str)) -> SendRequest<'static> {
    SendRequest {
        properties: properties(&[("UNIQ_KEY", id), more]),
        ..message("orders", body)
    }
}

fn batch(ids: &[&str]) -> SendRequest<'static> {
    let mut body = Vec::new();
    for id in ids {
        let text = format!("body of {id}");
        let properties = properties(&[("UNIQ_KEY", id)]);
        let size = 22 + text.len() + properties.len();
        for field in [size as i32, 0, 0, 3, text.len() as i32] {
            body.extend_from_slice(&field.to_be_bytes());
        }
        body.extend_from_slice(text.as_bytes());
        body.extend_from_slice(&(properties.len() as i16).to_be_bytes());
        body.extend_from_slice(&properties);
    }
    SendRequest {
        is_batch: true,
        properties: properties(&[("UNIQ_KEY", "of-the-batch")]),
        body: Bytes::from(body),
        ..message("orders", "")
    }
}

fn stored(rig: &Rig) -> usize {
    (0..4)
        .map(|queue_id| rig.broker.max_offset("orders", queue_id) as usize)
        .sum()
}

#[test]
fn a_retry_gets_the_answer_of_the_first() {
    let rig = Rig::new();
    for request in [
        keyed("a", "plain"),
        with("b", "delayed", ("DELAY", "2")),
        with("b2", "timed", ("TIMER_DELAY_SEC", "100")),
        with("b3", "timed", ("TIMER_DELIVER_MS", "1700000900000")),
        with("c", "half", ("TRAN_MSG", "true")),
        batch(&["d", "e", "f"]),
    ] {
        let first = rig.send(request.clone()).unwrap();
        rig.clock.advance(WINDOW_MS / 2);
        assert_eq!(rig.send(again(&request)).unwrap(), first);
        assert_eq!(rig.send(request).unwrap(), first);
    }
    rig.deliver();
    // What is timed for later is not there yet.
    assert_eq!(stored(&rig), 1 + 1 + 1 + 3);
}

/// Some clients write properties in a new order each time, and tracers write theirs anew.
/// Between the two the message's time has come, so that the second would not wait any more; and the first may be delivered already.
#[test]
fn a_retry_of_a_message_whose_time_has_come_is_stored_once() {
    for is_delivered in [false, true] {
        let mut rig = Rig::new();
        let due = (START_MS + 10_000).to_string();
        let request = with("a", "timed", ("TIMER_DELIVER_MS", &due));
        let first = rig.send(request.clone()).unwrap();
        if !is_delivered {
            // A life that ends before the time: the next one finds both, the message and its retry, at once.
            rig = rig.restart();
        }
        rig.clock.advance(12_000);
        if is_delivered {
            rig.deliver();
        }
        let second = rig.send(again(&request)).unwrap();
        assert_eq!(
            (second.position, second.queue_id, second.queue_offset),
            (first.position, first.queue_id, first.queue_offset)
        );
        rig.deliver();
        assert_eq!(stored(&rig), 1);
        // Another message with its key is another message.
        rig.send(with("a", "new", ("TIMER_DELIVER_MS", &due))).unwrap();
        assert_eq!(stored(&rig), 2);
    }
}

#[test]
fn a_retry_may_differ_in_what_is_made_anew() {
    let rig = Rig::new();
    let first = [
        ("UNIQ_KEY", "a"),
        ("region", "eu"),
        ("traceparent", "00-1"),
        ("TAGS", "t"),
    ];
    let again = [
        ("TAGS", "t"),
        ("traceparent", "00-2"),
        ("UNIQ_KEY", "a"),
        ("region", "eu"),
    ];
    let sent = |pairs: &[(&str, &str)]| {
        rig.send(SendRequest {
            properties: properties(pairs),
            ..message("orders", "body")
        })
        .unwrap()
    };
    assert_eq!(sent(&first), sent(&again));
    assert_eq!(stored(&rig), 1);
}

#[test]
fn a_retry_is_known_after_a_restart_and_after_a_power_cut() {
    let mut rig = Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
    let requests: Vec<_> = (0..300)
        .map(|at| keyed(&format!("id-{at}"), &"x".repeat(400 + at)))
        .chain([with("delayed", "b", ("DELAY", "18")), batch(&["one", "two"])])
        .collect();
    let first: Vec<_> = requests
        .iter()
        .map(|request| rig.send(request.clone()).unwrap())
        .collect();
    assert!(rig.broker.engine().segment_count() > 2);
    let count = stored(&rig);
    for round in 0..4 {
        rig = if round % 2 == 0 {
            rig.restart()
        } else {
            rig.power_cut()
        };
        for (request, first) in requests.iter().zip(&first) {
            assert_eq!(&rig.send(again(request)).unwrap(), first, "round {round}");
        }
    }
    assert_eq!(stored(&rig), count);
}

#[test]
fn what_is_no_retry_is_stored() {
    let rig = Rig::new();
    let first = keyed("a", "body");
    rig.send(first.clone()).unwrap();
    let mut count = 1;
    let mut is_stored = |request: SendRequest<'static>, why: &str| {
        rig.send(request).unwrap();
        count += 1;
        assert_eq!(stored(&rig), count, "{why}");
    };
    is_stored(keyed("a", "other"), "another body");
    is_stored(keyed("a", "body"), "the newest body counts");
    is_stored(
        SendRequest {
            flag: 8,
            ..first.clone()
        },
        "another flag",
    );
    is_stored(with("a", "body", ("TAGS", "u")), "another tag");
    is_stored(with("a", "body", ("KEYS", "l")), "other keys");
    is_stored(with("a", "body", ("region", "eu")), "another property");
    is_stored(message("orders", "body"), "no id");
    is_stored(message("orders", "body"), "no id either");
    is_stored(
        SendRequest {
            properties: properties(&[("UNIQ_KEY", "m"), ("CLUSTER", "c"), ("MSG_REGION", "r")]),
            ..first.clone()
        },
        "a message that was received",
    );
    is_stored(
        SendRequest {
            properties: properties(&[("UNIQ_KEY", "m"), ("CLUSTER", "c"), ("MSG_REGION", "r")]),
            ..first.clone()
        },
        "and is sent on again",
    );
    let consumed = SendRequest {
        reconsume_times: 1,
        ..keyed("n", "body")
    };
    is_stored(consumed.clone(), "a message that was consumed");
    is_stored(consumed, "and once more");
    is_stored(keyed("o", "body"), "first");
    rig.clock.advance(WINDOW_MS + 1);
    is_stored(keyed("o", "body"), "too late");
    let elsewhere = SendRequest {
        topic: Cow::Borrowed("payments"),
        ..keyed("o", "body")
    };
    rig.send(elsewhere).unwrap();
    assert_eq!(rig.bodies("payments").len(), 1, "another topic");
    let count = stored(&rig);
    rig.send(batch(&["d", "e"])).unwrap();
    rig.send(batch(&["d", "x"])).unwrap();
    assert_eq!(stored(&rig), count + 4, "a batch that begins as another one");
}

#[test]
fn no_window_remembers_nothing() {
    let rig = Rig::with(|options, _| options.retried_send_window_ms = 0);
    rig.send(keyed("a", "body")).unwrap();
    rig.send(keyed("a", "body")).unwrap();
    assert_eq!(stored(&rig), 2);
    assert_eq!(rig.broker.sends_remembered(), 0);
}

#[test]
fn what_is_remembered_is_bounded_and_the_newest() {
    let max = 1 << 12;
    let rig = Rig::with(|options, _| options.retried_send_ids_max = max);
    let request = |at: usize| keyed(&format!("id-{at}"), "b");
    for at in 0..3 * max {
        rig.send(request(at)).unwrap();
    }
    assert!(rig.broker.sends_remembered() <= max);
    let before = stored(&rig);
    // Ids are spread over shards by chance, so a third rather than half.
    for at in 3 * max - max / 3..3 * max {
        rig.send(request(at)).unwrap();
    }
    assert_eq!(stored(&rig), before);
}

type Told = Arc<Mutex<Vec<(usize, Result<SendReceipt, SendError>)>>>;

fn send(broker: &Arc<Broker>, told: &Told, number: usize, request: SendRequest<'static>) {
    let told = told.clone();
    broker.send(request, move |outcome| told.lock().push((number, outcome)));
}

#[test]
fn a_retry_waits_for_the_first_that_is_on_its_way() {
    let rig = Rig::new();
    rig.put("orders", "makes the topic");
    let told = Told::default();
    send(&rig.broker, &told, 0, keyed("a", "body"));
    for number in 1..4 {
        send(&rig.broker, &told, number, again(&keyed("a", "body")));
    }
    send(&rig.broker, &told, 4, keyed("a", "another"));
    assert!(told.lock().is_empty());
    rig.pump();
    let told = std::mem::take(&mut *told.lock());
    let numbers: Vec<_> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let receipts: Vec<_> = told.into_iter().map(|(_, outcome)| outcome.unwrap()).collect();
    assert!(receipts[..4].iter().all(|receipt| *receipt == receipts[0]));
    assert_ne!(receipts[4], receipts[0]);
    assert_eq!(rig.bodies("orders"), ["makes the topic", "body", "another"]);
}

#[test]
fn a_retry_is_stored_if_the_first_fails() {
    let rig = Rig::with(|_, engine| engine.pending_size_bytes_max = 1_000);
    rig.put("orders", "makes the topic");
    let told = Told::default();
    // Fills what may wait.
    send(&rig.broker, &told, 0, message("orders", &"x".repeat(2_000)));
    send(&rig.broker, &told, 1, keyed("a", "body"));
    assert!(matches!(told.lock()[..], [(1, Err(SendError::Store(_)))]), "busy");
    rig.pump();
    send(&rig.broker, &told, 2, keyed("a", "body"));
    rig.pump();
    assert!(told.lock().iter().skip(1).all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(stored(&rig), 3);
}

/// Sends until acknowledged; whether the disk is still there.
fn insist(rig: &Rig, request: &SendRequest<'static>) -> Option<SendReceipt> {
    let told = Told::default();
    send(&rig.broker, &told, 0, request.clone());
    rig.pump();
    told.lock().pop().and_then(|(_, outcome)| outcome.ok())
}

/// A producer that tries each message until it hears of it meets a crash at every disk operation: each is there once.
#[test]
fn a_crash_at_every_disk_operation_stores_each_message_once() {
    let small = || Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
    let requests: Vec<_> = (0..14)
        .map(|at| match at % 7 {
            3 => with(
                &format!("id-{at}"),
                &format!("{at} {}", "d".repeat(900)),
                ("DELAY", "1"),
            ),
            5 => batch(&[&format!("id-{at}"), &format!("id-{at}-b")]),
            _ => keyed(&format!("id-{at}"), &format!("{at} {}", "x".repeat(9_000))),
        })
        .collect();
    // How many of them are acknowledged in this life; a restart in the middle writes a checkpoint.
    let live = |mut rig: Rig, from: usize| {
        for (at, request) in requests.iter().enumerate().skip(from) {
            if at == 9 && from < 9 && !rig.disk.crashed() {
                rig = rig.restart_if_possible()?;
            }
            if insist(&rig, request).is_none() {
                return Some((rig, at));
            }
        }
        Some((rig, requests.len()))
    };
    let quiet = small();
    let before = quiet.disk.operations();
    let (quiet, _) = live(quiet, 0).unwrap();
    let operations = quiet.disk.operations();
    assert!(operations > before + 20);
    for op in before..operations {
        for tear in [Tear::None, Tear::All, Tear::Prefix(1), Tear::Random(op)] {
            let rig = small();
            rig.disk.crash_at(op, tear);
            let disk = rig.disk.clone();
            let (rig, reached) = match live(rig, 0) {
                Some((rig, reached)) => (rig.power_cut(), reached),
                // It was being closed.
                None => (small().on_disk_after_power_cut(&disk), 9),
            };
            let (rig, reached) = live(rig, reached).unwrap();
            assert_eq!(reached, requests.len());
            rig.clock.set(START_MS + 2_000);
            rig.deliver();
            let check = |rig: &Rig| {
                let bodies = rig.bodies("orders");
                for at in 0..requests.len() {
                    let names = match at % 7 {
                        5 => vec![format!("body of id-{at}"), format!("body of id-{at}-b")],
                        _ => vec![format!("{at} ")],
                    };
                    for name in names {
                        let is = |body: &&String| {
                            if at % 7 == 5 {
                                **body == name
                            } else {
                                body.starts_with(&name)
                            }
                        };
                        let times = bodies.iter().filter(is).count();
                        assert_eq!(times, 1, "{name}, crash at operation {op}, {tear:?}");
                    }
                }
            };
            check(&rig);
            for request in &requests {
                insist(&rig, request).unwrap();
            }
            let rig = rig.restart();
            for request in &requests {
                insist(&rig, request).unwrap();
            }
            check(&rig);
        }
    }
}
