//! A fixed share of seeds, each twice. `KOUROU_SEEDS` says how many, `KOUROU_SEED_FIRST` which is the first.

use std::sync::atomic::{AtomicU64, Ordering};

use kourou_simulation::{Plan, run};
use parking_lot::Mutex;

const SEEDS_USUAL: u64 = 60;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

#[test]
fn every_promise_is_kept_and_every_seed_does_the_same_twice() {
    let first = number("KOUROU_SEED_FIRST", 0);
    let end = first + number("KOUROU_SEEDS", SEEDS_USUAL);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = run(seed, &Plan::default());
                    if let Some(violation) = &report.violation {
                        failed.lock().push(format!("seed {seed}: {violation}"));
                    } else if run(seed, &Plan::default()) != report {
                        failed
                            .lock()
                            .push(format!("seed {seed} does not do the same twice"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(
        failed.is_empty(),
        "{}\nto see one: cargo run -p kourou-simulation -- --seed N --shrink",
        failed.join("\n")
    );
}
