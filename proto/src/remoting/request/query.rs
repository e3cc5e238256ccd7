//! Finding messages.

use crate::remoting::fields::header_fields;

header_fields! {
    /// QUERY_MESSAGE (12).
    pub struct QueryMessageHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// A key, or a unique key if the next to last field says so.
        key: &'a str => "key",
        /// Most messages wanted.
        max_num: i32 => "maxNum",
        /// Not stored before this, in milliseconds.
        begin_timestamp_ms: i64 => "beginTimestamp",
        /// Not stored after this, in milliseconds.
        end_timestamp_ms: i64 => "endTimestamp",
        /// Whether the key is a unique key.
        unique_key: bool => "_UNIQUE_KEY_QUERY" or false,
        /// What kind of index to search.
        index_type: Option<&'a str> => "indexType",
    }
}

header_fields! {
    /// VIEW_MESSAGE_BY_ID (33).
    pub struct ViewMessageHeader<'a> {
        /// The topic.
        topic: Option<&'a str> => "topic",
        /// Position of the message in the commit log.
        position: i64 => "offset",
    }
}
