//! Recalls: recalled or delivered, never both and never neither.

use kourou_broker::send::SendReceipt;
use kourou_broker::{RecallError, RecallRequest};
use kourou_engine::disk::sim::Tear;

use crate::rig::{Rig, START_MS, message};
use crate::timers::{timed, timed_at};

fn request(receipt: &SendReceipt) -> RecallRequest {
    RecallRequest {
        topic: "orders".to_owned(),
        handle: receipt.recall_handle.clone(),
    }
}

pub(crate) fn recall(rig: &Rig, receipt: &SendReceipt) -> Result<String, RecallError> {
    rig.wait(|done| rig.broker.recall(&request(receipt), done))
}

fn send(rig: &Rig, body: &str, due_ms: i64) -> SendReceipt {
    let receipt = rig.send(timed_at("orders", body, due_ms)).unwrap();
    assert!(!receipt.recall_handle.is_empty());
    receipt
}

#[test]
fn a_recalled_message_never_comes() {
    let rig = Rig::new();
    let due_ms = START_MS + 1_000;
    let receipts: Vec<SendReceipt> = (0..20).map(|at| send(&rig, &at.to_string(), due_ms)).collect();
    for receipt in receipts.iter().step_by(2) {
        assert_eq!(recall(&rig, receipt).unwrap(), receipt.transaction_id);
    }
    assert_eq!(rig.broker.timers_pending(), 10);
    for receipt in receipts.iter().step_by(2) {
        let error = recall(&rig, receipt).unwrap_err();
        assert!(matches!(error, RecallError::NotWaiting), "{error}");
    }
    let rig = rig.power_cut();
    rig.clock.set(due_ms);
    rig.deliver();
    let odd: Vec<String> = (0..20).skip(1).step_by(2).map(|at| at.to_string()).collect();
    assert_eq!(rig.bodies("orders"), odd);
    let error = recall(&rig, &receipts[1]).unwrap_err();
    assert!(matches!(error, RecallError::Due { ago_ms: 0 }), "{error}");
    let rig = rig.restart();
    rig.deliver();
    assert_eq!((rig.bodies("orders").len(), rig.broker.timers_pending()), (10, 0));
}

#[test]
fn a_message_that_was_sent_twice_is_recalled_twice() {
    let rig = Rig::new();
    let first = send(&rig, "same", START_MS + 1_000);
    let second = send(&rig, "same", START_MS + 1_000);
    assert_eq!(first.recall_handle, second.recall_handle);
    recall(&rig, &first).unwrap();
    assert_eq!(rig.broker.timers_pending(), 0);
}

#[test]
fn while_it_is_being_recalled_it_is_not_delivered_and_the_other_way_round() {
    let rig = Rig::new();
    let receipt = send(&rig, "first", START_MS + 1_000);
    rig.clock.advance(999);
    // On its way to the log when its time comes.
    rig.broker.recall(&request(&receipt), |recalled| {
        recalled.unwrap();
    });
    let error = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let told = error.clone();
    rig.broker
        .recall(&request(&receipt), move |recalled| *told.lock() = recalled.err());
    assert!(matches!(*error.lock(), Some(RecallError::InFlight)), "{error:?}");
    rig.clock.advance(1);
    assert_eq!(rig.broker.deliver_due(), None);
    rig.pump();
    rig.deliver();
    assert_eq!((rig.bodies("orders").len(), rig.broker.timers_pending()), (0, 0));

    // A clock that is set back: it is being delivered, and not due.
    let receipt = send(&rig, "second", START_MS + 2_000);
    rig.clock.set(START_MS + 2_000);
    rig.broker.deliver_due();
    rig.clock.set(START_MS + 1_999);
    let error = recall(&rig, &receipt).unwrap_err();
    assert!(
        matches!(error, RecallError::InFlight | RecallError::NotWaiting),
        "{error}"
    );
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["second"]);
}

#[test]
fn a_recall_that_cannot_be_stored_leaves_the_message() {
    let rig = Rig::new();
    let receipt = send(&rig, "later", START_MS + 1_000);
    let next = rig.disk.operations();
    rig.disk.crash_at(next, Tear::None);
    let error = recall(&rig, &receipt).unwrap_err();
    assert!(matches!(error, RecallError::Store(_)), "{error}");
    assert_eq!(rig.broker.timers_pending(), 1);
    let rig = rig.power_cut();
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!(rig.bodies("orders"), ["later"]);
}

#[test]
fn a_full_disk_still_takes_recalls() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = 64 << 20);
    let receipt = send(&rig, "later", START_MS + 1_000);
    rig.disk.set_capacity_bytes(0);
    for size in [200_000, 2_000, 20] {
        let body = "x".repeat(size);
        while rig.send(message("filler", &body)).is_ok() {}
    }
    recall(&rig, &receipt).unwrap();
    assert_eq!(rig.broker.timers_pending(), 0);
}

#[test]
fn only_messages_for_a_time_can_be_recalled() {
    let rig = Rig::new();
    for more in [&[][..], &[("DELAY", "3")], &[("TIMER_DELAY_SEC", "-1")]] {
        assert_eq!(rig.send(timed("orders", "b", more)).unwrap().recall_handle, "");
    }
    let rig = Rig::with(|options, _| options.recall = false);
    let receipt = rig.send(timed_at("orders", "b", START_MS + 5)).unwrap();
    assert_eq!(receipt.recall_handle, "");
    let error = recall(&rig, &receipt).unwrap_err();
    assert_eq!(error.response_code(), kourou_broker::code::NO_PERMISSION);
}

#[test]
fn a_cold_message_is_found_and_said_to_be_cold() {
    let rig = Rig::with(|_, engine| engine.tail_cache_size_bytes = 16 << 10);
    let receipt = send(&rig, "later", START_MS + 1_000);
    assert!(!rig.broker.recall_may_block(&request(&receipt)));
    for _ in 0..20 {
        rig.put("filler", &"x".repeat(4_000));
    }
    assert!(rig.broker.recall_may_block(&request(&receipt)));
    recall(&rig, &receipt).unwrap();
}

#[test]
fn a_crash_at_every_disk_operation_recalls_or_delivers() {
    let small = || Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
    // What was answered: sends and recalls that were durable.
    let history = |rig: &Rig| {
        let recalled = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let mut receipts = Vec::new();
        for at in 0..4_i64 {
            let due_ms = START_MS + 1_000 + at / 2;
            receipts.extend(rig.wait::<Result<SendReceipt, _>>(|done| {
                rig.broker.send(timed_at("orders", &at.to_string(), due_ms), done);
            }));
        }
        for receipt in receipts.iter().take(2) {
            let (told, body) = (recalled.clone(), receipt.transaction_id.clone());
            rig.broker.recall(&request(receipt), move |outcome| {
                if outcome.is_ok() {
                    told.lock().push(body);
                }
            });
            rig.pump();
            let _ = rig
                .wait::<Result<_, _>>(|done| rig.broker.send(message("filler", &"x".repeat(20_000)), done));
        }
        rig.clock.advance(1_001);
        rig.broker.deliver_due();
        rig.pump();
        let sent: Vec<String> = receipts
            .into_iter()
            .map(|receipt| receipt.transaction_id)
            .collect();
        (sent, std::mem::take(&mut *recalled.lock()))
    };
    let quiet = small();
    let before = quiet.disk.operations();
    let (sent, recalled) = history(&quiet);
    assert_eq!((sent.len(), recalled.len()), (4, 2));
    let operations = quiet.disk.operations();
    for op in before..operations {
        for tear in [Tear::None, Tear::Prefix(512)] {
            let rig = small();
            rig.disk.crash_at(op, tear);
            let (sent, recalled) = history(&rig);
            let rig = rig.power_cut();
            rig.clock.advance(10_000);
            rig.deliver();
            rig.deliver();
            let found = rig.bodies("orders");
            assert_eq!(rig.broker.timers_pending(), 0, "crash at operation {op}");
            for body in sent {
                let count = found.iter().filter(|other| **other == body).count();
                if recalled.contains(&body) {
                    assert_eq!(count, 0, "{body} was recalled, crash at operation {op}");
                } else if body == "0" || body == "1" {
                    // Its recall may have become durable without an answer.
                    assert!(count <= 1, "{body}, crash at operation {op}");
                } else {
                    assert_eq!(count, 1, "{body}, crash at operation {op}");
                }
            }
        }
    }
}
