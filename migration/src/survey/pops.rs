//! Messages that an Apache broker has handed out by pop and that nobody has acknowledged.
//!
//! It writes down what it hands out, and what is acknowledged, as messages of a topic for itself, which are delivered, by its own timers, when what was
//! handed out is due. What it has not read by then is out, unless an acknowledgement is among it; or it is not even that, if the group's offset has not passed it: then it is handed
//! out once more anyway.
//!
//! ```text
//! tag ck    {"t": topic, "q": queue, "c" or "cid": group, "so": first offset, "pt": pop time, "n": how many, "d": [offset - first, ...],
//!            "bm": bits of those that were acknowledged meanwhile}
//! tag ack   {"t", "q", "c", "so", "pt" as above, "ao": offset}
//! tag bAck  the same, with "aol": [offset, ...]
//! ```

use std::collections::{HashMap, HashSet};
use std::path::Path;

use kourou_engine::record::{RecordView, TAGS};
use serde_json::Value;

use super::Queue;
use crate::source::config::Config;

/// The group by which the broker reads them.
const GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";

/// A message that is out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Popped {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) offset: u64,
}

/// Which hand-out: of whom, and when.
type Which = (String, String, u32, u64, i64);

#[derive(Debug)]
pub(super) struct Pops {
    /// By topic and queue of what the broker writes down: before which offset it has read it.
    read_before: HashMap<(String, u32), u64>,
    committed: HashMap<(String, String, u32), u64>,
    out: HashMap<Which, Vec<u64>>,
    acknowledged: HashSet<(Which, u64)>,
}

impl Pops {
    pub(super) fn new(config: &Config) -> Self {
        let offset = |offset: i64| u64::try_from(offset).ok();
        let (own, others): (Vec<_>, Vec<_>) = config.offsets.iter().partition(|one| one.group == GROUP);
        Self {
            read_before: own
                .into_iter()
                .filter_map(|one| Some(((one.topic.clone(), one.queue_id), offset(one.offset)?)))
                .collect(),
            committed: others
                .into_iter()
                .filter_map(|one| {
                    let key = (one.group.clone(), one.topic.clone(), one.queue_id);
                    Some((key, offset(one.offset)?))
                })
                .collect(),
            out: HashMap::new(),
            acknowledged: HashSet::new(),
        }
    }

    pub(super) fn note(&mut self, record: &RecordView<'_>) {
        let place = (record.topic().to_owned(), record.queue_id());
        let read_before = self.read_before.get(&place).copied().unwrap_or(0);
        if record.queue_offset() >= read_before {
            self.note_waiting(record);
        }
    }

    /// One that the broker has not read, because it is to be there only when what was popped is due.
    pub(super) fn note_waiting(&mut self, record: &RecordView<'_>) {
        let Ok(body) = serde_json::from_slice::<Value>(record.body()) else {
            return;
        };
        let Some(which) = which(&body) else { return };
        match record.property(TAGS) {
            Some("ck") => {
                let offsets = offsets(&body, which.3);
                self.out.insert(which, offsets);
            }
            Some("ack") => {
                let offset = body["ao"].as_u64();
                self.acknowledged
                    .extend(offset.map(|offset| (which.clone(), offset)));
            }
            Some("bAck") => {
                let offsets = body["aol"].as_array().into_iter().flatten();
                self.acknowledged.extend(
                    offsets
                        .filter_map(Value::as_u64)
                        .map(|offset| (which.clone(), offset)),
                );
            }
            _ => {}
        }
    }

    /// What is out, and is still there.
    pub(super) fn out(&self, queues: &HashMap<String, HashMap<u32, Queue>>) -> Vec<Popped> {
        let mut out = HashSet::new();
        for (which, offsets) in &self.out {
            let (group, topic, queue_id, ..) = which;
            let key = (group.clone(), topic.clone(), *queue_id);
            let committed = self.committed.get(&key).copied().unwrap_or(0);
            let Some(queue) = queues.get(topic).and_then(|queues| queues.get(queue_id)) else {
                continue;
            };
            for offset in offsets {
                let there = (queue.first..queue.next.min(committed)).contains(offset);
                if there && !self.acknowledged.contains(&(which.clone(), *offset)) {
                    out.insert(Popped {
                        group: group.clone(),
                        topic: topic.clone(),
                        queue_id: *queue_id,
                        offset: *offset,
                    });
                }
            }
        }
        let mut out: Vec<Popped> = out.into_iter().collect();
        out.sort_unstable();
        out
    }

    /// Whether what was popped may be in a database instead: there is one, and nothing in these topics.
    pub(super) fn uses_database(&self, root: &Path) -> bool {
        let has_tables = std::fs::read_dir(root.join("kvStore")).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let is_data = name.ends_with(".sst") || name.ends_with(".log");
                is_data && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
            })
        });
        has_tables && self.out.is_empty() && self.read_before.is_empty()
    }
}

fn which(body: &Value) -> Option<Which> {
    let group = body["c"].as_str().or_else(|| body["cid"].as_str())?;
    Some((
        group.to_owned(),
        body["t"].as_str()?.to_owned(),
        u32::try_from(body["q"].as_u64()?).ok()?,
        body["so"].as_u64()?,
        body["pt"].as_i64()?,
    ))
}

/// The offsets that were handed out and not acknowledged before it was written down.
fn offsets(body: &Value, first: u64) -> Vec<u64> {
    let done = body["bm"].as_u64().unwrap_or(0);
    let is_open = |at: usize| at >= 32 || done >> at & 1 == 0;
    match body["d"].as_array().filter(|list| !list.is_empty()) {
        Some(list) => list
            .iter()
            .enumerate()
            .filter(|(at, _)| is_open(*at))
            .filter_map(|(_, more)| first.checked_add(more.as_u64()?))
            .collect(),
        // Older ones: all behind each other.
        None => (0..body["n"].as_u64().unwrap_or(0).min(64))
            .filter(|at| is_open(*at as usize))
            .map(|at| first.saturating_add(at))
            .collect(),
    }
}
