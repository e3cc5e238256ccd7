//! Append and follow: two producers store what they measure, while a follower prints everything in the one order of the log; stopped, it
//! goes on where it was.
//!
//! `cargo run -p kourou-engine --example follow`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{RecordDraft, RecordView};
use kourou_engine::{Engine, NoView, Options};

/// Of each sensor.
const READINGS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("kourou-follow-{}", std::process::id()));
    for line in run(&dir)? {
        println!("{line}");
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// What the follower saw, in order.
pub(crate) fn run(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    let engine = Engine::open(Options::new(dir), disk, Arc::new(SystemClock), Arc::new(NoView))?;
    let mut seen = Vec::new();

    // From the log's beginning; `engine.watermark()` would be from now on.
    let mut follow = engine.follow(engine.first_position());
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        for sensor in 0..2 {
            let engine = &engine;
            scope.spawn(move || measure(engine, sensor));
        }
        while seen.len() < READINGS as usize {
            take_next(&mut follow, &mut seen)?;
        }
        Ok(())
    })?;

    // Whoever keeps this position, in a record of its own for one, goes on there in another life.
    let position = follow.position();
    drop(follow);
    let mut follow = engine.follow(position);
    while seen.len() < 2 * READINGS as usize {
        take_next(&mut follow, &mut seen)?;
    }
    // Nothing more comes, so this waits for as long as it is told to.
    assert!(follow.next(Duration::from_millis(1))?.is_none());
    engine.close()?;
    Ok(seen)
}

fn measure(engine: &Engine, sensor: u32) {
    for reading in 0..READINGS {
        let body = format!("reading {reading}");
        let draft = RecordDraft::new("sensors", sensor, body.as_bytes());
        // On the disk when this returns, and only then does the follower see it.
        let stored = draft.encode().map(|record| engine.append_blocking(record));
        assert!(matches!(stored, Ok(Ok(_))), "{stored:?}");
    }
}

fn take_next(follow: &mut kourou_engine::Follow, seen: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let bytes = follow
        .next(Duration::from_secs(10))?
        .ok_or("nothing came for ten seconds")?;
    let record = RecordView::parse(&bytes)?;
    let body = String::from_utf8_lossy(record.body());
    seen.push(format!("sensor {}: {body}", record.queue_id()));
    Ok(())
}
