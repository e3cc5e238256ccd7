//! The run that reads: every queue of a topic, as fast as the broker answers.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::crew;
use crate::drive;
use crate::error::BenchError;
use crate::findings::codec_name;
use crate::latencies::{Latencies, LatencySummary};
use crate::process::ProcessReport;
use crate::read::{PullSpec, ReadLoop, Reader, Stretch};
use crate::records::Record;
use crate::report::AuditReport;
use crate::send::send_to;
use crate::settings::{Length, PullSettings, SendSettings, Target};
use crate::stage::part;
use crate::watch::{OnProgress, Phase, Plan};

/// Bytes of a request that fills a topic, about.
const FILL_BYTES: usize = 32 * 1024;
const FILL_IN_FLIGHT: usize = 64;

/// What a run of pulls found out.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PullReport {
    /// `pull`.
    pub run: &'static str,
    /// Whom it talked to.
    pub broker: String,
    /// What it read.
    pub topic: String,
    /// How headers were written: `json` or `binary`.
    pub codec: &'static str,
    /// Connections.
    pub connections: usize,
    /// Pulls in flight.
    pub in_flight: usize,
    /// Messages of a pull at most.
    pub batch: u32,
    /// How often everything was read.
    pub passes: u32,
    /// How long it took.
    pub seconds: f64,
    /// Messages read.
    pub messages: u64,
    /// The same a second; none if messages were missing.
    pub per_second: Option<f64>,
    /// Bodies a second, in units of 1000 * 1000 bytes.
    pub megabytes_per_second: Option<f64>,
    /// Messages of a pull, on average.
    pub messages_per_pull: f64,
    /// Time from a pull to its answer.
    pub latency: Option<LatencySummary>,
    /// What the processes asked for used.
    pub processes: Vec<ProcessReport>,
    /// What the run itself used.
    pub own: ProcessReport,
    /// What was found wrong with what was read.
    pub audit: PullAudit,
    /// What became of the messages that the topic was filled with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<AuditReport>,
}

/// What was read, compared with what the queues said they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PullAudit {
    /// Messages between the begins and the ends of the queues, times the passes.
    pub expected: u64,
    /// Offsets that had no message.
    pub missing: u64,
    /// Messages with an offset that had been read already.
    pub repeated: u64,
    /// Messages whose body is not the one of their checksum, or that cannot be read.
    pub damaged: u64,
    /// Whether checksums were computed; offsets are always looked at.
    pub checksums: bool,
}

impl PullAudit {
    /// Whether every message was read exactly once a pass, and whole.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.repeated == 0 && self.damaged == 0
    }
}

impl PullReport {
    /// Why the run counts for nothing, in words; `None` if it is good.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let PullAudit {
            expected,
            missing,
            repeated,
            damaged,
            ..
        } = self.audit;
        if !self.audit.is_clean() {
            return Some(format!(
                "of {expected} messages {missing} are missing, {damaged} are damaged, {repeated} came more than once"
            ));
        }
        match &self.fill {
            Some(AuditReport::Done(audit)) if !audit.is_clean() => {
                return Some(format!(
                    "of {} messages that were acknowledged {} are lost, {} are damaged, {} are there more than once",
                    audit.acknowledged, audit.lost, audit.damaged, audit.duplicates
                ));
            }
            _ => {}
        }
        (self.messages == 0).then(|| "the topic holds no messages; --fill N sends some first".to_owned())
    }
}

/// Reads a topic, after filling it if asked to.
///
/// # Errors
///
/// As [`crate::send`].
pub fn pull(settings: &PullSettings, progress: OnProgress<'_>) -> Result<PullReport, BenchError> {
    settings.check()?;
    let target = &settings.target;
    let (topic, fill) = match settings.fill {
        Some(messages) => {
            let (topic, audit) = fill(settings, messages, &mut *progress)?;
            (topic, Some(audit))
        }
        None => {
            let topic = target.topic.clone();
            let missing =
                || BenchError::Settings("what to read: --topic NAME, or --fill N for a new one".into());
            (topic.ok_or_else(missing)?, None)
        }
    };
    let whole = whole(target, &topic)?;
    let wanted: u64 = whole.iter().map(length).sum();
    let expected = wanted * u64::from(settings.passes);
    let stretches = cut(&whole, settings.in_flight);
    let connections = target.connections.min(stretches.len()).max(1);
    let threads = target.threads.min(connections);
    let spec = PullSpec {
        topic: &topic,
        codec: target.codec,
        batch: i32::try_from(settings.batch).unwrap_or(i32::MAX),
        suspend: false,
    };
    let counters: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let mut shares = Vec::new();
    for (thread, counter) in counters.iter().enumerate() {
        let own: Vec<Stretch> = stretches.iter().skip(thread).step_by(threads).cloned().collect();
        let count = (thread..connections).step_by(threads).count();
        let sockets = (0..count)
            .map(|index| Connection::connect(&target.broker, index))
            .collect::<Result<_, _>>()?;
        let reading = Reading::new(&own, settings, counter)?;
        shares.push((sockets, ReadLoop::new(spec, &own, count, reading)));
    }
    let plan = Plan {
        phase: Phase::Pull,
        begin_ns: 0,
        end_ns: u64::MAX,
        messages: Some(expected),
    };
    let clock = Clock::start();
    let shares = shares.into_iter().map(drive::share).collect();
    let (measured, loads) = crew::run(shares, &clock, &plan, &counters, &target.pids, progress)?;
    let mut latencies = Latencies::new()?;
    let mut audit = PullAudit {
        expected,
        checksums: settings.audit,
        ..PullAudit::default()
    };
    let (mut pulls, mut body_bytes) = (0, 0);
    for load in loads {
        load.check()?;
        let reading = load.reader;
        latencies.add(&reading.latencies);
        audit.missing += reading.missing();
        audit.repeated += reading.repeated;
        audit.damaged += reading.damaged;
        pulls += reading.pulls;
        body_bytes += reading.body_bytes;
    }
    let seconds = measured.elapsed_ns as f64 / 1e9;
    let a_second = |value: u64| audit.is_clean().then(|| value as f64 / seconds);
    Ok(PullReport {
        run: "pull",
        broker: target.broker.clone(),
        codec: codec_name(target.codec),
        connections,
        in_flight: stretches.len(),
        batch: settings.batch,
        passes: settings.passes,
        seconds,
        messages: measured.messages,
        per_second: a_second(measured.messages),
        megabytes_per_second: a_second(body_bytes).map(|bytes| bytes / 1e6),
        messages_per_pull: measured.messages as f64 / f64::max(pulls as f64, 1.0),
        latency: latencies.summary(),
        processes: measured.processes,
        own: measured.own,
        audit,
        fill,
        topic,
    })
}

/// Sends what is to be read, many messages at a time.
fn fill(
    settings: &PullSettings,
    messages: u64,
    progress: OnProgress<'_>,
) -> Result<(String, AuditReport), BenchError> {
    let mut payload = settings.payload;
    payload.batch = (FILL_BYTES / payload.body_bytes.max(1)).clamp(1, 32);
    let settings = SendSettings {
        grpc: None,
        target: settings.target.clone(),
        payload,
        in_flight: FILL_IN_FLIGHT,
        transactional: false,
        length: Length::Messages(messages),
        warmup: std::time::Duration::ZERO,
        audit: settings.audit,
        timeline: false,
    };
    let (report, stage) = send_to(&settings, Phase::Fill, progress)?;
    if report.messages == 0 || report.unanswered > 0 {
        let failure = report.failure().unwrap_or_default();
        return Err(BenchError::Settings(format!(
            "the topic could not be filled: {failure}"
        )));
    }
    Ok((stage.topic, report.audit))
}

/// Everything that a topic holds, by queue.
fn whole(target: &Target, topic: &str) -> Result<Vec<Stretch>, BenchError> {
    let mut admin = Admin::connect(&target.broker)?;
    let unknown = || BenchError::Settings(format!("there is no topic '{topic}'"));
    let found = admin.find_topic(topic)?.ok_or_else(unknown)?;
    (0..)
        .take(found.queues.unwrap_or(0) as usize)
        .map(|queue_id| {
            let begin = admin.min_offset(topic, queue_id)?.max(0);
            let end = admin.max_offset(topic, queue_id)?.max(begin);
            Ok(Stretch {
                queue_id,
                offsets: begin..end,
            })
        })
        .collect()
}

fn length(stretch: &Stretch) -> u64 {
    (stretch.offsets.end - stretch.offsets.start).unsigned_abs()
}

/// Cuts queues into parts, so that this many pulls can be in flight; at least one for each queue with messages.
fn cut(whole: &[Stretch], in_flight: usize) -> Vec<Stretch> {
    let filled: Vec<&Stretch> = whole.iter().filter(|stretch| length(stretch) > 0).collect();
    let mut stretches = Vec::new();
    for (index, stretch) in filled.iter().enumerate() {
        let parts = part(in_flight as u64, filled.len() as u64, index as u64).clamp(1, length(stretch));
        let mut begin = stretch.offsets.start;
        for index in 0..parts {
            // A part of what an i64 held.
            let end = begin + i64::try_from(part(length(stretch), parts, index)).unwrap_or(0);
            stretches.push(Stretch {
                queue_id: stretch.queue_id,
                offsets: begin..end,
            });
            begin = end;
        }
    }
    stretches
}

/// What one thread reads.
#[derive(Debug)]
struct Reading<'a> {
    parts: Vec<PartRead>,
    latencies: Latencies,
    checksums: bool,
    read: u64,
    counter: &'a AtomicU64,
    pulls: u64,
    body_bytes: u64,
    skipped: u64,
    repeated: u64,
    damaged: u64,
}

#[derive(Debug)]
struct PartRead {
    offsets: Range<i64>,
    next: i64,
    passes_left: u32,
}

impl<'a> Reading<'a> {
    fn new(
        stretches: &[Stretch],
        settings: &PullSettings,
        counter: &'a AtomicU64,
    ) -> Result<Self, BenchError> {
        let part = |stretch: &Stretch| PartRead {
            offsets: stretch.offsets.clone(),
            next: stretch.offsets.start,
            passes_left: settings.passes - 1,
        };
        Ok(Self {
            parts: stretches.iter().map(part).collect(),
            latencies: Latencies::new()?,
            checksums: settings.audit,
            read: 0,
            counter,
            pulls: 0,
            body_bytes: 0,
            skipped: 0,
            repeated: 0,
            damaged: 0,
        })
    }

    /// Offsets without a message, those at the ends of the last pass included.
    fn missing(&self) -> u64 {
        self.skipped
            + self
                .parts
                .iter()
                .map(|part| (part.offsets.end - part.next).max(0).unsigned_abs())
                .sum::<u64>()
    }
}

impl Reader for Reading<'_> {
    fn message(&mut self, stretch: usize, record: &Record<'_>, _: u64) {
        let part = &mut self.parts[stretch];
        if record.queue_offset < part.next {
            self.repeated += 1;
        } else {
            self.skipped += (record.queue_offset - part.next).unsigned_abs();
            part.next = record.queue_offset.saturating_add(1);
        }
        if self.checksums && !record.is_intact() {
            self.damaged += 1;
        }
        self.read += 1;
        self.body_bytes += record.body.len() as u64;
    }

    fn damaged(&mut self, _: usize) {
        self.damaged += 1;
    }

    fn pulled(&mut self, asked_ns: u64, now_ns: u64) {
        self.pulls += 1;
        self.latencies.record(now_ns - asked_ns);
        self.counter.store(self.read, Ordering::Relaxed);
    }

    fn again(&mut self, stretch: usize) -> Option<Range<i64>> {
        let part = &mut self.parts[stretch];
        part.passes_left = part.passes_left.checked_sub(1)?;
        self.skipped += (part.offsets.end - part.next).max(0).unsigned_abs();
        part.next = part.offsets.start;
        Some(part.offsets.clone())
    }

    fn is_over(&self, _: u64) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(queue_id: i32, offsets: Range<i64>) -> Stretch {
        Stretch { queue_id, offsets }
    }

    #[test]
    fn queues_are_cut_without_gaps() {
        let whole = [stretch(0, 5..15), stretch(1, 3..3), stretch(2, 0..1)];
        let parts = cut(&whole, 5);
        let expected = [
            stretch(0, 5..9),
            stretch(0, 9..12),
            stretch(0, 12..15),
            stretch(2, 0..1),
        ];
        assert_eq!(parts, expected);
        assert_eq!(cut(&whole, 1).len(), 2);
        assert_eq!(cut(&[], 5), []);
    }
}
