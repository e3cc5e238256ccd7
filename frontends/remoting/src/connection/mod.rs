//! One connection: what is shared between its task and whoever answers its requests.
//!
//! ```text
//!   socket --read--> frames --> handler --> broker
//!                                             |  any thread: engine writer, timer, other connections
//!   socket <-write-- driver <-- outbox <------+
//! ```
//!
//! One task per connection ([`Driver`]) reads, dispatches and writes. Answers may be ready in any order and on any
//! thread: they are pushed into the outbox, which wakes the task only if it sleeps, so that a group of answers costs
//! one wake-up and one vectored write. Heads are encoded by the task, never by whoever pushes.

mod asked;
mod driver;
mod outgoing;
mod reply;
mod write_queue;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use kourou_proto::Command;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use asked::next_opaque;
pub(crate) use driver::{Closed, Driver, Handler};
pub(crate) use outgoing::Outgoing;
pub(crate) use reply::{ReplyHead, ReplyTo};

use crate::limits::Limits;
use asked::Asked;

/// The shared side of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    peer: SocketAddr,
    limits: Arc<Limits>,
    /// Requests that have been dispatched and neither answered nor dropped. Held pulls are counted apart: they may
    /// last, and must not keep the heartbeats behind them from being read.
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    held: AtomicUsize,
    /// Bytes in the outbox.
    queued_bytes: AtomicUsize,
    /// Bytes that the driver has taken and the socket has not.
    unwritten_bytes: AtomicUsize,
    outbox: Mutex<Outbox>,
    /// What the peer has been asked.
    asked: Asked,
    /// Tells those who wait on behalf of the peer that it is gone.
    gone: Notify,
    /// Tells those who wait to push that there is room.
    room: Notify,
    /// Somebody waits for room.
    room_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Outbox {
    queue: Vec<Outgoing>,
    /// Present while the driver sleeps.
    waker: Option<Waker>,
    /// The driver sleeps over a bound: a finished request wakes it even if there is nothing to write.
    starved: bool,
    /// Nothing new is read; the driver ends when all is answered.
    draining: bool,
    /// The driver ends at once.
    kill: bool,
    /// The driver has ended.
    closed: bool,
}

/// What the driver finds when it looks into the outbox.
#[derive(Debug, Clone, Copy)]
struct Orders {
    /// Read nothing more.
    draining: bool,
    /// Draining, and every request is answered: end when all is written.
    done: bool,
    /// End at once.
    kill: bool,
}

impl Connection {
    pub(crate) fn new(id: u64, peer: SocketAddr, limits: impl Into<Arc<Limits>>) -> Arc<Self> {
        Arc::new(Self {
            id,
            peer,
            limits: limits.into(),
            in_flight: AtomicUsize::new(0),
            in_flight_bytes: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            unwritten_bytes: AtomicUsize::new(0),
            outbox: Mutex::default(),
            asked: Asked::default(),
            gone: Notify::new(),
            room: Notify::new(),
            room_wanted: AtomicBool::new(false),
        })
    }

    /// Distinct for every connection of the process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the driver has ended: nothing that is pushed goes anywhere.
    pub(crate) fn is_closed(&self) -> bool {
        self.outbox.lock().closed
    }

    /// Returns once the driver has ended.
    pub(crate) async fn closed(&self) {
        let gone = self.gone.notified();
        tokio::pin!(gone);
        // Registered before the look, so that an end between the two is not missed.
        gone.as_mut().enable();
        if !self.is_closed() {
            gone.await;
        }
    }

    /// Returns once the peer has taken enough for a push, or is gone.
    pub(crate) async fn room(&self) {
        while self.is_congested() && !self.is_closed() {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            self.room_wanted.store(true, Ordering::SeqCst);
            // Looked at again behind the flag: either the driver has seen the flag, or this sees what it has written.
            if self.is_congested() && !self.is_closed() {
                room.await;
            }
        }
    }

    /// The driver has written; so much is left.
    fn written(&self, unwritten_bytes: usize) {
        self.unwritten_bytes.store(unwritten_bytes, Ordering::SeqCst);
        if self.room_wanted.load(Ordering::SeqCst) && !self.is_congested() {
            self.room_wanted.store(false, Ordering::SeqCst);
            self.room.notify_waiters();
        }
    }

    /// Whether the peer takes answers more slowly than it asks.
    pub(crate) fn is_congested(&self) -> bool {
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        queued + self.unwritten_bytes.load(Ordering::SeqCst) >= self.limits.outbox_size_bytes_max
    }

    /// Counts a request as being worked on, until the ticket is used or dropped.
    pub(crate) fn ticket(self: &Arc<Self>, request: &Command) -> ReplyTo {
        ReplyTo::new(Arc::clone(self), request)
    }

    /// Sends a command of our own. Refused, and dropped, when the peer is slow or gone: a push is never worth more
    /// memory than the bound.
    pub(crate) fn push(&self, command: Command) -> bool {
        if self.is_congested() {
            return false;
        }
        self.enqueue(Outgoing::Command(command), || ())
    }

    /// Stops reading and lets the driver end once everything is answered and written.
    pub(crate) fn drain(&self) {
        self.order(|outbox| outbox.draining = true);
    }

    /// Ends the driver at once.
    pub(crate) fn kill(&self) {
        self.order(|outbox| outbox.kill = true);
    }

    fn order(&self, change: impl FnOnce(&mut Outbox)) {
        let waker = {
            let mut outbox = self.outbox.lock();
            change(&mut outbox);
            outbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands an answer to the driver; false if it has ended. `finished` runs in the same step: a driver that sees no
    /// request in flight has also seen every answer.
    fn enqueue(&self, outgoing: Outgoing, finished: impl FnOnce()) -> bool {
        let waker = {
            let mut outbox = self.outbox.lock();
            finished();
            if outbox.closed {
                return false;
            }
            // Changed under the lock only; read without it, as a hint.
            self.queued_bytes
                .fetch_add(outgoing.size_bytes(), Ordering::Relaxed);
            outbox.queue.push(outgoing);
            outbox.waker.take()
        };
        // Outside of the lock: the driver may run at once, on another thread, and wants it.
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// A request is finished without an answer.
    fn release(&self) {
        let waker = {
            let mut outbox = self.outbox.lock();
            if outbox.starved || outbox.draining {
                outbox.waker.take()
            } else {
                None
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves everything that waits into `batch`, and takes the waker away: a running driver needs none.
    fn take(&self, batch: &mut Vec<Outgoing>) -> Orders {
        let mut outbox = self.outbox.lock();
        debug_assert!(batch.is_empty(), "the driver has written the batch before");
        std::mem::swap(&mut outbox.queue, batch);
        // What was queued counts as unwritten until the driver knows what it comes to.
        let queued = self.queued_bytes.swap(0, Ordering::Relaxed);
        self.unwritten_bytes.fetch_add(queued, Ordering::Relaxed);
        outbox.waker = None;
        outbox.starved = false;
        Orders {
            draining: outbox.draining,
            done: outbox.draining && self.is_quiet(),
            kill: outbox.kill,
        }
    }

    /// Leaves a waker for whoever pushes next. False if something has happened since the driver looked, and it must
    /// look again. `starved` says that it sleeps because too much is in flight.
    fn park(&self, waker: &Waker, starved: bool, seen: Orders) -> bool {
        let mut outbox = self.outbox.lock();
        let done = outbox.draining && self.is_quiet();
        let ordered = outbox.kill || outbox.draining != seen.draining || done != seen.done;
        if !outbox.queue.is_empty() || ordered || (starved && self.may_dispatch()) {
            return false;
        }
        outbox.waker = Some(waker.clone());
        outbox.starved = starved;
        true
    }

    fn may_dispatch(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) < self.limits.in_flight_max
            && self.in_flight_bytes.load(Ordering::Acquire) < self.limits.in_flight_size_bytes_max
    }

    fn is_quiet(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    fn close(&self) {
        let dropped = {
            let mut outbox = self.outbox.lock();
            outbox.closed = true;
            self.queued_bytes.store(0, Ordering::Relaxed);
            outbox.waker = None;
            std::mem::take(&mut outbox.queue)
        };
        self.gone.notify_waiters();
        self.room.notify_waiters();
        self.asked.close();
        drop(dropped);
    }
}

#[cfg(test)]
mod tests;
