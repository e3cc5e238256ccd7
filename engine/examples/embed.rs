//! A log of one's own: append, read back by queue, follow the tail, find by time, and find it all again after a restart.
//!
//! `cargo run -p kourou-engine --example embed`

use std::error::Error;
use std::sync::Arc;

use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{RecordDraft, RecordView};
use kourou_engine::{Boundary, Engine, NoView, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("kourou-embed-{}", std::process::id()));
    let open = || {
        let disk = Arc::new(StdDisk::new(&dir, WriterKind::Auto));
        Engine::open(Options::new(&dir), disk, Arc::new(SystemClock), Arc::new(NoView))
    };

    let engine = open()?;
    println!("groups are written with {}", engine.writes_how());

    // Each of these returns when the record is on the disk. `append` and `append_future` do not wait.
    for (number, body) in ["first", "second", "third"].into_iter().enumerate() {
        let draft = RecordDraft {
            properties: b"TAGS\x01greeting\x02",
            ..RecordDraft::new("letters", 0, body.as_bytes())
        };
        let stored = engine.append_blocking(draft.encode()?)?;
        println!(
            "{body:?} is record {} of its queue, at position {} of the log",
            stored.queue_offset, stored.position
        );
        assert_eq!(stored.queue_offset, number as u64);
    }
    engine.close()?;
    drop(engine);

    let engine = open()?;
    let mut entries = Vec::new();
    engine.entries("letters", 0, 0, 10, &mut entries);
    for entry in &entries {
        let bytes = engine.read(entry.position, entry.size_bytes)?;
        let record = RecordView::parse(&bytes)?;
        println!(
            "after a restart: {} {:?}",
            entry.queue_offset,
            String::from_utf8_lossy(record.body())
        );
    }
    let first = entries.first().ok_or("nothing came back")?;
    println!(
        "stored at {} ms: record {:?}",
        first.store_ms,
        engine.offset_by_time("letters", 0, first.store_ms, Boundary::Lower)
    );
    engine.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
