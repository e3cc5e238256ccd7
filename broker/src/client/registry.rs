//! Who is connected. Groups are spread over locks; a channel's groups are remembered, so that its end costs what it had.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};

use super::{
    Client, ClientChannel, ConsumeFromWhere, ConsumeType, ConsumerConnections, ConsumerData, MessageModel,
    SubscriptionData,
};
use crate::filter::{Filter, FilterError};

/// Groups are spread over so many locks.
const SHARDS: usize = 16;

/// The clients of one broker.
pub(crate) struct ClientRegistry {
    consumers: [RwLock<HashMap<Arc<str>, ConsumerGroup>>; SHARDS],
    producers: RwLock<Producers>,
    channels: Mutex<HashMap<u64, ChannelGroups>>,
    hasher: FixedState,
    /// Spreads questions over the producers of a group.
    next_producer: AtomicUsize,
}

/// The connected producers.
#[derive(Default)]
struct Producers {
    /// By group, by channel: in an order, so that the next to be asked is the same whenever the same happened before.
    groups: HashMap<Arc<str>, BTreeMap<u64, Client>>,
    /// By client id, whatever the group: replies name no group. Of two connections that claim one id, the one heard last.
    by_id: HashMap<Arc<str>, Client>,
}

#[derive(Default)]
struct ChannelGroups {
    consumers: HashSet<Arc<str>>,
    producers: HashSet<Arc<str>>,
}

/// The connected members of a consumer group.
#[derive(Default)]
struct ConsumerGroup {
    clients: BTreeMap<u64, Client>,
    subscriptions: HashMap<String, Subscription>,
    consume_type: ConsumeType,
    message_model: MessageModel,
    consume_from_where: ConsumeFromWhere,
    /// Digest of the subscriptions that the last heartbeat brought in full.
    fingerprint: i32,
}

/// A subscription and the filter made of it once.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) data: Arc<SubscriptionData>,
    /// Or why there is none: a heartbeat is served all the same, and the pulls are told.
    pub(crate) filter: Result<Filter, Arc<FilterError>>,
}

impl Subscription {
    pub(super) fn new(data: &SubscriptionData) -> Self {
        Self {
            data: Arc::new(data.clone()),
            filter: Filter::of_subscription(data).map_err(Arc::new),
        }
    }
}

/// What a pull needs of a group.
#[derive(Debug, Clone)]
pub(crate) struct Subscribed {
    pub(crate) message_model: MessageModel,
    pub(crate) subscription: Option<Subscription>,
}

/// What changed for a group, and whom to tell.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// Members came, went, or subscribe to other topics.
    pub(crate) changed: bool,
    pub(crate) message_model: MessageModel,
    pub(crate) channels: Vec<Arc<dyn ClientChannel>>,
}

impl ConsumerGroup {
    fn membership(&self, changed: bool) -> Membership {
        let channels = if changed {
            self.clients
                .values()
                .map(|client| client.channel.clone())
                .collect()
        } else {
            vec![]
        };
        Membership {
            changed,
            message_model: self.message_model,
            channels,
        }
    }

    /// Takes in a heartbeat's subscriptions; whether topics came or went.
    fn subscribe(&mut self, subscriptions: &[SubscriptionData]) -> bool {
        let mut changed = false;
        for new in subscriptions {
            match self.subscriptions.get_mut(&new.topic) {
                // The members need not agree; the newest wins for all, as the clients assume.
                Some(old) => {
                    if new.version > old.data.version {
                        *old = Subscription::new(new);
                    }
                }
                None => {
                    changed = true;
                    self.subscriptions
                        .insert(new.topic.clone(), Subscription::new(new));
                }
            }
        }
        let before = self.subscriptions.len();
        self.subscriptions
            .retain(|topic, _| subscriptions.iter().any(|new| new.topic == *topic));
        changed || self.subscriptions.len() != before
    }
}

impl fmt::Debug for ClientRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clients on {} channels", self.channels.lock().len())
    }
}

impl ClientRegistry {
    pub(crate) fn new() -> Self {
        Self {
            consumers: Default::default(),
            producers: RwLock::default(),
            channels: Mutex::default(),
            hasher: FixedState::default(),
            next_producer: AtomicUsize::new(0),
        }
    }

    fn shard(&self, group: &str) -> &RwLock<HashMap<Arc<str>, ConsumerGroup>> {
        // The index is below the length by construction.
        &self.consumers[self.hasher.hash_one(group) as usize % SHARDS]
    }

    /// Takes in one consumer group of a heartbeat.
    pub(crate) fn register_consumer(
        &self,
        data: &ConsumerData,
        fingerprint: i32,
        client: Client,
    ) -> Membership {
        let mut shard = self.shard(&data.group).write();
        let name = key(&shard, &data.group);
        let group = shard.entry(name.clone()).or_default();
        group.fingerprint = fingerprint;
        let is_new = self.join(group, name, data, client);
        let changed = group.subscribe(&data.subscriptions) || is_new;
        group.membership(changed)
    }

    /// Takes in a heartbeat that leaves subscriptions out: its client is a member, and what the group subscribes to stays as it is.
    /// Tells besides whether the group is known with that fingerprint; if not, the client is to tell everything.
    pub(crate) fn register_consumer_in_short(
        &self,
        data: &ConsumerData,
        fingerprint: i32,
        client: Client,
    ) -> (bool, Membership) {
        let mut shard = self.shard(&data.group).write();
        let name = key(&shard, &data.group);
        let group = shard.entry(name.clone()).or_default();
        let is_new = self.join(group, name, data, client);
        (group.fingerprint == fingerprint, group.membership(is_new))
    }

    /// Makes a client a member, or keeps it one; whether its channel was none.
    fn join(&self, group: &mut ConsumerGroup, name: Arc<str>, data: &ConsumerData, client: Client) -> bool {
        let channel_id = client.channel.id();
        group.consume_type = data.consume_type;
        group.message_model = data.message_model;
        group.consume_from_where = data.consume_from_where;
        let is_new = group.clients.insert(channel_id, client).is_none();
        if is_new {
            self.channels
                .lock()
                .entry(channel_id)
                .or_default()
                .consumers
                .insert(name);
        }
        is_new
    }

    /// The fingerprint of the last full heartbeat for a group.
    pub(crate) fn fingerprint(&self, group: &str) -> Option<i32> {
        self.shard(group).read().get(group).map(|group| group.fingerprint)
    }

    /// Takes in one producer group of a heartbeat, unless its channel has `groups_max` of them already: nothing else bounds
    /// what a client may name.
    pub(crate) fn register_producer(&self, group: &str, client: Client, groups_max: usize) {
        let channel_id = client.channel.id();
        let mut producers = self.producers.write();
        let name = key(&producers.groups, group);
        let has = self
            .channels
            .lock()
            .get(&channel_id)
            .map_or(0, |groups| groups.producers.len());
        if has >= groups_max
            && !producers
                .groups
                .get(group)
                .is_some_and(|clients| clients.contains_key(&channel_id))
        {
            return;
        }
        producers.by_id.insert(client.client_id.clone(), client.clone());
        if producers
            .groups
            .entry(name.clone())
            .or_default()
            .insert(channel_id, client)
            .is_none()
        {
            self.channels
                .lock()
                .entry(channel_id)
                .or_default()
                .producers
                .insert(name);
        }
    }

    /// Removes a channel from one consumer group.
    pub(crate) fn unregister_consumer(&self, group: &str, channel_id: u64) -> Membership {
        // In this order: a heartbeat in between finds the client still there and does not register it anew.
        self.forget(channel_id, |groups| groups.consumers.remove(group));
        self.leave(group, channel_id)
    }

    /// Removes a channel from one producer group.
    pub(crate) fn unregister_producer(&self, group: &str, channel_id: u64) {
        self.forget(channel_id, |groups| groups.producers.remove(group));
        self.leave_producers(group, channel_id);
    }

    /// Removes a channel from everything; the consumer groups that it left.
    pub(crate) fn remove_channel(&self, channel_id: u64) -> Vec<(Arc<str>, Membership)> {
        let Some(groups) = self.channels.lock().remove(&channel_id) else {
            return vec![];
        };
        for group in &groups.producers {
            self.leave_producers(group, channel_id);
        }
        let left = groups.consumers.into_iter().map(|group| {
            let membership = self.leave(&group, channel_id);
            (group, membership)
        });
        left.filter(|(_, membership)| membership.changed).collect()
    }

    fn forget(&self, channel_id: u64, remove: impl FnOnce(&mut ChannelGroups) -> bool) {
        let mut channels = self.channels.lock();
        if let Some(groups) = channels.get_mut(&channel_id) {
            remove(groups);
            if groups.consumers.is_empty() && groups.producers.is_empty() {
                channels.remove(&channel_id);
            }
        }
    }

    fn leave(&self, group: &str, channel_id: u64) -> Membership {
        let mut shard = self.shard(group).write();
        let Some(members) = shard.get_mut(group) else {
            return Membership::default();
        };
        let left = members.clients.remove(&channel_id).is_some();
        let membership = members.membership(left);
        if members.clients.is_empty() {
            shard.remove(group);
        }
        membership
    }

    fn leave_producers(&self, group: &str, channel_id: u64) {
        let mut producers = self.producers.write();
        let Some(clients) = producers.groups.get_mut(group) else {
            return;
        };
        let left = clients.remove(&channel_id);
        if clients.is_empty() {
            producers.groups.remove(group);
        }
        let Some(client) = left else { return };
        let in_other_groups = self
            .channels
            .lock()
            .get(&channel_id)
            .is_some_and(|groups| !groups.producers.is_empty());
        let is_its_own = producers
            .by_id
            .get(&client.client_id)
            .is_some_and(|named| named.channel.id() == channel_id);
        if is_its_own && !in_other_groups {
            producers.by_id.remove(&client.client_id);
        }
    }

    /// Channels on which some group's client has not been heard since `since_ms`.
    pub(crate) fn silent(&self, since_ms: i64) -> Vec<Arc<dyn ClientChannel>> {
        let mut silent: HashMap<u64, Arc<dyn ClientChannel>> = HashMap::new();
        let mut look = |client: &Client| {
            if client.last_heard_ms < since_ms {
                silent.insert(client.channel.id(), client.channel.clone());
            }
        };
        for shard in &self.consumers {
            shard
                .read()
                .values()
                .flat_map(|group| group.clients.values())
                .for_each(&mut look);
        }
        self.producers
            .read()
            .groups
            .values()
            .flat_map(BTreeMap::values)
            .for_each(&mut look);
        silent.into_values().collect()
    }

    /// What a group subscribes to in a topic; `None` if none of its members is connected.
    pub(crate) fn subscribed(&self, group: &str, topic: &str) -> Option<Subscribed> {
        let shard = self.shard(group).read();
        let group = shard.get(group)?;
        Some(Subscribed {
            message_model: group.message_model,
            subscription: group.subscriptions.get(topic).cloned(),
        })
    }

    /// The ids of a group's members, each once, in order.
    pub(crate) fn consumer_ids(&self, group: &str) -> Vec<Arc<str>> {
        let shard = self.shard(group).read();
        let Some(group) = shard.get(group) else {
            return vec![];
        };
        let mut ids: Vec<_> = group
            .clients
            .values()
            .map(|client| client.client_id.clone())
            .collect();
        ids.sort_unstable();
        // A client that has reconnected is there twice until its old connection ends; counted twice it would get a share that
        // nobody consumes.
        ids.dedup();
        ids
    }

    pub(crate) fn consumer_connections(&self, group: &str) -> Option<ConsumerConnections> {
        let shard = self.shard(group).read();
        let group = shard.get(group)?;
        let mut subscriptions: Vec<_> = group.subscriptions.values().map(|one| one.data.clone()).collect();
        subscriptions.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        Some(ConsumerConnections {
            clients: group.clients.values().cloned().collect(),
            consume_type: group.consume_type,
            message_model: group.message_model,
            consume_from_where: group.consume_from_where,
            subscriptions,
        })
    }

    pub(crate) fn producer_connections(&self, group: &str) -> Vec<Client> {
        self.producers
            .read()
            .groups
            .get(group)
            .map(|clients| clients.values().cloned().collect())
            .unwrap_or_default()
    }

    /// The member of a consumer group with this id. Of two connections that claim it, the one heard last.
    pub(crate) fn consumer(&self, group: &str, client_id: &str) -> Option<Client> {
        let shard = self.shard(group).read();
        let clients = shard.get(group)?.clients.values();
        clients
            .filter(|client| &*client.client_id == client_id)
            .max_by_key(|client| client.last_heard_ms)
            .cloned()
    }

    /// A producer by its client's id, whatever its groups.
    pub(crate) fn producer(&self, client_id: &str) -> Option<Client> {
        self.producers.read().by_id.get(client_id).cloned()
    }

    /// All producers, by group.
    pub(crate) fn all_producers(&self) -> Vec<(Arc<str>, Vec<Client>)> {
        let producers = self.producers.read();
        producers
            .groups
            .iter()
            .map(|(group, clients)| (group.clone(), clients.values().cloned().collect()))
            .collect()
    }

    /// One of a group's producers, each in turn.
    pub(crate) fn any_producer(&self, group: &str) -> Option<Arc<dyn ClientChannel>> {
        let producers = self.producers.read();
        let clients = producers.groups.get(group)?;
        let turn = self.next_producer.fetch_add(1, Ordering::Relaxed) % clients.len().max(1);
        clients.values().nth(turn).map(|client| client.channel.clone())
    }

    /// All consumer groups that have a member.
    pub(crate) fn consumer_groups(&self) -> Vec<Arc<str>> {
        let mut groups: Vec<Arc<str>> = self
            .consumers
            .iter()
            .flat_map(|shard| shard.read().keys().cloned().collect::<Vec<_>>())
            .collect();
        groups.sort_unstable();
        groups
    }

    /// Consumer groups whose members subscribe to `topic`.
    pub(crate) fn groups_subscribed_to(&self, topic: &str) -> Vec<Arc<str>> {
        let subscribed = |shard: &RwLock<HashMap<Arc<str>, ConsumerGroup>>| {
            let shard = shard.read();
            let groups = shard
                .iter()
                .filter(|(_, group)| group.subscriptions.contains_key(topic));
            groups.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        self.consumers.iter().flat_map(subscribed).collect()
    }
}

/// The map's own name for a group, so that a heartbeat of a known group copies none.
fn key<V>(map: &HashMap<Arc<str>, V>, group: &str) -> Arc<str> {
    map.get_key_value(group)
        .map_or_else(|| group.into(), |(name, _)| name.clone())
}
