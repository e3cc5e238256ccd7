//! An event store: what happened to accounts, each a queue of its own; their state at any time is what their events until then come to.
//! Events are found by a key as well.
//!
//! `cargo run -p kourou-engine --example event_store`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use kourou_engine::clock::ManualClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{KeyKind, RecordDraft, RecordView};
use kourou_engine::{Boundary, Engine, KeyQuery, NoView, Options};

const ACCOUNTS: &str = "accounts";
/// Entries that are asked of the index at a time.
const AT_A_TIME: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("kourou-events-{}", std::process::id()));
    for line in run(&dir)? {
        println!("{line}");
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Stores events and says what they come to.
pub(crate) fn run(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    // A clock that is set by hand, so that the hours of this example take no time.
    let clock = Arc::new(ManualClock::new(0));
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    let engine = Engine::open(Options::new(dir), disk, clock.clone(), Arc::new(NoView))?;

    for (hour, account, amount, transfer) in [
        (9, 1, 100, "t-1"),
        (10, 2, 250, "t-2"),
        (11, 1, -30, "t-3"),
        (11, 2, 30, "t-3"),
        (15, 1, 5, "t-4"),
    ] {
        clock.advance(hours(hour) - clock_ms(&clock));
        happened(&engine, account, amount, transfer)?;
    }

    let mut lines = Vec::new();
    for hour in [9, 12, 16] {
        let balances = [
            balance(&engine, 1, hours(hour))?,
            balance(&engine, 2, hours(hour))?,
        ];
        lines.push(format!("at {hour}:00 the accounts hold {balances:?}"));
    }

    // Both sides of a transfer, the newest first.
    let query = KeyQuery {
        topic: ACCOUNTS,
        key: "t-3",
        kind: KeyKind::Any,
        begin_ms: 0,
        end_ms: i64::MAX,
        records_max: 10,
        size_bytes_max: 1 << 20,
        looks_max: 100,
    };
    for bytes in engine.find_by_key(&query) {
        let event = RecordView::parse(&bytes)?;
        let amount = String::from_utf8_lossy(event.body()).into_owned();
        lines.push(format!("t-3: {amount} to account {}", event.queue_id()));
    }

    // All accounts as of one moment, whatever is stored meanwhile.
    let snapshot = engine.snapshot();
    happened(&engine, 1, 1_000_000, "t-5")?;
    let mut total = 0;
    for bytes in snapshot.records() {
        total += amount(&bytes?)?;
    }
    lines.push(format!("in all: {total}"));
    engine.close()?;
    Ok(lines)
}

fn happened(engine: &Engine, account: u32, amount: i64, transfer: &str) -> Result<(), Box<dyn Error>> {
    let body = amount.to_string();
    let properties = format!("KEYS\u{1}{transfer}\u{2}");
    let draft = RecordDraft {
        properties: properties.as_bytes(),
        ..RecordDraft::new(ACCOUNTS, account, body.as_bytes())
    };
    engine.append_blocking(draft.encode()?)?;
    Ok(())
}

/// What an account held at a time: its events are replayed up to the last one that was stored by then.
fn balance(engine: &Engine, account: u32, until_ms: i64) -> Result<i64, Box<dyn Error>> {
    let Some(end) = engine.offset_by_time(ACCOUNTS, account, until_ms + 1, Boundary::Lower) else {
        return Ok(0);
    };
    let mut balance = 0;
    let mut next = 0;
    let (mut entries, mut records) = (Vec::new(), Vec::new());
    while next < end {
        entries.clear();
        engine.entries(ACCOUNTS, account, next, AT_A_TIME, &mut entries);
        entries.retain(|entry| entry.queue_offset < end);
        if entries.is_empty() {
            break;
        }
        records.clear();
        engine.read_many(&entries, &mut records)?;
        for record in &records {
            balance += amount(record)?;
        }
        next += entries.len() as u64;
    }
    Ok(balance)
}

fn amount(bytes: &[u8]) -> Result<i64, Box<dyn Error>> {
    let event = RecordView::parse(bytes)?;
    Ok(std::str::from_utf8(event.body())?.parse()?)
}

fn hours(count: i64) -> i64 {
    count * 3_600_000
}

fn clock_ms(clock: &ManualClock) -> i64 {
    use kourou_engine::clock::Clock;
    clock.now_ms()
}
