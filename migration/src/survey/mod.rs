//! The first of two goes through a source: everything is checked, and what its records mean together is found out, before anything is
//! written.
//!
//! Only the newest life of a queue counts: a topic that was deleted and made again begins at 0 anew, and what the log holds of the time before
//! is in no queue any more. Where a queue whose every message has expired goes on is said by its consume queue alone.

mod halves;
mod pops;
mod timers;

use std::collections::{HashMap, HashSet};

use kourou_broker::name::{HALF_TOPIC, OP_HALF_TOPIC, SCHEDULE_TOPIC, SYSTEM_TOPIC_PREFIX, TIMER_TOPIC};
use kourou_engine::record::RecordView;

use crate::error::MigrationError;
use crate::report::{Progress, Report};
use crate::source::Source;
use crate::source::log::{LogEnd, Reader};
use halves::Halves;
pub(crate) use pops::Popped;
use pops::Pops;
use timers::Timers;

/// Begins the names of the topics in which a broker keeps what was popped.
const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
/// A message that is in light queues, too, which have no records of their own.
const LIGHT_QUEUES: &str = "INNER_MULTI_DISPATCH";

/// What a record is, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message in a queue.
    Message,
    /// One that waits for its delay.
    Delayed,
    /// One that waits for a time.
    Timer,
    /// One that waits for its transaction.
    Half,
    /// Ends half messages.
    HalfEnd,
    /// What was popped, or acknowledged.
    Pop,
    /// Something that the broker tells itself.
    System,
}

impl Kind {
    pub(crate) fn of(topic: &str) -> Self {
        match topic {
            SCHEDULE_TOPIC => Self::Delayed,
            TIMER_TOPIC => Self::Timer,
            HALF_TOPIC => Self::Half,
            OP_HALF_TOPIC => Self::HalfEnd,
            _ if topic.starts_with(REVIVE_PREFIX) => Self::Pop,
            _ if topic.starts_with(SYSTEM_TOPIC_PREFIX) => Self::System,
            _ => Self::Message,
        }
    }
}

/// What there is of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Offset of its first message.
    pub(crate) first: u64,
    /// Offset of its next message.
    pub(crate) next: u64,
    /// Where its first message lies. What the log holds of it before that is of a topic that was deleted.
    pub(crate) from: u64,
    messages: u64,
}

/// What is to be carried over.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    queues: HashMap<String, HashMap<u32, Queue>>,
    /// Queues that are empty and do not begin at 0.
    pub(crate) empty: Vec<(String, u32, u64)>,
    /// Positions of the messages that wait for their time.
    pub(crate) timers: HashSet<u64>,
    /// Positions of the half messages that nobody ended.
    pub(crate) halves: HashSet<u64>,
    /// Messages that are out.
    pub(crate) popped: Vec<Popped>,
    /// Where the log ends.
    pub(crate) end: LogEnd,
    pub(crate) report: Report,
}

impl Survey {
    /// Goes through a source.
    pub(crate) fn of(
        source: &Source,
        until_damage: bool,
        progress: &mut dyn Progress,
    ) -> Result<Self, MigrationError> {
        let mut survey = Self::default();
        let known: HashSet<&str> = source.config.topics.iter().map(|topic| &*topic.name).collect();
        let mut timers = Timers::new(&source.config);
        let mut halves = Halves::new(&source.config);
        let mut pops = Pops::new(&source.config);
        let mut reader = Reader::new(&source.log, until_damage);
        let begin = reader.end().position;
        let all_bytes = source.log.size_bytes();
        let (mut deleted, mut told, mut light) = (0, 0, 0);
        while let Some((position, record)) = reader.next()? {
            survey.report.read_records += 1;
            survey.report.read_bytes += u64::from(record.size_bytes());
            match Kind::of(record.topic()) {
                Kind::Message if !known.contains(record.topic()) || !record.indexed() => deleted += 1,
                Kind::Message => {
                    light += u64::from(record.property(LIGHT_QUEUES).is_some());
                    deleted += survey.note(source, position, &record)?;
                }
                // What was popped is written down for a time, too.
                Kind::Timer if timers::is_of(&record, REVIVE_PREFIX) => {
                    if timers.waits(&record) {
                        pops.note_waiting(&record);
                    }
                    told += 1;
                }
                Kind::Delayed | Kind::Timer => timers.note(position, &record),
                Kind::Half => halves.note(position, &record),
                Kind::HalfEnd => halves.note_end(&record),
                Kind::Pop => pops.note(&record),
                Kind::System => told += 1,
            }
            if survey.report.read_records.is_multiple_of(1_024) {
                progress.at("checking", position - begin, all_bytes);
            }
        }
        let end = reader.end();
        survey.end = end;
        survey.report.cut_bytes = end.cut_bytes;
        survey.report.damage = reader.damage().map(ToString::to_string);
        survey.report.was_killed = source.was_killed;
        deleted += survey.compare_with_queues(source, end.position, &known)?;

        let report = &mut survey.report;
        report.over("messages of topics that were deleted", deleted);
        report.over("records of the broker for itself", told);
        report.lost("messages whose light queues are not kept, in their topics", light);
        report.over("timers and delays that were delivered", timers.delivered());
        survey.timers = timers.pending();
        report.over("half messages that were ended", halves.ended());
        survey.halves = halves.pending();
        survey.popped = pops.out(&survey.queues);
        if source.root.join("kvStore").join("CURRENT").exists() && pops.uses_database(&source.root) {
            report.lost("database of what was popped (kvStore)", 1);
        }
        Ok(survey)
    }

    /// A queue that has messages.
    pub(crate) fn queue(&self, topic: &str, queue_id: u32) -> Option<Queue> {
        self.queues.get(topic)?.get(&queue_id).copied()
    }

    /// All queues that have messages.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&str, u32, Queue)> {
        self.queues.iter().flat_map(|(topic, queues)| {
            queues
                .iter()
                .map(move |(queue_id, queue)| (topic.as_str(), *queue_id, *queue))
        })
    }

    /// Takes in a message. Returns how many before it are now in no queue any more.
    fn note(
        &mut self,
        source: &Source,
        position: u64,
        record: &RecordView<'_>,
    ) -> Result<u64, MigrationError> {
        let offset = record.queue_offset();
        let fresh = Queue {
            first: offset,
            next: offset + u64::from(record.offsets()),
            from: position,
            messages: 1,
        };
        let queues = match self.queues.get_mut(record.topic()) {
            Some(queues) => queues,
            None => self.queues.entry(record.topic().to_owned()).or_default(),
        };
        let Some(queue) = queues.get_mut(&record.queue_id()) else {
            queues.insert(record.queue_id(), fresh);
            return Ok(0);
        };
        if offset > queue.next {
            let (file, at) = source.log.place(position);
            return Err(MigrationError::Hole {
                topic: record.topic().to_owned(),
                queue_id: record.queue_id(),
                expected: queue.next,
                found: offset,
                file,
                offset: at,
            });
        }
        if offset < queue.next {
            let gone = queue.messages;
            *queue = fresh;
            return Ok(gone);
        }
        queue.next = fresh.next;
        queue.messages += 1;
        Ok(0)
    }

    /// Learns from the consume queues what the log does not say. Returns how many messages are in no queue any more.
    fn compare_with_queues(
        &mut self,
        source: &Source,
        log_end: u64,
        known: &HashSet<&str>,
    ) -> Result<u64, MigrationError> {
        let ends = source.queue_ends(log_end)?;
        if ends.is_empty() {
            return Ok(0);
        }
        let mut gone = 0;
        for (topic, queues) in &mut self.queues {
            queues.retain(|queue_id, queue| {
                // Its topic was deleted with its queues, and made again; or it is too new for the queues to know it.
                let is_there = ends.get(topic, *queue_id).is_some() || queue.from >= ends.known_to;
                gone += if is_there { 0 } else { queue.messages };
                is_there
            });
        }
        for (topic, queue_id, end) in ends.all() {
            let is_empty = known.contains(topic)
                && Kind::of(topic) == Kind::Message
                && self.queue(topic, queue_id).is_none();
            if is_empty && end.offset > 0 {
                self.empty.push((topic.to_owned(), queue_id, end.offset));
            }
        }
        self.empty.sort_unstable();
        Ok(gone)
    }
}
