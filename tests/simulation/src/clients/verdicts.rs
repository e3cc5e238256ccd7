//! What consumers say of messages that they are given one by one: done, not yet, in vain, or nothing.

use std::collections::BTreeMap;

use kourou_broker::delivery::Handle;

use super::{Context, PATIENCE_MS};
use crate::wire::{Reply, Request, RequestId};

/// From here on, something that was put off, under the number above this.
pub(super) const LATER: u32 = 16;

#[derive(Debug)]
enum Asked {
    Ack(Vec<Handle>, u32),
    Renew(Handle),
    Other,
}

/// What one consumer has been given and speaks of.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Whether it also gives up, asks for more time and puts off without having tried.
    is_choosy: bool,
    asked: BTreeMap<RequestId, Asked>,
    kept: BTreeMap<u32, (Vec<Handle>, u32)>,
    next: u32,
}

impl Verdicts {
    /// Those of a consumer that says more than done and not yet.
    pub(super) fn choosy() -> Self {
        Self {
            is_choosy: true,
            ..Self::default()
        }
    }

    /// It starts again, and knows nothing.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.kept.clear();
    }

    /// It was given these.
    pub(super) fn given(&mut self, handles: Vec<Handle>, context: &mut Context<'_>) {
        if context.is_draining() {
            if !handles.is_empty() {
                self.ack(handles, 0, context);
            }
            return;
        }
        let mut together = Vec::new();
        for handle in handles {
            match context.random.below(10) {
                0 => {} // It is forgotten.
                1 => {
                    let invisible_ms = *context.random.pick(&[0, 500, 8_000]);
                    let request = if self.is_choosy && context.random.once_in(2) {
                        Request::Suspend { handle, invisible_ms }
                    } else {
                        Request::Change { handle, invisible_ms }
                    };
                    let id = context.ask(request, PATIENCE_MS);
                    self.asked.insert(id, Asked::Other);
                }
                2 => {
                    let after_ms = context.random.between(0, 6_000);
                    self.keep(vec![handle], 0, after_ms, context);
                }
                3 if self.is_choosy => {
                    let id = context.ask(Request::Bury(handle), PATIENCE_MS);
                    self.asked.insert(id, Asked::Other);
                }
                4 if self.is_choosy => {
                    let invisible_ms = *context.random.pick(&[2_000, 20_000]);
                    let renew = Request::Renew {
                        handle: handle.clone(),
                        invisible_ms,
                    };
                    let id = context.ask(renew, PATIENCE_MS);
                    self.asked.insert(id, Asked::Renew(handle));
                }
                3..=5 => together.push(handle),
                _ => self.ack(vec![handle], 0, context),
            }
        }
        if !together.is_empty() {
            self.ack(together, 0, context);
        }
    }

    fn ack(&mut self, handles: Vec<Handle>, tries: u32, context: &mut Context<'_>) {
        let request = match handles.as_slice() {
            [one] => Request::Ack(one.clone()),
            _ => Request::AckAll(handles.clone()),
        };
        let id = context.ask(request, PATIENCE_MS);
        self.asked.insert(id, Asked::Ack(handles, tries));
    }

    fn keep(&mut self, handles: Vec<Handle>, tries: u32, after_ms: i64, context: &mut Context<'_>) {
        let number = self.next;
        self.next += 1;
        self.kept.insert(number, (handles, tries));
        context.remind(after_ms, LATER + number);
    }

    /// The time has come for what was put off under a number from [`LATER`] on.
    pub(super) fn reminded(&mut self, number: u32, context: &mut Context<'_>) {
        if let Some((handles, tries)) = self.kept.remove(&(number - LATER)) {
            self.ack(handles, tries, context);
        }
    }

    /// An answer, if it is one to a verdict.
    pub(super) fn answered(&mut self, id: RequestId, reply: &Reply, context: &mut Context<'_>) {
        match (self.asked.remove(&id), reply) {
            // Once or twice more; else it comes again.
            (Some(Asked::Ack(handles, tries)), Reply::Lost | Reply::Refused { .. }) if tries < 2 => {
                let after_ms = context.random.between(1, 1_000);
                self.keep(handles, tries + 1, after_ms, context);
            }
            // The handle is as good as it was.
            (Some(Asked::Renew(handle)), _) => {
                let after_ms = context.random.between(1, 4_000);
                self.keep(vec![handle], 0, after_ms, context);
            }
            _ => {}
        }
    }

    /// Whether nothing was put off.
    pub(super) fn has_finished(&self) -> bool {
        self.kept.is_empty()
    }
}
