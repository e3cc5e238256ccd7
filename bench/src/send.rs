//! The run for the rate: a closed loop.

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::audit::audit;
use crate::clock::{Clock, ns};
use crate::closed::{ClosedLoop, LaneSpec, Outcome, Window};
use crate::commit::Commits;
use crate::connection::Connection;
use crate::error::BenchError;
use crate::findings::Findings;
use crate::report::LoadReport;
use crate::settings::{Length, SendSettings};
use crate::stage::{PATIENCE, Stage, part, share_of};
use crate::timeline::Timeline;
use crate::watch::{Counters, Measured, OnProgress, Phase, Plan};
use crate::{crew, drive, grpc};

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
    let run = Run::prepare(settings, phase)?;
    let counters: Vec<AtomicU64> = (0..run.threads).map(|_| AtomicU64::new(0)).collect();
    let (measured, outcomes) = match &settings.grpc {
        None => run.by_remoting(&counters, &mut *progress)?,
        Some(address) => run.by_grpc(address, &counters, &mut *progress)?,
    };
    let mut findings = Findings::nothing(run.timeline.clone())?;
    for (thread, outcome) in outcomes.into_iter().enumerate() {
        findings.add(run.share(thread), outcome);
    }
    let (stage, batch) = (run.stage, payload.batch as u64);
    let audited = if settings.audit && stage.is_kept() {
        Some(audit(target, &stage, &findings.ledgers, batch, progress)?)
    } else {
        None
    };
    let name = match (settings.transactional, &settings.grpc) {
        (true, _) => "send in transactions",
        (false, Some(_)) => "send by gRPC",
        (false, None) => "send",
    };
    let mut report = findings.report(name, target, payload, &stage, &measured, audited);
    report.connections = run.connections;
    report.in_flight = Some(settings.in_flight);
    Ok((report, stage))
}

/// A run that can begin.
#[derive(Debug)]
struct Run<'a> {
    settings: &'a SendSettings,
    stage: Stage,
    connections: usize,
    threads: usize,
    /// Requests to send, if not as many as time allows.
    requests: Option<u64>,
    window: Window,
    /// Empty.
    timeline: Timeline,
    plan: Plan,
}

impl<'a> Run<'a> {
    fn prepare(settings: &'a SendSettings, phase: Phase) -> Result<Self, BenchError> {
        let connections = settings.target.connections.min(settings.in_flight);
        let batch = settings.payload.batch as u64;
        let requests = match settings.length {
            Length::Time(_) => None,
            Length::Messages(messages) => Some(messages.div_ceil(batch)),
        };
        let begin_ns = ns(settings.warmup);
        let end_ns = match settings.length {
            Length::Time(duration) => begin_ns.saturating_add(ns(duration)),
            Length::Messages(_) => u64::MAX,
        };
        Ok(Self {
            settings,
            stage: Stage::set(&settings.target)?,
            connections,
            threads: settings.target.threads.min(connections),
            requests,
            window: Window {
                begin_ns,
                end_ns,
                patience_ns: ns(PATIENCE),
            },
            timeline: Timeline::new(begin_ns, end_ns, settings.timeline)?,
            plan: Plan {
                phase,
                begin_ns,
                end_ns,
                messages: requests.map(|requests| requests * batch),
            },
        })
    }

    /// The connections of one thread.
    fn share(&self, thread: usize) -> impl Iterator<Item = usize> + use<> {
        share_of(thread, self.threads, self.connections)
    }

    /// Requests that one connection has in flight, and may send at most.
    fn part(&self, connection: usize) -> (usize, u64) {
        let (of, at) = (self.connections as u64, connection as u64);
        let in_flight = usize::try_from(part(self.settings.in_flight as u64, of, at)).unwrap_or(1);
        let quota = self.requests.map_or(u64::MAX, |requests| part(requests, of, at));
        (in_flight, quota)
    }

    fn by_remoting(
        &self,
        counters: &Counters,
        progress: OnProgress<'_>,
    ) -> Result<(Measured, Vec<Outcome>), BenchError> {
        let settings = self.settings;
        let target = &settings.target;
        let batch = settings.payload.batch as u64;
        let mut loads = Vec::new();
        for (thread, counter) in counters.iter().enumerate() {
            let (mut specs, mut sockets) = (Vec::new(), Vec::new());
            for index in self.share(thread) {
                let (in_flight, quota) = self.part(index);
                specs.push(LaneSpec {
                    template: self
                        .stage
                        .template(target, settings.payload, settings.transactional, index)?,
                    in_flight,
                    quota,
                    commits: settings
                        .transactional
                        .then(|| Commits::new(&self.stage.topic, target.codec)),
                });
                sockets.push(Connection::connect(&target.broker, index)?);
            }
            let load = ClosedLoop::new(specs, self.window, self.timeline.clone(), batch, counter)?;
            loads.push(drive::share((sockets, load)));
        }
        let clock = Clock::start();
        let (measured, loads) = crew::run(loads, &clock, &self.plan, counters, &target.pids, progress)?;
        Ok((measured, loads.into_iter().map(ClosedLoop::finish).collect()))
    }

    fn by_grpc(
        &self,
        address: &str,
        counters: &Counters,
        progress: OnProgress<'_>,
    ) -> Result<(Measured, Vec<Outcome>), BenchError> {
        let stage = &self.stage;
        grpc::await_topic(address, &stage.topic)?;
        let mut loads = Vec::new();
        for (thread, counter) in counters.iter().enumerate() {
            let mut specs = Vec::new();
            for index in self.share(thread) {
                let (in_flight, quota) = self.part(index);
                // At most 1024, see the settings.
                let lane = u32::try_from(index).unwrap_or(u32::MAX);
                let body_bytes = self.settings.payload.body_bytes;
                specs.push(grpc::LaneSpec {
                    index,
                    template: grpc::Template::new(&stage.topic, body_bytes, stage.run, lane)?,
                    in_flight,
                    quota,
                });
            }
            let (window, timeline) = (self.window, self.timeline.clone());
            loads.push(move |clock: &Clock, abort: &AtomicBool| {
                grpc::drive(address, specs, window, timeline, counter, clock, abort)
            });
        }
        let clock = Clock::start();
        let pids = &self.settings.target.pids;
        crew::run(loads, &clock, &self.plan, counters, pids, progress)
    }
}
