//! Waiting for one append, by blocking or by polling.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::error::AppendError;
use crate::log::pending::Appended;

type Outcome = Result<Appended, AppendError>;

/// The side that waits.
#[derive(Debug)]
pub(super) struct Completion {
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Completion {
    pub(super) fn new() -> Self {
        Self { slot: Arc::default() }
    }

    /// The side that tells.
    pub(super) fn sender(&self) -> impl FnOnce(Outcome) + Send + 'static {
        let slot = Arc::clone(&self.slot);
        move |outcome| {
            let waker = {
                let mut state = slot.state.lock();
                state.outcome = Some(outcome);
                state.waker.take()
            };
            slot.done.notify_one();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn wait(self) -> Outcome {
        let mut state = self.slot.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            self.slot.done.wait(&mut state);
        }
    }
}

impl Future for Completion {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.slot.state.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
