//! A work queue: jobs are stored, workers take them, and what is done is a record, too. A view of those records knows what is left, also
//! after a restart, which finds the jobs that were taken and not done.
//!
//! `cargo run -p kourou-engine --example work_queue`

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{RecordDraft, RecordView};
use kourou_engine::{Arrival, Engine, Options, View};

const JOBS: &str = "jobs";
const DONE: &str = "done";

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("kourou-work-{}", std::process::id()));
    for line in run(&dir)? {
        println!("{line}");
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Stores jobs, does some, restarts, does the rest. Returns what was done, in order.
pub(crate) fn run(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut done = Vec::new();

    let queue = WorkQueue::open(dir)?;
    for job in ["sweep", "wash", "dry", "fold"] {
        queue.add(job)?;
    }
    let first = queue.take()?.ok_or("no job")?;
    done.push(first.name.clone());
    queue.finish(&first)?;
    // Taken and never finished: whoever took it is gone.
    let lost = queue.take()?.ok_or("no job")?;
    assert_eq!(lost.name, "wash");
    queue.engine.close()?;
    drop(queue);

    let queue = WorkQueue::open(dir)?;
    while let Some(job) = queue.take()? {
        done.push(job.name.clone());
        queue.finish(&job)?;
    }
    queue.engine.close()?;
    Ok(done)
}

/// A job that somebody has taken.
struct Job {
    offset: u64,
    name: String,
}

struct WorkQueue {
    engine: Engine,
    left: Arc<Left>,
}

impl WorkQueue {
    fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let left = Arc::new(Left::default());
        let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
        let view: Arc<dyn View> = left.clone();
        // When this returns, the view knows every job that was stored and every one that was done.
        let engine = Engine::open(Options::new(dir), disk, Arc::new(SystemClock), view)?;
        Ok(Self { engine, left })
    }

    fn add(&self, name: &str) -> Result<(), Box<dyn Error>> {
        self.engine
            .append_blocking(RecordDraft::new(JOBS, 0, name.as_bytes()).encode()?)?;
        Ok(())
    }

    /// The oldest job that nobody has taken in this life.
    fn take(&self) -> Result<Option<Job>, Box<dyn Error>> {
        let Some(offset) = self.left.take() else {
            return Ok(None);
        };
        let mut entries = Vec::new();
        self.engine.entries(JOBS, 0, offset, 1, &mut entries);
        let entry = entries.first().ok_or("the job has expired")?;
        let bytes = self.engine.read(entry.position, entry.size_bytes)?;
        let name = String::from_utf8_lossy(RecordView::parse(&bytes)?.body()).into_owned();
        Ok(Some(Job { offset, name }))
    }

    /// The job is done, for good when this returns.
    fn finish(&self, job: &Job) -> Result<(), Box<dyn Error>> {
        let done = RecordDraft::new(DONE, 0, &job.offset.to_be_bytes()).encode()?;
        self.engine.append_blocking(done)?;
        Ok(())
    }
}

/// Jobs that are left, by offset: derived from the log alone.
#[derive(Debug, Default)]
struct Left {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    left: BTreeSet<u64>,
    /// Of these, those that somebody works on. No record says so: with the process the worker is gone.
    taken: BTreeSet<u64>,
}

impl Left {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<u64> {
        let mut state = self.state();
        let offset = state.left.difference(&state.taken).next().copied()?;
        state.taken.insert(offset);
        Some(offset)
    }
}

impl View for Left {
    fn apply(&self, record: &RecordView<'_>) {
        let mut state = self.state();
        match record.topic() {
            JOBS => {
                state.left.insert(record.queue_offset());
            }
            DONE => {
                if let Some(offset) = record.body().first_chunk() {
                    let offset = u64::from_be_bytes(*offset);
                    state.left.remove(&offset);
                    state.taken.remove(&offset);
                }
            }
            _ => {}
        }
    }

    fn arrived(&self, _arrivals: &[Arrival<'_>]) {}

    fn checkpoint(&self) -> Vec<u8> {
        let state = self.state();
        state
            .left
            .iter()
            .flat_map(|offset| offset.to_be_bytes())
            .collect()
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), String> {
        let (offsets, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(format!("{} bytes are no list of jobs", bytes.len()));
        }
        self.state().left = offsets.iter().map(|offset| u64::from_be_bytes(*offset)).collect();
        Ok(())
    }
}
