//! What groups that pop were given, and what they said of it.

use std::collections::BTreeMap;

use kourou_broker::delivery::Handle;

use super::{Ledger, MessageId, MessageKind};
use crate::clients::lites::LiteGroup;
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
    /// The broker said that it is among the dead letters.
    pub buried: bool,
    /// Somebody tried to give it up.
    pub perhaps_buried: bool,
}

/// The groups that pop.
#[derive(Debug, Default)]
pub struct GroupLedger {
    groups: BTreeMap<String, BTreeMap<MessageId, Popping>>,
    /// Whether deliveries end before their time when their segments are to expire.
    pub lets_go: bool,
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
        // One that is stored twice is another message to the group; and a group that is sent back is given anything again.
        if self.message(id).forgotten || group == LiteGroup::Owners.name() {
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
        let is_held = |due_ms: &i64| !ordered && wall_ms < *due_ms && !self.groups.lets_go;
        if let Some(still_ms) = before.due_ms.filter(is_held) {
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

    /// Somebody gives a message up.
    pub fn bury_arrives(&mut self, handle: &Handle) {
        if let Some(id) = self.of_handle(handle) {
            let popping = self.groups.entry(&handle.group, id);
            popping.perhaps_acked = true;
            popping.perhaps_buried = true;
        }
    }

    /// The broker says that a message is among the dead letters.
    pub fn buried(&mut self, handle: &Handle) {
        self.acked(handle);
        if let Some(id) = self.of_handle(handle) {
            self.groups.entry(&handle.group, id).buried = true;
        }
    }

    /// What is among the dead letters of a group, which has lost none of them: what was given up is there, all is there once, and
    /// nothing that nobody gave up and that was not tried as often as may be.
    pub fn check_dead(&mut self, group: &str, dead: &[MessageId], retry_times_max: u32) {
        let mut counts: BTreeMap<MessageId, u32> = BTreeMap::new();
        for id in dead {
            *counts.entry(*id).or_default() += 1;
        }
        let mut broken = None;
        for (id, popping) in self.groups.messages(group) {
            let count = counts.remove(&id).unwrap_or(0);
            let known = self.message(id);
            // What was set back is given, and given up, again.
            if known.forgotten || group == LiteGroup::Owners.name() {
                continue;
            }
            let was_tried = popping.times + popping.perhaps > retry_times_max;
            let is_excused = popping.perhaps_buried || was_tried || self.groups.lets_go;
            if popping.buried && count == 0 || count > 1 || count == 1 && !is_excused {
                broken = Some(format!(
                    "message {id} is {count} times among the dead letters of {group}: {popping:?}"
                ));
            }
        }
        let unknown = counts.keys().find(|id| !self.message(**id).forgotten);
        if let (None, Some(id)) = (&broken, unknown) {
            broken = Some(format!(
                "message {id} is among the dead letters of {group}, which never had it"
            ));
        }
        if let Some(what) = broken {
            self.broken(Promise::DeadLetters, what);
        }
    }

    /// A group is given a message of a queue by priority, looking at `looked_at_ms`. What was there by then and is more urgent comes
    /// first.
    pub fn urgent_popped(&mut self, group: &str, queue_id: u32, looked_at_ms: i64) {
        let passed_over = self.messages().iter().find(|known| {
            let is_more_urgent =
                |stored: &super::Stored| stored.queue_id > queue_id && stored.position >= self.expired_below;
            matches!(known.content.kind, MessageKind::Urgent { .. })
                && known.stored.as_ref().is_some_and(is_more_urgent)
                && known.stored_at_ms.is_some_and(|at_ms| at_ms < looked_at_ms)
                && self.groups.message(group, known.content.id).is_none()
        });
        if let Some(known) = passed_over {
            let what = format!(
                "{group} is given something of queue {queue_id} before message {}, {:?}",
                known.content.id, known.content.kind
            );
            self.broken(Promise::Priorities, what);
        }
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
