//! The rules for names of topics and groups, and the names that mean something to the broker.

use thiserror::Error;

/// Longest topic that a client may name, in bytes.
pub const TOPIC_SIZE_BYTES_MAX: usize = 127;
/// Longest retry or dead-letter topic, in bytes: room for the prefix and the longest group.
pub const RETRY_TOPIC_SIZE_BYTES_MAX: usize = 255;
/// Longest group, in bytes.
pub const GROUP_SIZE_BYTES_MAX: usize = 120;

/// Begins the name of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Begins the name of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Begins the names of groups that the system itself uses.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";
/// Begins the names of topics that the system itself uses.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";

/// The topic whose configuration new topics copy.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Where delayed messages wait; queue = level - 1.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where messages wait that are to be delivered at a time.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// For load generators.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// For self tests.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Where upstream reports moved offsets.
pub const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
/// Where half messages wait for their transaction.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where decisions on half messages are recorded.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Where half messages end that nobody decided.
pub const CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Where clients send their traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Reserved by the family.
pub const CHECKPOINT_TOPIC: &str = "CHECKPOINT_TOPIC";
/// Ends the name of a cluster's topic for replies.
pub const REPLY_TOPIC_SUFFIX: &str = "_REPLY_TOPIC";

/// Topics of the system under fixed names.
const SYSTEM_TOPICS: [&str; 10] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    HALF_TOPIC,
    TRACE_TOPIC,
    OP_HALF_TOPIC,
    CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_TOPIC,
    CHECKPOINT_TOPIC,
];

/// Topics of the system that no client may send to. Upstream takes messages for the timer topic, and does what their properties
/// say.
const NOT_SENDABLE: [&str; 7] = [
    SCHEDULE_TOPIC,
    TIMER_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_TOPIC,
];

/// Why a name is not a topic's or a group's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is none.
    #[error("The specified {what} is blank.")]
    Blank {
        /// "topic" or "group".
        what: &'static str,
    },
    /// A character that names may not have.
    #[error("The specified {what} contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    IllegalCharacter {
        /// "topic" or "group".
        what: &'static str,
    },
    /// Over the limit.
    #[error("The specified {what} is longer than {what} max length {max_bytes}.")]
    TooLong {
        /// "topic" or "group".
        what: &'static str,
        /// The limit.
        max_bytes: usize,
    },
}

/// Whether `topic` may name a topic.
///
/// # Errors
/// See [`NameError`].
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    let max_bytes = if is_retry_topic(topic) || is_dlq_topic(topic) {
        RETRY_TOPIC_SIZE_BYTES_MAX
    } else {
        TOPIC_SIZE_BYTES_MAX
    };
    check(topic, "topic", max_bytes)
}

/// Whether `group` may name a group.
///
/// # Errors
/// See [`NameError`].
pub fn check_group(group: &str) -> Result<(), NameError> {
    check(group, "group", GROUP_SIZE_BYTES_MAX)
}

fn check(name: &str, what: &'static str, max_bytes: usize) -> Result<(), NameError> {
    if name.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(NameError::Blank { what });
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-'))
    {
        return Err(NameError::IllegalCharacter { what });
    }
    if name.len() > max_bytes {
        return Err(NameError::TooLong { what, max_bytes });
    }
    Ok(())
}

/// Whether clients may send to `topic`, as far as its name goes.
pub fn is_sendable(topic: &str) -> bool {
    !NOT_SENDABLE.contains(&topic)
}

/// Whether `topic` is the system's by its name alone. The topics named after the cluster and the broker are system topics
/// too; the topic table knows those.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_TOPIC_PREFIX) || SYSTEM_TOPICS.contains(&topic)
}

/// Whether `group` is the system's.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX)
}

/// Whether `topic` is some group's retry topic.
pub fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether `topic` is some group's dead-letter topic.
pub fn is_dlq_topic(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// The name of the retry topic of `group`.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The name of the dead-letter topic of `group`.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The group whose retry topic `topic` is.
pub fn retry_group(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_by_the_rules() {
        assert_eq!(check_topic("orders_2-%|"), Ok(()));
        assert_eq!(check_topic(" "), Err(NameError::Blank { what: "topic" }));
        assert_eq!(check_topic(""), Err(NameError::Blank { what: "topic" }));
        for bad in ["a b", "a/b", "kourou/state", "a+b", "\u{e9}", "a.b"] {
            assert_eq!(
                check_topic(bad),
                Err(NameError::IllegalCharacter { what: "topic" }),
                "{bad}"
            );
        }
        assert_eq!(check_topic(&"t".repeat(127)), Ok(()));
        assert_eq!(
            check_topic(&"t".repeat(128)),
            Err(NameError::TooLong {
                what: "topic",
                max_bytes: 127
            })
        );
        assert_eq!(check_topic(&retry_topic(&"g".repeat(120))), Ok(()));
        assert_eq!(check_topic(&dlq_topic(&"g".repeat(120))), Ok(()));
        assert_eq!(
            check_group(&"g".repeat(121)),
            Err(NameError::TooLong {
                what: "group",
                max_bytes: 120
            })
        );
    }

    #[test]
    fn system_names() {
        assert!(is_system_topic("TBW102") && is_system_topic("rmq_sys_anything"));
        assert!(!is_system_topic("orders"));
        assert!(!is_sendable("SCHEDULE_TOPIC_XXXX") && is_sendable("TBW102"));
        assert_eq!(retry_group("%RETRY%g"), Some("g"));
        assert_eq!(retry_group("g"), None);
    }
}
