//! Messages that wait for their time in an Apache broker, by delay level or in its timer wheel.
//!
//! A level's messages are in a queue of the schedule topic and are delivered in its order, so an offset says which wait. The timer wheel takes its
//! topic's messages in, in order, and delivers them by their time: what it has taken in and was due before the time that it has come to is
//! delivered. A message that is further away than the wheel is long is stored again and again, as it is but for a count; the last one counts.

use std::collections::{HashMap, HashSet};

use kourou_broker::name::SCHEDULE_TOPIC;
use kourou_engine::record::{RecordView, UNIQ_KEY};

use crate::source::config::{Config, TimerCheck};

const REAL_TOPIC: &str = "REAL_TOPIC";
/// When it is due, in milliseconds since the epoch.
const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// A message that takes another back: its unique key, or that behind its topic and a plus.
const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";

/// Which message a timer is of.
type Key = (String, String, i64);

#[derive(Debug)]
pub(super) struct Timers {
    delay_offsets: HashMap<u32, u64>,
    check: TimerCheck,
    delayed: HashSet<u64>,
    keyed: HashMap<Key, u64>,
    unkeyed: HashSet<u64>,
    recalled: HashSet<(String, i64)>,
    seen: u64,
}

impl Timers {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            delay_offsets: config.delay_offsets.clone(),
            check: config.timer,
            delayed: HashSet::new(),
            keyed: HashMap::new(),
            unkeyed: HashSet::new(),
            recalled: HashSet::new(),
            seen: 0,
        }
    }

    /// Whether the timer wheel has not delivered it.
    pub(super) fn waits(&self, record: &RecordView<'_>) -> bool {
        let taken_in = record.queue_offset() < self.check.queue_offset;
        !taken_in || due_ms(record) >= self.check.delivered_before_ms
    }

    pub(super) fn note(&mut self, position: u64, record: &RecordView<'_>) {
        self.seen += 1;
        if record.topic() == SCHEDULE_TOPIC {
            let level = record.queue_id() + 1;
            let next = self.delay_offsets.get(&level).copied().unwrap_or(0);
            if record.queue_offset() >= next {
                self.delayed.insert(position);
            }
            return;
        }
        if !self.waits(record) {
            return;
        }
        let due_ms = due_ms(record);
        if let Some(key) = record.property(TIMER_DEL_UNIQKEY) {
            self.recalled.insert((key.to_owned(), due_ms));
            return;
        }
        match record.property(REAL_TOPIC).zip(record.property(UNIQ_KEY)) {
            Some((topic, key)) => {
                let key = (topic.to_owned(), key.to_owned(), due_ms);
                self.keyed.insert(key, position);
            }
            None => {
                self.unkeyed.insert(position);
            }
        }
    }

    /// Where those are that wait.
    pub(super) fn pending(self) -> HashSet<u64> {
        let recalled = &self.recalled;
        let is_recalled = |(topic, key, due_ms): &Key| {
            let names = [key.clone(), format!("{topic}+{key}"), format!("{topic}_{key}")];
            names.into_iter().any(|name| recalled.contains(&(name, *due_ms)))
        };
        let keyed = self.keyed.iter().filter(|(key, _)| !is_recalled(key));
        let keyed: Vec<u64> = keyed.map(|(_, position)| *position).collect();
        self.delayed
            .into_iter()
            .chain(self.unkeyed)
            .chain(keyed)
            .collect()
    }

    /// How many do not wait any more.
    pub(super) fn delivered(&self) -> u64 {
        self.seen - (self.delayed.len() + self.unkeyed.len() + self.keyed.len()) as u64
    }
}

fn due_ms(record: &RecordView<'_>) -> i64 {
    let due_ms = record.property(TIMER_OUT_MS).and_then(|ms| ms.parse().ok());
    due_ms.unwrap_or_else(|| record.store_ms())
}

/// Whether a timer is of a message of a topic whose name begins so.
pub(super) fn is_of(record: &RecordView<'_>, prefix: &str) -> bool {
    record
        .property(REAL_TOPIC)
        .is_some_and(|topic| topic.starts_with(prefix))
}
