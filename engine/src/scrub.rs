//! Scrubbing: reading what nobody reads, so that a disk that rots is noticed while there may still be a copy.
//!
//! ```text
//!   whoever owns time --> so many bytes of complete segments, from where the last look ended --> damage is told in the log, and kept
//! ```
//!
//! It reads complete segments from end to end, then begins anew. Damage that it meets, or that a reader meets, is kept as long as the
//! store is open: each place is told once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::disk::BLOCK_SIZE_BYTES;
use crate::error::ScrubError;
use crate::log::mark::MARK_SIZE_BYTES;
use crate::log::pending::Shut;
use crate::log::scan::{Found, Scanner};
use crate::segment::Segment;
use crate::shared::Shared;

/// Damaged places that are kept; further ones are told and forgotten.
const PLACES_MAX: usize = 10_000;

/// A place of the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub file: PathBuf,
    /// At which byte of it.
    pub offset: u64,
    /// Where in the log.
    pub position: u64,
    /// What should be there.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

/// What one look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes of the log that were looked at.
    pub looked_bytes: u64,
    /// Whether it came to the last complete segment's end; the next look begins with the first.
    pub has_ended: bool,
    /// Damage that was not known before.
    pub found: Vec<Damage>,
}

/// Damage that is known, and where the next look goes on.
#[derive(Debug, Default)]
pub(crate) struct Places {
    known: Mutex<BTreeMap<u64, Damage>>,
    next: Mutex<u64>,
}

impl Places {
    /// Keeps and tells damage; whether it is new.
    pub(crate) fn tell(&self, damage: &Damage) -> bool {
        let mut known = self.known.lock();
        if known.contains_key(&damage.position) {
            return false;
        }
        if known.len() < PLACES_MAX {
            known.insert(damage.position, damage.clone());
        }
        tracing::error!(
            file = %damage.file.display(),
            byte = damage.offset,
            position = damage.position,
            expected = damage.expected,
            found = damage.found,
            "the commit log is damaged: what was here is not delivered, everything else is; look after the disk"
        );
        true
    }

    pub(crate) fn known(&self) -> Vec<Damage> {
        self.known.lock().values().cloned().collect()
    }
}

impl Damage {
    pub(crate) fn of_record(file: &Path, offset: u64, position: u64, found: String) -> Self {
        Self {
            file: file.to_owned(),
            offset,
            position,
            expected: "a record",
            found,
        }
    }
}

/// One look.
pub(crate) struct Scrub {
    pub(crate) size_bytes_max: u64,
    pub(crate) done: Box<dyn FnOnce(Result<Scrubbed, ScrubError>) + Send>,
}

impl std::fmt::Debug for Scrub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrub")
            .field("size_bytes_max", &self.size_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Scrub {
    /// Does it. For the thread that removes what expires, so that a segment stays while it is looked at.
    pub(crate) fn run(self, shared: &Shared) {
        let outcome = match shared.pending.why_shut() {
            Some(Shut::Closed) => Err(ScrubError::Closed),
            _ => Ok(look(shared, self.size_bytes_max)),
        };
        (self.done)(outcome);
    }
}

fn look(shared: &Shared, size_bytes_max: u64) -> Scrubbed {
    let mut scrubbed = Scrubbed::default();
    let mut next = shared.places.next.lock();
    let segments = shared.segments.all();
    // Nobody writes these any more.
    let complete = &segments[..segments.len().saturating_sub(1)];
    for segment in complete {
        let end = segment.start + shared.segment_size_bytes;
        if end <= *next {
            continue;
        }
        let from = segment.start.max(*next);
        let left = size_bytes_max.saturating_sub(scrubbed.looked_bytes);
        match look_at(shared, segment, from, left, &mut scrubbed) {
            Some(at) => {
                *next = at;
                return scrubbed;
            }
            None => *next = end,
        }
    }
    *next = 0;
    scrubbed.has_ended = true;
    scrubbed
}

/// Looks at a segment from `from` on. Where to go on, if it has more than `size_bytes` bytes of records.
fn look_at(
    shared: &Shared,
    segment: &Segment,
    from: u64,
    size_bytes: u64,
    scrubbed: &mut Scrubbed,
) -> Option<u64> {
    let segment_end = segment.start + shared.segment_size_bytes;
    let mut tell = |at: u64, expected, found: String| {
        let damage = Damage {
            expected,
            ..Damage::of_record(&segment.path, segment.offset(at), at, found)
        };
        if shared.places.tell(&damage) {
            scrubbed.found.push(damage);
        }
    };
    let mut scanner = match Scanner::new(segment) {
        Ok(scanner) => scanner,
        Err(error) => {
            tell(segment.start, "a segment", error.to_string());
            return None;
        }
    };
    let mut at = from;
    let end = loop {
        if at - from >= size_bytes {
            break Some(at);
        }
        let (found, behind) = match scanner.look(at, segment_end) {
            Ok(Found::Record(record)) => {
                at += u64::from(record.size_bytes());
                continue;
            }
            Ok(Found::Mark(_)) => {
                at += MARK_SIZE_BYTES;
                continue;
            }
            Ok(Found::Blank) => break None,
            Ok(Found::Nothing(nothing)) => (nothing.to_string(), at),
            Err(error) => {
                if scanner.read_little() {
                    continue;
                }
                // The next place that can be read may be in the next block.
                let block = BLOCK_SIZE_BYTES as u64;
                let behind = segment.start + segment.offset(at + 1).next_multiple_of(block) - 1;
                (error.to_string(), behind)
            }
        };
        tell(at, "a record, or what is between records", found);
        let mut behind = behind;
        let next = loop {
            match scanner.next_whole(behind, segment_end, u64::MAX) {
                Ok(next) => break next,
                // More that cannot be read: it was told with the first.
                Err(_) if scanner.read_little() => {}
                Err(_) => behind += BLOCK_SIZE_BYTES as u64,
            }
        };
        match next {
            Some(next) => at = next,
            None => break None,
        }
    };
    scrubbed.looked_bytes += end.unwrap_or_else(|| at.min(segment_end)) - from;
    end
}
