//! Clients that subscribe to lite topics: to which, which of those may have something, and who of them waits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use hashbrown::Equivalent;

/// A client's place in the table; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientNo(pub(super) u64);

/// Wakes somebody who waits.
pub(super) type Wake = Box<dyn FnOnce() + Send>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ClientName {
    pub(super) group: Arc<str>,
    pub(super) client_id: Arc<str>,
}

/// A borrowed [`ClientName`]; finds an owned one in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientKey<'a> {
    pub(super) group: &'a str,
    pub(super) client_id: &'a str,
}

impl Equivalent<ClientName> for ClientKey<'_> {
    fn equivalent(&self, name: &ClientName) -> bool {
        *self.client_id == *name.client_id && *self.group == *name.group
    }
}

/// One client of one group.
pub(super) struct Client {
    pub(super) name: ClientName,
    /// The topic whose lite topics it subscribes to.
    pub(super) parent: Arc<str>,
    /// Its lite topics, and whether each is among those that are ready. In an order, so that the same follows from the same.
    pub(super) subscribed: BTreeMap<Arc<str>, bool>,
    /// Those that may have something, in the order in which they are looked at. Some may not be subscribed to any more.
    ready: VecDeque<Arc<str>>,
    pub(super) waiting: Vec<(u64, Wake)>,
    /// When it last said that it is there.
    pub(super) heard_ms: i64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .field("subscribed", &self.subscribed.len())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(name: ClientName, parent: Arc<str>, now_ms: i64) -> Self {
        Self {
            name,
            parent,
            subscribed: BTreeMap::new(),
            ready: VecDeque::new(),
            waiting: Vec::new(),
            heard_ms: now_ms,
        }
    }

    /// A lite topic may have something, behind all others of which that is said.
    pub(super) fn mark(&mut self, name: &Arc<str>) {
        if let Some(is_ready) = self.subscribed.get_mut(&**name)
            && !std::mem::replace(is_ready, true)
        {
            self.ready.push_back(name.clone());
        }
    }

    /// All those that may have something, if it is not known which do.
    pub(super) fn mark_all(&mut self, may_have: impl Fn(&str) -> bool) {
        for (name, is_ready) in &mut self.subscribed {
            if may_have(name) && !std::mem::replace(is_ready, true) {
                self.ready.push_back(name.clone());
            }
        }
    }

    /// A lite topic that was taken to be looked at, and was not: it is the next one.
    pub(super) fn put_back(&mut self, name: &Arc<str>) {
        if let Some(is_ready) = self.subscribed.get_mut(&**name)
            && !std::mem::replace(is_ready, true)
        {
            self.ready.push_front(name.clone());
        }
    }

    /// The next ones to be looked at. What is said of them from now on makes them ready again.
    pub(super) fn take_ready(&mut self, max: usize) -> Vec<Arc<str>> {
        let mut taken = Vec::with_capacity(max.min(self.ready.len()));
        while taken.len() < max
            && let Some(name) = self.ready.pop_front()
        {
            if let Some(is_ready) = self.subscribed.get_mut(&*name)
                && std::mem::take(is_ready)
            {
                taken.push(name);
            }
        }
        taken
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ready.iter()
    }

    /// Forgets a subscription. The list of those that are ready never grows beyond twice of what is subscribed to.
    pub(super) fn unsubscribe(&mut self, name: &str) -> bool {
        let removed = self.subscribed.remove(name).is_some();
        if self.ready.len() > 2 * self.subscribed.len() {
            let subscribed = &self.subscribed;
            let mut seen = hashbrown::HashSet::new();
            self.ready
                .retain(|name| subscribed.get(&**name) == Some(&true) && seen.insert(name.clone()));
        }
        removed
    }

    pub(super) fn is_idle(&self) -> bool {
        self.subscribed.is_empty() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(names: &[&str]) -> Client {
        let name = ClientName {
            group: "g".into(),
            client_id: "c".into(),
        };
        let mut client = Client::new(name, "t".into(), 0);
        client
            .subscribed
            .extend(names.iter().map(|name| (Arc::from(*name), false)));
        client
    }

    fn take(client: &mut Client, max: usize) -> Vec<String> {
        client
            .take_ready(max)
            .iter()
            .map(|name| name.to_string())
            .collect()
    }

    #[test]
    fn each_in_its_turn_and_once() {
        let mut client = client(&["a", "b", "c"]);
        for name in ["b", "a", "b", "x"] {
            client.mark(&name.into());
        }
        assert_eq!(take(&mut client, 1), ["b"]);
        client.mark(&"b".into());
        client.mark(&"c".into());
        assert_eq!(
            take(&mut client, 2),
            ["a", "b"],
            "behind those that were ready before"
        );
        client.put_back(&"a".into());
        assert_eq!(take(&mut client, 9), ["a", "c"]);
        assert!(take(&mut client, 9).is_empty());
    }

    #[test]
    fn what_is_not_subscribed_to_any_more_takes_no_room() {
        let mut client = client(&["a", "b"]);
        for round in 0..10 {
            let name: Arc<str> = format!("l{round}").into();
            client.subscribed.insert(name.clone(), false);
            client.mark(&name);
            assert!(client.unsubscribe(&name) && !client.unsubscribe(&name));
            assert!(client.ready.len() <= 5);
        }
        client.mark(&"a".into());
        assert_eq!(take(&mut client, 9), ["a"]);
    }
}
