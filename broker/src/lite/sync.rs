//! Clients say which lite topics they subscribe to.

use std::collections::BTreeSet;
use std::sync::Arc;

use kourou_engine::{AppendError, Boundary};

use super::clients::{ClientKey, ClientName, ClientNo};
use super::record::{Added, How, Subscribed};
use super::settings::{LiteSettings, is_parent};
use super::table::Lites;
use super::{LiteTable, SUBSCRIBED, SyncError, check_name};
use crate::broker::Broker;
use crate::text::Text;

/// What a client says of its subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAction {
    /// It subscribes to these as well.
    Add,
    /// It subscribes to these no longer.
    Remove,
    /// It subscribes to these and no others.
    All,
    /// It subscribes to none any more.
    None,
}

/// Where a group goes on in a lite topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteOffset {
    /// Where it is; at the first message if it has never consumed it.
    Last,
    /// At the first message.
    Min,
    /// Behind the last message.
    Max,
    /// At this offset.
    At(i64),
    /// So many messages before the end.
    Tail(i64),
    /// At the first message that was stored then, in milliseconds since the epoch, or later.
    Time(i64),
}

/// A client says what it subscribes to.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The group.
    pub group: Text,
    /// The topic whose lite topics they are.
    pub topic: Text,
    /// The client.
    pub client_id: Text,
    /// What it says of them.
    pub action: SyncAction,
    /// Names of lite topics.
    pub lite_topics: Vec<String>,
    /// Where the group goes on in those that are added.
    pub offset: LiteOffset,
}

/// What is different after a request.
#[derive(Debug, Default)]
struct Difference {
    left: Vec<Arc<str>>,
    added: Vec<String>,
}

impl Broker {
    /// Takes in what a client says of its subscriptions. When `done` hears of success it is durable.
    ///
    /// In a group whose lite topics are one client's alone, [`SyncAction::Add`] takes them from whoever has them, who is told by
    /// [`crate::client::ClientChannel::unsubscribe_lite`]; with [`SyncAction::All`] a client gets those that nobody has, and is told
    /// of the others.
    pub fn sync_lite(
        self: &Arc<Self>,
        request: &SyncRequest,
        done: impl FnOnce(Result<(), SyncError>) + Send + 'static,
    ) {
        match self.lite_change(request) {
            Ok(Some(payload)) => {
                let broker = self.clone();
                self.append_state(SUBSCRIBED, &payload, move |stored| {
                    broker.tell_lite_notices();
                    done(stored.map_err(SyncError::Store));
                });
            }
            Ok(None) => {
                self.tell_lite_notices();
                done(Ok(()));
            }
            Err(error) => done(Err(error)),
        }
    }

    /// A client is gone, and all of its subscriptions.
    pub fn leave_lite(self: &Arc<Self>, group: &str, client_id: &str) {
        let Some((topic, names)) = self.state.lite.subscriptions_of(ClientKey { group, client_id }) else {
            return;
        };
        let said = Subscribed {
            topic: &topic,
            group,
            client_id,
            how: How::default(),
            left: names.iter().map(|name| &**name).collect(),
            added: Vec::new(),
        };
        let client_id = client_id.to_owned();
        self.append_state(SUBSCRIBED, &said.encode(), move |stored: Result<(), AppendError>| {
            if let Err(error) = stored {
                // It is tried again when the client has been silent for long enough.
                tracing::debug!(client = %client_id, %error, "subscriptions of a client that is gone stay for now");
            }
        });
    }

    /// Subscriptions to lite topics that there are, of all clients.
    pub fn lite_subscriptions(&self) -> usize {
        self.state.lite.subscriptions()
    }

    /// Lite topics that there are.
    pub fn lite_topics(&self) -> usize {
        self.state.lite.topics()
    }

    /// The queue that a lite topic is, if it has messages.
    pub fn lite_queue(&self, topic: &str, lite_topic: &str) -> Option<u32> {
        self.state.lite.queue_of(topic, lite_topic)
    }

    /// The record of what changes; `None` if nothing does.
    fn lite_change(&self, request: &SyncRequest) -> Result<Option<Vec<u8>>, SyncError> {
        let SyncRequest {
            group,
            topic,
            client_id,
            action,
            lite_topics,
            ..
        } = request;
        let Some(config) = self.state.topics.get(topic) else {
            return Err(SyncError::TopicNotExist { topic: topic.clone() });
        };
        if !is_parent(&config) {
            return Err(SyncError::NotLite { topic: topic.clone() });
        }
        let Some(config) = self.group_in_use(group) else {
            return Err(SyncError::GroupNotExist { group: group.clone() });
        };
        let settings = LiteSettings::of(&config).filter(|settings| *settings.bind_topic == **topic);
        let settings = settings.ok_or_else(|| SyncError::NotBound {
            group: group.clone(),
            topic: topic.clone(),
        })?;
        let over = || SyncError::ClientQuota {
            group: group.clone(),
            quota: settings.client_quota,
        };
        if matches!(action, SyncAction::Add | SyncAction::All)
            && lite_topics.len() > settings.client_quota as usize
        {
            return Err(over());
        }
        for name in lite_topics {
            check_name(name).map_err(|source| SyncError::Name {
                name: name.chars().take(128).collect(),
                source,
            })?;
        }
        let how = How {
            takes: settings.is_exclusive && *action == SyncAction::Add,
            yields: settings.is_exclusive && *action == SyncAction::All,
            resets_when_taken: settings.resets_when_taken,
            resets_when_left: settings.resets_when_left && *action == SyncAction::Remove,
        };
        let key = ClientKey { group, client_id };
        let now_ms = self.clock.now_ms();
        let difference = self
            .state
            .lite
            .difference(key, request, how, now_ms, |count| {
                count > settings.client_quota as usize
            })
            .map_err(|over_all| match over_all {
                Over::Client => over(),
                Over::All { subscriptions_max } => SyncError::TooMany { subscriptions_max },
            })?;
        if difference.left.is_empty() && difference.added.is_empty() {
            return Ok(None);
        }
        let added = difference.added.iter().map(|name| Added {
            name,
            offset: self.lite_offset(request, name),
        });
        let said = Subscribed {
            topic,
            group,
            client_id,
            how,
            left: difference.left.iter().map(|name| &**name).collect(),
            added: added.collect(),
        };
        Ok(Some(said.encode()))
    }

    /// Where a group is sent in a lite topic that is there.
    fn lite_offset(&self, request: &SyncRequest, lite_topic: &str) -> Option<u64> {
        if request.action != SyncAction::Add || request.offset == LiteOffset::Last {
            return None;
        }
        let topic = &request.topic;
        let queue_id = self.state.lite.queue_of(topic, lite_topic)?;
        let (min, max) = (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
        let offset = match request.offset {
            LiteOffset::Last => return None,
            LiteOffset::Min => min,
            LiteOffset::Max => max,
            LiteOffset::At(offset) => u64::try_from(offset).unwrap_or(0),
            LiteOffset::Tail(count) => max.saturating_sub(u64::try_from(count).unwrap_or(0)),
            LiteOffset::Time(store_ms) => self.offset_by_time(topic, queue_id, store_ms, Boundary::Lower),
        };
        Some(offset.clamp(min, max))
    }

    /// Tells clients of lite topics that they do not subscribe to any more.
    fn tell_lite_notices(&self) {
        for notice in self.state.lite.take_notices() {
            let client = self.clients.consumer(&notice.group, &notice.client_id);
            let is_told = client.is_some_and(|client| client.channel.unsubscribe_lite(&notice.lite_topic));
            if !is_told {
                tracing::debug!(
                    client = %notice.client_id, group = %notice.group, lite_topic = %notice.lite_topic,
                    "a client was not told that it has lost a lite topic; it is when it says all of its subscriptions"
                );
            }
        }
    }
}

/// A bound that a client's wishes are beyond.
enum Over {
    Client,
    All { subscriptions_max: usize },
}

impl LiteTable {
    fn difference(
        &self,
        key: ClientKey<'_>,
        request: &SyncRequest,
        how: How,
        now_ms: i64,
        is_too_much: impl Fn(usize) -> bool,
    ) -> Result<Difference, Over> {
        let mut lites = self.lock();
        let found = lites.find(key);
        let no = found.map_or(ClientNo(u64::MAX), |(no, client)| {
            client.heard_ms = now_ms;
            no
        });
        let subscribed = lites
            .clients
            .get(&no)
            .filter(|client| *client.parent == *request.topic);
        let has = |name: &str| subscribed.is_some_and(|client| client.subscribed.contains_key(name));
        let count = subscribed.map_or(0, |client| client.subscribed.len());
        let wanted: BTreeSet<&str> = request.lite_topics.iter().map(String::as_str).collect();
        let mut difference = Difference::default();
        match request.action {
            SyncAction::Add => {
                let new = wanted.iter().filter(|name| !has(name)).count();
                if is_too_much(count + new) {
                    return Err(Over::Client);
                }
                // Those that it has are set to where it says.
                let is_set = request.offset != LiteOffset::Last;
                let added = wanted.iter().filter(|name| is_set || !has(name));
                difference.added = added.map(|name| (*name).to_owned()).collect();
            }
            SyncAction::Remove => {
                let left = wanted.iter().filter(|name| has(name));
                difference.left = left.map(|name| Arc::from(*name)).collect();
            }
            SyncAction::All | SyncAction::None => {
                let wanted = if request.action == SyncAction::All {
                    wanted
                } else {
                    BTreeSet::new()
                };
                if let Some(client) = subscribed {
                    let left = client.subscribed.keys().filter(|name| !wanted.contains(&***name));
                    difference.left = left.cloned().collect();
                }
                let added = wanted.iter().filter(|name| !has(name));
                difference.added = added.map(|name| (*name).to_owned()).collect();
            }
        }
        if how.yields {
            lites.withhold(no, request, &mut difference.added);
        }
        if lites.subscriptions + difference.added.len() > self.subscriptions_max
            && difference.added.len() > difference.left.len()
        {
            return Err(Over::All {
                subscriptions_max: self.subscriptions_max,
            });
        }
        Ok(difference)
    }

    /// What a client subscribes to, and of which topic; `None` if to nothing.
    pub(super) fn subscriptions_of(&self, key: ClientKey<'_>) -> Option<(Arc<str>, Vec<Arc<str>>)> {
        let mut lites = self.lock();
        let (_, client) = lites.find(key)?;
        if client.subscribed.is_empty() {
            return None;
        }
        Some((client.parent.clone(), client.subscribed.keys().cloned().collect()))
    }
}

impl Lites {
    /// Leaves out what others of the group have, and has the client told of it.
    fn withhold(&mut self, no: ClientNo, request: &SyncRequest, added: &mut Vec<String>) {
        let mut withheld = Vec::new();
        added.retain(|name| {
            let is_free = self.others(no, &request.topic, name, &request.group).is_empty();
            if !is_free {
                withheld.push(Arc::from(name.as_str()));
            }
            is_free
        });
        for lite_topic in withheld {
            let name = ClientName {
                group: (&*request.group).into(),
                client_id: (&*request.client_id).into(),
            };
            self.notify(name, lite_topic);
        }
    }
}
