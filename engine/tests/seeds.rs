//! Replays the seeds of the fuzz targets, so that every test run goes through what fuzzing checks.

#![allow(clippy::unwrap_used, reason = "tests")]

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../fuzz/src/engine.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

#[test]
fn record() {
    let seeds: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "seeds", "record"]
        .iter()
        .collect();
    let mut count = 0;
    for seed in fs::read_dir(&seeds).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        checks::record(&bytes);
        // Every seed cut short, and with each bit changed, is a possible state of a damaged disk.
        for at in 0..bytes.len() {
            checks::record(&bytes[..at]);
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                checks::record(&changed);
            }
        }
        count += 1;
    }
    assert!(count > 1, "no seeds in {}", seeds.display());
}
