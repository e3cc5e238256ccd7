//! Transactions.

use crate::remoting::fields::header_fields;

/// Values of [`EndTransactionHeader::commit_or_rollback`].
pub mod transaction_end {
    /// The producer does not know yet.
    pub const UNKNOWN: i32 = 0;
    /// The message becomes visible.
    pub const COMMIT: i32 = 8;
    /// It never does.
    pub const ROLLBACK: i32 = 12;
}

header_fields! {
    /// END_TRANSACTION (37).
    pub struct EndTransactionHeader<'a> {
        /// The message's topic.
        topic: Option<&'a str> => "topic",
        /// The producer's group.
        producer_group: &'a str => "producerGroup",
        /// Queue offset of the half message, as its sender was told.
        queue_offset: i64 => "tranStateTableOffset",
        /// Position of the half message in the commit log.
        position: i64 => "commitLogOffset",
        /// See [`transaction_end`].
        commit_or_rollback: i32 => "commitOrRollback",
        /// Whether the broker asked for it.
        from_transaction_check: bool => "fromTransactionCheck" or false,
        /// The half message's id.
        msg_id: Option<&'a str> => "msgId",
        /// The message's unique key.
        transaction_id: Option<&'a str> => "transactionId",
    }
}

header_fields! {
    /// CHECK_TRANSACTION_STATE (39), to the producer.
    pub struct CheckTransactionStateHeader<'a> {
        /// The message's topic.
        topic: Option<&'a str> => "topic",
        /// Queue offset of the half message.
        queue_offset: i64 => "tranStateTableOffset",
        /// Position of the half message in the commit log.
        position: i64 => "commitLogOffset",
        /// The message's unique key.
        msg_id: Option<&'a str> => "msgId",
        /// The message's unique key.
        transaction_id: Option<&'a str> => "transactionId",
        /// The half message's id.
        offset_msg_id: Option<&'a str> => "offsetMsgId",
        /// The broker's name.
        broker_name: Option<&'a str> => "bname",
    }
}
