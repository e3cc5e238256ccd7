//! One queue, as its clients saw it: what each was told between asking and hearing must be what a queue could have answered
//! that handles one request after the other. Checked by somebody else's checker, Wing and Gong's algorithm.

use std::collections::BTreeMap;

use kourou_broker::receive::PullPlace;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use crate::ledger::{Ledger, MessageId};
use crate::wire::{Reply, Request, RequestId};

/// The queue that is watched.
pub(crate) const TOPIC: &str = "orders";
const QUEUE_ID: i32 = 0;
/// More operations would take the checker too long: such a history is not checked.
const OPERATIONS_MAX: usize = 600;
/// An offset that no queue has.
const NEVER: u64 = u64::MAX;

/// What a client does to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A message is appended, and gets this offset.
    Append {
        /// The message.
        message: MessageId,
        /// Where it went.
        offset: u64,
    },
    /// This message is found at this offset.
    Read {
        /// The message.
        message: MessageId,
        /// Where.
        offset: u64,
    },
    /// The queue ends at this offset.
    End {
        /// One past the last message.
        offset: u64,
    },
}

/// A queue: messages by offset.
#[derive(Debug)]
struct Queue;

impl Specification for Queue {
    type State = Vec<MessageId>;
    type Operation = Operation;

    fn init() -> Self::State {
        Vec::new()
    }

    fn apply(operation: &Operation, state: &Self::State) -> (bool, Self::State) {
        let holds = |message: MessageId, offset: u64| {
            usize::try_from(offset).is_ok_and(|at| state.get(at) == Some(&message))
        };
        match *operation {
            // One that is tried again is there already.
            Operation::Append { message, offset } if holds(message, offset) => (true, state.clone()),
            Operation::Append { message, offset } => {
                let mut after = state.clone();
                after.push(message);
                (offset == state.len() as u64, after)
            }
            Operation::Read { message, offset } => (holds(message, offset), state.clone()),
            Operation::End { offset } => (offset == state.len() as u64, state.clone()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Calls(usize),
    Answers(usize),
}

/// What clients of the queue did.
#[derive(Debug, Default)]
pub struct Linear {
    steps: Vec<Step>,
    operations: Vec<Operation>,
    /// What a request came to, by its number.
    open: BTreeMap<RequestId, Vec<usize>>,
    sends: BTreeMap<RequestId, MessageId>,
    pulls: BTreeMap<RequestId, usize>,
}

impl Linear {
    /// A client asks for something.
    pub fn asked(&mut self, id: RequestId, request: &Request, ledger: &Ledger) {
        match request {
            Request::Send(message) => {
                let content = &ledger.message(*message).content;
                let is_plain = !content.kind.waits();
                // Below 0 the broker chooses; it may choose this one.
                if content.topic != TOPIC || content.queue_id > QUEUE_ID || !is_plain {
                    return;
                }
                let operation = self.begin(Operation::Append {
                    message: *message,
                    offset: NEVER,
                });
                self.open.insert(id, vec![operation]);
                self.sends.insert(id, *message);
            }
            Request::Pull { pull, .. } if &*pull.topic == TOPIC && pull.queue_id == QUEUE_ID => {
                self.pulls.insert(id, self.steps.len());
            }
            _ => {}
        }
    }

    fn begin(&mut self, operation: Operation) -> usize {
        let at = self.operations.len();
        self.operations.push(operation);
        self.steps.push(Step::Calls(at));
        at
    }

    /// A client hears an answer.
    pub fn answered(&mut self, id: RequestId, reply: &Reply) {
        if let Some(message) = self.sends.remove(&id) {
            let Reply::Sent(receipt) = reply else { return };
            if receipt.queue_id != QUEUE_ID as u32 {
                return;
            }
            for at in self.open.remove(&id).unwrap_or_default() {
                self.operations[at] = Operation::Append {
                    message,
                    offset: receipt.queue_offset,
                };
                self.steps.push(Step::Answers(at));
            }
            return;
        }
        let Some(asked_at) = self.pulls.remove(&id) else {
            return;
        };
        let operations = match reply {
            Reply::Pulled { records, .. } => records
                .iter()
                .filter_map(|record| {
                    let view = kourou_engine::record::RecordView::parse(record).ok()?;
                    Some(Operation::Read {
                        message: crate::message::id_of(view.body())?,
                        offset: view.queue_offset(),
                    })
                })
                .collect(),
            Reply::Nothing {
                place: PullPlace { max_offset, .. },
                ..
            } => vec![Operation::End { offset: *max_offset }],
            _ => Vec::new(),
        };
        for operation in operations {
            let at = self.operations.len();
            self.operations.push(operation);
            self.steps.insert(asked_at, Step::Calls(at));
            // Pulls that were asked for later have moved by one.
            for place in self.pulls.values_mut() {
                *place += usize::from(*place > asked_at);
            }
            self.steps.push(Step::Answers(at));
        }
    }

    /// Whether all of it could be; `None` if it is too much to tell. `finally` says where a message is in the end, for those whose
    /// senders heard nothing.
    pub fn check(&self, finally: impl Fn(MessageId) -> Option<u64>) -> Option<bool> {
        if self.operations.len() > OPERATIONS_MAX {
            return None;
        }
        let mut operations = self.operations.clone();
        let mut unheard = Vec::new();
        for (at, operation) in operations.iter_mut().enumerate() {
            if let Operation::Append { message, offset } = operation
                && *offset == NEVER
            {
                *offset = finally(*message).unwrap_or(NEVER);
                unheard.push(at);
            }
        }
        let happened = |at: &usize| !matches!(operations[*at], Operation::Append { offset: NEVER, .. });
        // Each operation is a process of its own: requests overlap as they please.
        let mut actions = Vec::new();
        for step in &self.steps {
            match *step {
                Step::Calls(at) if happened(&at) => actions.push((at, Action::Call(operations[at]))),
                Step::Answers(at) if happened(&at) => actions.push((at, Action::Response(operations[at]))),
                _ => {}
            }
        }
        // What nobody heard of may have happened at any time.
        for at in unheard.iter().filter(|at| happened(at)) {
            actions.push((*at, Action::Response(operations[*at])));
        }
        Some(actions.is_empty() || WGLChecker::<Queue>::is_linearizable(History::from_actions(actions)))
    }
}
