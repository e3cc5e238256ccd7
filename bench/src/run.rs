//! The runs that send: a closed loop for the rate, an open loop for the latency.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use kourou_proto::HeaderCodec;

use crate::admin::{Admin, Peer};
use crate::clock::{Clock, ns};
use crate::closed::{ClosedLoop, LaneSpec, Window};
use crate::connection::Connection;
use crate::drive::drive;
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::ledger::Ledger;
use crate::open::{OpenLoop, Schedule};
use crate::report::{AuditReport, LoadReport, refusals};
use crate::settings::{LatencySettings, Length, Payload, SendSettings, Target};
use crate::template::{Template, TemplateSpec};
use crate::timeline::Timeline;
use crate::watch::{Measured, OnProgress, Phase, Plan, watch};

/// How long an answer may be missing before a run is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for threads to begin before the first request of an open loop is due.
const HEAD_START: Duration = Duration::from_millis(5);

/// The topic of a run, and who holds it.
#[derive(Debug)]
struct Stage {
    topic: String,
    run: u64,
    peer: Peer,
}

impl Stage {
    /// Makes the topic, or takes the one named.
    fn set(target: &Target) -> Result<Self, BenchError> {
        let run = std::hash::RandomState::new().build_hasher().finish();
        let topic = target
            .topic
            .clone()
            .unwrap_or_else(|| format!("kourou-bench-{run:016x}"));
        let peer = Admin::connect(&target.broker)?.create_topic(&topic, target.queues)?;
        Ok(Self { topic, run, peer })
    }

    fn template(&self, target: &Target, payload: Payload, lane: usize) -> Result<Template, BenchError> {
        Template::new(&TemplateSpec {
            topic: &self.topic,
            queues: target.queues,
            body_bytes: payload.body_bytes,
            batch: payload.batch,
            codec: target.codec,
            run: self.run,
            // At most 1024, see the settings.
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
        })
    }
}

/// A thread's share of the connections: every `threads`-th.
fn share_of(thread: usize, threads: usize, connections: usize) -> impl Iterator<Item = usize> {
    (thread..connections).step_by(threads)
}

fn part(total: u64, of: u64, index: u64) -> u64 {
    total / of + u64::from(index < total % of)
}

/// What all threads of a run found out together.
struct Found {
    ledgers: Vec<(usize, Ledger)>,
    latencies: Latencies,
    timeline: Timeline,
}

/// Sends with a fixed number of requests in flight, as fast as the broker answers.
///
/// # Errors
///
/// There was no run: see [`BenchError`]. A run with a bad end has a report whose [`LoadReport::failure`] says so.
pub fn send(settings: &SendSettings, progress: OnProgress<'_>) -> Result<LoadReport, BenchError> {
    settings.check()?;
    let (target, payload) = (&settings.target, settings.payload);
    let connections = target.connections.min(settings.in_flight);
    let threads = target.threads.min(connections);
    let stage = Stage::set(target)?;
    let batch = payload.batch as u64;
    let requests = match settings.length {
        Length::Time(_) => None,
        Length::Messages(messages) => Some(messages.div_ceil(batch)),
    };
    let mut shares = Vec::new();
    for thread in 0..threads {
        let mut specs = Vec::new();
        let mut sockets = Vec::new();
        for index in share_of(thread, threads, connections) {
            let (of, at) = (connections as u64, index as u64);
            specs.push(LaneSpec {
                template: stage.template(target, payload, index)?,
                in_flight: usize::try_from(part(settings.in_flight as u64, of, at)).unwrap_or(1),
                quota: requests.map_or(u64::MAX, |requests| part(requests, of, at)),
            });
            sockets.push(Connection::connect(&target.broker, index)?);
        }
        shares.push((sockets, specs));
    }
    let clock = Clock::start();
    let begin_ns = ns(settings.warmup);
    let window = Window {
        begin_ns,
        end_ns: match settings.length {
            Length::Time(duration) => begin_ns.saturating_add(ns(duration)),
            Length::Messages(_) => u64::MAX,
        },
        patience_ns: ns(PATIENCE),
    };
    let timeline = Timeline::new(window.begin_ns, window.end_ns, settings.timeline)?;
    let plan = Plan {
        phase: Phase::Measure,
        begin_ns: window.begin_ns,
        end_ns: window.end_ns,
        messages: requests.map(|requests| requests * batch),
    };
    let counters: Vec<AtomicU64> = shares.iter().map(|_| AtomicU64::new(0)).collect();
    let (measured, found) = thread::scope(|scope| {
        let (finished, ends) = channel();
        let mut holds = Vec::new();
        let mut workers = Vec::new();
        for ((mut sockets, specs), counter) in shares.into_iter().zip(&counters) {
            let load = ClosedLoop::new(specs, window, timeline.clone(), batch, counter)?;
            let finished = finished.clone();
            let (hold, released) = channel();
            holds.push(hold);
            workers.push(scope.spawn(move || {
                let mut load = load;
                let outcome = drive(&mut sockets, &mut load, &clock);
                tell(&finished, &released);
                outcome.map(|()| load.finish())
            }));
        }
        drop(finished);
        let measured = watch(&clock, &plan, &counters, &ends, &target.pids, progress)?;
        drop(holds);
        let mut found = Found::nothing(&timeline)?;
        for (thread, worker) in workers.into_iter().enumerate() {
            let outcome = worker.join().map_err(|_| BenchError::Panicked)??;
            found.latencies.add(&outcome.latencies);
            found.timeline.add(&outcome.timeline);
            found
                .ledgers
                .extend(share_of(thread, threads, connections).zip(outcome.ledgers));
        }
        Ok::<_, BenchError>((measured, found))
    })?;
    let mut report = report("send", target, payload, &stage, &measured, &found);
    report.connections = connections;
    report.in_flight = Some(settings.in_flight);
    Ok(report)
}

/// Sends at a fixed rate, and measures from the time that each message was to be sent.
///
/// # Errors
///
/// As [`send`].
pub fn latency(settings: &LatencySettings, progress: OnProgress<'_>) -> Result<LoadReport, BenchError> {
    settings.check()?;
    let (target, payload) = (&settings.target, settings.payload);
    let connections = target.connections;
    let threads = target.threads.min(connections);
    let stage = Stage::set(target)?;
    let batch = payload.batch as u64;
    let mut shares = Vec::new();
    for thread in 0..threads {
        let mut lanes = Vec::new();
        let mut sockets = Vec::new();
        for index in share_of(thread, threads, connections) {
            lanes.push((index as u64, stage.template(target, payload, index)?));
            sockets.push(Connection::connect(&target.broker, index)?);
        }
        shares.push((sockets, lanes));
    }
    let clock = Clock::start();
    let schedule = Schedule {
        begin_ns: ns(HEAD_START),
        rate: settings.rate / batch as f64,
        connections: connections as u64,
    };
    let begin_ns = schedule.begin_ns + ns(settings.warmup);
    let window = Window {
        begin_ns,
        end_ns: begin_ns.saturating_add(ns(settings.duration)),
        patience_ns: ns(PATIENCE),
    };
    let timeline = Timeline::new(window.begin_ns, window.end_ns, settings.timeline)?;
    let plan = Plan {
        phase: Phase::Measure,
        begin_ns: window.begin_ns,
        end_ns: window.end_ns,
        messages: None,
    };
    let counters: Vec<AtomicU64> = shares.iter().map(|_| AtomicU64::new(0)).collect();
    let (measured, found, lateness) = thread::scope(|scope| {
        let (finished, ends) = channel();
        let mut holds = Vec::new();
        let mut workers = Vec::new();
        for ((mut sockets, lanes), counter) in shares.into_iter().zip(&counters) {
            let load = OpenLoop::new(lanes, schedule, window, timeline.clone(), batch, counter)?;
            let finished = finished.clone();
            let (hold, released) = channel();
            holds.push(hold);
            workers.push(scope.spawn(move || {
                let mut load = load;
                let outcome = drive(&mut sockets, &mut load, &clock);
                tell(&finished, &released);
                outcome.map(|()| load.finish())
            }));
        }
        drop(finished);
        let measured = watch(&clock, &plan, &counters, &ends, &target.pids, progress)?;
        drop(holds);
        let mut found = Found::nothing(&timeline)?;
        let mut lateness = Latencies::new()?;
        for (thread, worker) in workers.into_iter().enumerate() {
            let outcome = worker.join().map_err(|_| BenchError::Panicked)??;
            found.latencies.add(&outcome.latencies);
            found.timeline.add(&outcome.timeline);
            lateness.add(&outcome.lateness);
            found
                .ledgers
                .extend(share_of(thread, threads, connections).zip(outcome.ledgers));
        }
        Ok::<_, BenchError>((measured, found, lateness))
    })?;
    let mut report = report("latency", target, payload, &stage, &measured, &found);
    report.rate = Some(settings.rate);
    report.lateness = lateness.summary();
    Ok(report)
}

/// Tells that a thread has finished, and stays until it is released: what a thread has used is known while it is there.
fn tell(finished: &Sender<()>, released: &Receiver<()>) {
    // Whoever watches may have given up; then nobody needs to know, and nobody holds.
    let _ = finished.send(());
    let _ = released.recv();
}

impl Found {
    fn nothing(timeline: &Timeline) -> Result<Self, BenchError> {
        Ok(Self {
            ledgers: Vec::new(),
            latencies: Latencies::new()?,
            timeline: timeline.clone(),
        })
    }
}

fn report(
    run: &'static str,
    target: &Target,
    payload: Payload,
    stage: &Stage,
    measured: &Measured,
    found: &Found,
) -> LoadReport {
    let seconds = measured.elapsed_ns as f64 / 1e9;
    let per_second = measured.messages as f64 / seconds;
    let ledgers: Vec<&Ledger> = found.ledgers.iter().map(|(_, ledger)| ledger).collect();
    LoadReport {
        run,
        broker: target.broker.clone(),
        topic: stage.topic.clone(),
        codec: match target.codec {
            HeaderCodec::Json => "json",
            HeaderCodec::Rocketmq => "binary",
        },
        connections: target.connections,
        in_flight: None,
        rate: None,
        body_bytes: payload.body_bytes,
        batch: payload.batch,
        seconds,
        messages: measured.messages,
        per_second: Some(per_second),
        megabytes_per_second: Some(per_second * payload.body_bytes as f64 / 1e6),
        latency: found.latencies.summary(),
        lateness: None,
        end_to_end: None,
        end_to_end_from_socket: None,
        refused: refusals(&ledgers),
        unanswered: ledgers.iter().map(|ledger| ledger.unanswered_requests()).sum(),
        processes: measured.processes.clone(),
        own: measured.own,
        audit: AuditReport::Skipped {
            why: match stage.peer {
                Peer::Sink => "a sink keeps nothing",
                Peer::Broker => "not asked for",
            },
        },
        timeline: found.timeline.summary(),
    }
}
