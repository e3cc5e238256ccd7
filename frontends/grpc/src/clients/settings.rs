//! The settings that a client gets back: its own, completed by what is decided here.
//!
//! Clients fail without some of it: a retry policy with a strategy, of producers an exponential one; a longest body above 0.

use std::time::Duration;

use kourou_broker::group::GroupConfig;
use kourou_broker::lite::{LITE_TOPIC_SIZE_BYTES_MAX, LiteSettings};

use crate::limits::{BATCH_MAX, POLL_MAX, receive};
use crate::message::duration;
use crate::wire::v2::{
    CustomizedBackoff, ExponentialBackoff, Metric, RetryPolicy, Settings, retry_policy::Strategy,
    settings::PubSub,
};

/// How often a producer tries a send.
const SEND_ATTEMPTS: i32 = 3;
/// The pauses of producers, as Apache's proxy has them.
const SEND_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// See [`SEND_PAUSE_FIRST`].
const SEND_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Completes a producer's or a consumer's settings; `group` is the consumer's.
pub(super) fn complete(
    mut settings: Settings,
    group: Option<&GroupConfig>,
    body_size_bytes_max: usize,
) -> Settings {
    settings.metric = Some(Metric {
        on: false,
        endpoints: settings.metric.and_then(|metric| metric.endpoints),
    });
    match &mut settings.pub_sub {
        Some(PubSub::Publishing(publishing)) => {
            publishing.max_body_size = i32::try_from(body_size_bytes_max).unwrap_or(i32::MAX);
            publishing.validate_message_type = true;
            settings.backoff_policy = Some(RetryPolicy {
                max_attempts: SEND_ATTEMPTS,
                strategy: Some(Strategy::ExponentialBackoff(ExponentialBackoff {
                    initial: Some(duration(SEND_PAUSE_FIRST)),
                    max: Some(duration(SEND_PAUSE_MAX)),
                    multiplier: 2.0,
                })),
            });
        }
        Some(PubSub::Subscription(subscription)) => {
            let retries = group.map_or(16, |group| group.retry_times_max);
            let lite = group.and_then(LiteSettings::of);
            // What is of one lite topic is in order, whatever else the group is.
            let is_ordered = lite.is_some() || group.is_some_and(|group| group.consume_message_orderly);
            subscription.fifo = Some(is_ordered);
            if let Some(lite) = lite {
                // Without them clients subscribe to nothing.
                let quota = i32::try_from(lite.client_quota).unwrap_or(i32::MAX);
                subscription.lite_subscription_quota = Some(quota);
                subscription.max_lite_topic_size = i32::try_from(LITE_TOPIC_SIZE_BYTES_MAX).ok();
            }
            subscription.receive_batch_size = Some(BATCH_MAX);
            subscription.long_polling_timeout = Some(duration(POLL_MAX));
            settings.backoff_policy = Some(RetryPolicy {
                max_attempts: retries.saturating_add(1),
                strategy: Some(Strategy::CustomizedBackoff(CustomizedBackoff {
                    next: receive::RETRY_PAUSES_S
                        .iter()
                        .map(|seconds| duration(Duration::from_secs(*seconds)))
                        .collect(),
                })),
            });
        }
        None => {}
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v2::{Publishing, Subscription};

    #[test]
    fn what_clients_cannot_do_without() {
        let producer = Settings {
            pub_sub: Some(PubSub::Publishing(Publishing::default())),
            ..Settings::default()
        };
        let completed = complete(producer, None, 4 << 20);
        assert!(matches!(
            completed.backoff_policy.and_then(|policy| policy.strategy),
            Some(Strategy::ExponentialBackoff(_))
        ));
        assert!(matches!(
            completed.pub_sub,
            Some(PubSub::Publishing(publishing)) if publishing.max_body_size == 4 << 20 && publishing.validate_message_type
        ));

        let consumer = Settings {
            pub_sub: Some(PubSub::Subscription(Subscription::default())),
            ..Settings::default()
        };
        let group = GroupConfig {
            consume_message_orderly: true,
            retry_times_max: 3,
            ..GroupConfig::new("g")
        };
        let completed = complete(consumer, Some(&group), 0);
        assert_eq!(
            completed.backoff_policy.map(|policy| policy.max_attempts),
            Some(4)
        );
        assert!(matches!(
            completed.pub_sub,
            Some(PubSub::Subscription(subscription)) if subscription.fifo == Some(true)
        ));
        assert_eq!(completed.metric.map(|metric| metric.on), Some(false));

        let consumer = Settings {
            pub_sub: Some(PubSub::Subscription(Subscription::default())),
            ..Settings::default()
        };
        let mut group = GroupConfig::new("g");
        for (name, value) in [("lite.bind.topic", "t"), ("lite.sub.client.quota", "7")] {
            group.attributes.insert(name.to_owned(), value.to_owned());
        }
        let Some(PubSub::Subscription(subscription)) = complete(consumer, Some(&group), 0).pub_sub else {
            panic!("it is a consumer's")
        };
        let said = (
            subscription.fifo,
            subscription.lite_subscription_quota,
            subscription.max_lite_topic_size,
        );
        assert_eq!(said, (Some(true), Some(7), Some(64)));
    }
}
