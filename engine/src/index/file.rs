//! The index file of one sealed segment. Immutable; written once, mapped for reading, removed with its segment.
//!
//! All integers little-endian. Sections follow each other without gaps:
//!
//! ```text
//! header      64 bytes
//!   0  magic "KOUROUIX"      8  version u32        12  queue count u32     16  segment start u64
//!  24  data end u64         32  entry count u64    40  names size u64      48  key count u64
//!  56  crc32 of directory and names u32            60  crc32 of bytes 0..60 u32
//! directory   40 bytes a queue, ordered by (topic, queue id)
//!   0  name offset u32       4  topic size u32      8  queue id u32        12  crc32 of the run u32
//!  16  base offset u64      24  first slot u64     32  slot count u64
//! names       topics, UTF-8, each once for each run of equal topics
//! slots       24 bytes each, see index/entry.rs; a queue's slots are consecutive
//! keys        see index/key_table.rs; nothing if there are none
//! ```
//!
//! Version 1 had no keys; such a file is made again from its segment.
//!
//! The header, directory and names are checked when the file is opened: their size grows with the queues. A run is checked
//! when it is first used, so that opening does not read the slots; and so is each part of the keys.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use super::entry::{IndexEntry, Slot};
use super::key_table::{self, KeyTable};
use super::{Damaged, Frozen, KeyEntry, QueueKey};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::OpenError;
use crate::fields::{Fields, Short};

const MAGIC: &[u8; 8] = b"KOUROUIX";
const VERSION: u32 = 2;
const HEADER_SIZE_BYTES: usize = 64;
const DIRECTORY_ENTRY_SIZE_BYTES: usize = 40;

/// Encodes the index of one segment, which has been ordered.
pub(crate) fn encode(frozen: &Frozen) -> Vec<u8> {
    let queue_count = frozen.ordered().len();
    let entry_count: usize = frozen.ordered().map(|(_, run)| run.slots.len()).sum();
    let mut directory = Vec::with_capacity(queue_count * DIRECTORY_ENTRY_SIZE_BYTES);
    let mut names: Vec<u8> = Vec::new();
    let mut slots = Vec::with_capacity(entry_count * Slot::SIZE_BYTES);
    let mut last_topic: Option<(Arc<str>, usize)> = None;
    for (name, run) in frozen.ordered() {
        let name_offset = match &last_topic {
            Some((topic, offset)) if *topic == name.topic => *offset,
            _ => {
                let offset = names.len();
                names.extend_from_slice(name.topic.as_bytes());
                last_topic = Some((Arc::clone(&name.topic), offset));
                offset
            }
        };
        let first_slot = slots.len() / Slot::SIZE_BYTES;
        let run_start = slots.len();
        for slot in &run.slots {
            slot.encode_into(&mut slots);
        }
        push_u32(&mut directory, name_offset);
        push_u32(&mut directory, name.topic.len());
        directory.extend_from_slice(&name.queue_id.to_le_bytes());
        directory.extend_from_slice(&crc32fast::hash(&slots[run_start..]).to_le_bytes());
        directory.extend_from_slice(&run.base.to_le_bytes());
        push_u64(&mut directory, first_slot);
        push_u64(&mut directory, run.slots.len());
    }

    let mut keys: Vec<_> = frozen.keys.iter().collect();
    keys.sort_unstable();
    let keys_size = key_table::size_bytes(keys.len()).unwrap_or_default();
    let mut out =
        Vec::with_capacity(HEADER_SIZE_BYTES + directory.len() + names.len() + slots.len() + keys_size);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    push_u32(&mut out, queue_count);
    out.extend_from_slice(&frozen.segment_start.to_le_bytes());
    out.extend_from_slice(&frozen.data_end.to_le_bytes());
    push_u64(&mut out, entry_count);
    push_u64(&mut out, names.len());
    push_u64(&mut out, keys.len());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&directory);
    crc.update(&names);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    let header_crc = crc32fast::hash(&out);
    out.extend_from_slice(&header_crc.to_le_bytes());
    out.extend_from_slice(&directory);
    out.extend_from_slice(&names);
    out.extend_from_slice(&slots);
    key_table::encode_into(&keys, &mut out);
    out
}

fn push_u32(out: &mut Vec<u8>, value: usize) {
    // A segment is at most 2 GiB and an entry or name needs a byte of it, so counts and offsets fit 32 bits.
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

fn push_u64(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u64).to_le_bytes());
}

/// Writes the index file of a segment and makes it durable, its name included.
///
/// # Errors
/// Whatever the disk says; an unfinished file has no valid header and is rebuilt when the store is opened.
pub(crate) fn write(disk: &dyn Disk, path: &Path, frozen: &Frozen) -> std::io::Result<()> {
    let bytes = encode(frozen);
    if let Err(error) = disk.remove(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = disk.open(path, OpenMode::CreateNew)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    match path.parent() {
        Some(dir) => disk.sync_dir(dir),
        None => Ok(()),
    }
}

#[derive(Debug, Clone, Copy)]
struct DirectoryEntry {
    name_offset: u32,
    topic_size: u32,
    queue_id: u32,
    run_crc: u32,
    base: u64,
    first_slot: u64,
    slot_count: u64,
}

/// An open index file.
#[derive(Debug)]
pub(crate) struct Sealed {
    segment_start: u64,
    data_end: u64,
    queue_count: usize,
    bytes: Bytes,
    names_at: usize,
    slots_at: usize,
    keys_at: usize,
    keys: KeyTable,
    /// For each queue of the directory: not looked at, good, or bad.
    checked: Vec<AtomicU8>,
}

const UNCHECKED: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

impl Sealed {
    /// Opens and checks an index file. `Ok(Err(reason))` says that the file is there but of no use.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Result<Self, String>, OpenError> {
        let file = match disk.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err("it is missing".into()));
            }
            Err(error) => return Err(OpenError::io("open", path)(error)),
        };
        let size = file.size_bytes().map_err(OpenError::io("measure", path))?;
        if size < HEADER_SIZE_BYTES as u64 {
            return Ok(Err(format!(
                "it has {size} bytes, a header needs {HEADER_SIZE_BYTES}"
            )));
        }
        let bytes = file.map(size).map_err(OpenError::io("map", path))?;
        file.populate(&bytes.slice(..HEADER_SIZE_BYTES))
            .map_err(OpenError::io("read", path))?;
        Ok(Self::parse(bytes, Some(file)))
    }

    fn parse(bytes: Bytes, file: Option<Arc<dyn DiskFile>>) -> Result<Self, String> {
        let header = bytes
            .get(..HEADER_SIZE_BYTES)
            .ok_or("it is shorter than its header")?;
        let short = |_: Short| "its header is cut".to_owned();
        let mut fields = Fields::new(header);
        if fields.take(8).map_err(short)? != MAGIC {
            return Err("it does not begin with KOUROUIX".into());
        }
        let version = fields.u32().map_err(short)?;
        let queue_count = fields.u32().map_err(short)? as usize;
        let segment_start = fields.u64().map_err(short)?;
        let data_end = fields.u64().map_err(short)?;
        let entry_count = fields.u64().map_err(short)?;
        let names_size = fields.u64().map_err(short)?;
        let key_count = fields.u64().map_err(short)?;
        let directory_crc = fields.u32().map_err(short)?;
        let header_crc = fields.u32().map_err(short)?;
        let found = crc32fast::hash(&header[..HEADER_SIZE_BYTES - 4]);
        if found != header_crc {
            return Err(format!(
                "its header's checksum is {header_crc:#010x}, its bytes give {found:#010x}"
            ));
        }
        if version != VERSION {
            return Err(format!("it has version {version}, this program reads {VERSION}"));
        }
        let sizes = || {
            let names_at =
                HEADER_SIZE_BYTES.checked_add(queue_count.checked_mul(DIRECTORY_ENTRY_SIZE_BYTES)?)?;
            let slots_at = names_at.checked_add(usize::try_from(names_size).ok()?)?;
            let keys_at =
                slots_at.checked_add(usize::try_from(entry_count).ok()?.checked_mul(Slot::SIZE_BYTES)?)?;
            let key_count = usize::try_from(key_count).ok()?;
            let end = keys_at.checked_add(key_table::size_bytes(key_count)?)?;
            Some((names_at, slots_at, keys_at, key_count, end))
        };
        let (names_at, slots_at, keys_at, key_count, end) = sizes().ok_or("its sizes overflow")?;
        if end != bytes.len() {
            return Err(format!(
                "it has {} bytes, its header speaks of {end}",
                bytes.len()
            ));
        }
        let found = crc32fast::hash(&bytes[HEADER_SIZE_BYTES..slots_at]);
        if found != directory_crc {
            return Err(format!(
                "its directory's checksum is {directory_crc:#010x}, its bytes give {found:#010x}"
            ));
        }
        let checked = (0..queue_count).map(|_| AtomicU8::new(UNCHECKED)).collect();
        Ok(Self {
            segment_start,
            data_end,
            queue_count,
            keys: KeyTable::new(segment_start, key_count, bytes.slice(keys_at..), file),
            bytes,
            names_at,
            slots_at,
            keys_at,
            checked,
        })
    }

    #[cfg(test)]
    pub(crate) fn open_bytes(bytes: Vec<u8>) -> Self {
        Self::parse(bytes.into(), None).unwrap()
    }

    pub(crate) fn segment_start(&self) -> u64 {
        self.segment_start
    }

    pub(crate) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// The queues of this segment: topic, queue id, base offset, end offset.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&str, u32, u64, u64)> {
        (0..self.queue_count).filter_map(|at| {
            let entry = self.directory(at)?;
            Some((
                self.topic(&entry)?,
                entry.queue_id,
                entry.base,
                entry.base + entry.slot_count,
            ))
        })
    }

    /// Run number `at` of the directory as it is, for those who look at all of them; `None` behind the last one.
    pub(crate) fn run_at(&self, at: usize) -> Option<RunAt<'_>> {
        if at >= self.queue_count {
            return None;
        }
        let entry = self.directory(at)?;
        let slots_at = entry.first_slot.saturating_mul(Slot::SIZE_BYTES as u64);
        Some(RunAt {
            topic: self.topic(&entry),
            queue_id: entry.queue_id,
            base: entry.base,
            first_slot: entry.first_slot,
            slot_count: entry.slot_count,
            directory_offset: (HEADER_SIZE_BYTES + at * DIRECTORY_ENTRY_SIZE_BYTES) as u64,
            slots_offset: slots_at.saturating_add(self.slots_at as u64),
            slots: self.slots_of(at, &entry).ok().map(|bytes| bytes.as_chunks().0),
        })
    }

    /// How many entries the header speaks of.
    pub(crate) fn entry_count(&self) -> u64 {
        (self.keys_at.saturating_sub(self.slots_at) / Slot::SIZE_BYTES) as u64
    }

    /// Goes through all keys. An error says at which byte of the file the table is not what it should be, and what is wrong there.
    pub(crate) fn all_keys(&self, see: &mut dyn FnMut(KeyEntry)) -> Result<(), (u64, &'static str)> {
        self.keys
            .all(see)
            .map_err(|(at, what)| ((self.keys_at + at) as u64, what))
    }

    pub(crate) fn find(&self, key: QueueKey<'_>) -> Option<Found<'_>> {
        let mut low = 0;
        let mut high = self.queue_count;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.directory(middle)?;
            match (self.topic(&entry)?, entry.queue_id).cmp(&(key.topic, key.queue_id)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return Some(Found {
                        index: self,
                        at: middle,
                        entry,
                    });
                }
            }
        }
        None
    }

    /// The positions of the newest `max` records below `below` that have a key of this hash, newest first. May block on the disk.
    pub(crate) fn positions_of_key(&self, hash: u32, below: u64, max: usize) -> Result<Vec<u64>, Damaged> {
        self.keys.newest(hash, below, max)
    }

    fn directory(&self, at: usize) -> Option<DirectoryEntry> {
        let start = HEADER_SIZE_BYTES + at * DIRECTORY_ENTRY_SIZE_BYTES;
        let mut fields = Fields::new(self.bytes.get(start..start + DIRECTORY_ENTRY_SIZE_BYTES)?);
        Some(DirectoryEntry {
            name_offset: fields.u32().ok()?,
            topic_size: fields.u32().ok()?,
            queue_id: fields.u32().ok()?,
            run_crc: fields.u32().ok()?,
            base: fields.u64().ok()?,
            first_slot: fields.u64().ok()?,
            slot_count: fields.u64().ok()?,
        })
    }

    /// A run's bytes, checked against their sum once in the life of the open file.
    fn slots_of(&self, at: usize, entry: &DirectoryEntry) -> Result<&[u8], Damaged> {
        let damaged = Damaged {
            segment_start: self.segment_start,
        };
        let range = || {
            let start = usize::try_from(entry.first_slot)
                .ok()?
                .checked_mul(Slot::SIZE_BYTES)?;
            let size = usize::try_from(entry.slot_count)
                .ok()?
                .checked_mul(Slot::SIZE_BYTES)?;
            let start = self.slots_at.checked_add(start)?;
            self.bytes.get(start..start.checked_add(size)?)
        };
        let bytes = range().ok_or(damaged)?;
        let checked = self.checked.get(at).ok_or(damaged)?;
        // Relaxed is enough: the flag says something about bytes that never change.
        match checked.load(Ordering::Relaxed) {
            GOOD => Ok(bytes),
            BAD => Err(damaged),
            _ => {
                let good = crc32fast::hash(bytes) == entry.run_crc;
                checked.store(if good { GOOD } else { BAD }, Ordering::Relaxed);
                if good { Ok(bytes) } else { Err(damaged) }
            }
        }
    }

    fn topic(&self, entry: &DirectoryEntry) -> Option<&str> {
        let start = self.names_at + entry.name_offset as usize;
        let bytes = self.bytes.get(start..start + entry.topic_size as usize)?;
        std::str::from_utf8(bytes).ok()
    }
}

/// One queue's run, as the directory and the slots have it.
#[derive(Debug)]
pub(crate) struct RunAt<'a> {
    /// `None` if that is no text, or not inside the names.
    pub(crate) topic: Option<&'a str>,
    pub(crate) queue_id: u32,
    pub(crate) base: u64,
    pub(crate) first_slot: u64,
    pub(crate) slot_count: u64,
    /// Where the file tells of it.
    pub(crate) directory_offset: u64,
    /// Where its slots begin in the file.
    pub(crate) slots_offset: u64,
    /// `None` if they do not match their checksum, or are not inside the file.
    pub(crate) slots: Option<&'a [[u8; Slot::SIZE_BYTES]]>,
}

/// One queue's run in an index file.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    index: &'a Sealed,
    at: usize,
    entry: DirectoryEntry,
}

impl Found<'_> {
    pub(crate) fn base(&self) -> u64 {
        self.entry.base
    }

    pub(crate) fn end(&self) -> u64 {
        self.entry.base + self.entry.slot_count
    }

    pub(crate) fn copy(&self, from: u64, max_count: usize, out: &mut Vec<IndexEntry>) -> Result<(), Damaged> {
        let slots = self.index.slots_of(self.at, &self.entry)?;
        let Some(skip) = from
            .checked_sub(self.entry.base)
            .and_then(|skip| usize::try_from(skip).ok())
        else {
            return Ok(());
        };
        let (slots, _) = slots.as_chunks::<{ Slot::SIZE_BYTES }>();
        out.extend(
            slots
                .iter()
                .skip(skip)
                .take(max_count)
                .zip(from..)
                .filter_map(|(slot, offset)| Some(Slot::decode(slot)?.at(offset))),
        );
        Ok(())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
