//! Permission bits of a topic's queues on one broker, as they travel in routes.

/// Producers may send.
pub(crate) const WRITE: i32 = 0b010;
/// Consumers may pull.
pub(crate) const READ: i32 = 0b100;
