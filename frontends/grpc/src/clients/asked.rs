//! Questions to a client, by its newest Telemetry stream, and their answers by any of them. What administrators ask of consumers of the
//! remoting protocol is asked here in this protocol's words, and the answer is put into theirs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kourou_broker::client::{Answer, AnswerDone, AskError, Question, QuestionKind};
use kourou_broker::code;

use super::GrpcClient;
use crate::message::delivered;
use crate::wire::v2::{
    Code, PrintThreadStackTraceCommand, Status, VerifyMessageCommand, telemetry_command::Command,
};

/// What a client has been asked and has not answered, by the nonce that its answer will have.
#[derive(Default)]
pub(super) struct Asked {
    open: HashMap<String, Open>,
    last_nonce: u64,
}

struct Open {
    kind: QuestionKind,
    begun: Instant,
    done: AnswerDone,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl Asked {
    /// Remembers a question, under a nonce of its own; gives it back if so many are open.
    fn add(&mut self, kind: QuestionKind, done: AnswerDone, open_max: usize) -> Result<String, AnswerDone> {
        if self.open.len() >= open_max {
            return Err(done);
        }
        self.last_nonce += 1;
        let nonce = self.last_nonce.to_string();
        let open = Open {
            kind,
            begun: Instant::now(),
            done,
        };
        self.open.insert(nonce.clone(), open);
        Ok(nonce)
    }

    /// All that is open: nobody will answer it.
    pub(super) fn take(&mut self) -> Vec<AnswerDone> {
        self.open.drain().map(|(_, open)| open.done).collect()
    }
}

impl GrpcClient {
    /// Asks the client and has `done` called with its answer, or with why there is none.
    pub(super) fn put(self: &std::sync::Arc<Self>, question: Question, done: AnswerDone) {
        let Question {
            kind, body, patience, ..
        } = question;
        let message = match kind {
            QuestionKind::RunningInfo => None,
            QuestionKind::ConsumeDirectly => match delivered(&body) {
                Ok(message) => Some(message),
                Err(error) => {
                    tracing::error!(%error, "a stored message cannot be shown to the consumer that shall consume it");
                    return done(Err(AskError::NotSupported));
                }
            },
            _ => return done(Err(AskError::NotSupported)),
        };
        let open_max = self.limits().questions_max;
        let nonce = match self.asked().add(kind, done, open_max) {
            Ok(nonce) => nonce,
            Err(done) => return done(Err(AskError::Busy { open: open_max })),
        };
        let command = match message {
            None => {
                Command::PrintThreadStackTraceCommand(PrintThreadStackTraceCommand { nonce: nonce.clone() })
            }
            message => Command::VerifyMessageCommand(VerifyMessageCommand {
                nonce: nonce.clone(),
                message,
            }),
        };
        if !self.push(command) {
            return self.give_up(&nonce, AskError::Gone);
        }
        let client = std::sync::Arc::clone(self);
        self.runtime().spawn(async move {
            tokio::time::sleep(patience).await;
            client.give_up(&nonce, AskError::Timeout { patience });
        });
    }

    fn give_up(&self, nonce: &str, why: AskError) {
        let open = self.asked().open.remove(nonce);
        if let Some(open) = open {
            (open.done)(Err(why));
        }
    }

    /// Gives an answer of the client's to whoever asked. False if nobody did, or no longer waits.
    pub(super) fn answered(&self, nonce: &str, status: Option<&Status>, threads: Option<&str>) -> bool {
        let open = self.asked().open.remove(nonce);
        let Some(open) = open else { return false };
        let status = status.cloned().unwrap_or_default();
        let is_ok = matches!(status.code(), Code::Ok | Code::Unspecified);
        let body = match open.kind {
            QuestionKind::RunningInfo if is_ok => running_info(threads.unwrap_or_default()),
            QuestionKind::RunningInfo => Bytes::new(),
            _ => consumed(&status, open.begun.elapsed()),
        };
        let is_refused = body.is_empty();
        (open.done)(Ok(Answer {
            code: if is_refused {
                code::SYSTEM_ERROR
            } else {
                code::SUCCESS
            },
            remark: is_refused.then_some(status.message),
            fields: Vec::new(),
            body,
        }));
        true
    }
}

/// What a consumer of this protocol tells of what it is doing: its threads.
fn running_info(threads: &str) -> Bytes {
    let body = serde_json::json!({
        "jstack": threads,
        "mqPopTable": {},
        "mqTable": {},
        "properties": {},
        "statusTable": {},
        "subscriptionSet": [],
    });
    body.to_string().into()
}

/// How it went to consume a message at once.
fn consumed(status: &Status, time: Duration) -> Bytes {
    let result = match status.code() {
        Code::Ok => "CR_SUCCESS",
        Code::FailedToConsumeMessage => "CR_LATER",
        Code::MessageCorrupted => "CR_RETURN_NULL",
        _ => "CR_THROW_EXCEPTION",
    };
    let body = serde_json::json!({
        "autoCommit": true,
        "consumeResult": result,
        "order": false,
        "remark": status.message,
        "spentTimeMills": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    });
    body.to_string().into()
}
