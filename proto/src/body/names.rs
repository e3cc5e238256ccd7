//! Enumerations of the consumer protocol.

use super::object::json_names;

json_names! {
    /// How a consumer gets its messages.
    pub enum ConsumeType {
        /// The application pulls.
        Actively = "CONSUME_ACTIVELY",
        /// The client pulls and pushes to the application.
        Passively = "CONSUME_PASSIVELY",
        /// The broker hands out and takes acknowledgements.
        Pop = "CONSUME_POP",
    }
}

json_names! {
    /// Who of a group gets a message.
    pub enum MessageModel {
        /// One member.
        Clustering = "CLUSTERING",
        /// Every member.
        Broadcasting = "BROADCASTING",
    }
}

json_names! {
    /// Where a group without an offset starts.
    pub enum ConsumeFromWhere {
        /// At the end.
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// At the beginning.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a time that the client knows.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
        /// An old way to say the end.
        LastOffsetAndFromMinWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// An old way to say the beginning.
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// An old way to say the end.
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
    }
}
