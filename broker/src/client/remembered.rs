//! Subscriptions that outlive connections and restarts.
//!
//! A consumer pulls by the subscription of its last heartbeat, and heartbeats come every half minute. A broker that has just
//! started, or a consumer that has just reconnected, would have pulls refused until the next one. So what a group subscribed to
//! is part of the state: a pull that names no newer version than the remembered one is answered by it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::registry::Subscription;
use super::{MessageModel, SubscriptionData};
use crate::state::{Fields, Writer};

/// So many are remembered in all; a heartbeat that brings more is served like any other, but not remembered.
const COUNT_MAX: usize = 1_000_000;
/// A longer subscription is not remembered.
const SIZE_BYTES_MAX: usize = 64 << 10;

/// What a group last subscribed to in a topic.
#[derive(Debug, Clone)]
pub(crate) struct RememberedSubscription {
    pub(crate) message_model: MessageModel,
    pub(crate) subscription: Subscription,
}

/// The remembered subscriptions, by group and topic.
#[derive(Debug, Default)]
pub(crate) struct RememberedSubscriptions(RwLock<Groups>);

#[derive(Debug, Default)]
struct Groups {
    by_name: HashMap<Arc<str>, HashMap<String, RememberedSubscription, RandomState>, RandomState>,
    count: usize,
}

impl RememberedSubscriptions {
    pub(crate) fn get(&self, group: &str, topic: &str) -> Option<RememberedSubscription> {
        self.0.read().by_name.get(group)?.get(topic).cloned()
    }

    /// Those of a heartbeat's subscriptions that are news.
    pub(crate) fn news<'a>(&self, group: &str, heard: &'a [SubscriptionData]) -> Vec<&'a SubscriptionData> {
        let groups = self.0.read();
        let known = groups.by_name.get(group);
        let is_news = |heard: &&SubscriptionData| match known.and_then(|known| known.get(&heard.topic)) {
            Some(old) => heard.version > old.subscription.data.version,
            None => groups.count < COUNT_MAX,
        };
        let fits =
            |heard: &&SubscriptionData| heard.expression.len() + heard.codes.len() * 4 <= SIZE_BYTES_MAX;
        heard.iter().filter(is_news).filter(fits).collect()
    }

    /// The payload of a record that says them.
    pub(crate) fn encode_news(
        group: &str,
        message_model: MessageModel,
        news: &[&SubscriptionData],
        out: &mut Writer,
    ) {
        out.text(group);
        out.bool(message_model == MessageModel::Broadcasting);
        out.count(news.len());
        for data in news {
            encode_subscription(data, out);
        }
    }

    /// Takes in the payload of such a record.
    pub(crate) fn apply(&self, fields: &mut Fields<'_>) -> Option<()> {
        let group = fields.text()?;
        let is_broadcasting = fields.bool()?;
        for _ in 0..fields.count()? {
            let data = decode_subscription(fields)?;
            self.put(group, is_broadcasting, &data);
        }
        Some(())
    }

    fn put(&self, group: &str, is_broadcasting: bool, data: &SubscriptionData) {
        let message_model = if is_broadcasting {
            MessageModel::Broadcasting
        } else {
            MessageModel::Clustering
        };
        let remembered = RememberedSubscription {
            message_model,
            subscription: Subscription::new(data),
        };
        let mut groups = self.0.write();
        let name = match groups.by_name.get_key_value(group) {
            Some((name, _)) => Arc::clone(name),
            None => group.into(),
        };
        let topics = groups.by_name.entry(name).or_default();
        if topics.insert(data.topic.clone(), remembered).is_none() {
            groups.count += 1;
        }
    }

    pub(crate) fn remove_group(&self, group: &str) {
        let mut groups = self.0.write();
        let removed = groups.by_name.remove(group).map_or(0, |topics| topics.len());
        groups.count -= removed;
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        let mut groups = self.0.write();
        let mut removed = 0;
        groups.by_name.retain(|_, topics| {
            removed += usize::from(topics.remove(topic).is_some());
            !topics.is_empty()
        });
        groups.count -= removed;
    }

    pub(crate) fn encode(&self) -> Writer {
        let groups = self.0.read();
        let mut out = Writer::new();
        out.count(groups.count);
        for (group, topics) in &groups.by_name {
            for remembered in topics.values() {
                out.text(group);
                out.bool(remembered.message_model == MessageModel::Broadcasting);
                encode_subscription(&remembered.subscription.data, &mut out);
            }
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        for _ in 0..fields.count()? {
            let group = fields.text()?;
            let is_broadcasting = fields.bool()?;
            self.put(group, is_broadcasting, &decode_subscription(fields)?);
        }
        Some(())
    }
}

fn encode_subscription(data: &SubscriptionData, out: &mut Writer) {
    out.text(&data.topic);
    out.text(&data.expression);
    out.text(&data.expression_type);
    out.bool(data.class_filter_mode);
    out.i64(data.version);
    out.count(data.codes.len());
    for code in &data.codes {
        out.i32(*code);
    }
}

/// Everything but the tags themselves, which only their hashes are needed of.
fn decode_subscription(fields: &mut Fields<'_>) -> Option<SubscriptionData> {
    Some(SubscriptionData {
        topic: fields.text()?.to_owned(),
        expression: fields.text()?.to_owned(),
        expression_type: fields.text()?.to_owned(),
        class_filter_mode: fields.bool()?,
        version: fields.i64()?,
        codes: (0..fields.count()?)
            .map(|_| fields.i32())
            .collect::<Option<_>>()?,
        tags: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(topic: &str, version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: topic.to_owned(),
            expression: "a".to_owned(),
            codes: vec![97],
            version,
            ..SubscriptionData::default()
        }
    }

    #[test]
    fn only_news_is_written_and_a_checkpoint_keeps_it() {
        let table = RememberedSubscriptions::default();
        let heartbeat = [heard("orders", 5), heard("payments", 5)];
        let news = table.news("g", &heartbeat);
        assert_eq!(news.len(), 2);
        let mut out = Writer::new();
        RememberedSubscriptions::encode_news("g", MessageModel::Broadcasting, &news, &mut out);
        assert_eq!(table.apply(&mut Fields::new(&out.finish())), Some(()));
        assert!(table.news("g", &heartbeat).is_empty());
        assert_eq!(
            table.news("g", &[heard("orders", 4), heard("orders", 6)]).len(),
            1
        );

        let restored = RememberedSubscriptions::default();
        assert_eq!(
            restored.restore(&mut Fields::new(&table.encode().finish())),
            Some(())
        );
        let orders = restored.get("g", "orders").unwrap();
        assert_eq!(orders.message_model, MessageModel::Broadcasting);
        assert_eq!(*orders.subscription.data, heard("orders", 5));
        let filter = orders.subscription.filter.unwrap();
        assert!(filter.may_match(97) && !filter.may_match(98));

        restored.remove_topic("orders");
        assert!(restored.get("g", "orders").is_none() && restored.get("g", "payments").is_some());
        restored.remove_group("g");
        assert!(restored.get("g", "payments").is_none());
        assert_eq!(restored.0.read().count, 0);
    }

    #[test]
    fn a_subscription_that_is_too_long_is_not_remembered() {
        let long = SubscriptionData {
            expression: "x".repeat(SIZE_BYTES_MAX + 1),
            ..heard("orders", 1)
        };
        assert!(RememberedSubscriptions::default().news("g", &[long]).is_empty());
    }
}
