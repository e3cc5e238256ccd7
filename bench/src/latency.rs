//! The run for the latency: an open loop, and a consumer beside it if wanted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::audit::audit;
use crate::clock::{Clock, ns};
use crate::closed::Window;
use crate::connection::Connection;
use crate::consumer::{Consumer, Expected};
use crate::crew;
use crate::drive::{self, drive};
use crate::error::BenchError;
use crate::findings::Findings;
use crate::latencies::Latencies;
use crate::open::{OpenLoop, Schedule};
use crate::report::LoadReport;
use crate::settings::LatencySettings;
use crate::stage::{PATIENCE, Stage, share_of};
use crate::timeline::Timeline;
use crate::watch::{OnProgress, Phase, Plan};

/// Time for threads to begin before the first request is due.
const HEAD_START: Duration = Duration::from_millis(20);

/// Sends at a fixed rate, and measures from the time that each message was to be sent.
///
/// # Errors
///
/// As [`crate::send`].
pub fn latency(settings: &LatencySettings, progress: OnProgress<'_>) -> Result<LoadReport, BenchError> {
    settings.check()?;
    let (target, payload) = (&settings.target, settings.payload);
    let connections = target.connections;
    let threads = target.threads.min(connections);
    let stage = Stage::set(target)?;
    let batch = payload.batch as u64;
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
    let counters: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let mut shares = Vec::new();
    for (thread, counter) in counters.iter().enumerate() {
        let mut lanes = Vec::new();
        let mut sockets = Vec::new();
        for index in share_of(thread, threads, connections) {
            lanes.push((index as u64, stage.template(target, payload, false, index)?));
            sockets.push(Connection::connect(&target.broker, index)?);
        }
        let load = OpenLoop::new(lanes, schedule, window, timeline.clone(), batch, counter)?;
        shares.push((sockets, load));
    }
    let plan = Plan {
        phase: Phase::Measure,
        begin_ns: window.begin_ns,
        end_ns: window.end_ns,
        messages: None,
    };
    let expected = Expected::default();
    let mut consumer = if settings.end_to_end && stage.is_kept() {
        let socket = Connection::connect(&target.broker, connections)?;
        Some(([socket], Consumer::load(target, &stage, window, &expected)?))
    } else {
        None
    };
    let clock = Clock::start();
    let mut findings = Findings::nothing(timeline)?;
    let mut lateness = Latencies::new()?;
    let abort = AtomicBool::new(false);
    let (measured, received) = thread::scope(|scope| {
        let consuming = consumer.as_mut().map(|(socket, load)| {
            let (clock, abort) = (&clock, &abort);
            scope.spawn(move || drive(socket, load, clock, abort))
        });
        let shares = shares.into_iter().map(drive::share).collect();
        let outcome = crew::run(shares, &clock, &plan, &counters, &target.pids, &mut *progress);
        abort.store(outcome.is_err(), Ordering::Relaxed);
        let (measured, loads) = outcome?;
        for (thread, load) in loads.into_iter().enumerate() {
            lateness.add(load.lateness());
            findings.add(share_of(thread, threads, connections), load.finish());
        }
        expected.tell(findings.acknowledged_requests() * batch);
        let received = consuming.map(|thread| thread.join().map_err(|_| BenchError::Panicked)?);
        Ok::<_, BenchError>((measured, received.transpose()))
    })?;
    received?;
    let audited = if settings.audit && stage.is_kept() {
        Some(audit(target, &stage, &findings.ledgers, batch, progress)?)
    } else {
        None
    };
    let mut report = findings.report("latency", target, payload, &stage, &measured, audited);
    report.rate = Some(settings.rate);
    report.lateness = lateness.summary();
    if let Some((_, load)) = consumer {
        load.reader.tell(&mut report);
    }
    Ok(report)
}
