//! Pop: what a group gets next, taken under a mark, and handed out once that is durable.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kourou_engine::record::{RecordView, state};

use super::hold::Concerning;
use super::order::Standing;
use super::record::{self, PoppedFrom};
use super::retry::{RETRY_OF, is_retry_for, retry_topics_of};
use super::table::{Begun, GroupQueueKey, OutLimits};
use super::{PopError, PopRequest, PopStart, Popped, PoppedMessage, PoppedQueue, RetryKind};
use crate::broker::Broker;
use crate::filter::Filter;
use crate::name;
use crate::offset::QueueOfGroup;
use crate::receive::{Room, Scan, Visit};
use crate::topic::{TopicConfig, perm};

/// Of so many pops, one looks at the retry topics first.
const RETRY_FIRST_EVERY: u64 = 5;
/// Queues that are looked at for what is left when enough is taken.
const REST_QUEUES_MAX: usize = 64;

/// Whether a pop may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Not for messages; those that are not in memory make it [`PopStep::Cold`].
    Memory,
    /// It may block.
    Disk,
}

/// What a pop comes to at first.
#[derive(Debug)]
pub enum PopStep {
    /// Messages are taken; [`TakenPop::store`] hands them out.
    Taken(TakenPop),
    /// The next messages are on the disk: begin again with [`Reading::Disk`], where one may block.
    Cold,
    /// There is nothing.
    Empty {
        /// Messages that are there and cannot be had now.
        rest: u64,
        /// Whether there may be more behind what was looked at: begin again at once.
        again: bool,
    },
}

/// A pop that has passed the checks.
struct Admitted {
    topic: Arc<TopicConfig>,
    group: Arc<str>,
    filter: Filter,
    messages_max: usize,
}

/// Tells apart who is popping a queue.
static NEXT_POP: AtomicU64 = AtomicU64::new(1);

/// Messages that are taken, and nobody else's while this lives. Dropped, they are there as before.
pub struct TakenPop {
    broker: Arc<Broker>,
    id: u64,
    group: Arc<str>,
    topic: Arc<str>,
    attempt_id: crate::text::Text,
    pop_ms: i64,
    invisible_ms: i64,
    ordered: bool,
    rest: u64,
    /// Which queues are marked: those of `from`, until this is dropped.
    from: Vec<PoppedFrom>,
    queues: Vec<PoppedQueue>,
    is_released: bool,
}

impl fmt::Debug for TakenPop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenPop")
            .field("group", &self.group)
            .field("topic", &self.topic)
            .field("messages", &self.count())
            .finish_non_exhaustive()
    }
}

impl TakenPop {
    fn count(&self) -> usize {
        self.queues.iter().map(|queue| queue.messages.len()).sum()
    }

    fn size_bytes(&self) -> usize {
        let messages = self.queues.iter().flat_map(|queue| &queue.messages);
        messages.map(|message| message.record.len()).sum()
    }

    /// Hands the messages out. When `done` hears of them it is durable that they are out.
    ///
    /// `done` runs once, on the log's writer thread or before this returns; it must be short and must not block.
    pub fn store(mut self, done: impl FnOnce(Result<Popped, PopError>) + Send + 'static) {
        let due_ms = self.pop_ms.saturating_add(self.invisible_ms);
        let (kind, payload) = if self.ordered {
            let payload =
                record::popped_in_order(&self.group, self.pop_ms, due_ms, &self.attempt_id, &self.from);
            (record::POPPED_IN_ORDER, payload)
        } else {
            let payload = record::popped(&self.group, self.pop_ms, due_ms, &self.from);
            (record::POPPED, payload)
        };
        let broker = self.broker.clone();
        let record = state(kind, &payload, self.pop_ms);
        let group = self.group.clone();
        let found: Vec<_> = self
            .from
            .iter()
            .map(|queue| (queue.topic.clone(), queue.queue_id, queue.found))
            .collect();
        let popped = Popped {
            pop_ms: self.pop_ms,
            invisible_ms: self.invisible_ms,
            ordered: self.ordered,
            rest: self.rest,
            queues: std::mem::take(&mut self.queues),
        };
        let queues = found
            .iter()
            .map(|(topic, queue_id, found)| (&**topic, *queue_id, *found));
        let mut waiting = Some((self, popped, done));
        broker.state.offsets.append_pop(&group, queues, || {
            let Some((mut taken, popped, done)) = waiting.take() else {
                return;
            };
            broker.engine.append(record, move |appended| match appended {
                Ok(_) => {
                    taken.release();
                    done(Ok(popped));
                }
                Err(error) => {
                    taken.give_back();
                    taken.release();
                    done(Err(PopError::Store(error)));
                }
            });
        });
        if let Some((taken, mut popped, done)) = waiting {
            // Somebody else has set the group's offset meanwhile.
            drop(taken);
            popped.queues = Vec::new();
            done(Ok(popped));
        }
    }

    fn give_back(&self) {
        for queue in &self.from {
            self.broker.state.offsets.pop_failed(QueueOfGroup {
                group: self.group.clone(),
                topic: queue.topic.clone(),
                queue_id: queue.queue_id,
            });
        }
    }

    /// Lets others pop the queues, and tells one of them that waits if there is something for it.
    fn release(&mut self) {
        if std::mem::replace(&mut self.is_released, true) {
            return;
        }
        let deliveries = &self.broker.state.deliveries;
        let mut wake = self.rest > 0;
        for queue in &self.from {
            wake |= deliveries.release(
                GroupQueueKey {
                    group: &self.group,
                    topic: &queue.topic,
                    queue_id: queue.queue_id,
                },
                self.id,
            );
        }
        if wake {
            self.broker
                .state
                .pop_holds
                .wake(&self.topic, &self.group, Concerning::Any);
        }
    }
}

impl Drop for TakenPop {
    fn drop(&mut self) {
        self.release();
    }
}

/// What a look at one queue came to.
#[derive(Debug, Default)]
struct Look {
    rest: u64,
    again: bool,
    is_cold: bool,
}

/// A queue that a pop looks at.
struct Candidate {
    topic: Arc<str>,
    retry: RetryKind,
    queue_id: u32,
}

impl Broker {
    /// Begins a pop: takes messages, as many as are wanted and there, but hands none out yet.
    ///
    /// With [`Reading::Memory`] it does not wait for the disk, but for pages of an old segment's index that are not in memory.
    ///
    /// # Errors
    /// Those of [`PopError`].
    pub fn begin_pop(self: &Arc<Self>, request: &PopRequest, reading: Reading) -> Result<PopStep, PopError> {
        let admitted = self.admit_pop(request)?;
        let id = NEXT_POP.fetch_add(1, Ordering::Relaxed);
        let mut taken = TakenPop {
            broker: self.clone(),
            id,
            group: admitted.group.clone(),
            topic: admitted.topic.name.clone(),
            attempt_id: request.attempt_id.clone(),
            pop_ms: self.clock.now_ms(),
            invisible_ms: request.invisible_ms,
            ordered: request.ordered,
            rest: 0,
            from: Vec::new(),
            queues: Vec::new(),
            is_released: false,
        };
        let (mut again, mut is_cold) = (false, false);
        let mut looks_left = REST_QUEUES_MAX;
        for candidate in self.candidates(request, &admitted, id) {
            if taken.count() >= admitted.messages_max {
                looks_left = looks_left.saturating_sub(1);
                if looks_left == 0 {
                    break;
                }
                if !request.ordered {
                    taken.rest += self.rest_of(&admitted.group, &candidate);
                }
                continue;
            }
            let look = self.take_from(&mut taken, &candidate, request, &admitted, reading)?;
            taken.rest += look.rest;
            again |= look.again;
            is_cold |= look.is_cold;
        }
        if taken.count() == 0 {
            let rest = taken.rest;
            // Nothing is marked, and nobody is to be woken for it.
            taken.is_released = true;
            return Ok(if is_cold {
                PopStep::Cold
            } else {
                PopStep::Empty { rest, again }
            });
        }
        Ok(PopStep::Taken(taken))
    }

    /// The queues of one pop, in the order in which it looks at them.
    fn candidates(&self, request: &PopRequest, admitted: &Admitted, id: u64) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let topic = &admitted.topic;
        match u32::try_from(request.queue_id) {
            Ok(queue_id) => candidates.push(Candidate {
                topic: topic.name.clone(),
                retry: RetryKind::of(&topic.name),
                queue_id,
            }),
            Err(_) => {
                let queues = topic.read_queues;
                let first = self.choose_queue(queues);
                candidates.extend((0..queues).map(|at| Candidate {
                    topic: topic.name.clone(),
                    retry: RetryKind::of(&topic.name),
                    queue_id: (first + at) % queues,
                }));
            }
        }
        if request.ordered || name::is_retry_topic(&topic.name) {
            return candidates;
        }
        let normal = candidates.len();
        for (retry, name) in retry_topics_of(&admitted.group, &topic.name, self.options.retry_topic_v2) {
            if let Some(config) = self.state.topics.get(&name) {
                candidates.extend((0..config.read_queues).map(|queue_id| Candidate {
                    topic: config.name.clone(),
                    retry,
                    queue_id,
                }));
            }
        }
        if id.is_multiple_of(RETRY_FIRST_EVERY) {
            candidates.rotate_left(normal);
        }
        candidates
    }

    /// Messages of a queue that a group has not been given.
    fn rest_of(&self, group: &str, candidate: &Candidate) -> u64 {
        let Some(range) = self.queue_range(&candidate.topic, candidate.queue_id) else {
            return 0;
        };
        let committed = self
            .state
            .offsets
            .get(group, &candidate.topic, candidate.queue_id);
        let next = committed
            .and_then(|offset| u64::try_from(offset).ok())
            .unwrap_or(range.min);
        range.max.saturating_sub(next.max(range.min))
    }

    /// Where a group goes on in a queue, or begins. Where it begins is remembered durably even if nothing is found there: what
    /// comes later must not be taken for what was there before.
    fn pop_place(&self, request: &PopRequest, group: &Arc<str>, candidate: &Candidate) -> (Option<i64>, u64) {
        let (topic, queue_id) = (&*candidate.topic, candidate.queue_id);
        if let Some(offset) = self.state.offsets.get(group, topic, queue_id) {
            return (Some(offset), u64::try_from(offset).unwrap_or(0));
        }
        let (min, max) = (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
        let first = match request.start {
            PopStart::Min => min,
            _ if candidate.retry != RetryKind::Normal => min,
            PopStart::Max => self
                .committed_offset(group, topic, queue_id, true)
                .and_then(|offset| u64::try_from(offset).ok())
                .unwrap_or_else(|| max.saturating_sub(1).max(min)),
        };
        (None, first)
    }

    /// Takes what one queue has.
    fn take_from(
        self: &Arc<Self>,
        taken: &mut TakenPop,
        candidate: &Candidate,
        request: &PopRequest,
        admitted: &Admitted,
        reading: Reading,
    ) -> Result<Look, PopError> {
        let group = &admitted.group;
        let key = GroupQueueKey {
            group,
            topic: &candidate.topic,
            queue_id: candidate.queue_id,
        };
        let limits = OutLimits {
            of_queue: self.options.limits.deliveries_per_queue_max,
            of_all: self.options.limits.deliveries_max,
        };
        // A reset has set the group's offset; from here on its pops move it again.
        self.take_reset(group, &candidate.topic, candidate.queue_id);
        let (found, start) = self.pop_place(request, group, candidate);
        let Some(range) = self.queue_range(&candidate.topic, candidate.queue_id) else {
            if found.is_none() {
                self.begin_at(group, candidate, start);
            }
            return Ok(Look::default());
        };
        let start = start.clamp(range.min, range.max);
        let out = match self.state.deliveries.begin(key, taken.id, start, limits) {
            Begun::Ours { out } => out,
            Begun::Busy | Begun::Full => {
                return Ok(Look {
                    rest: if request.ordered { 0 } else { range.max - start },
                    ..Look::default()
                });
            }
        };
        // From here on the queue is marked until `taken` is dropped, or here if there is nothing in it.
        let mut from = PoppedFrom {
            topic: candidate.topic.clone(),
            queue_id: candidate.queue_id,
            found,
            next: start,
            offsets: Vec::new(),
            is_new: true,
        };
        let standing = if request.ordered {
            self.standing(key, request, found, taken.pop_ms)
        } else {
            Standing::Clear
        };
        let room = Room {
            messages_max: admitted.messages_max - taken.count(),
            size_bytes_max: self
                .options
                .limits
                .pull_hot_size_bytes_max
                .saturating_sub(taken.size_bytes()),
        };
        let mut look = Look::default();
        let again = match &standing {
            Standing::Again(messages) => self.of_block(candidate, messages, &room, reading, &mut look),
            Standing::Blocked | Standing::Clear => Ok(Vec::new()),
        };
        let mut is_clear = standing == Standing::Clear;
        let messages = match (again, &standing) {
            (again, Standing::Blocked) | (again @ Err(_), _) => again,
            (Ok(messages), Standing::Again(_)) if look.is_cold || !messages.is_empty() => {
                from.is_new = false;
                Ok(messages)
            }
            // Nothing is out, or all that is has gone from the log.
            _ => {
                is_clear = true;
                self.scan_pop(
                    &mut from, candidate, admitted, request, &out, &room, reading, &mut look,
                )
            }
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => {
                self.state.deliveries.release(key, taken.id);
                // What is taken already is good.
                return if taken.count() > 0 { Ok(look) } else { Err(error) };
            }
        };
        if !request.ordered {
            look.rest = range.max.saturating_sub(from.next);
        }
        if messages.is_empty() {
            if !look.is_cold && is_clear {
                let next = record::signed(from.next);
                match found {
                    None => self.begin_at(group, candidate, from.next),
                    // Nothing in between is wanted.
                    Some(found) if next != found => {
                        let (topic, queue_id) = (&candidate.topic, candidate.queue_id);
                        self.state.offsets.commit(group, topic, queue_id, next);
                    }
                    Some(_) => {}
                }
                look.again |= from.next > start && from.next < range.max;
            }
            let wanted = self.state.deliveries.release(key, taken.id);
            if wanted {
                self.state.pop_holds.wake(&taken.topic, group, Concerning::Any);
            }
            return Ok(look);
        }
        from.offsets = messages.iter().map(|message| message.offset).collect();
        if request.ordered {
            // In order the group stays at the first message that is out.
            from.next = match (from.is_new, found) {
                (false, Some(found)) => u64::try_from(found).unwrap_or(0),
                _ => from.offsets.first().copied().unwrap_or(start),
            };
            self.state.deliveries.with_block(key, |block| {
                if let Some(block) = block {
                    block.is_repopped = true;
                }
            });
        }
        taken.from.push(from);
        taken.queues.push(PoppedQueue {
            topic: candidate.topic.clone(),
            retry: candidate.retry,
            queue_id: candidate.queue_id,
            messages,
        });
        Ok(look)
    }

    fn standing(
        &self,
        key: GroupQueueKey<'_>,
        request: &PopRequest,
        found: Option<i64>,
        now_ms: i64,
    ) -> Standing {
        self.state.deliveries.with_block(key, |block| match block {
            // Somebody has set the offset since: the block means nothing any more.
            Some(block) if found == Some(record::signed(block.committed)) => {
                block.standing(&request.attempt_id, now_ms)
            }
            _ => Standing::Clear,
        })
    }

    /// Makes it durable that a group begins here.
    fn begin_at(&self, group: &Arc<str>, candidate: &Candidate, offset: u64) {
        self.begin_offset(
            group,
            &candidate.topic,
            candidate.queue_id,
            record::signed(offset),
        );
    }

    /// The messages of a block that are to be handed out again. One that is gone from the log is left out, and in the way of
    /// nothing once the others are acknowledged.
    fn of_block(
        &self,
        candidate: &Candidate,
        wanted: &[(u64, u32)],
        room: &Room,
        reading: Reading,
        look: &mut Look,
    ) -> Result<Vec<PoppedMessage>, PopError> {
        let mut messages: Vec<PoppedMessage> = Vec::new();
        let mut size_bytes = 0;
        for (offset, times) in wanted {
            let Some(entry) = self.entry(&candidate.topic, candidate.queue_id, *offset) else {
                continue;
            };
            if !room.fits(messages.len(), size_bytes, entry.size_bytes) {
                break;
            }
            let Some(record) = self.read_pop(&entry, reading)? else {
                look.is_cold = messages.is_empty();
                break;
            };
            size_bytes += record.len();
            messages.push(PoppedMessage {
                offset: *offset,
                times: *times,
                record,
            });
        }
        Ok(messages)
    }

    #[expect(clippy::too_many_arguments, reason = "one look at one queue, in one place")]
    fn scan_pop(
        &self,
        from: &mut PoppedFrom,
        candidate: &Candidate,
        admitted: &Admitted,
        request: &PopRequest,
        out: &[u64],
        room: &Room,
        reading: Reading,
        look: &mut Look,
    ) -> Result<Vec<PoppedMessage>, PopError> {
        // Whatever a group was given once it gets again, whatever it wants by now.
        let is_retry = candidate.topic != admitted.topic.name;
        let filter = if is_retry { &Filter::All } else { &admitted.filter };
        let mut messages: Vec<PoppedMessage> = Vec::new();
        let mut size_bytes = 0;
        let mut failed = None;
        let scan = Scan {
            engine: &self.engine,
            topic: &candidate.topic,
            queue_id: candidate.queue_id,
            filter,
            entries_max: self.options.limits.pull_scan_entries_max,
            wanted: room.messages_max,
        };
        from.next = scan.run(from.next, |entry| {
            if !room.fits(messages.len(), size_bytes, entry.size_bytes) {
                return Visit::Left;
            }
            // The offset was set back; these are with somebody already.
            if out.binary_search(&entry.queue_offset).is_ok() {
                return Visit::Taken;
            }
            let record = match self.read_pop(entry, reading) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    look.is_cold = messages.is_empty();
                    return Visit::Left;
                }
                Err(error) => {
                    if messages.is_empty() {
                        failed = Some(error);
                    }
                    return Visit::Left;
                }
            };
            let is_wanted = if is_retry {
                let retry_of = RecordView::parse(&record)
                    .ok()
                    .and_then(|view| view.property(RETRY_OF));
                is_retry_for(&request.group, retry_of)
            } else {
                filter.matches_record(&record)
            };
            if !is_wanted {
                return Visit::Taken;
            }
            size_bytes += record.len();
            messages.push(PoppedMessage {
                offset: entry.queue_offset,
                times: 0,
                record,
            });
            if messages.len() < room.messages_max {
                Visit::Taken
            } else {
                Visit::TakenLast
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(messages),
        }
    }

    /// A record, or `None` if it is on the disk and that is not to be waited for.
    fn read_pop(
        &self,
        entry: &kourou_engine::IndexEntry,
        reading: Reading,
    ) -> Result<Option<Bytes>, PopError> {
        match self.engine.read_hot(entry.position, entry.size_bytes) {
            Some(record) => Ok(Some(record)),
            None if reading == Reading::Memory => Ok(None),
            None => Ok(Some(self.engine.read(entry.position, entry.size_bytes)?)),
        }
    }

    fn admit_pop(&self, request: &PopRequest) -> Result<Admitted, PopError> {
        let broker = self.options.store_host;
        if !perm::is_readable(self.options.perm) {
            return Err(PopError::BrokerNotReadable { broker });
        }
        let max_messages = self.options.limits.pop_messages_max;
        if request.messages_max > max_messages {
            return Err(PopError::TooMany { broker, max_messages });
        }
        let max_ms = self.options.limits.invisible_max_ms;
        if !(0..=max_ms).contains(&request.invisible_ms) {
            return Err(PopError::Invisible {
                invisible_ms: request.invisible_ms,
                max_ms,
            });
        }
        let (topic, group) = self.admit_popper(&request.group, &request.topic, request.queue_id)?;
        let subscription = &request.subscription;
        let filter = if subscription.expression.is_empty() {
            Filter::All
        } else {
            Filter::compile(&subscription.expression_type, &subscription.expression)?
        };
        Ok(Admitted {
            topic,
            group,
            filter,
            messages_max: usize::try_from(request.messages_max).unwrap_or(0).max(1),
        })
    }

    /// The checks that pop, peek and those who wait for messages have in common.
    pub(super) fn admit_popper(
        &self,
        group: &crate::text::Text,
        topic: &crate::text::Text,
        queue_id: i32,
    ) -> Result<(Arc<TopicConfig>, Arc<str>), PopError> {
        if !perm::is_readable(self.options.perm) {
            let broker = self.options.store_host;
            return Err(PopError::BrokerNotReadable { broker });
        }
        let Some(config) = self.state.topics.get(topic) else {
            return Err(PopError::TopicNotExist { topic: topic.clone() });
        };
        if !perm::is_readable(config.perm) {
            return Err(PopError::TopicNotReadable { topic: topic.clone() });
        }
        if u32::try_from(queue_id).is_ok_and(|queue_id| queue_id >= config.read_queues) {
            return Err(PopError::QueueNotExist {
                topic: topic.clone(),
                queue_id,
                queues: config.read_queues,
            });
        }
        let Some(found) = self.group_in_use(group) else {
            return Err(PopError::GroupNotExist { group: group.clone() });
        };
        if !found.consume_enable {
            return Err(PopError::GroupForbidden { group: group.clone() });
        }
        Ok((config, found.name.clone()))
    }
}
