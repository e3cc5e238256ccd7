//! Questions of ours that wait for the peer's answer. Theirs and ours are numbered apart; the response bit tells which is which.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use kourou_broker::client::{Answer, AnswerDone, AskError};
use kourou_proto::Command;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Connection, Outgoing};

/// Numbers of our own requests, one sequence for all connections.
static NEXT_OPAQUE: AtomicI32 = AtomicI32::new(0);

/// A number for a request of ours.
pub(crate) fn next_opaque() -> i32 {
    NEXT_OPAQUE.fetch_add(1, Ordering::Relaxed)
}

/// What one connection's peer has been asked. Most are never asked anything.
#[derive(Default)]
pub(super) struct Asked {
    #[expect(
        clippy::box_collection,
        reason = "a word instead of six for all who are asked nothing"
    )]
    questions: Mutex<Option<Box<HashMap<i32, Question>>>>,
    /// Whether there is a question, to be seen without the lock. Set before the question is handed to the driver.
    any: AtomicBool,
}

struct Question {
    deadline: Instant,
    patience: Duration,
    done: AnswerDone,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("open", &self.open()).finish()
    }
}

impl Asked {
    fn open(&self) -> usize {
        self.questions
            .lock()
            .as_ref()
            .map_or(0, |questions| questions.len())
    }

    /// Remembers a question; gives it back if so many are open.
    fn add(&self, opaque: i32, question: Question, open_max: usize) -> Result<(), Question> {
        let mut questions = self.questions.lock();
        let questions = questions.get_or_insert_default();
        if questions.len() >= open_max {
            return Err(question);
        }
        questions.insert(opaque, question);
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    fn remove(&self, opaque: i32) -> Option<Question> {
        let mut questions = self.questions.lock();
        let question = questions.as_mut()?.remove(&opaque);
        if questions.as_ref().is_some_and(|left| left.is_empty()) {
            *questions = None;
            self.any.store(false, Ordering::Release);
        }
        question
    }

    /// When the first of them is given up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let questions = self.questions.lock();
        questions
            .as_ref()?
            .values()
            .map(|question| question.deadline)
            .min()
    }

    /// Gives up those that have waited for long enough.
    pub(super) fn expire(&self, now: Instant) {
        let expired: Vec<i32> = match self.questions.lock().as_ref() {
            Some(questions) => questions
                .iter()
                .filter(|(_, question)| question.deadline <= now)
                .map(|(opaque, _)| *opaque)
                .collect(),
            None => return,
        };
        for question in expired.into_iter().filter_map(|opaque| self.remove(opaque)) {
            let patience = question.patience;
            (question.done)(Err(AskError::Timeout { patience }));
        }
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        let questions = self.questions.lock().take();
        for question in questions
            .into_iter()
            .flat_map(|questions| questions.into_values())
        {
            (question.done)(Err(AskError::Gone));
        }
    }
}

impl Connection {
    /// Sends a request of ours and has `done` called with the answer, or with why there is none: on the connection's task, or
    /// before this returns if it cannot be sent.
    pub(crate) fn ask(&self, mut request: Command, patience: Duration, done: AnswerDone) {
        let opaque = next_opaque();
        request.header.opaque = opaque;
        let question = Question {
            deadline: Instant::now() + patience,
            patience,
            done,
        };
        let open_max = self.limits.questions_max;
        if let Err(refused) = self.asked.add(opaque, question, open_max) {
            return (refused.done)(Err(AskError::Busy { open: open_max }));
        }
        let is_congested = self.is_congested();
        if !is_congested && self.enqueue(Outgoing::Command(request), || ()) {
            return;
        }
        // If the connection's end came first, it has told of it.
        if let Some(unsent) = self.asked.remove(opaque) {
            let open = self.asked.open();
            (unsent.done)(Err(if is_congested {
                AskError::Busy { open }
            } else {
                AskError::Gone
            }));
        }
    }

    /// Gives an answer of the peer's to whoever asked. False if nobody did, or no longer waits.
    pub(crate) fn answered(&self, answer: &Command) -> bool {
        let Some(question) = self.asked.remove(answer.opaque()) else {
            return false;
        };
        let fields = answer.header.fields.iter();
        (question.done)(Ok(Answer {
            code: answer.header.code,
            remark: answer.header.remark.as_deref().map(str::to_owned),
            fields: fields
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            body: answer.body.clone(),
        }));
        true
    }
}
