//! Held pops: consumers that wait for a message, woken one at a time, since a message goes to one of them.
//!
//! No wake-up is lost if whoever holds a pop looks once more after it is held: what arrives is first readable, then looks at
//! who waits. A waiter that is woken and does not pop passes the wake-up on with [`Broker::pass_on`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use hashbrown::HashMap;
use kourou_engine::Arrival;
use parking_lot::Mutex;

use super::order::Standing;
use super::retry::retry_topics_of;
use super::table::GroupQueueKey;
use super::{PopError, PopRequest};
use crate::broker::Broker;
use crate::filter::Filter;
use crate::lite::is_lite_queue;

type Wake = Box<dyn FnOnce() + Send>;

/// A topic, and a group that waits for it.
type LineName = (Arc<str>, Arc<str>);

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// A pop, which takes the message that it is woken for.
    Pop,
    /// Somebody who only wants to hear that there is one.
    Notice,
}

/// What became of a hold.
#[derive(Debug)]
pub enum PopHold {
    /// It waits. Dropping the guard ends it; its `wake` runs at most once, and may still run while the guard is dropped.
    Held(PopHoldGuard),
    /// As many are held as may be, of this queue or of all.
    Full,
}

/// A hold that waits. Dropping it ends the hold.
pub struct PopHoldGuard {
    broker: Arc<Broker>,
    line: LineName,
    id: u64,
}

impl fmt::Debug for PopHoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopHoldGuard")
            .field("line", &self.line)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for PopHoldGuard {
    fn drop(&mut self) {
        self.broker
            .state
            .pop_holds
            .remove(&self.line.0, &self.line.1, self.id);
    }
}

/// What a wake-up is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concerning {
    /// Whatever there is.
    Any,
    /// One queue of the topic.
    Queue(u32),
}

struct Hold {
    id: u64,
    waiter: Waiter,
    /// Below 0 for any.
    queue_id: i32,
    ordered: bool,
    filter: Filter,
    wake: Wake,
}

impl Hold {
    fn concerns(&self, concerning: Concerning) -> bool {
        match concerning {
            Concerning::Any => true,
            Concerning::Queue(queue_id) => self.queue_id < 0 || u32::try_from(self.queue_id) == Ok(queue_id),
        }
    }
}

/// Those of one group who wait for one topic, in the order in which they came.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Hold>,
}

/// The holds of one broker.
pub(crate) struct PopHolds {
    lines: Mutex<Lines>,
    count: AtomicUsize,
    count_max: usize,
    per_queue_max: usize,
}

#[derive(Default)]
struct Lines {
    /// By topic, by group; groups are woken in the order of their names, so that one history is always followed by the same one.
    by_topic: HashMap<Arc<str>, BTreeMap<Arc<str>, Line>>,
    /// The topic and the group that a retry topic is of.
    by_retry_topic: HashMap<String, Vec<LineName>>,
    next_id: u64,
}

impl Lines {
    fn line(&mut self, topic: &str, group: &str) -> Option<&mut Line> {
        self.by_topic.get_mut(topic)?.get_mut(group)
    }

    /// Forgets a line in which nobody waits.
    fn tidy(&mut self, topic: &str, group: &str) {
        let Some(groups) = self.by_topic.get_mut(topic) else {
            return;
        };
        if groups.get(group).is_none_or(|line| !line.waiting.is_empty()) {
            return;
        }
        groups.remove(group);
        if groups.is_empty() {
            self.by_topic.remove(topic);
        }
        for (_, retry) in retry_topics_of(group, topic, false) {
            if let Some(of) = self.by_retry_topic.get_mut(&retry) {
                of.retain(|(one, other)| (&**one, &**other) != (topic, group));
                if of.is_empty() {
                    self.by_retry_topic.remove(&retry);
                }
            }
        }
    }

    /// Takes the first of each kind who may be woken, at most one of a kind.
    fn take(&mut self, topic: &str, group: &str, may: impl Fn(&Hold) -> bool, woken: &mut Vec<Wake>) {
        let Some(line) = self.line(topic, group) else {
            return;
        };
        for waiter in [Waiter::Pop, Waiter::Notice] {
            let first = line
                .waiting
                .iter()
                .position(|hold| hold.waiter == waiter && may(hold));
            if let Some(hold) = first.and_then(|at| line.waiting.remove(at)) {
                woken.push(hold.wake);
            }
        }
        self.tidy(topic, group);
    }
}

impl PopHolds {
    pub(crate) fn new(count_max: usize, per_queue_max: usize) -> Self {
        Self {
            lines: Mutex::default(),
            count: AtomicUsize::new(0),
            count_max,
            per_queue_max,
        }
    }

    fn add(&self, topic: &Arc<str>, group: &Arc<str>, mut hold: Hold) -> Option<u64> {
        if self.count.fetch_add(1, Ordering::SeqCst) >= self.count_max {
            self.count.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let mut lines = self.lines.lock();
        let is_new = lines.line(topic, group).is_none();
        let same = lines.line(topic, group).map_or(0, |line| {
            let alike = |other: &&Hold| (other.queue_id, other.waiter) == (hold.queue_id, hold.waiter);
            // Looking further would tell nothing more.
            line.waiting.iter().filter(alike).take(self.per_queue_max).count()
        });
        if same >= self.per_queue_max {
            self.count.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        if is_new {
            for (_, retry) in retry_topics_of(group, topic, false) {
                let of = lines.by_retry_topic.entry(retry).or_default();
                of.push((topic.clone(), group.clone()));
            }
        }
        let id = lines.next_id;
        lines.next_id += 1;
        hold.id = id;
        let groups = lines.by_topic.entry(topic.clone()).or_default();
        groups.entry(group.clone()).or_default().waiting.push_back(hold);
        Some(id)
    }

    fn remove(&self, topic: &str, group: &str, id: u64) {
        let mut lines = self.lines.lock();
        let removed = lines.line(topic, group).and_then(|line| {
            let at = line.waiting.iter().position(|hold| hold.id == id)?;
            line.waiting.remove(at)
        });
        lines.tidy(topic, group);
        drop(lines);
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        // What a wake-up owns may end other holds when it is dropped; not under the lock.
        drop(removed);
    }

    fn run(&self, woken: Vec<Wake>) {
        self.count.fetch_sub(woken.len(), Ordering::SeqCst);
        for wake in woken {
            wake();
        }
    }

    /// Wakes one of a group who waits.
    pub(super) fn wake(&self, topic: &str, group: &str, concerning: Concerning) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken = Vec::new();
        self.lines
            .lock()
            .take(topic, group, |hold| hold.concerns(concerning), &mut woken);
        self.run(woken);
    }

    /// A group's offset in a queue was set from outside: somebody who waits may find something.
    pub(crate) fn offset_set(&self, topic: &str, group: &str, queue_id: u32) {
        self.wake(topic, group, Concerning::Queue(queue_id));
    }

    /// Wakes those who want one of these: of each group one for each queue. Without holds this is one load.
    pub(crate) fn arrived(&self, arrivals: &[Arrival<'_>]) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken: Vec<Wake> = Vec::new();
        let mut lines = self.lines.lock();
        let mut before: Option<(&str, u32)> = None;
        for arrival in arrivals {
            let groups: Vec<Arc<str>> = lines
                .by_topic
                .get(arrival.topic)
                .map(|groups| groups.keys().cloned().collect())
                .unwrap_or_default();
            for group in groups {
                let wants = |hold: &Hold| {
                    hold.concerns(Concerning::Queue(arrival.queue_id))
                        && hold.filter.matches(arrival.tags_code, arrival.properties)
                };
                lines.take(arrival.topic, &group, wants, &mut woken);
            }
            let retried = (arrival.topic, arrival.queue_id);
            if before != Some(retried) {
                let of = lines
                    .by_retry_topic
                    .get(arrival.topic)
                    .cloned()
                    .unwrap_or_default();
                for (topic, group) in of {
                    lines.take(&topic, &group, |hold| !hold.ordered, &mut woken);
                }
            }
            before = Some(retried);
        }
        drop(lines);
        self.run(woken);
    }

    fn waiting(&self, topic: &str, group: &str, queue_id: i32) -> usize {
        self.lines.lock().line(topic, group).map_or(0, |line| {
            let pops = line.waiting.iter();
            pops.filter(|hold| hold.waiter == Waiter::Pop && hold.queue_id == queue_id)
                .count()
        })
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Broker {
    /// Holds a pop that found nothing, or whoever wants to hear of a message, until there may be one; `wake` then runs once,
    /// on the engine's writer thread or that of whoever made room: it must be short and must not block. The caller looks once
    /// more as soon as it is held, keeps time, and drops the guard when it has waited long enough.
    ///
    /// # Errors
    /// If the request is one that a pop would refuse.
    pub fn hold_pop(
        self: &Arc<Self>,
        request: &PopRequest,
        waiter: Waiter,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<PopHold, PopError> {
        let (topic, group) = self.admit_popper(&request.group, &request.topic, request.queue_id)?;
        let subscription = &request.subscription;
        let filter = if subscription.expression.is_empty() {
            Filter::All
        } else {
            Filter::compile(&subscription.expression_type, &subscription.expression)?
        };
        let hold = Hold {
            id: 0,
            waiter,
            queue_id: request.queue_id.max(-1),
            ordered: request.ordered,
            filter,
            wake: Box::new(wake),
        };
        let line = (topic.name.clone(), group.name.clone());
        let Some(id) = self.state.pop_holds.add(&line.0, &line.1, hold) else {
            return Ok(PopHold::Full);
        };
        fence(Ordering::SeqCst);
        Ok(PopHold::Held(PopHoldGuard {
            broker: self.clone(),
            line,
            id,
        }))
    }

    /// Somebody who may have been woken will not pop: another one is woken in its place.
    pub fn pass_on(&self, request: &PopRequest) {
        self.state
            .pop_holds
            .wake(&request.topic, &request.group, Concerning::Any);
    }

    /// Pops held now.
    pub fn held_pops(&self) -> usize {
        self.state.pop_holds.count()
    }

    /// Pops that a group has waiting for a queue, or for any of a topic, if that is below 0.
    ///
    /// # Errors
    /// If the request is one that a pop would refuse.
    pub fn pops_waiting(
        &self,
        group: &crate::text::Text,
        topic: &crate::text::Text,
        queue_id: i32,
    ) -> Result<usize, PopError> {
        let (topic, group) = self.admit_popper(group, topic, queue_id)?;
        Ok(self
            .state
            .pop_holds
            .waiting(&topic.name, &group.name, queue_id.max(-1)))
    }

    /// Wakes somebody who waits for a queue that can be popped in order again.
    pub(super) fn wake_in_order(&self, key: GroupQueueKey<'_>) {
        if !is_lite_queue(key.queue_id) {
            let concerning = Concerning::Queue(key.queue_id);
            return self.state.pop_holds.wake(key.topic, key.group, concerning);
        }
        let now_ms = self.clock.now_ms();
        let standing = self.state.deliveries.with_block(key, |block| {
            block.map_or(Standing::Clear, |block| block.standing("", now_ms))
        });
        let has_something = match standing {
            Standing::Blocked => false,
            Standing::Again(_) => true,
            Standing::Clear => {
                let committed = self.state.offsets.get(key.group, key.topic, key.queue_id);
                let next = committed
                    .and_then(|offset| u64::try_from(offset).ok())
                    .unwrap_or(0);
                next < self.max_offset(key.topic, key.queue_id)
            }
        };
        if has_something {
            self.state.lite.may_have(key.topic, key.queue_id, key.group);
        }
    }

    /// Wakes somebody who waits for whatever a topic has, as somebody else is done with one of its queues.
    pub(super) fn wake_poppers(&self, topic: &str, key: GroupQueueKey<'_>) {
        if is_lite_queue(key.queue_id) {
            self.state.lite.may_have(key.topic, key.queue_id, key.group);
        } else {
            self.state.pop_holds.wake(topic, key.group, Concerning::Any);
        }
    }
}
