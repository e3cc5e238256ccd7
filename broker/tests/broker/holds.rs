//! Held pulls.

use kourou_broker::receive::{HoldResult, PullRequest};

use crate::bell::Bell;
use crate::rig::{Rig, pull, pull_tagged};

#[test]
fn only_the_arrival_that_matches_wakes() {
    let rig = Rig::new();
    rig.put("orders", "first");
    let (all, red, other_queue, ahead) = (Bell::default(), Bell::default(), Bell::default(), Bell::default());
    let _guards = (
        all.held(&rig, &pull("orders", 1)),
        red.held(&rig, &pull_tagged("orders", 1, "red")),
        other_queue.held(
            &rig,
            &PullRequest {
                queue_id: 1,
                ..pull("orders", 0)
            },
        ),
        ahead.held(&rig, &pull("orders", 3)),
    );
    assert_eq!(rig.broker.held_pulls(), 4);
    let rung = || (all.rung(), red.rung(), other_queue.rung(), ahead.rung());
    rig.put_tagged("orders", "second", "blue");
    assert_eq!(rung(), (1, 0, 0, 0));
    rig.put_tagged("orders", "third", "red");
    assert_eq!(rung(), (1, 1, 0, 0), "each wakes once");
    rig.put("orders", "fourth");
    assert_eq!(rung(), (1, 1, 0, 1));
    assert_eq!(rig.broker.held_pulls(), 1);
}

#[test]
fn what_arrived_between_pull_and_hold_is_not_missed() {
    let rig = Rig::new();
    rig.put("orders", "first");
    rig.put_tagged("orders", "second", "blue");
    let bell = Bell::default();
    assert!(matches!(
        bell.hold(&rig, &pull("orders", 1)),
        HoldResult::AlreadyArrived
    ));
    assert!(matches!(
        bell.hold(&rig, &pull_tagged("orders", 1, "blue")),
        HoldResult::AlreadyArrived
    ));
    assert_eq!(rig.broker.held_pulls(), 0);
    let _guard = bell.held(&rig, &pull_tagged("orders", 1, "red"));
    rig.put_tagged("orders", "third", "red");
    assert_eq!(bell.rung(), 1);
}

#[test]
fn a_dropped_hold_is_gone_and_holds_are_bounded() {
    let rig = Rig::with(|options, _| options.limits.holds_max = 2);
    rig.put("orders", "first");
    let bell = Bell::default();
    let (first, second) = (
        bell.held(&rig, &pull("orders", 1)),
        bell.held(&rig, &pull("orders", 1)),
    );
    assert!(matches!(bell.hold(&rig, &pull("orders", 1)), HoldResult::Full));
    drop(first);
    assert_eq!(rig.broker.held_pulls(), 1);
    rig.put("orders", "second");
    assert_eq!(bell.rung(), 1);
    drop(second);
    assert_eq!(rig.broker.held_pulls(), 0);
}

#[test]
fn a_hold_that_would_be_refused_is_pulled_again() {
    let rig = Rig::new();
    assert!(matches!(
        Bell::default().hold(&rig, &pull("nothing", 0)),
        HoldResult::AlreadyArrived
    ));
}

#[test]
fn a_delayed_message_wakes_when_it_is_delivered() {
    let rig = Rig::new();
    rig.put("orders", "first");
    let bell = Bell::default();
    let _guard = bell.held(&rig, &pull("orders", 1));
    rig.send(kourou_broker::send::SendRequest {
        properties: crate::rig::properties(&[("DELAY", "1")]),
        ..crate::rig::message("orders", "later")
    })
    .unwrap();
    assert_eq!(bell.rung(), 0);
    rig.clock.advance(1_000);
    rig.deliver();
    assert_eq!(bell.rung(), 1);
}

#[test]
fn no_wake_up_is_lost_among_threads() {
    // Background threads of the engine against threads that pull and hold: each must see all messages.
    const MESSAGES: usize = 300;
    let rig = Rig::with(|_, engine| engine.threads = kourou_engine::Threads::Background);
    let (done, wait) = std::sync::mpsc::channel();
    rig.broker.send(crate::rig::message("orders", "0"), move |sent| {
        done.send(sent.is_ok()).unwrap()
    });
    assert!(wait.recv().unwrap());
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let broker = rig.broker.clone();
            std::thread::spawn(move || {
                let mut request = pull("orders", 0);
                let mut held = 0;
                while (request.offset as usize) < MESSAGES {
                    match broker.pull(&request).unwrap() {
                        kourou_broker::receive::PullOutcome::Found(pulled) => {
                            request.offset = pulled.place.next_offset as i64;
                        }
                        kourou_broker::receive::PullOutcome::Empty(_) => {
                            let (wake, woken) = std::sync::mpsc::channel();
                            let result = broker.hold(&request, request.offset as u64, move || {
                                let _ = wake.send(());
                            });
                            if let HoldResult::Held(_guard) = &result {
                                held += 1;
                                woken
                                    .recv_timeout(std::time::Duration::from_secs(20))
                                    .expect("a lost wake-up");
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
                held
            })
        })
        .collect();
    for at in 1..MESSAGES {
        let (done, wait) = std::sync::mpsc::channel();
        rig.broker
            .send(crate::rig::message("orders", &at.to_string()), move |sent| {
                done.send(sent.is_ok()).unwrap()
            });
        assert!(wait.recv().unwrap());
    }
    let held: usize = consumers
        .into_iter()
        .map(|consumer| consumer.join().unwrap())
        .sum();
    assert!(held > 0, "somebody waited");
    assert_eq!(rig.broker.held_pulls(), 0);
    rig.broker.close().unwrap();
}
