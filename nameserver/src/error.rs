//! What can be refused, one enum per operation.

use thiserror::Error;

/// Why a broker was not taken into the table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A broker that is not known yet sent exactly one topic, which is what an incremental registration looks like.
    /// Taking it would publish a broker with one topic of many.
    #[error("register broker failed: {broker_name} ({address}) is not registered and sent a single topic")]
    IncrementalUnknown {
        /// The broker's name.
        broker_name: String,
        /// The address it gave.
        address: String,
    },
    /// A name or address was empty.
    #[error("register broker failed: {field} is empty")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// One of the tables is full.
    #[error("register broker failed: more than {max} {what}")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

/// Why a key-value entry was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KvError {
    /// The configuration is full.
    #[error("more than {max} key-value entries")]
    Full {
        /// The bound.
        max: usize,
    },
    /// A namespace, key or value is too long.
    #[error("{field} is {size_bytes} bytes long, more than {max}")]
    TooLong {
        /// Which part.
        field: &'static str,
        /// Its length.
        size_bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// Why a setting was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The key cannot be changed from outside.
    #[error("can not update config in black list: {key}")]
    Forbidden {
        /// The key.
        key: String,
    },
    /// The value is neither `true` nor `false`.
    #[error("{key} must be true or false, not {value:?}")]
    NotABool {
        /// The key.
        key: String,
        /// The value that was given.
        value: String,
    },
}

/// A list that the options switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("disable")]
pub struct DisabledError;
