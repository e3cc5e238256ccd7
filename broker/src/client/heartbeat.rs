//! Heartbeats, and how clients leave.

use std::sync::Arc;

use super::registry::Membership;
use super::{
    Client, ClientChannel, ConsumerConnections, ConsumerData, HeartbeatData, HeartbeatReceipt, MessageModel,
    SubscriptionData,
};
use crate::broker::Broker;
use crate::name;
use crate::state::Change;
use crate::topic::TopicConfig;

impl Broker {
    /// Takes in a heartbeat: groups are made on first use, their retry topics after them, members registered and, where
    /// membership or subscribed topics changed, all members told. A consumer group that may not be made is passed over.
    pub fn heartbeat(
        self: &Arc<Self>,
        data: &HeartbeatData,
        channel: &Arc<dyn ClientChannel>,
    ) -> HeartbeatReceipt {
        let now_ms = self.clock.now_ms();
        let client = Client {
            client_id: data.client_id.as_str().into(),
            language: data.language,
            version: data.version,
            channel: channel.clone(),
            last_heard_ms: now_ms,
        };
        // Without a fingerprint the answer has always been yes.
        let mut subscriptions_changed = data.fingerprint == 0;
        for consumer in &data.consumers {
            let Some(config) = self.group_in_use(&consumer.group) else {
                // In full it is passed over.
                subscriptions_changed |= data.without_subscriptions;
                continue;
            };
            if data.without_subscriptions {
                // What a client sends that has lost its connection. As long as it is no member it would share no queues.
                let client = client.clone();
                let (known, membership) =
                    self.clients
                        .register_consumer_in_short(consumer, data.fingerprint, client);
                subscriptions_changed |= !known;
                self.tell_members(&consumer.group, membership);
                continue;
            }
            self.make_retry_topic(&consumer.group, config.retry_queues, consumer.unit_mode);
            subscriptions_changed |= self.clients.fingerprint(&consumer.group) != Some(data.fingerprint);
            let membership = self
                .clients
                .register_consumer(consumer, data.fingerprint, client.clone());
            self.tell_members(&consumer.group, membership);
            self.remember(consumer);
        }
        for group in &data.producer_groups {
            self.clients
                .register_producer(group, client.clone(), self.options.limits.producer_groups_max);
        }
        HeartbeatReceipt {
            subscriptions_changed,
        }
    }

    /// Keeps what is new in a group's subscriptions beyond this connection. Nobody waits for it: until it is stored, the next
    /// heartbeat is what it always was.
    fn remember(&self, consumer: &ConsumerData) {
        let news = self
            .state
            .subscriptions
            .news(&consumer.group, &consumer.subscriptions);
        if news.is_empty() {
            return;
        }
        let change = Change::Subscribed {
            group: &consumer.group,
            message_model: consumer.message_model,
            news: &news,
        };
        self.append_change(&change, |stored| {
            if let Err(error) = stored {
                tracing::debug!(%error, "a subscription is not remembered");
            }
        });
    }

    fn make_retry_topic(self: &Arc<Self>, group: &str, queues: i32, unit_mode: bool) {
        let queues = u32::try_from(queues).unwrap_or(0);
        let topic = name::retry_topic(group);
        if queues == 0 || self.state.topics.contains(&topic) {
            return;
        }
        let sys_flag = if unit_mode { SYS_FLAG_UNIT_SUBSCRIBED } else { 0 };
        let config = TopicConfig {
            sys_flag,
            ..TopicConfig::new(topic, queues)
        };
        self.ensure_topic(config, |made| {
            if let Err(error) = made {
                tracing::warn!(%error, "a group's retry topic could not be made; its first use will try again");
            }
        });
    }

    /// Removes a client's channel from a producer group, a consumer group, or both.
    pub fn unregister(&self, channel_id: u64, producer_group: Option<&str>, consumer_group: Option<&str>) {
        if let Some(group) = producer_group {
            self.clients.unregister_producer(group, channel_id);
        }
        if let Some(group) = consumer_group {
            let membership = self.clients.unregister_consumer(group, channel_id);
            self.tell_members(group, membership);
        }
    }

    /// Removes a channel that has ended from all groups, and tells the members that are left. Queue locks stay until their
    /// lease ends: the client may come back.
    pub fn channel_closed(&self, channel_id: u64) {
        for (group, membership) in self.clients.remove_channel(channel_id) {
            self.tell_members(&group, membership);
        }
    }

    /// Removes and closes the channels that have not been heard for too long.
    pub(crate) fn expire_clients(&self, now_ms: i64) {
        for channel in self
            .clients
            .silent(now_ms.saturating_sub(self.options.limits.client_expiry_ms))
        {
            tracing::info!(channel = channel.id(), addr = %channel.remote_addr(), "a client has gone silent");
            self.channel_closed(channel.id());
            channel.close();
        }
    }

    fn tell_members(&self, group: &str, membership: Membership) {
        // Members that broadcast share nothing, so nothing changes for them.
        if !membership.changed || membership.message_model == MessageModel::Broadcasting {
            return;
        }
        if self
            .state
            .groups
            .get(group)
            .is_some_and(|config| !config.notify_consumer_ids_changed_enable)
        {
            return;
        }
        for channel in membership.channels {
            channel.notify_consumer_ids_changed(group);
        }
    }

    /// The client ids of a consumer group's members, each once, in order; empty if there are none.
    pub fn consumer_ids(&self, group: &str) -> Vec<Arc<str>> {
        self.clients.consumer_ids(group)
    }

    /// The connections of a consumer group; `None` if it has none.
    pub fn consumer_connections(&self, group: &str) -> Option<ConsumerConnections> {
        self.clients.consumer_connections(group)
    }

    /// The connections of a producer group.
    pub fn producer_connections(&self, group: &str) -> Vec<Client> {
        self.clients.producer_connections(group)
    }

    /// The connected member of a consumer group that has this client id.
    pub fn consumer(&self, group: &str, client_id: &str) -> Option<Client> {
        self.clients.consumer(group, client_id)
    }

    /// A connected client of that id which is a producer, of whatever group.
    pub fn producer(&self, client_id: &str) -> Option<Client> {
        self.clients.producer(client_id)
    }

    /// All connected producers, by group.
    pub fn producers(&self) -> Vec<(Arc<str>, Vec<Client>)> {
        self.clients.all_producers()
    }

    /// The consumer groups that have connected members.
    pub fn online_consumer_groups(&self) -> Vec<Arc<str>> {
        self.clients.consumer_groups()
    }

    /// What a group's connected members subscribe to in `topic`.
    pub fn subscription(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.clients
            .subscribed(group, topic)?
            .subscription
            .map(|one| one.data)
    }

    /// Whether a group's connected members consume by broadcast.
    pub fn is_broadcasting(&self, group: &str) -> bool {
        self.clients
            .subscribed(group, "")
            .is_some_and(|subscribed| subscribed.message_model == MessageModel::Broadcasting)
    }
}

/// Topic flag: subscribed by consumers of a unit.
pub(crate) const SYS_FLAG_UNIT_SUBSCRIBED: i32 = 1 << 1;
/// Topic flag: produced by producers of a unit.
pub(crate) const SYS_FLAG_UNIT: i32 = 1;
