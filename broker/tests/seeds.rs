//! Replays the seeds of the fuzz target, so that every test run goes through what fuzzing checks.

#![allow(clippy::unwrap_used, reason = "tests")]

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../fuzz/src/broker.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

#[test]
fn sql() {
    let seeds: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "seeds", "sql"]
        .iter()
        .collect();
    let mut count = 0;
    for seed in fs::read_dir(&seeds).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        checks::sql(&bytes);
        for at in 0..bytes.len() {
            checks::sql(&bytes[..at]);
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                checks::sql(&changed);
            }
        }
        count += 1;
    }
    assert!(count > 1, "no seeds in {}", seeds.display());
}
