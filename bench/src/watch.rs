//! Watches a run from outside of its threads: marks the begin and the end of the measurement, tells how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::BenchError;
use crate::process::{ProcessReport, Sample};

const TICK: Duration = Duration::from_millis(100);

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Messages so far, in this phase.
    pub messages: u64,
    /// From 0 to 1.
    pub share: f64,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// What is sent is not measured yet.
    WarmUp,
    /// What is sent is measured.
    Measure,
    /// The queues are read back.
    Audit,
    /// A topic is filled, to be read.
    Fill,
    /// A topic is read.
    Pull,
}

/// Told how far a run is, some times a second.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// One counter of messages for each thread of a run.
pub(crate) type Counters = [AtomicU64];

pub(crate) fn total(counters: &Counters) -> u64 {
    counters
        .iter()
        .map(|counter| counter.load(Ordering::Relaxed))
        .sum()
}

/// The state of everything at one time.
#[derive(Debug)]
pub(crate) struct Mark {
    at_ns: u64,
    messages: u64,
    own: Sample,
    processes: Vec<Sample>,
}

/// What was used between two marks.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed_ns: u64,
    pub(crate) messages: u64,
    pub(crate) own: ProcessReport,
    pub(crate) processes: Vec<ProcessReport>,
}

/// When to mark, and what a run is measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) phase: Phase,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    /// Messages after which it is over, if that comes first.
    pub(crate) messages: Option<u64>,
}

impl Mark {
    pub(crate) fn now(clock: &Clock, counters: &Counters, pids: &[u32]) -> Result<Self, BenchError> {
        let processes = pids
            .iter()
            .map(|pid| Sample::take(*pid))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            own: Sample::take(std::process::id())?,
            processes,
            messages: total(counters),
            at_ns: clock.now_ns(),
        })
    }
}

/// Waits for the end of the measurement or of the threads that send on `finished`, whichever comes first. What is not
/// warmed up is measured from `start`.
pub(crate) fn watch(
    clock: &Clock,
    plan: &Plan,
    start: Mark,
    counters: &Counters,
    finished: &Receiver<()>,
    pids: &[u32],
    progress: OnProgress<'_>,
) -> Result<Measured, BenchError> {
    let mut left = counters.len();
    let mut wait = |until_ns: u64, phase: Phase| {
        while left > 0 {
            let now_ns = clock.now_ns();
            if now_ns >= until_ns {
                break;
            }
            let messages = total(counters);
            let by_time = now_ns as f64 / plan.end_ns as f64;
            let share = plan
                .messages
                .map_or(by_time, |wanted| messages as f64 / wanted.max(1) as f64);
            progress(Progress {
                phase,
                messages,
                share: share.min(1.0),
            });
            match finished.recv_timeout(clock.until(until_ns).min(TICK)) {
                Ok(()) => left -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => left = 0,
            }
        }
    };
    wait(plan.begin_ns, Phase::WarmUp);
    let begin = if plan.begin_ns == 0 {
        start
    } else {
        Mark::now(clock, counters, pids)?
    };
    wait(plan.end_ns, plan.phase);
    let end = Mark::now(clock, counters, pids)?;
    let elapsed_ns = end.at_ns - begin.at_ns;
    let messages = end.messages - begin.messages;
    let used = |begin: &Sample, end: &Sample| begin.until(end).per_message(messages, elapsed_ns);
    Ok(Measured {
        elapsed_ns,
        messages,
        own: used(&begin.own, &end.own),
        processes: begin
            .processes
            .iter()
            .zip(&end.processes)
            .map(|(begin, end)| used(begin, end))
            .collect(),
    })
}
