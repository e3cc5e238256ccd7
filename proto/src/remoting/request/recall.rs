//! Recalling messages.

use crate::remoting::fields::header_fields;

header_fields! {
    /// RECALL_MESSAGE (370).
    pub struct RecallMessageHeader<'a> {
        /// The producer's group.
        producer_group: Option<&'a str> => "producerGroup",
        /// The topic.
        topic: &'a str => "topic",
        /// What the answer to the send gave out.
        recall_handle: &'a str => "recallHandle",
    }
}
