//! What groups that pop were given, and what they said of it.

use std::collections::BTreeMap;

use kourou_broker::delivery::Handle;

use super::{Ledger, MessageId};
use crate::promise::Promise;

/// One message in one group.
#[derive(Debug, Clone, Default)]
pub struct Popping {
    /// How often it was handed out, as far as it is certain.
    pub times: u32,
    /// How often more it may have been handed out: answers that went with a kill.
    pub perhaps: u32,
    /// Until when nobody else may have it; `None` while that is not certain, or nobody has it.
    pub due_ms: Option<i64>,
    /// The broker said that its acknowledgement is durable.
    pub acked: bool,
    /// An acknowledgement reached the broker, and what became of it is not known.
    pub perhaps_acked: bool,
    /// Whether it was handed out at all.
    pub handed_out: bool,
}

/// The groups that pop.
#[derive(Debug, Default)]
pub struct GroupLedger {
    groups: BTreeMap<String, BTreeMap<MessageId, Popping>>,
}

impl GroupLedger {
    /// A group's messages.
    pub fn messages(&self, group: &str) -> impl Iterator<Item = (MessageId, &Popping)> {
        self.groups
            .get(group)
            .into_iter()
            .flatten()
            .map(|(id, popping)| (*id, popping))
    }

    /// One message in a group, if it was ever handed out there.
    pub fn message(&self, group: &str, id: MessageId) -> Option<&Popping> {
        self.groups.get(group)?.get(&id)
    }

    fn entry(&mut self, group: &str, id: MessageId) -> &mut Popping {
        self.groups
            .entry(group.to_owned())
            .or_default()
            .entry(id)
            .or_default()
    }

    /// The broker is gone while pops of this group were on their way: each message may have been handed out once more than
    /// anybody knows. Until when is not known, either.
    pub fn pop_lost(&mut self, group: &str, all: impl Iterator<Item = MessageId>) {
        for id in all {
            let popping = self.entry(group, id);
            popping.perhaps += 1;
        }
    }

    /// The clock was set: what was to come later may have come.
    pub fn clock_set(&mut self) {
        for popping in self.groups.values_mut().flat_map(BTreeMap::values_mut) {
            popping.due_ms = None;
        }
    }
}

impl Ledger {
    /// A message is handed out to a group: by the broker's count it was `times` before. In order, whoever heard no answer may ask
    /// again for what it was given, and that is not counted.
    pub fn popped(
        &mut self,
        group: &str,
        id: MessageId,
        times: u32,
        wall_ms: i64,
        due_ms: i64,
        ordered: bool,
    ) {
        let popping = self.groups.entry(group, id);
        let before = popping.clone();
        popping.times = times + 1;
        popping.perhaps = 0;
        popping.due_ms = Some(due_ms);
        popping.handed_out = true;
        // One that is stored twice is another message to the group.
        if self.message(id).forgotten {
            return;
        }
        if before.acked {
            let what = format!("group {group} is given message {id} again, which it acknowledged");
            return self.broken(Promise::Deliveries, what);
        }
        let least = before.times.saturating_sub(u32::from(ordered));
        let range = least..=before.times + before.perhaps;
        if !range.contains(&times) {
            let what = format!(
                "group {group} is given message {id} with {times} attempts before, there were {range:?}"
            );
            return self.broken(Promise::Deliveries, what);
        }
        if let Some(still_ms) = before.due_ms.filter(|due_ms| !ordered && wall_ms < *due_ms) {
            let early_ms = still_ms - wall_ms;
            self.broken(
                Promise::Deliveries,
                format!(
                    "group {group} is given message {id}, which somebody else has for {early_ms} ms more"
                ),
            );
        }
    }

    /// An acknowledgement reaches the broker.
    pub fn ack_arrives(&mut self, handle: &Handle) {
        if let Some(id) = self.of_handle(handle) {
            self.groups.entry(&handle.group, id).perhaps_acked = true;
        }
    }

    /// The broker says that an acknowledgement is durable.
    pub fn acked(&mut self, handle: &Handle) {
        let Some(id) = self.of_handle(handle) else {
            let what = format!("an acknowledgement of a message that nobody was given: {handle:?}");
            return self.broken(Promise::Deliveries, what);
        };
        let popping = self.groups.entry(&handle.group, id);
        popping.acked = true;
        popping.due_ms = None;
    }

    /// Somebody asks for another time: from now on it is out until the earlier one at least.
    pub fn change_arrives(&mut self, handle: &Handle, new_due_ms: i64) {
        if let Some(id) = self.of_handle(handle) {
            let popping = self.groups.entry(&handle.group, id);
            popping.due_ms = popping.due_ms.map(|due_ms| due_ms.min(new_due_ms));
        }
    }

    /// The broker says that a message has another time.
    pub fn changed(&mut self, handle: &Handle, due_ms: i64) {
        if let Some(id) = self.of_handle(handle) {
            self.groups.entry(&handle.group, id).due_ms = Some(due_ms);
        }
    }

    fn of_handle(&self, handle: &Handle) -> Option<MessageId> {
        let (queue_id, offset) = (
            u32::try_from(handle.queue_id).ok()?,
            u64::try_from(handle.offset).ok()?,
        );
        self.at(&handle.topic, queue_id, offset)
    }
}
