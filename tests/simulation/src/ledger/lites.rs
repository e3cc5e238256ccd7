//! What clients subscribe to of lite topics: of each client at least what it may have. Nobody may be given anything else.

use std::collections::{BTreeMap, BTreeSet};

use kourou_broker::lite::{SyncAction, SyncRequest};

use super::{Ledger, MessageId, MessageKind};
use crate::clients::lites::LiteGroup;
use crate::message::lite_name;
use crate::promise::Promise;

/// A client: its group, and its id.
type ClientName = (String, String);

/// What one client may subscribe to.
#[derive(Debug, Default)]
struct Subscriptions {
    perhaps: BTreeSet<String>,
    /// What it certainly had no longer, and since when, in milliseconds from the beginning: what it looked for before may come yet.
    left_ms: BTreeMap<String, i64>,
    /// What it says of them and is not answered yet.
    in_flight: u32,
}

/// What clients subscribe to.
#[derive(Debug, Default)]
pub struct LiteLedger {
    /// Whether lite topics end when nobody has sent to them for a minute.
    pub expire: bool,
    clients: BTreeMap<ClientName, Subscriptions>,
}

fn name_of(request: &SyncRequest) -> ClientName {
    (request.group.to_string(), request.client_id.to_string())
}

impl LiteLedger {
    /// A client says what it subscribes to.
    pub fn sync_arrives(&mut self, request: &SyncRequest) {
        let client = self.clients.entry(name_of(request)).or_default();
        client.in_flight += 1;
        if matches!(request.action, SyncAction::Add | SyncAction::All) {
            client.perhaps.extend(request.lite_topics.iter().cloned());
        }
    }

    /// The broker is gone, and what it had not answered may be in the log.
    pub fn broker_gone(&mut self) {
        for client in self.clients.values_mut() {
            client.in_flight = 0;
        }
    }

    /// Whether a client that looked then may have found something there.
    fn may_have(&self, group: &str, client_id: &str, lite_topic: &str, looked_ms: i64) -> bool {
        let name = (group.to_owned(), client_id.to_owned());
        self.clients.get(&name).is_some_and(|client| {
            let left_ms = client.left_ms.get(lite_topic);
            client.perhaps.contains(lite_topic) || left_ms.is_some_and(|left_ms| *left_ms >= looked_ms)
        })
    }

    fn is_answered(&mut self, request: &SyncRequest) -> Option<&mut Subscriptions> {
        let client = self.clients.get_mut(&name_of(request))?;
        client.in_flight = client.in_flight.saturating_sub(1);
        (client.in_flight == 0).then_some(client)
    }
}

impl Subscriptions {
    fn keep(&mut self, now_ms: i64, is_kept: impl Fn(&str) -> bool) {
        let (kept, left): (BTreeSet<String>, BTreeSet<String>) = std::mem::take(&mut self.perhaps)
            .into_iter()
            .partition(|name| is_kept(name));
        self.perhaps = kept;
        self.left_ms.extend(left.into_iter().map(|name| (name, now_ms)));
    }
}

impl Ledger {
    /// What a client says of its subscriptions is durable. `count` is how many there are, of all clients.
    pub fn synced(&mut self, request: &SyncRequest, count: usize) {
        let now_ms = self.now_ms;
        let said: BTreeSet<String> = request.lite_topics.iter().cloned().collect();
        if let Some(client) = self.lites.is_answered(request) {
            match request.action {
                SyncAction::Add => {}
                SyncAction::Remove => client.keep(now_ms, |name| !said.contains(name)),
                SyncAction::All => client.keep(now_ms, |name| said.contains(name)),
                SyncAction::None => client.keep(now_ms, |_| false),
            }
        }
        let group = LiteGroup::named(&request.group);
        if group == Some(LiteGroup::Owners) && request.action == SyncAction::Add {
            // They are its alone now, unless somebody else claims them meanwhile.
            let me = name_of(request);
            for (name, other) in &mut self.lites.clients {
                if name.0 == me.0 && *name != me && other.in_flight == 0 {
                    other.keep(now_ms, |lite_topic| !said.contains(lite_topic));
                }
            }
        }
        let quota = group.map_or(usize::MAX, LiteGroup::quota);
        if said.len() > quota || group.is_none() || request.topic != *"sessions" {
            let what = format!("this was taken, which is to be refused: {request:?}");
            return self.broken(Promise::Refusals, what);
        }
        let most: usize = self
            .lites
            .clients
            .values()
            .map(|client| client.perhaps.len())
            .sum();
        if count > most {
            let what = format!("there are {count} subscriptions, clients asked for {most} at the most");
            self.broken(Promise::LiteTopics, what);
        }
    }

    /// The broker does not take what a client says of its subscriptions.
    pub fn not_synced(&mut self, request: &SyncRequest, code: i32, text: &str) {
        let before = self
            .lites
            .clients
            .get(&name_of(request))
            .map_or(0, |client| client.perhaps.len());
        self.lites.is_answered(request);
        let group = LiteGroup::named(&request.group);
        let is_bad = group.is_none()
            || request.topic != *"sessions"
            || request.lite_topics.iter().any(|name| name.contains(' '));
        let quota = group.map_or(usize::MAX, LiteGroup::quota);
        let is_over = before > quota || request.lite_topics.len() > quota;
        use kourou_broker::code::{
            INVALID_PARAMETER, SUBSCRIPTION_GROUP_NOT_EXIST, SYSTEM_BUSY, TOPIC_NOT_EXIST,
        };
        let is_right = match code {
            INVALID_PARAMETER | TOPIC_NOT_EXIST | SUBSCRIPTION_GROUP_NOT_EXIST => is_bad,
            SYSTEM_BUSY if text.contains("lite.sub.client.quota") => is_over,
            // The log did not take it.
            _ => true,
        };
        if !is_right {
            let what = format!("{request:?} is refused: {text}; it may have {before} subscriptions");
            self.broken(Promise::Refusals, what);
        }
    }

    /// A client hears that it has lost a lite topic: somebody else of its group has it then.
    pub fn lost_lite(&mut self, client_id: &str, lite_topic: &str) {
        let clients = &self.lites.clients;
        let has_other = clients.iter().any(|((group, name), client)| {
            *group == *LiteGroup::Owners.name() && name != client_id && client.perhaps.contains(lite_topic)
        });
        if !has_other {
            let what = format!("{client_id} is told that it has lost {lite_topic}, and nobody else has it");
            self.broken(Promise::LiteTopics, what);
        }
    }

    /// A client is given a message of a lite topic, for which it looked at `looked_ms`. `before` are the messages that lie before it and are still kept. Which of those
    /// is not done with, if one is; it is the caller who finds out whether it was given up.
    pub fn lite_popped(
        &mut self,
        group: &str,
        client_id: &str,
        id: MessageId,
        looked_ms: i64,
        before: &[MessageId],
        together: &[MessageId],
    ) -> Option<MessageId> {
        let MessageKind::Lite { lite, .. } = self.message(id).content.kind else {
            let what = format!("{client_id} of {group} is given message {id}, which is of no lite topic");
            self.broken(Promise::LiteTopics, what);
            return None;
        };
        if !self.lites.may_have(group, client_id, &lite_name(lite), looked_ms) {
            let what = format!(
                "{client_id} of {group} is given message {id} of {}, which it does not subscribe to",
                lite_name(lite)
            );
            self.broken(Promise::LiteTopics, what);
            return None;
        }
        // Who may set where the group is may pass messages over.
        if LiteGroup::named(group) != Some(LiteGroup::Answerers) {
            return None;
        }
        before.iter().copied().find(|other| {
            let is_done = self
                .groups
                .message(group, *other)
                .is_some_and(|popping| popping.acked || popping.perhaps_acked);
            !is_done && !together.contains(other) && !self.message(*other).forgotten
        })
    }
}
