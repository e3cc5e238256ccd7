//! Consumer groups: what is configured for them. Who is connected for them is in [`crate::client`].

mod change;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_engine::AppendError;
use thiserror::Error;

pub(crate) use table::GroupTable;

use crate::code;
use crate::name::NameError;
use crate::state::{Fields, Writer};
use crate::topic::AttributeError;

/// What is configured for one consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// The group's name.
    pub name: Arc<str>,
    /// Whether it may consume at all.
    pub consume_enable: bool,
    /// Whether it may start from the first message.
    pub consume_from_min_enable: bool,
    /// Whether it may consume by broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether it consumes in order.
    pub consume_message_orderly: bool,
    /// Queues of its retry topic; with 0 a message that is sent back is dropped.
    pub retry_queues: i32,
    /// How often a message is tried again before it is a dead letter.
    pub retry_times_max: i32,
    /// Broker to pull from.
    pub broker_id: i64,
    /// Broker to pull from when far behind.
    pub which_broker_when_consume_slowly: i64,
    /// Whether its members are told when membership changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Bits that clients define.
    pub sys_flag: i32,
    /// Minutes after which a message counts as not consumed.
    pub consume_timeout_minutes: i32,
    /// Further settings, by name.
    pub attributes: BTreeMap<String, String>,
}

impl GroupConfig {
    /// A group with the defaults.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            consume_enable: true,
            consume_from_min_enable: true,
            consume_broadcast_enable: true,
            consume_message_orderly: false,
            retry_queues: 1,
            retry_times_max: 16,
            broker_id: 0,
            which_broker_when_consume_slowly: 1,
            notify_consumer_ids_changed_enable: true,
            sys_flag: 0,
            consume_timeout_minutes: 15,
            attributes: BTreeMap::new(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.text(&self.name);
        out.bool(self.consume_enable);
        out.bool(self.consume_from_min_enable);
        out.bool(self.consume_broadcast_enable);
        out.bool(self.consume_message_orderly);
        out.i32(self.retry_queues);
        out.i32(self.retry_times_max);
        out.i64(self.broker_id);
        out.i64(self.which_broker_when_consume_slowly);
        out.bool(self.notify_consumer_ids_changed_enable);
        out.i32(self.sys_flag);
        out.i32(self.consume_timeout_minutes);
        out.pairs(&self.attributes);
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            name: fields.text()?.into(),
            consume_enable: fields.bool()?,
            consume_from_min_enable: fields.bool()?,
            consume_broadcast_enable: fields.bool()?,
            consume_message_orderly: fields.bool()?,
            retry_queues: fields.i32()?,
            retry_times_max: fields.i32()?,
            broker_id: fields.i64()?,
            which_broker_when_consume_slowly: fields.i64()?,
            notify_consumer_ids_changed_enable: fields.bool()?,
            sys_flag: fields.i32()?,
            consume_timeout_minutes: fields.i32()?,
            attributes: fields.pairs()?,
        })
    }
}

/// Why a change of a group was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The name is not a group's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An attribute cannot be set so.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// There are as many groups as there may be.
    #[error("the broker has {max_groups} consumer groups, no more are allowed")]
    TooManyGroups {
        /// The limit.
        max_groups: usize,
    },
    /// There is no such group.
    #[error("No group in this broker. group: {group}")]
    NotFound {
        /// The group.
        group: String,
    },
    /// The change could not be stored.
    #[error("{}", crate::send::append_remark(.0))]
    Store(AppendError),
}

impl GroupError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::Name(_) | Self::Attribute(_) => code::INVALID_PARAMETER,
            Self::TooManyGroups { .. } => code::SYSTEM_ERROR,
            Self::NotFound { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::Store(source) => crate::send::append_code(source),
        }
    }
}
