//! Replays the seeds of the fuzz targets, so that every test run goes through what fuzzing checks.

#![expect(
    clippy::unwrap_used,
    reason = "a test is better stopped at the seed that cannot be read"
)]

#[expect(unreachable_pub, reason = "the file is a public module of the fuzz crate")]
#[path = "../../fuzz/src/proto.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

fn replay(target: &str, check: fn(&[u8])) {
    let seeds: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "seeds", target]
        .iter()
        .collect();
    let mut count = 0;
    for seed in fs::read_dir(&seeds).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        check(&bytes);
        // Every seed cut short, and with each byte changed, is a stranger's input as well.
        for at in 0..bytes.len() {
            check(&bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            check(&changed);
        }
        count += 1;
    }
    assert!(count > 1, "no seeds in {}", seeds.display());
}

#[test]
fn frame() {
    replay("frame", checks::frame);
}

#[test]
fn header_json() {
    replay("header_json", checks::header_json);
}

#[test]
fn header_binary() {
    replay("header_binary", checks::header_binary);
}

#[test]
fn json_body() {
    replay("json_body", checks::json_body);
}

#[test]
fn acks() {
    replay("acks", checks::acks);
}

#[test]
fn registration() {
    replay("registration", checks::registration);
}

#[test]
fn message() {
    replay("message", checks::message);
}
