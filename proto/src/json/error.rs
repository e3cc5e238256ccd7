//! What can be wrong with a JSON document.

use thiserror::Error;

/// A JSON document that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("json: {kind} at byte {at}")]
pub struct JsonError {
    /// What was wrong.
    pub kind: JsonErrorKind,
    /// Byte position in the text.
    pub at: usize,
}

/// The ways in which a JSON document can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text ended inside a value.
    #[error("the text ends too early")]
    UnexpectedEnd,
    /// A byte that cannot stand there.
    #[error("unexpected byte {0:#04x}")]
    UnexpectedByte(u8),
    /// Text after the document.
    #[error("text after the end of the document")]
    TrailingText,
    /// A value of another type than the one wanted.
    #[error("expected {0}")]
    WrongType(&'static str),
    /// A number that does not fit the type wanted.
    #[error("number out of range")]
    NumberOutOfRange,
    /// A backslash followed by something that is no escape.
    #[error("bad escape in a string")]
    BadEscape,
    /// Nested deeper than allowed.
    #[error("nested deeper than {0}")]
    TooDeep(u32),
    /// More values than allowed.
    #[error("more than {0} values")]
    TooManyValues(u32),
    /// More arrays and objects than allowed.
    #[error("more than {0} arrays and objects")]
    TooManyContainers(u32),
}
