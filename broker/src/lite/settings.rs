//! What attributes say of lite topics: of a topic when its lite topics expire, of a group which topic's lite topics it consumes, and
//! how. Their names are upstream's.

use std::collections::BTreeMap;

use crate::group::GroupConfig;
use crate::name;
use crate::topic::{AttributeError, MessageType, TopicConfig};

/// Of a topic: minutes after its last message in which a lite topic is gone; never, if that is not above 0.
pub(crate) const EXPIRATION: &str = "lite.topic.expiration";

const BIND_TOPIC: &str = "lite.bind.topic";
const MODEL: &str = "lite.sub.model";
const EXCLUSIVE: &str = "Exclusive";
const SHARED: &str = "Shared";
const RESET_EXCLUSIVE: &str = "lite.sub.reset.offset.exclusive";
const RESET_UNSUBSCRIBE: &str = "lite.sub.reset.offset.unsubscribe";
const CLIENT_QUOTA: &str = "lite.sub.client.quota";

/// Subscriptions of one client without an attribute.
const CLIENT_QUOTA_DEFAULT: u32 = 2_000;
/// Most subscriptions of one client: all of them are one record when it says them anew.
pub(super) const CLIENT_QUOTA_MAX: u32 = 16_384;

/// How a group consumes lite topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteSettings<'a> {
    /// The topic whose lite topics it consumes.
    pub bind_topic: &'a str,
    /// Whether a lite topic is one client's alone: the last one that subscribed to it.
    pub is_exclusive: bool,
    /// Whether who takes a lite topic over begins at its first message.
    pub resets_when_taken: bool,
    /// Whether who subscribes again begins at the first message.
    pub resets_when_left: bool,
    /// How many lite topics one client may subscribe to.
    pub client_quota: u32,
}

impl<'a> LiteSettings<'a> {
    /// Those of a group; `None` if it does not consume lite topics.
    pub fn of(group: &'a GroupConfig) -> Option<Self> {
        let value = |name| group.attributes.get(name).map(String::as_str);
        let is_true = |name| value(name) == Some("true");
        let client_quota = match value(CLIENT_QUOTA).map(str::parse::<i64>) {
            Some(Ok(quota)) if quota >= 0 => u32::try_from(quota).unwrap_or(u32::MAX).min(CLIENT_QUOTA_MAX),
            Some(Ok(_)) => CLIENT_QUOTA_MAX,
            _ => CLIENT_QUOTA_DEFAULT,
        };
        Some(Self {
            bind_topic: value(BIND_TOPIC)?,
            is_exclusive: value(MODEL) == Some(EXCLUSIVE),
            resets_when_taken: is_true(RESET_EXCLUSIVE),
            resets_when_left: is_true(RESET_UNSUBSCRIBE),
            client_quota,
        })
    }
}

/// Whether a topic is one for lite topics.
pub(crate) fn is_parent(topic: &TopicConfig) -> bool {
    MessageType::of_topic(&topic.attributes) == Some(MessageType::Lite)
}

/// For how long a lite topic of this topic may be idle, in milliseconds; `None` if for ever.
pub(super) fn expiry_ms(topic: &TopicConfig) -> Option<i64> {
    let minutes: i64 = topic.attributes.get(EXPIRATION)?.parse().ok()?;
    (minutes > 0).then(|| minutes.saturating_mul(60_000))
}

/// Whether what the attributes of a group say of lite topics can be.
pub(crate) fn check_group(attributes: &BTreeMap<String, String>) -> Result<(), AttributeError> {
    for (name, value) in attributes {
        let is_allowed = match name.as_str() {
            BIND_TOPIC => name::check_topic(value).is_ok(),
            MODEL => [SHARED, EXCLUSIVE].contains(&value.as_str()),
            RESET_EXCLUSIVE | RESET_UNSUBSCRIBE => ["true", "false"].contains(&value.as_str()),
            CLIENT_QUOTA => value.parse::<i64>().is_ok_and(|quota| quota >= -1),
            _ => true,
        };
        if !is_allowed {
            return Err(AttributeError::Value {
                name: name.clone(),
                value: value.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(attributes: &[(&str, &str)]) -> GroupConfig {
        let mut group = GroupConfig::new("g");
        for (name, value) in attributes {
            group.attributes.insert((*name).to_owned(), (*value).to_owned());
        }
        group
    }

    #[test]
    fn what_a_group_says() {
        assert_eq!(LiteSettings::of(&group(&[(MODEL, EXCLUSIVE)])), None);
        let bound = group(&[(BIND_TOPIC, "t")]);
        let settings = LiteSettings::of(&bound).unwrap();
        assert_eq!((settings.bind_topic, settings.client_quota), ("t", 2_000));
        assert!(!settings.is_exclusive && !settings.resets_when_left && !settings.resets_when_taken);
        for (quota, expected) in [("0", 0), ("7", 7), ("-1", 16_384), ("9999999999999", 16_384)] {
            let group = group(&[(BIND_TOPIC, "t"), (CLIENT_QUOTA, quota), (MODEL, EXCLUSIVE)]);
            let settings = LiteSettings::of(&group).unwrap();
            assert_eq!((settings.client_quota, settings.is_exclusive), (expected, true));
        }
    }

    #[test]
    fn what_it_cannot_say() {
        for (name, value) in [
            (BIND_TOPIC, "a b"),
            (MODEL, "exclusive"),
            (RESET_EXCLUSIVE, "yes"),
            (RESET_UNSUBSCRIBE, ""),
            (CLIENT_QUOTA, "-2"),
            (CLIENT_QUOTA, "many"),
        ] {
            let refused = check_group(&group(&[(name, value)]).attributes);
            assert!(
                matches!(refused, Err(AttributeError::Value { .. })),
                "{name}={value}"
            );
        }
        assert_eq!(
            check_group(&group(&[(BIND_TOPIC, "t"), ("other", "x")]).attributes),
            Ok(())
        );
    }

    #[test]
    fn when_lite_topics_expire() {
        let topic = |minutes: &str| {
            let mut topic = TopicConfig::new("t", 1);
            topic.attributes.insert(EXPIRATION.to_owned(), minutes.to_owned());
            topic
        };
        assert_eq!(expiry_ms(&topic("2")), Some(120_000));
        assert_eq!(expiry_ms(&topic("0")), None);
        assert_eq!(expiry_ms(&topic("-1")), None);
        assert_eq!(expiry_ms(&TopicConfig::new("t", 1)), None);
    }
}
