//! Bugs that are planted are found, each within a number of seeds.
//!
//!     cargo test -p kourou-simulation --features planted-bugs --test planted -- --nocapture

use std::sync::atomic::{AtomicU64, Ordering};

use kourou_engine::planted::{Bug, plant};
use kourou_simulation::{Plan, run};
use parking_lot::Mutex;

/// Within so many seeds each of them must be found.
const SEEDS_MAX: u64 = 500;

/// The first seed that breaks a promise with this bug in the code, and what it says.
fn finds(bug: Bug) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                plant(Some(bug));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS_MAX || found.lock().is_some() {
                        return;
                    }
                    if let Some(violation) = run(seed, &Plan::default()).violation {
                        let mut found = found.lock();
                        if found.as_ref().is_none_or(|(before, _)| seed < *before) {
                            *found = Some((seed, violation.to_string()));
                        }
                    }
                }
            });
        }
    });
    found.into_inner()
}

#[test]
fn every_planted_bug_is_found() {
    // What a bug makes the broker panic with is told by the run.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match finds(bug) {
            Some((seed, what)) => println!("{bug:?}: seed {seed}: {what}"),
            None => missed.push(bug),
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        missed.is_empty(),
        "not found within {SEEDS_MAX} seeds: {missed:?}"
    );
}
