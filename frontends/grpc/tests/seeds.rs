//! Replays the seeds of the fuzz target, so that every test run goes through what fuzzing checks.

#![allow(clippy::unwrap_used, reason = "tests")]

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../../fuzz/src/grpc.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

#[test]
fn grpc() {
    let seeds: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "fuzz", "seeds", "grpc"]
        .iter()
        .collect();
    let mut count = 0;
    for seed in fs::read_dir(&seeds).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        checks::grpc(&bytes);
        for at in 2..bytes.len() {
            checks::grpc(&bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            checks::grpc(&changed);
        }
        count += 1;
    }
    assert!(count > 1, "no seeds in {}", seeds.display());
}
