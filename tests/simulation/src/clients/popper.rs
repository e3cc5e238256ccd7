//! Consumes by pop: each message is its own for a time, and is acknowledged, given another time, or left to come again.

use std::collections::BTreeMap;

use kourou_broker::delivery::{Handle, PopRequest, PopStart};
use kourou_broker::receive::InlineSubscription;

use super::{Client, Context, PATIENCE_MS};
use crate::ledger::Ledger;
use crate::wire::{Reply, Request, RequestId};

const POP: u32 = 0;
/// From here on, an acknowledgement of what is kept under the number above this.
const ACK: u32 = 16;
const HOLD_MS: i64 = 10_000;
const INVISIBLE_MS_DRAINING: i64 = 20_000;

#[derive(Debug)]
enum Asked {
    Pop(PopRequest),
    Ack(Vec<Handle>, u32),
    Change,
}

/// A member of a group that pops.
#[derive(Debug)]
pub(super) struct Popper {
    group: &'static str,
    topic: &'static str,
    in_order: bool,
    asked: BTreeMap<RequestId, Asked>,
    kept: BTreeMap<u32, (Vec<Handle>, u32)>,
    next: u32,
    attempts: u32,
}

impl Popper {
    /// A member of `group`, which pops `topic`.
    pub(super) fn new(group: &'static str, topic: &'static str, in_order: bool) -> Self {
        Self {
            group,
            topic,
            in_order,
            asked: BTreeMap::new(),
            kept: BTreeMap::new(),
            next: 0,
            attempts: 0,
        }
    }

    fn pop(&mut self, context: &mut Context<'_>) {
        let invisible_ms = if context.is_draining() {
            INVISIBLE_MS_DRAINING
        } else {
            *context.random.pick(&[1, 700, 4_000, 15_000])
        };
        self.attempts += 1;
        let attempt_id = if self.in_order {
            format!("{}-{}", context.me(), self.attempts)
        } else {
            String::new()
        };
        let pop = PopRequest {
            group: self.group.into(),
            topic: self.topic.into(),
            queue_id: -1,
            messages_max: context.random.between(1, 8) as i32,
            invisible_ms,
            start: PopStart::Min,
            subscription: InlineSubscription::default(),
            ordered: self.in_order,
            attempt_id: attempt_id.as_str().into(),
        };
        self.ask_pop(pop, context);
    }

    fn ask_pop(&mut self, pop: PopRequest, context: &mut Context<'_>) {
        let request = Request::Pop {
            pop: pop.clone(),
            hold_ms: HOLD_MS,
        };
        let id = context.ask(request, HOLD_MS + PATIENCE_MS);
        self.asked.insert(id, Asked::Pop(pop));
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
        context.remind(after_ms, ACK + number);
    }

    fn popped(&mut self, handles: Vec<Handle>, context: &mut Context<'_>) {
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
                    let id = context.ask(Request::Change { handle, invisible_ms }, PATIENCE_MS);
                    self.asked.insert(id, Asked::Change);
                }
                2 => {
                    let after_ms = context.random.between(0, 6_000);
                    self.keep(vec![handle], 0, after_ms, context);
                }
                3..=5 => together.push(handle),
                _ => self.ack(vec![handle], 0, context),
            }
        }
        if !together.is_empty() {
            self.ack(together, 0, context);
        }
    }
}

impl Client for Popper {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.asked.clear();
        self.kept.clear();
        context.remind(5, POP);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == POP {
            return self.pop(context);
        }
        if let Some((handles, tries)) = self.kept.remove(&(what - ACK)) {
            self.ack(handles, tries, context);
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        match (self.asked.remove(&id), reply) {
            (Some(Asked::Pop(pop)), Reply::Popped(popped)) => {
                let handles: Vec<Handle> = popped.handles(&pop.group).collect();
                self.popped(handles, context);
                let after_ms = context.random.between(0, 400);
                context.remind(after_ms, POP);
            }
            (Some(Asked::Pop(pop)), Reply::Lost) if self.in_order => self.ask_pop(pop, context),
            (Some(Asked::Pop(_)), _) => {
                let after_ms = context.random.between(50, 1_500);
                context.remind(after_ms, POP);
            }
            // Once or twice more; else it comes again.
            (Some(Asked::Ack(handles, tries)), Reply::Lost | Reply::Refused { .. }) if tries < 2 => {
                let after_ms = context.random.between(1, 1_000);
                self.keep(handles, tries + 1, after_ms, context);
            }
            _ => {}
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.kept.is_empty()
    }
}
