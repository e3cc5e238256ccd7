//! Replays the seeds of the fuzz targets, so that every test run goes through what fuzzing checks.

#![allow(clippy::unwrap_used, reason = "tests")]

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../fuzz/src/engine.rs"]
mod checks;

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../fuzz/src/store.rs"]
mod store_checks;

use std::fs;
use std::path::PathBuf;

fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "seeds", target]
        .iter()
        .collect();
    let seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|seed| fs::read(seed.unwrap().path()).unwrap())
        .collect();
    assert!(seeds.len() > 1, "no seeds in {}", folder.display());
    seeds
}

#[test]
fn store_recovery() {
    for seed in seeds_of("store_recovery") {
        for mode in 0..3 {
            let mut changed = seed.clone();
            changed[0] = mode;
            store_checks::recovery(&changed);
        }
    }
}

#[test]
fn store_operations() {
    for seed in seeds_of("store_operations") {
        store_checks::operations(&seed);
    }
}

#[test]
fn record() {
    for bytes in seeds_of("record") {
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
    }
}
