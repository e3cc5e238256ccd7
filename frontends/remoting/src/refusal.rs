//! Why a request was not done, as the wire says it.

use std::fmt::Display;

use kourou_proto::json::JsonError;
use kourou_proto::{Command, FieldError, ResponseCode};

use crate::connection::ReplyTo;

/// An answer other than success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseCode,
    pub(crate) remark: String,
}

impl Refusal {
    pub(crate) fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self {
            code,
            remark: remark.into(),
        }
    }

    /// For errors that know their number.
    pub(crate) fn of(code: i32, error: &impl Display) -> Self {
        Self::new(ResponseCode::new(code), error.to_string())
    }

    pub(crate) fn send(self, reply: ReplyTo) {
        let answer = reply.command(self.code).with_remark(self.remark);
        reply.send(answer);
    }
}

/// A missing or unreadable header field is a system error upstream, and no client expects otherwise.
impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::new(
            ResponseCode::SYSTEM_ERROR,
            format!("the body cannot be read: {error}"),
        )
    }
}

/// Sends what was made of a request.
pub(crate) fn answer(reply: ReplyTo, made: Result<Command, Refusal>) {
    match made {
        Ok(command) => reply.send(command),
        Err(refusal) => refusal.send(reply),
    }
}

/// What upstream says to a code that nobody handles. Clients and tools look for it.
pub(crate) fn not_supported(code: i32) -> Refusal {
    Refusal::new(
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        format!(" request type {code} not supported"),
    )
}
