//! What records of lite topics do.

use std::sync::Arc;

use super::clients::{ClientKey, ClientNo};
use super::record::{self, Added, Subscribed};
use super::table::Lites;
use super::{ENDED, LiteTable, SUBSCRIBED};
use crate::state::Fields;

/// What a group is to forget of a lite topic: where it is, and what it has out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) group: Arc<str>,
    pub(crate) queue_id: u32,
}

/// Where a group goes on in a lite topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) group: Arc<str>,
    pub(crate) queue_id: u32,
    pub(crate) offset: u64,
}

/// What follows from a record for other tables.
#[derive(Debug, Default)]
pub(crate) struct Applied<'a> {
    pub(crate) forgotten: Vec<Forgotten>,
    pub(crate) placed: Vec<Placed>,
    /// Queues that show nothing of what is before this.
    pub(crate) floors: Vec<(u32, u64)>,
    /// Whose subscriptions have changed.
    pub(crate) client: Option<(&'a str, &'a str)>,
}

impl LiteTable {
    /// Applies a record, whose version has been read. `None` if it means nothing.
    pub(crate) fn apply<'a>(&self, kind: u16, fields: &mut Fields<'a>, store_ms: i64) -> Option<Applied<'a>> {
        match kind {
            ENDED => {
                let (topic, idle) = record::read_ended(fields)?;
                let mut applied = Applied::default();
                let mut lites = self.lock();
                for one in &idle {
                    let Some(parent) = lites.parents.get_mut(topic) else {
                        break;
                    };
                    let Some(subscribers) = parent.end(one) else {
                        continue;
                    };
                    let groups = parent.groups.iter().cloned();
                    applied.forgotten.extend(groups.map(|group| Forgotten {
                        group,
                        queue_id: one.queue_id,
                    }));
                    applied.floors.push((one.queue_id, one.end));
                    let is_freed = parent.name_of(one.queue_id).is_none();
                    lites.topics -= usize::from(is_freed);
                    for no in subscribers {
                        lites.forget_subscription(no, &one.name);
                    }
                }
                lites.forget_unused(topic);
                Some(applied)
            }
            SUBSCRIBED => {
                let said = Subscribed::read(fields)?;
                let mut applied = Applied {
                    client: Some((said.group, said.client_id)),
                    ..Applied::default()
                };
                self.lock().subscribed(&said, store_ms, &mut applied);
                Some(applied)
            }
            _ => None,
        }
    }

    /// The topic is deleted, and its lite topics with it. Where their queues end.
    pub(crate) fn remove_topic(&self, topic: &str) -> Vec<(u32, u64)> {
        let mut lites = self.lock();
        let clients: Vec<ClientNo> = lites
            .clients
            .iter()
            .filter(|(_, client)| *client.parent == *topic)
            .map(|(no, _)| *no)
            .collect();
        for no in clients {
            lites.leave(no);
        }
        let Some(parent) = lites.parents.get_mut(topic) else {
            return Vec::new();
        };
        let stored = parent.all_stored();
        let ends = stored
            .map(|(_, queue_id, stored)| (queue_id, stored.end))
            .collect();
        let before = parent.numbers();
        parent.clear();
        let freed = before - parent.numbers();
        lites.topics -= freed;
        lites.forget_unused(topic);
        ends
    }

    /// The group is deleted, and what its clients subscribe to.
    pub(crate) fn remove_group(&self, group: &str) {
        let mut lites = self.lock();
        let clients: Vec<ClientNo> = lites
            .clients
            .iter()
            .filter(|(_, client)| *client.name.group == *group)
            .map(|(no, _)| *no)
            .collect();
        for no in clients {
            lites.leave(no);
        }
        for parent in lites.parents.values_mut() {
            parent.groups.retain(|other| **other != *group);
        }
    }
}

impl Lites {
    fn subscribed(&mut self, said: &Subscribed<'_>, store_ms: i64, applied: &mut Applied<'_>) {
        let key = ClientKey {
            group: said.group,
            client_id: said.client_id,
        };
        let no = self.client(key, said.topic, store_ms);
        let group = self.remember_group(said.topic, said.group);
        for name in &said.left {
            let queue_id = self.queue_of(said.topic, name);
            if self.unsubscribe(no, name)
                && said.how.resets_when_left
                && let Some(queue_id) = queue_id
            {
                applied.forgotten.push(Forgotten {
                    group: group.clone(),
                    queue_id,
                });
            }
        }
        for added in &said.added {
            self.add(no, said, *added, &group, applied);
        }
        self.tidy(no);
        self.forget_unused(said.topic);
    }

    fn add(
        &mut self,
        no: ClientNo,
        said: &Subscribed<'_>,
        Added { name, offset }: Added<'_>,
        group: &Arc<str>,
        applied: &mut Applied<'_>,
    ) {
        let (name, _) = self.parent(said.topic).entry(name);
        let others = if said.how.takes || said.how.yields {
            self.others(no, said.topic, &name, group)
        } else {
            Vec::new()
        };
        let yields = said.how.yields && !others.is_empty();
        let losers = if yields { &[no] } else { others.as_slice() };
        for loser in losers {
            if let Some(client) = self.clients.get(loser) {
                self.notify(client.name.clone(), name.clone());
            }
        }
        if yields {
            return;
        }
        self.join(no, said.topic, &name);
        for other in &others {
            self.unsubscribe(*other, &name);
            self.tidy(*other);
        }
        let Some(queue_id) = self.queue_of(said.topic, &name) else {
            return;
        };
        if let Some(offset) = offset {
            applied.placed.push(Placed {
                group: group.clone(),
                queue_id,
                offset,
            });
        } else if said.how.resets_when_taken && !others.is_empty() {
            applied.forgotten.push(Forgotten {
                group: group.clone(),
                queue_id,
            });
        }
    }

    /// Others of a client's group that subscribe to a lite topic.
    pub(super) fn others(&self, no: ClientNo, topic: &str, name: &str, group: &str) -> Vec<ClientNo> {
        let entry = self
            .parents
            .get(topic)
            .and_then(|parent| parent.entries.get(name));
        let subscribers = entry.map_or([].as_slice(), |entry| entry.subscribers.as_slice());
        let is_other = |other: &&ClientNo| {
            let client = self.clients.get(*other);
            **other != no && client.is_some_and(|client| *client.name.group == *group)
        };
        subscribers.iter().filter(is_other).copied().collect()
    }

    /// A client subscribes to a lite topic. It is ready if it has ever had messages.
    pub(super) fn join(&mut self, no: ClientNo, topic: &str, name: &str) {
        let (name, entry) = self.parent(topic).entry(name);
        if !entry.subscribers.contains(&no) {
            entry.subscribers.push(no);
        }
        let is_stored = entry.stored.is_some();
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        if !client.subscribed.contains_key(&name) {
            client.subscribed.insert(name.clone(), false);
            self.subscriptions += 1;
        }
        if is_stored {
            client.mark(&name);
        }
    }

    /// A subscription whose entry has forgotten it.
    fn forget_subscription(&mut self, no: ClientNo, name: &str) {
        if let Some(client) = self.clients.get_mut(&no)
            && client.unsubscribe(name)
        {
            self.subscriptions -= 1;
            self.tidy(no);
        }
    }

    fn queue_of(&self, topic: &str, name: &str) -> Option<u32> {
        self.parents.get(topic)?.entries.get(name)?.queue_id
    }

    /// Remembers a group as one that may have offsets in lite topics.
    pub(super) fn remember_group(&mut self, topic: &str, group: &str) -> Arc<str> {
        let parent = self.parent(topic);
        if let Some(known) = parent.groups.iter().find(|known| ***known == *group) {
            return known.clone();
        }
        let group: Arc<str> = group.into();
        parent.groups.push(group.clone());
        group
    }

    pub(super) fn forget_unused(&mut self, topic: &str) {
        if self.parents.get(topic).is_some_and(|parent| parent.is_unused()) {
            self.parents.remove(topic);
        }
    }
}
