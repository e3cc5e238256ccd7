//! The threads of a run: each has a share of the connections; one watches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::clock::Clock;
use crate::error::BenchError;
use crate::watch::{Counters, Mark, Measured, OnProgress, Plan, watch};

/// Runs every share on a thread of its own until all are done, and hands over what they came to.
///
/// The first that fails ends all others.
pub(crate) fn run<L, W>(
    shares: Vec<W>,
    clock: &Clock,
    plan: &Plan,
    counters: &Counters,
    pids: &[u32],
    progress: OnProgress<'_>,
) -> Result<(Measured, Vec<L>), BenchError>
where
    L: Send,
    W: FnOnce(&Clock, &AtomicBool) -> Result<L, BenchError> + Send,
{
    let start = Mark::now(clock, counters, pids)?;
    let abort = AtomicBool::new(false);
    thread::scope(|scope| {
        let (finished, ends) = channel();
        let mut holds = Vec::new();
        let mut workers = Vec::new();
        for share in shares {
            let finished = finished.clone();
            let (hold, released) = channel();
            holds.push(hold);
            let abort = &abort;
            workers.push(scope.spawn(move || {
                let outcome = share(clock, abort);
                if outcome.is_err() {
                    abort.store(true, Ordering::Relaxed);
                }
                tell(&finished, &released);
                outcome
            }));
        }
        drop(finished);
        let measured = watch(clock, plan, start, counters, &ends, pids, progress);
        if measured.is_err() {
            abort.store(true, Ordering::Relaxed);
        }
        drop(holds);
        let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let loads = outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(|_| BenchError::Panicked)?)
            .collect::<Result<_, _>>()?;
        Ok((measured?, loads))
    })
}

/// Tells that a thread has finished, and stays until it is released: what a thread has used is known while it is there.
fn tell(finished: &Sender<()>, released: &Receiver<()>) {
    // Whoever watches may have given up; then nobody needs to know, and nobody holds.
    let _ = finished.send(());
    let _ = released.recv();
}
