//! The consume queues that are written. They are drawn in `source/queues.rs`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::MigrationError;

const UNITS_PER_FILE: u64 = 300_000;
const UNIT_SIZE_BYTES: u64 = 20;
const BATCH_UNIT_SIZE_BYTES: u64 = 46;
/// Of one queue, kept before they are written.
const KEPT_UNITS: usize = 512;

/// What a queue says of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) position: u64,
    pub(super) size_bytes: u32,
    pub(super) tags_code: i64,
    pub(super) store_ms: i64,
    pub(super) queue_offset: u64,
    /// How many offsets it takes.
    pub(super) count: u32,
}

#[derive(Debug)]
struct Queue {
    dir: PathBuf,
    unit_size_bytes: u64,
    /// In units.
    written: u64,
    kept: Vec<u8>,
    /// The offset of the next message.
    next: u64,
}

#[derive(Debug)]
pub(super) struct Queues {
    root: PathBuf,
    by_topic: HashMap<String, HashMap<u32, Queue>>,
}

impl Queues {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            by_topic: HashMap::new(),
        }
    }

    /// Adds a unit at the end of a queue.
    pub(super) fn put(
        &mut self,
        topic: &str,
        queue_id: u32,
        batches: bool,
        unit: &Unit,
    ) -> Result<(), MigrationError> {
        let queue = self.queue(topic, queue_id, batches, unit.queue_offset);
        queue.kept.extend_from_slice(&unit.position.to_be_bytes());
        queue.kept.extend_from_slice(&unit.size_bytes.to_be_bytes());
        queue.kept.extend_from_slice(&unit.tags_code.to_be_bytes());
        if batches {
            queue.kept.extend_from_slice(&unit.store_ms.to_be_bytes());
            queue.kept.extend_from_slice(&unit.queue_offset.to_be_bytes());
            // No batch has more.
            let count = u16::try_from(unit.count).unwrap_or(u16::MAX);
            queue.kept.extend_from_slice(&count.to_be_bytes());
            queue.kept.extend_from_slice(&(-1_i32).to_be_bytes());
            queue.kept.extend_from_slice(&[0; 4]);
        }
        queue.next = unit.queue_offset + u64::from(unit.count);
        if queue.kept.len() >= KEPT_UNITS * queue.unit_size_bytes as usize {
            queue.write()?;
        }
        Ok(())
    }

    /// Makes a queue without messages go on at an offset; whether it had to be made for that.
    pub(super) fn fill(&mut self, topic: &str, queue_id: u32, batches: bool, end: u64) -> bool {
        let is_there = self
            .by_topic
            .get(topic)
            .is_some_and(|queues| queues.contains_key(&queue_id));
        // A queue of batches has no such units; with nothing in it, nothing says where it went on.
        if is_there || batches {
            return false;
        }
        self.queue(topic, queue_id, batches, end);
        true
    }

    pub(super) fn finish(mut self) -> Result<(), MigrationError> {
        for queue in self.by_topic.values_mut().flat_map(HashMap::values_mut) {
            queue.write()?;
        }
        Ok(())
    }

    fn queue(&mut self, topic: &str, queue_id: u32, batches: bool, first: u64) -> &mut Queue {
        let queues = match self.by_topic.get_mut(topic) {
            Some(_) => self.by_topic.get_mut(topic),
            None => Some(self.by_topic.entry(topic.to_owned()).or_default()),
        };
        let root = &self.root;
        queues
            .map(|queues| {
                queues
                    .entry(queue_id)
                    .or_insert_with(|| Queue::new(root, topic, queue_id, batches, first))
            })
            .unwrap_or_else(|| unreachable!("it was made if it was not there"))
    }
}

impl Queue {
    fn new(root: &Path, topic: &str, queue_id: u32, batches: bool, first: u64) -> Self {
        let folder = if batches {
            "batchconsumequeue"
        } else {
            "consumequeue"
        };
        let mut queue = Self {
            dir: root.join(folder).join(topic).join(queue_id.to_string()),
            unit_size_bytes: if batches {
                BATCH_UNIT_SIZE_BYTES
            } else {
                UNIT_SIZE_BYTES
            },
            written: 0,
            kept: Vec::new(),
            next: first,
        };
        if !batches && first > 0 {
            // From the beginning of the file that the unit before the first one is in.
            let from = (first - 1) / UNITS_PER_FILE * UNITS_PER_FILE;
            queue.written = from;
            for _ in from..first {
                queue.kept.extend_from_slice(&0_u64.to_be_bytes());
                queue.kept.extend_from_slice(&i32::MAX.to_be_bytes());
                queue.kept.extend_from_slice(&0_u64.to_be_bytes());
            }
        }
        queue
    }

    /// Writes what is kept, into one file or several.
    fn write(&mut self) -> Result<(), MigrationError> {
        fs::create_dir_all(&self.dir).map_err(MigrationError::io("create", &self.dir))?;
        let mut rest = std::mem::take(&mut self.kept);
        let file_size_bytes = UNITS_PER_FILE * self.unit_size_bytes;
        while !rest.is_empty() {
            let in_file = self.written % UNITS_PER_FILE;
            let start = (self.written - in_file) * self.unit_size_bytes;
            let path = self.dir.join(format!("{start:020}"));
            let room = ((UNITS_PER_FILE - in_file) * self.unit_size_bytes) as usize;
            let more = rest.split_off(rest.len().min(room));
            let done = File::options()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&path)
                .and_then(|file| {
                    file.set_len(file_size_bytes)?;
                    file.write_all_at(&rest, in_file * self.unit_size_bytes)?;
                    file.sync_data()
                });
            done.map_err(MigrationError::io("write", &path))?;
            self.written += rest.len() as u64 / self.unit_size_bytes;
            rest = more;
        }
        Ok(())
    }
}
