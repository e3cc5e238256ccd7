//! The table of lite topics and of the clients that subscribe to them, behind its lock.
//!
//! What is durable in here changes in `apply_*` and [`LiteTable::stored`] alone, in the log's order. The rest (numbers that are
//! reserved, what is ready, who waits) is of this life.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use kourou_engine::Arrival;
use parking_lot::{Mutex, MutexGuard};

use super::clients::{Client, ClientKey, ClientName, ClientNo, Wake};
use super::is_lite_queue;
use super::topics::{Idle, Parent};
use crate::property;

/// Notices that wait to be told; a client whose notice was dropped is told when it says all of its subscriptions the next time.
const NOTICES_MAX: usize = 16_384;

/// The lite topics of one broker.
pub(crate) struct LiteTable {
    lites: Mutex<Lites>,
    pub(super) topics_max: usize,
    pub(super) subscriptions_max: usize,
    next_hold: AtomicU64,
}

#[derive(Default)]
pub(super) struct Lites {
    // These are gone through, in an order, so that the same follows from the same.
    pub(super) parents: BTreeMap<Arc<str>, Parent>,
    pub(super) clients: BTreeMap<ClientNo, Client>,
    pub(super) by_name: HashMap<ClientName, ClientNo>,
    next_client: u64,
    /// Numbers that are in use.
    pub(super) topics: usize,
    pub(super) subscriptions: usize,
    pub(super) waiting: usize,
    notices: Vec<Notice>,
}

/// A client that is to hear that it does not subscribe to a lite topic any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) group: Arc<str>,
    pub(crate) client_id: Arc<str>,
    pub(crate) lite_topic: Arc<str>,
}

impl fmt::Debug for LiteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lites = self.lites.lock();
        write!(
            f,
            "{} lite topics, {} subscriptions",
            lites.topics, lites.subscriptions
        )
    }
}

impl LiteTable {
    pub(crate) fn new(topics_max: usize, subscriptions_max: usize) -> Self {
        Self {
            lites: Mutex::default(),
            topics_max,
            subscriptions_max,
            next_hold: AtomicU64::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Lites> {
        self.lites.lock()
    }

    pub(super) fn next_hold(&self) -> u64 {
        self.next_hold.fetch_add(1, Ordering::Relaxed)
    }

    /// The lite topics that there are, those among them that are on their way.
    pub(crate) fn topics(&self) -> usize {
        self.lites.lock().topics
    }

    /// The subscriptions that there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lites.lock().subscriptions
    }

    /// The queue of a lite topic that has messages.
    pub(crate) fn queue_of(&self, topic: &str, lite_topic: &str) -> Option<u32> {
        let lites = self.lites.lock();
        let entry = lites.parents.get(topic)?.entries.get(lite_topic)?;
        entry.stored.and(entry.queue_id)
    }

    /// A message of a lite topic is durable.
    pub(crate) fn stored(&self, topic: &str, queue_id: u32, properties: &[u8], end: u64, store_ms: i64) {
        let name = property::value(properties, property::LITE_TOPIC);
        let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
            return;
        };
        let mut lites = self.lites.lock();
        let parent = lites.parent(topic);
        let before = parent.name_of(queue_id).is_some();
        if parent.stored(queue_id, name, end, store_ms).is_some() && !before {
            lites.topics += 1;
        }
    }

    /// Messages can be read: those who want them are told. Without lite topics this is nothing.
    pub(crate) fn arrived(&self, arrivals: &[Arrival<'_>]) {
        let mut arrivals = arrivals
            .iter()
            .filter(|arrival| is_lite_queue(arrival.queue_id))
            .peekable();
        if arrivals.peek().is_none() {
            return;
        }
        let mut woken = Vec::new();
        let mut lites = self.lites.lock();
        for arrival in arrivals {
            lites.mark(arrival.topic, arrival.queue_id, None, &mut woken);
        }
        drop(lites);
        run(woken);
    }

    /// A group may find something in a lite topic again.
    pub(crate) fn may_have(&self, topic: &str, queue_id: u32, group: &str) {
        let mut woken = Vec::new();
        self.lites.lock().mark(topic, queue_id, Some(group), &mut woken);
        run(woken);
    }

    /// Notices that have not been told.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lites.lock().notices)
    }

    pub(super) fn idle(&self, topic: &str, before_ms: i64, max: usize) -> Vec<Idle> {
        let mut lites = self.lites.lock();
        let parent = lites.parents.get_mut(topic);
        parent.map_or_else(Vec::new, |parent| parent.idle(before_ms, max))
    }

    /// The topics that have lite topics.
    pub(super) fn parents(&self) -> Vec<Arc<str>> {
        self.lites.lock().parents.keys().cloned().collect()
    }

    /// Clients that have not been heard since `before_ms`, with the topics that they subscribe in.
    pub(super) fn silent(&self, before_ms: i64) -> Vec<(ClientName, Arc<str>)> {
        let lites = self.lites.lock();
        let silent = lites
            .clients
            .values()
            .filter(|client| client.heard_ms < before_ms && client.waiting.is_empty());
        silent
            .map(|client| (client.name.clone(), client.parent.clone()))
            .collect()
    }

    /// The log has been read: all clients count as heard now, and have not been told of anything.
    pub(crate) fn go_live(&self, now_ms: i64) {
        let mut lites = self.lites.lock();
        let lites = &mut *lites;
        lites.notices.clear();
        for client in lites.clients.values_mut() {
            client.heard_ms = now_ms;
            if let Some(parent) = lites.parents.get(&client.parent) {
                client.mark_all(|name| {
                    parent
                        .entries
                        .get(name)
                        .is_some_and(|entry| entry.stored.is_some())
                });
            }
        }
    }
}

/// Wakes them, without the lock.
pub(super) fn run(woken: Vec<Wake>) {
    for wake in woken {
        wake();
    }
}

impl Lites {
    pub(super) fn parent(&mut self, topic: &str) -> &mut Parent {
        if !self.parents.contains_key(topic) {
            self.parents.insert(topic.into(), Parent::default());
        }
        let Some(parent) = self.parents.get_mut(topic) else {
            unreachable!()
        };
        parent
    }

    pub(super) fn find(&mut self, key: ClientKey<'_>) -> Option<(ClientNo, &mut Client)> {
        let no = *self.by_name.get(&key)?;
        Some((no, self.clients.get_mut(&no)?))
    }

    /// The client of a name, made if it is not there. One that turns to another topic begins anew.
    pub(super) fn client(&mut self, key: ClientKey<'_>, topic: &str, now_ms: i64) -> ClientNo {
        let found = self.find(key).map(|(no, client)| (no, *client.parent == *topic));
        match found {
            Some((no, true)) => return no,
            Some((no, false)) => self.leave(no),
            None => {}
        }
        if let Some((no, client)) = self.find(key) {
            // It waits, so it is still there.
            client.parent = topic.into();
            return no;
        }
        let no = ClientNo(self.next_client);
        self.next_client += 1;
        let name = ClientName {
            group: key.group.into(),
            client_id: key.client_id.into(),
        };
        self.by_name.insert(name.clone(), no);
        self.clients.insert(no, Client::new(name, topic.into(), now_ms));
        no
    }

    /// Marks a lite topic for those who subscribe to it, and takes one of each group who waits.
    pub(super) fn mark(&mut self, topic: &str, queue_id: u32, group: Option<&str>, woken: &mut Vec<Wake>) {
        let Some(parent) = self.parents.get(topic) else {
            return;
        };
        let Some(name) = parent.name_of(queue_id).cloned() else {
            return;
        };
        self.mark_by_name(topic, &name, group, woken);
    }

    pub(super) fn mark_by_name(
        &mut self,
        topic: &str,
        name: &Arc<str>,
        group: Option<&str>,
        woken: &mut Vec<Wake>,
    ) {
        let entry = self
            .parents
            .get(topic)
            .and_then(|parent| parent.entries.get(&**name));
        let Some(entry) = entry else { return };
        let mut groups_woken: Vec<Arc<str>> = Vec::new();
        for no in &entry.subscribers {
            let Some(client) = self.clients.get_mut(no) else {
                continue;
            };
            if group.is_some_and(|group| *client.name.group != *group) {
                continue;
            }
            client.mark(name);
            if groups_woken.contains(&client.name.group) {
                continue;
            }
            if let Some((_, wake)) = client.waiting.pop() {
                woken.push(wake);
                self.waiting -= 1;
                groups_woken.push(client.name.group.clone());
            }
        }
    }

    /// A client is to hear that it does not subscribe to a lite topic.
    pub(super) fn notify(&mut self, name: ClientName, lite_topic: Arc<str>) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(Notice {
                group: name.group,
                client_id: name.client_id,
                lite_topic,
            });
        }
    }

    /// Forgets a client of which nothing is left.
    pub(super) fn tidy(&mut self, no: ClientNo) {
        if self.clients.get(&no).is_some_and(Client::is_idle)
            && let Some(client) = self.clients.remove(&no)
        {
            self.by_name.remove(&client.name);
        }
    }

    /// Ends all subscriptions of a client.
    pub(super) fn leave(&mut self, no: ClientNo) {
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let names: Vec<Arc<str>> = client.subscribed.keys().cloned().collect();
        for name in names {
            self.unsubscribe(no, &name);
        }
        self.tidy(no);
    }

    /// Ends one subscription. Whether there was one.
    pub(super) fn unsubscribe(&mut self, no: ClientNo, name: &str) -> bool {
        let Some(client) = self.clients.get_mut(&no) else {
            return false;
        };
        if !client.unsubscribe(name) {
            return false;
        }
        self.subscriptions -= 1;
        let topic = client.parent.clone();
        if let Some(parent) = self.parents.get_mut(&topic) {
            if let Some(entry) = parent.entries.get_mut(name) {
                entry.subscribers.retain(|other| *other != no);
            }
            if parent.free_number(name) {
                self.topics -= 1;
            }
        }
        true
    }
}
