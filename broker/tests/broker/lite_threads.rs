//! Producers, consumers and the log's own threads at the same time: every message once, each lite topic in order, no wake-up lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use kourou_broker::delivery::{AckOutcome, PopRequest, PopStep, Reading};
use kourou_broker::lite::{LiteHold, SyncAction};
use kourou_engine::Threads;
use parking_lot::Mutex;

use crate::deliveries::{Got, gots, pop};
use crate::lites::{PARENT, bound, lite_message, parent, said};
use crate::rig::Rig;

const LITES: usize = 20;
const MESSAGES: usize = 100;
const CONSUMERS: usize = 3;
/// With a wake-up lost, somebody waits for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

fn wait<T: Send + 'static>(start: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (told, outcome) = mpsc::channel();
    start(Box::new(move |one| told.send(one).unwrap()));
    outcome.recv_timeout(PATIENCE).unwrap()
}

fn receive(rig: &Rig, request: &PopRequest, client_id: &str) -> Vec<Got> {
    loop {
        match rig
            .broker
            .begin_lite_pop(request, client_id, Reading::Disk)
            .unwrap()
        {
            PopStep::Taken(taken) => {
                let popped = wait::<Result<_, _>>(|done| taken.store(done)).unwrap();
                return gots(request, &popped);
            }
            PopStep::Empty { again: true, .. } => {}
            PopStep::Empty { .. } => return Vec::new(),
            PopStep::Cold => panic!("may read the disk"),
        }
    }
}

fn consume(rig: &Rig, client_id: &str, seen: &Mutex<HashMap<String, usize>>, left: &AtomicUsize) {
    let request = PopRequest {
        messages_max: 8,
        ..pop(PARENT)
    };
    while left.load(Ordering::SeqCst) > 0 {
        let mut got = receive(rig, &request, client_id);
        if got.is_empty() {
            let (woken, wakes) = mpsc::channel();
            let held = rig.broker.hold_lite(&request, client_id, move || {
                let _ = woken.send(());
            });
            let LiteHold::Held(_guard) = held.unwrap() else {
                panic!("not held")
            };
            got = receive(rig, &request, client_id);
            let start = Instant::now();
            while got.is_empty() && left.load(Ordering::SeqCst) > 0 {
                match wakes.recv_timeout(Duration::from_millis(20)) {
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        assert!(start.elapsed() < PATIENCE, "a wake-up is lost")
                    }
                }
            }
        }
        for one in &got {
            let (lite, number) = one.body.split_once(' ').unwrap();
            let mut seen = seen.lock();
            let before = seen.entry(lite.to_owned()).or_default();
            assert_eq!(number.parse(), Ok(*before), "the next of {lite}");
            *before += 1;
        }
        for one in &got {
            let acked = wait::<Result<_, _>>(|done| rig.broker.ack(&one.handle, done));
            assert_eq!(acked.unwrap(), AckOutcome::Acked);
            left.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn every_message_once_and_in_order() {
    let rig = Arc::new(Rig::with(|_, engine| engine.threads = Threads::Background));
    wait::<Result<_, _>>(|done| rig.broker.put_topic(parent(&[]), done)).unwrap();
    wait::<Result<_, _>>(|done| rig.broker.put_group(&bound("g", &[]), done)).unwrap();
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let left = Arc::new(AtomicUsize::new(LITES * MESSAGES));
    let mut threads = Vec::new();
    for consumer in 0..CONSUMERS {
        let (rig, seen, left) = (rig.clone(), seen.clone(), left.clone());
        threads.push(thread::spawn(move || {
            let client_id = format!("c{consumer}");
            for lite in 0..LITES {
                let said = said(&client_id, SyncAction::Add, &[&format!("l{lite}")]);
                wait::<Result<_, _>>(|done| rig.broker.sync_lite(&said, done)).unwrap();
            }
            consume(&rig, &client_id, &seen, &left);
        }));
    }
    for half in 0..2 {
        let rig = rig.clone();
        threads.push(thread::spawn(move || {
            for number in 0..MESSAGES {
                for lite in (half..LITES).step_by(2) {
                    let message = lite_message(&format!("l{lite}"), &format!("l{lite} {number}"));
                    wait::<Result<_, _>>(|done| rig.broker.send(message, done)).unwrap();
                }
            }
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = seen.lock();
    for lite in 0..LITES {
        assert_eq!(seen.get(&format!("l{lite}")), Some(&MESSAGES), "l{lite}");
    }
    assert_eq!(rig.broker.held_lite(), 0);
}
