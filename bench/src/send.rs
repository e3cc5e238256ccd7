//! The run for the rate: a closed loop.

use std::sync::atomic::AtomicU64;

use crate::audit::audit;
use crate::clock::{Clock, ns};
use crate::closed::{ClosedLoop, LaneSpec, Window};
use crate::commit::Commits;
use crate::connection::Connection;
use crate::crew;
use crate::error::BenchError;
use crate::findings::Findings;
use crate::report::LoadReport;
use crate::settings::{Length, SendSettings};
use crate::stage::{PATIENCE, Stage, part, share_of};
use crate::timeline::Timeline;
use crate::watch::{OnProgress, Phase, Plan};

/// Sends with a fixed number of requests in flight, as fast as the broker answers.
///
/// # Errors
///
/// There was no run: see [`BenchError`]. A run with a bad end has a report whose [`LoadReport::failure`] says so.
pub fn send(settings: &SendSettings, progress: OnProgress<'_>) -> Result<LoadReport, BenchError> {
    send_to(settings, Phase::Measure, progress).map(|(report, _)| report)
}

/// The same, and where it went.
pub(crate) fn send_to(
    settings: &SendSettings,
    phase: Phase,
    progress: OnProgress<'_>,
) -> Result<(LoadReport, Stage), BenchError> {
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
    let counters: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let mut shares = Vec::new();
    for (thread, counter) in counters.iter().enumerate() {
        let mut specs = Vec::new();
        let mut sockets = Vec::new();
        for index in share_of(thread, threads, connections) {
            let (of, at) = (connections as u64, index as u64);
            specs.push(LaneSpec {
                template: stage.template(target, payload, settings.transactional, index)?,
                in_flight: usize::try_from(part(settings.in_flight as u64, of, at)).unwrap_or(1),
                quota: requests.map_or(u64::MAX, |requests| part(requests, of, at)),
                commits: settings
                    .transactional
                    .then(|| Commits::new(&stage.topic, target.codec)),
            });
            sockets.push(Connection::connect(&target.broker, index)?);
        }
        let load = ClosedLoop::new(specs, window, timeline.clone(), batch, counter)?;
        shares.push((sockets, load));
    }
    let plan = Plan {
        phase,
        begin_ns: window.begin_ns,
        end_ns: window.end_ns,
        messages: requests.map(|requests| requests * batch),
    };
    let clock = Clock::start();
    let (measured, loads) = crew::run(shares, &clock, &plan, &counters, &target.pids, &mut *progress)?;
    let mut findings = Findings::nothing(timeline)?;
    for (thread, load) in loads.into_iter().enumerate() {
        let outcome = load.finish();
        findings.add(share_of(thread, threads, connections), outcome);
    }
    let audited = if settings.audit && stage.is_kept() {
        Some(audit(target, &stage, &findings.ledgers, batch, progress)?)
    } else {
        None
    };
    let run = if settings.transactional {
        "send in transactions"
    } else {
        "send"
    };
    let mut report = findings.report(run, target, payload, &stage, &measured, audited);
    report.connections = connections;
    report.in_flight = Some(settings.in_flight);
    Ok((report, stage))
}
