//! Retry topics: where messages are delivered again that a group was given and did not acknowledge.

use std::sync::Arc;

use crate::name::RETRY_PREFIX;
use crate::text::Text;

/// Between group and topic in the name of a retry topic.
const SEPARATOR_V1: char = '_';
const SEPARATOR_V2: char = '+';

/// The property of a message that is delivered again, which names the delivery that it ends: group, topic, queue, offset and pop
/// time, with spaces between them.
pub(crate) const RETRY_OF: &str = "POP_RETRY_OF";

/// What a topic is to those who pop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryKind {
    /// The topic itself.
    Normal,
    /// `%RETRY%group_topic`.
    V1,
    /// `%RETRY%group+topic`, which is never another group's.
    V2,
}

impl RetryKind {
    /// What clients make of a topic, by its name.
    pub fn of(topic: &str) -> Self {
        if !topic.starts_with(RETRY_PREFIX) {
            Self::Normal
        } else if topic.contains(SEPARATOR_V2) {
            Self::V2
        } else {
            Self::V1
        }
    }

    /// The topic in which `topic` is delivered again to `group`; itself for [`RetryKind::Normal`].
    pub fn topic(self, group: &str, topic: &str) -> String {
        match self {
            Self::Normal => topic.to_owned(),
            Self::V1 => format!("{RETRY_PREFIX}{group}{SEPARATOR_V1}{topic}"),
            Self::V2 => format!("{RETRY_PREFIX}{group}{SEPARATOR_V2}{topic}"),
        }
    }
}

/// The retry topics that `group` may have of `topic`, the one that new messages go to first.
pub(crate) fn retry_topics_of(group: &str, topic: &str, v2: bool) -> [(RetryKind, String); 2] {
    let kinds = if v2 {
        [RetryKind::V2, RetryKind::V1]
    } else {
        [RetryKind::V1, RetryKind::V2]
    };
    kinds.map(|kind| (kind, kind.topic(group, topic)))
}

/// The delivery that a message ends, which is delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryOf<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
    pub(crate) offset: u64,
    pub(crate) pop_ms: i64,
}

impl<'a> RetryOf<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(' ');
        let parsed = Self {
            group: parts.next()?,
            topic: parts.next()?,
            queue_id: parts.next()?.parse().ok()?,
            offset: parts.next()?.parse().ok()?,
            pop_ms: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(parsed)
    }

    pub(crate) fn write(&self) -> String {
        let Self {
            group,
            topic,
            queue_id,
            offset,
            pop_ms,
        } = self;
        format!("{group} {topic} {queue_id} {offset} {pop_ms}")
    }
}

/// The topic that a message came from first, whichever retry topic it is in by now.
pub(super) fn first_topic<'a>(group: &Arc<str>, topic: &'a str) -> &'a str {
    let of_group = topic
        .strip_prefix(RETRY_PREFIX)
        .and_then(|rest| rest.strip_prefix(&**group));
    of_group
        .and_then(|rest| rest.strip_prefix([SEPARATOR_V1, SEPARATOR_V2]))
        .filter(|first| !first.is_empty())
        .unwrap_or(topic)
}

/// Whether a retried message is this group's: the names of two groups' first kind of retry topic may be the same.
pub(super) fn is_retry_for(group: &Text, retry_of: Option<&str>) -> bool {
    retry_of
        .and_then(RetryOf::parse)
        .is_none_or(|retry| retry.group == group.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_clients_make_them() {
        assert_eq!(RetryKind::V1.topic("g", "t"), "%RETRY%g_t");
        assert_eq!(RetryKind::V2.topic("g", "t"), "%RETRY%g+t");
        for (topic, kind) in [
            ("t+x", RetryKind::Normal),
            ("%RETRY%g_t", RetryKind::V1),
            ("%RETRY%g", RetryKind::V1),
            ("%RETRY%g+t", RetryKind::V2),
        ] {
            assert_eq!(RetryKind::of(topic), kind, "{topic}");
        }
        let group: Arc<str> = "a_b".into();
        for topic in ["%RETRY%a_b_c", "%RETRY%a_b+c", "c"] {
            assert_eq!(first_topic(&group, topic), "c");
        }
        assert_eq!(first_topic(&group, "%RETRY%other_c"), "%RETRY%other_c");
    }

    #[test]
    fn the_delivery_is_named_in_text() {
        let retry = RetryOf {
            group: "g",
            topic: "%RETRY%g+t",
            queue_id: 3,
            offset: 9,
            pop_ms: 17,
        };
        assert_eq!(RetryOf::parse(&retry.write()), Some(retry));
        for bad in ["", "g t 0 1", "g t 0 1 2 3", "g t x 1 2"] {
            assert_eq!(RetryOf::parse(bad), None, "{bad}");
        }
        assert!(is_retry_for(&"g".into(), None) && !is_retry_for(&"h".into(), Some("g t 0 1 2")));
    }
}
