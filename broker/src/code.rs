//! Response codes of the protocol family. Every frontend maps the broker's errors through these numbers, so they stand here
//! rather than in one frontend.

/// Done.
pub const SUCCESS: i32 = 0;
/// Anything that has no code of its own.
pub const SYSTEM_ERROR: i32 = 1;
/// Try again later.
pub const SYSTEM_BUSY: i32 = 2;
/// The message can never be stored.
pub const MESSAGE_ILLEGAL: i32 = 13;
/// The store takes no writes.
pub const SERVICE_NOT_AVAILABLE: i32 = 14;
/// Not allowed.
pub const NO_PERMISSION: i32 = 16;
/// There is no such topic.
pub const TOPIC_NOT_EXIST: i32 = 17;
/// Nothing at that offset yet.
pub const PULL_NOT_FOUND: i32 = 19;
/// Nothing that matches, but the offset has moved: pull again at once.
pub const PULL_RETRY_IMMEDIATELY: i32 = 20;
/// The offset is outside the queue.
pub const PULL_OFFSET_MOVED: i32 = 21;
/// There is no such offset, key or message.
pub const QUERY_NOT_FOUND: i32 = 22;
/// The filter expression does not parse.
pub const SUBSCRIPTION_PARSE_FAILED: i32 = 23;
/// The broker knows no subscription of the group to the topic.
pub const SUBSCRIPTION_NOT_EXIST: i32 = 24;
/// The broker's subscription is older than the consumer's.
pub const SUBSCRIPTION_NOT_LATEST: i32 = 25;
/// There is no such group.
pub const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
/// The group's filter on the topic does not compile.
pub const FILTER_DATA_NOT_EXIST: i32 = 27;
/// A parameter is out of its range.
pub const INVALID_PARAMETER: i32 = 29;
/// The consumer group has no connected member.
pub const CONSUMER_NOT_ONLINE: i32 = 206;
/// There is no message there, or it is not out.
pub const NO_MESSAGE: i32 = 208;
/// As many consumers wait for messages as may.
pub const POLLING_FULL: i32 = 209;
/// Nothing came in the time that the consumer waited.
pub const POLLING_TIMEOUT: i32 = 210;
/// Asked for too much in too short a time.
pub const FLOW_CONTROL: i32 = 215;
/// Not allowed in this state.
pub const ILLEGAL_OPERATION: i32 = 604;

/// Values of `forbiddenType` beside [`NO_PERMISSION`] on a pull.
pub mod forbidden {
    /// The broker is not readable.
    pub const BROKER: i32 = 1;
    /// The group may not consume.
    pub const GROUP: i32 = 2;
    /// The topic is not readable.
    pub const TOPIC: i32 = 3;
    /// The group may not consume by broadcast.
    pub const BROADCASTING: i32 = 4;
}
