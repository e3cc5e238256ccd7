//! The right to answer one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use kourou_proto::remoting::header::FLAG_RESPONSE;
use kourou_proto::{Command, HeaderCodec, Language, ResponseCode};

use super::{Connection, Outgoing};

/// How an answer has to look to be recognised: same codec, same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyHead {
    pub(crate) codec: HeaderCodec,
    pub(crate) opaque: i32,
}

impl ReplyHead {
    /// Makes `answer` what [`ReplyHead::command`] gives, in the memory that it has.
    pub(crate) fn write(self, code: ResponseCode, answer: &mut Command) {
        answer.codec = self.codec;
        answer.header.clear(code.value(), self.opaque, FLAG_RESPONSE);
        answer.header.language = Language::Java;
        answer.body = Bytes::new();
    }

    /// An answer without fields, remark and body.
    ///
    /// Its language is Java: clients older than a language read its name as null, and Java is known to all.
    pub(crate) fn command(self, code: ResponseCode) -> Command {
        let mut answer = Command::default();
        self.write(code, &mut answer);
        answer
    }
}

/// A ticket for one answer. While it lives its request counts as being worked on; dropped unused it gives that back
/// without an answer, which is how oneway requests end.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    connection: Arc<Connection>,
    head: ReplyHead,
    oneway: bool,
    credit: Credit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credit {
    InFlight { body_bytes: usize },
    Held,
    Spent,
}

impl ReplyTo {
    pub(super) fn new(connection: Arc<Connection>, request: &Command) -> Self {
        let body_bytes = request.body.len();
        connection.in_flight.fetch_add(1, Ordering::AcqRel);
        connection.in_flight_bytes.fetch_add(body_bytes, Ordering::AcqRel);
        Self {
            connection,
            head: ReplyHead {
                codec: request.codec,
                opaque: request.opaque(),
            },
            oneway: request.is_oneway(),
            credit: Credit::InFlight { body_bytes },
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// An answer without fields, remark and body.
    pub(crate) fn command(&self, code: ResponseCode) -> Command {
        self.head.command(code)
    }

    pub(crate) fn head(&self) -> ReplyHead {
        self.head
    }

    /// Answers. A oneway request is finished without an answer.
    pub(crate) fn send(self, command: Command) {
        self.finish(|| Outgoing::Command(command));
    }

    /// Answers with stored records.
    pub(crate) fn send_records(self, head: Command, slices: Vec<Bytes>) {
        self.finish(|| Outgoing::records(head, slices));
    }

    /// Answers with what `outgoing` makes, if anybody waits for it.
    pub(crate) fn finish(mut self, outgoing: impl FnOnce() -> Outgoing) {
        if self.oneway {
            return;
        }
        let credit = std::mem::replace(&mut self.credit, Credit::Spent);
        self.connection
            .enqueue(outgoing(), || give_back(&self.connection, credit));
    }

    /// Turns the request into one that waits: it no longer counts as being worked on. False if too many wait.
    pub(crate) fn hold(&mut self) -> bool {
        if self.credit == Credit::Held {
            return true;
        }
        let held = self.connection.held.fetch_add(1, Ordering::AcqRel);
        if held >= self.connection.limits.held_max {
            self.connection.held.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        give_back(
            &self.connection,
            std::mem::replace(&mut self.credit, Credit::Held),
        );
        self.connection.release();
        true
    }
}

fn give_back(connection: &Connection, credit: Credit) {
    match credit {
        Credit::InFlight { body_bytes } => {
            connection.in_flight.fetch_sub(1, Ordering::AcqRel);
            connection.in_flight_bytes.fetch_sub(body_bytes, Ordering::AcqRel);
        }
        Credit::Held => {
            connection.held.fetch_sub(1, Ordering::AcqRel);
        }
        Credit::Spent => {}
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.credit != Credit::Spent {
            give_back(&self.connection, self.credit);
            self.connection.release();
        }
    }
}
