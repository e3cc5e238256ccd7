//! The consume queues of an Apache broker, of which only the ends are wanted: where a queue goes on whose every message has expired is nowhere
//! else.
//!
//! ```text
//! consumequeue/<topic>/<queue>/<20 digits>        units of 20 bytes: position 8, size 4, tags code 8     offset = place / 20
//! batchconsumequeue/<topic>/<queue>/<20 digits>   units of 46 bytes: position 8, size 4, tags code 8, store time 8, first offset 8, count 2, ...
//! ```

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::log::Window;
use crate::error::MigrationError;

const UNIT_SIZE_BYTES: u64 = 20;
const BATCH_UNIT_SIZE_BYTES: u64 = 46;

/// Where a queue ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueEnd {
    /// The offset that its next message gets.
    pub(crate) offset: u64,
    /// Position in the log after its last message.
    pub(crate) position: u64,
}

/// The ends of all queues.
#[derive(Debug, Default)]
pub(crate) struct QueueEnds {
    by_queue: HashMap<(String, u32), QueueEnd>,
    /// Up to where in the log they know all messages.
    pub(crate) known_to: u64,
}

impl QueueEnds {
    /// Those of a store whose log ends at `log_end`.
    pub(crate) fn read(root: &Path, log_end: u64) -> Result<Self, MigrationError> {
        let mut ends = Self::default();
        for (folder, unit_size_bytes) in [
            ("consumequeue", UNIT_SIZE_BYTES),
            ("batchconsumequeue", BATCH_UNIT_SIZE_BYTES),
        ] {
            for topic in folders(&root.join(folder))? {
                for queue in folders(&topic)? {
                    let (Some(topic), Some(queue_id)) = (name(&topic), name(&queue)) else {
                        continue;
                    };
                    let Ok(queue_id) = queue_id.parse() else { continue };
                    if let Some(end) = end_of(&queue, unit_size_bytes, log_end)? {
                        ends.known_to = ends.known_to.max(end.position);
                        ends.by_queue.insert((topic.to_owned(), queue_id), end);
                    }
                }
            }
        }
        Ok(ends)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_queue.is_empty()
    }

    pub(crate) fn get(&self, topic: &str, queue_id: u32) -> Option<QueueEnd> {
        self.by_queue.get(&(topic.to_owned(), queue_id)).copied()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, u32, QueueEnd)> {
        self.by_queue
            .iter()
            .map(|((topic, queue_id), end)| (topic.as_str(), *queue_id, *end))
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The folders in a folder, if that is there.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, MigrationError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MigrationError::io("list", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(MigrationError::io("list", dir))?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Where the queue in this folder ends; `None` if it never had a message.
fn end_of(dir: &Path, unit_size_bytes: u64, log_end: u64) -> Result<Option<QueueEnd>, MigrationError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(MigrationError::io("list", dir))? {
        let path = entry.map_err(MigrationError::io("list", dir))?.path();
        let Some(start) = name(&path).and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        let size_bytes = fs::metadata(&path)
            .map_err(MigrationError::io("look at", &path))?
            .len();
        files.push((start, path, size_bytes));
    }
    files.sort_unstable();
    for (start, path, size_bytes) in files.iter().rev() {
        let mut window = Window::of(path, *size_bytes)?;
        let mut unit = |at: u64| -> Result<Option<Unit>, MigrationError> {
            let bytes = window.bytes(at * unit_size_bytes, unit_size_bytes as usize)?;
            Ok(Unit::parse(bytes, unit_size_bytes))
        };
        // Units stand one behind the other from the first on.
        let (mut low, mut high) = (0, size_bytes / unit_size_bytes);
        while low < high {
            let middle = low + (high - low) / 2;
            if unit(middle)?.is_some() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while let Some(at) = low.checked_sub(1) {
            // What lies behind the log's end was torn off with it.
            if let Some(unit) = unit(at)?.filter(|unit| unit.position < log_end) {
                let offset = match unit.offset_after {
                    Some(offset) => offset,
                    None => start / unit_size_bytes + at + 1,
                };
                return Ok(Some(QueueEnd {
                    offset,
                    // A queue that was made empty holds nothing but what fills it up.
                    position: if unit.fills {
                        0
                    } else {
                        unit.position + u64::from(unit.size_bytes)
                    },
                }));
            }
            low = at;
        }
    }
    Ok(None)
}

struct Unit {
    position: u64,
    size_bytes: u32,
    /// It only fills the beginning of a file whose queue begins later.
    fills: bool,
    /// Of a batch unit, which says itself.
    offset_after: Option<u64>,
}

impl Unit {
    fn parse(bytes: &[u8], unit_size_bytes: u64) -> Option<Self> {
        let (position, rest) = bytes.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let position = u64::try_from(i64::from_be_bytes(*position)).ok()?;
        let size_bytes = u32::try_from(i32::from_be_bytes(*size))
            .ok()
            .filter(|size| *size > 0)?;
        let offset_after = if unit_size_bytes == BATCH_UNIT_SIZE_BYTES {
            let first = rest.get(16..)?.first_chunk::<8>()?;
            let count = rest.get(24..)?.first_chunk::<2>()?;
            let first = u64::try_from(i64::from_be_bytes(*first)).ok()?;
            Some(first + u64::from(u16::from_be_bytes(*count)))
        } else {
            None
        };
        Some(Self {
            position,
            size_bytes,
            fills: size_bytes == i32::MAX as u32,
            offset_after,
        })
    }
}
