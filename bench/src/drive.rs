//! The loop that all runs share: one thread waits for its connections, gives answers to the load and takes requests
//! from it.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::answer::{Answer, AnswerReader};
use crate::clock::Clock;
use crate::connection::{Connection, READ_PATIENCE, Received};
use crate::error::BenchError;

const CONGESTION_PATIENCE: Duration = Duration::from_millis(1);

/// What is asked, and what becomes of the answers.
pub(crate) trait Load {
    /// Appends the requests that are due on a connection. Called when answers have come, when the time of
    /// [`Load::wake_at_ns`] has come, and for no reason.
    fn fill(&mut self, connection: usize, out: &mut Vec<u8>, clock: &Clock) -> Result<(), BenchError>;

    /// Takes an answer that arrived at this time.
    fn answered(&mut self, connection: usize, answer: &Answer<'_>, now_ns: u64) -> Result<(), BenchError>;

    /// When requests are due though nothing is answered.
    fn wake_at_ns(&self) -> Option<u64>;

    /// Whether there is nothing left to ask and to wait for.
    fn is_done(&self, now_ns: u64) -> bool;
}

/// Runs until the load is done, or `abort` is set.
pub(crate) fn drive(
    connections: &mut [Connection],
    load: &mut impl Load,
    clock: &Clock,
    abort: &AtomicBool,
) -> Result<(), BenchError> {
    precise_timers();
    let reader = AnswerReader::new();
    let sockets: Vec<Arc<TcpStream>> = connections.iter().map(Connection::socket).collect();
    let mut waiting: Vec<PollFd<'_>> = Vec::with_capacity(sockets.len());
    while !abort.load(Ordering::Relaxed) {
        for (index, connection) in connections.iter_mut().enumerate() {
            if !connection.is_congested() {
                load.fill(index, &mut connection.output, clock)?;
            }
            connection.flush()?;
        }
        if load.is_done(clock.now_ns()) {
            return Ok(());
        }
        // A single connection with nothing else to wait for needs no call to find out that it is readable.
        if let ([connection], None) = (&mut *connections, load.wake_at_ns())
            && !connection.is_congested()
        {
            take(connection, 0, load, &reader, clock, true)?;
            continue;
        }
        waiting.clear();
        waiting.extend(sockets.iter().zip(&*connections).map(|(socket, connection)| {
            let congested = if connection.is_congested() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            PollFd::new(socket, PollFlags::IN | congested)
        }));
        let mut patience = load
            .wake_at_ns()
            .map_or(READ_PATIENCE, |at_ns| clock.until(at_ns).min(READ_PATIENCE));
        if connections.iter().any(Connection::is_congested) {
            // What is due cannot be sent yet; the socket says when.
            patience = patience.max(CONGESTION_PATIENCE);
        }
        match poll(&mut waiting, Some(&timespec(patience))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(BenchError::Wait(error.into())),
        }
        for (index, connection) in connections.iter_mut().enumerate() {
            let readable = waiting.get(index).is_some_and(|fd| {
                fd.revents()
                    .intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
            });
            if readable {
                take(connection, index, load, &reader, clock, false)?;
            }
        }
    }
    Ok(())
}

/// A load and its connections, to be run until it is done; then it is handed back.
pub(crate) fn share<L: Load>(
    (mut connections, mut load): (Vec<Connection>, L),
) -> impl FnOnce(&Clock, &AtomicBool) -> Result<L, BenchError> {
    move |clock, abort| drive(&mut connections, &mut load, clock, abort).map(|()| load)
}

/// Reads once, and gives the load what it brought.
fn take(
    connection: &mut Connection,
    index: usize,
    load: &mut impl Load,
    reader: &AnswerReader,
    clock: &Clock,
    wait: bool,
) -> Result<(), BenchError> {
    if connection.receive(wait)? == Received::Something {
        let now_ns = clock.now_ns();
        connection.answers(reader, |answer| load.answered(index, answer, now_ns))?;
    }
    Ok(())
}

/// Has this thread's waits end when they were to end: the system may be 50 us late otherwise. Without permission the
/// run's own lateness shows it.
fn precise_timers() {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        // A patience of at most milliseconds.
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
