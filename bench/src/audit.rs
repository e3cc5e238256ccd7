//! Reads back what a run has sent, and compares it with what was acknowledged.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::drive::drive;
use crate::error::BenchError;
use crate::ledger::{Bits, Ledger};
use crate::read::{PullSpec, ReadLoop, Reader, Stretch};
use crate::records::Record;
use crate::report::Audit;
use crate::settings::Target;
use crate::stage::Stage;
use crate::trailer::Trailer;
use crate::watch::{OnProgress, Phase, Progress};

/// What is missing may still be on its way to the queues: it is waited for as long as something comes, and this long.
const PATIENCE: Duration = Duration::from_secs(5);
const ROUND_PAUSE: Duration = Duration::from_millis(50);
const CONNECTIONS_MAX: usize = 4;
const BATCH: i32 = 32;

/// What has been seen so far.
#[derive(Debug)]
struct Seen<'a> {
    run: u64,
    /// By lane, as the messages name it.
    ledgers: &'a [(usize, Ledger)],
    by_lane: Vec<Bits>,
    messages_per_request: u64,
    audit: Audit,
    found_acknowledged: u64,
    read: u64,
}

/// Reads all queues behind where they ended before the run.
pub(crate) fn audit(
    target: &Target,
    stage: &Stage,
    ledgers: &[(usize, Ledger)],
    messages_per_request: u64,
    progress: OnProgress<'_>,
) -> Result<Audit, BenchError> {
    let lanes = ledgers.iter().map(|(lane, _)| lane + 1).max().unwrap_or(0);
    let acknowledged = ledgers
        .iter()
        .map(|(_, ledger)| ledger.acknowledged_requests * messages_per_request)
        .sum();
    let mut seen = Seen {
        run: stage.run,
        ledgers,
        by_lane: vec![Bits::default(); lanes],
        messages_per_request,
        audit: Audit {
            acknowledged,
            ..Audit::default()
        },
        found_acknowledged: 0,
        read: 0,
    };
    let spec = PullSpec {
        topic: &stage.topic,
        codec: target.codec,
        batch: BATCH,
        suspend: false,
    };
    let mut admin = Admin::connect(&target.broker)?;
    let connections = CONNECTIONS_MAX.min(stage.begins.len());
    let mut connections: Vec<Connection> = (0..connections)
        .map(|index| Connection::connect(&target.broker, index))
        .collect::<Result<_, _>>()?;
    let mut positions = stage.begins.clone();
    let mut last_news = Instant::now();
    loop {
        let stretches = stretches(&mut admin, &stage.topic, &positions)?;
        let before = seen.read;
        let mut reader = Reading {
            seen: &mut seen,
            progress: &mut *progress,
        };
        let mut load = ReadLoop::new(spec, &stretches, connections.len(), &mut reader);
        drive(
            &mut connections,
            &mut load,
            &Clock::start(),
            &AtomicBool::new(false),
        )?;
        load.check()?;
        positions = load.positions().collect();
        if seen.read > before {
            last_news = Instant::now();
        } else if seen.found_acknowledged == acknowledged || last_news.elapsed() > PATIENCE {
            break;
        } else {
            thread::sleep(ROUND_PAUSE);
        }
    }
    seen.audit.lost = acknowledged - seen.found_acknowledged;
    Ok(seen.audit)
}

/// What there is of each queue behind these offsets.
fn stretches(admin: &mut Admin, topic: &str, begins: &[i64]) -> Result<Vec<Stretch>, BenchError> {
    (0..)
        .zip(begins)
        .map(|(queue_id, &begin)| {
            let end = admin.max_offset(topic, queue_id)?.max(begin);
            Ok(Stretch {
                queue_id,
                offsets: begin..end,
            })
        })
        .collect()
}

impl Seen<'_> {
    fn note(&mut self, body: &[u8]) {
        self.read += 1;
        let Some(trailer) = Trailer::read(body).filter(|trailer| trailer.run == self.run) else {
            self.audit.strangers += 1;
            return;
        };
        if !Trailer::is_intact(body) {
            self.audit.damaged += 1;
            return;
        }
        let request = trailer.sequence / self.messages_per_request;
        let lane = usize::try_from(trailer.lane).unwrap_or(usize::MAX);
        let ledger = self.ledgers.iter().find(|(number, _)| *number == lane);
        let Some((_, ledger)) = ledger.filter(|(_, ledger)| request < ledger.sent_requests) else {
            self.audit.strangers += 1;
            return;
        };
        // The ledger is there, so its lane is.
        if !self.by_lane[lane].set(trailer.sequence) {
            self.audit.duplicates += 1;
            return;
        }
        self.audit.found += 1;
        if ledger.acknowledged.has(request) {
            self.found_acknowledged += 1;
        } else {
            self.audit.unacknowledged += 1;
        }
    }
}

/// Notes what is read, and tells how far it is.
struct Reading<'a, 'b> {
    seen: &'a mut Seen<'b>,
    progress: OnProgress<'a>,
}

/// Messages between two words about how far it is.
const PROGRESS_STEP: u64 = 1 << 14;

impl Reader for &mut Reading<'_, '_> {
    fn message(&mut self, _: usize, record: &Record<'_>, _: u64) {
        self.seen.note(record.body);
        if self.seen.read.is_multiple_of(PROGRESS_STEP) {
            (self.progress)(Progress {
                phase: Phase::Audit,
                messages: self.seen.read,
                share: self.seen.read as f64 / self.seen.audit.acknowledged.max(1) as f64,
            });
        }
    }

    fn damaged(&mut self, _: usize) {
        self.seen.audit.damaged += 1;
    }

    fn pulled(&mut self, _: u64, _: u64) {}

    fn again(&mut self, _: usize) -> Option<Range<i64>> {
        None
    }

    fn is_over(&self, _: u64) -> bool {
        false
    }
}
