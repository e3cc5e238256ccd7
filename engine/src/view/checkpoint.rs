//! The checkpoint: what the log before a position came to, so that a start reads only what follows it.
//!
//! Two files take turns, so that one is whole whatever happens to the other while it is written. The newest one that checks
//! out counts; with none, the log is read from its beginning. All integers little-endian:
//!
//! ```text
//!   0  magic "KOUROUCP"     8  version u32      12  crc32 of the body u32     16  body size u64
//!  24  crc32 of bytes 0..24 u32     28  body:
//!      serial u64, epoch u64, flush u8 (0 durable, 1 relaxed), position u64, last store ms i64, first position u64
//!      queue count u32, per queue:
//!          topic size u16, topic, queue id u32, min u64, base u64, slot count u32, slots of 24 bytes
//!      key count u64, entries of 8 bytes, last key's position u64, its store ms i64
//!      view state size u64, view state
//!      recent state size u64, recent state
//! ```
//!
//! Versions 1 and 2, which are read too, had no first position: nothing had ever expired. Version 1 had neither keys nor recent
//! state. Both kinds of entries are of the live segment, below `position`. Recent state may be newer than `position`, see
//! [`crate::View::recent`]. What was before the first position had expired; of each queue `min` is the first offset from there on.
//!
//! `position` is where reading goes on; the slots are the entries of the live segment below it. `flush` is the mode of the life
//! that follows, which tells how far out of order its last writes may have reached the disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{BLOCK_SIZE_BYTES, Disk, DiskFile, OpenMode};
use crate::fields::{Fields, Short};
use crate::index::{KeyEntry, LastKey, QueueName, QueueRecord, Run, Slot};
use crate::limits::CHECKPOINT_WRITE_BYTES;
use crate::options::Flush;

const MAGIC: &[u8; 8] = b"KOUROUCP";
const VERSION: u32 = 3;
/// The oldest that is read.
const VERSION_MIN: u32 = 1;
const HEADER_SIZE_BYTES: usize = 28;
const NAMES: [&str; 2] = ["checkpoint.0", "checkpoint.1"];

/// A checkpoint's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Counts the checkpoints of a store.
    pub(crate) serial: u64,
    /// Counts the lives of a store: one more at each open.
    pub(crate) epoch: u64,
    pub(crate) flush: Flush,
    pub(crate) position: u64,
    pub(crate) last_store_ms: i64,
    /// Where the log began.
    pub(crate) first: u64,
    pub(crate) queues: Vec<QueueRecord>,
    pub(crate) keys: Keys,
    pub(crate) view: Vec<u8>,
    /// See [`crate::View::recent`].
    pub(crate) recent: Vec<u8>,
}

/// What a checkpoint knows of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It was written before there was a key index.
    Unknown,
    Known {
        /// Of the live segment.
        live: Vec<KeyEntry>,
        last: LastKey,
    },
}

/// One of the two files.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    /// What it holds, or why that is no checkpoint, or why it cannot be read.
    pub(crate) content: io::Result<Result<Checkpoint, String>>,
}

/// What is known of the two checkpoint files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checkpoints {
    /// Serial of the newest checkpoint that was written whole. One that fails takes no serial, so that the next one goes to
    /// the same file, and never over the newest whole one.
    serial: u64,
    /// Where reading goes on from the newest one.
    newest: u64,
    /// And from the one before it, if that is whole: it counts if the newest rots.
    other: Option<u64>,
}

impl Checkpoints {
    /// Of those that were read, the newest one first.
    pub(crate) fn of(whole: &[Checkpoint]) -> Self {
        Self {
            serial: whole.first().map_or(0, |newest| newest.serial),
            newest: whole.first().map_or(0, |newest| newest.position),
            other: whole.get(1).map(|other| other.position),
        }
    }

    /// The serial of the next one.
    pub(crate) fn next(&self) -> u64 {
        self.serial + 1
    }

    /// The next one is being written over the older one.
    pub(crate) fn begin(&mut self) {
        self.other = None;
    }

    /// It is whole.
    pub(crate) fn written(&mut self, position: u64) {
        self.other = (self.serial > 0).then_some(self.newest);
        self.serial += 1;
        self.newest = position;
    }

    /// No record before this is needed to go on from the newest one; none at all without one.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// No record before this is needed to go on from either.
    pub(crate) fn needed_from(&self) -> u64 {
        self.newest.min(self.other.unwrap_or(self.newest))
    }
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128 + self.queues.len() * 64 + self.view.len() + self.recent.len());
        body.extend_from_slice(&self.serial.to_le_bytes());
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.push(match self.flush {
            Flush::Durable => 0,
            Flush::Relaxed => 1,
        });
        body.extend_from_slice(&self.position.to_le_bytes());
        body.extend_from_slice(&self.last_store_ms.to_le_bytes());
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend_from_slice(&count_u32(self.queues.len()).to_le_bytes());
        for queue in &self.queues {
            // A topic fits the record it came in, which allows it 255 bytes.
            let topic_size = u16::try_from(queue.name.topic.len()).unwrap_or(u16::MAX);
            body.extend_from_slice(&topic_size.to_le_bytes());
            body.extend_from_slice(queue.name.topic.as_bytes());
            body.extend_from_slice(&queue.name.queue_id.to_le_bytes());
            body.extend_from_slice(&queue.min.to_le_bytes());
            body.extend_from_slice(&queue.live.base.to_le_bytes());
            body.extend_from_slice(&count_u32(queue.live.slots.len()).to_le_bytes());
            for slot in &queue.live.slots {
                slot.encode_into(&mut body);
            }
        }
        let (live, last) = match &self.keys {
            Keys::Unknown => (&[][..], LastKey::default()),
            Keys::Known { live, last } => (live.as_slice(), *last),
        };
        body.extend_from_slice(&(live.len() as u64).to_le_bytes());
        for entry in live {
            body.extend_from_slice(&entry.to_bits().to_le_bytes());
        }
        body.extend_from_slice(&last.position.to_le_bytes());
        body.extend_from_slice(&last.store_ms.to_le_bytes());
        for state in [&self.view, &self.recent] {
            body.extend_from_slice(&(state.len() as u64).to_le_bytes());
            body.extend_from_slice(state);
        }

        let mut out = Vec::with_capacity(HEADER_SIZE_BYTES + body.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let header_crc = crc32fast::hash(&out);
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (header, body) = bytes
            .split_at_checked(HEADER_SIZE_BYTES)
            .ok_or("it is shorter than its header")?;
        let short = |short: Short| format!("it ends at byte {} of a part", short.offset);
        let mut fields = Fields::new(header);
        if fields.take(8).map_err(short)? != MAGIC {
            return Err("it does not begin with KOUROUCP".into());
        }
        let version = fields.u32().map_err(short)?;
        let body_crc = fields.u32().map_err(short)?;
        let body_size = fields.u64().map_err(short)?;
        let header_crc = fields.u32().map_err(short)?;
        if crc32fast::hash(&header[..HEADER_SIZE_BYTES - 4]) != header_crc {
            return Err("its header does not match its checksum".into());
        }
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(format!(
                "it has version {version}, this program reads {VERSION_MIN} to {VERSION}"
            ));
        }
        // What follows the body is left over from a longer checkpoint.
        let body = usize::try_from(body_size).ok().and_then(|size| body.get(..size));
        let Some(body) = body.filter(|body| crc32fast::hash(body) == body_crc) else {
            return Err("its body does not match its checksum".into());
        };
        Self::decode_body(body, version).map_err(short)
    }

    fn decode_body(body: &[u8], version: u32) -> Result<Self, Short> {
        let mut fields = Fields::new(body);
        let serial = fields.u64()?;
        let epoch = fields.u64()?;
        let flush = match fields.take(1)? {
            [1] => Flush::Relaxed,
            _ => Flush::Durable,
        };
        let position = fields.u64()?;
        let last_store_ms = fields.i64()?;
        let first = if version < 3 { 0 } else { fields.u64()? };
        let queue_count = fields.u32()?;
        let mut queues = Vec::with_capacity((queue_count as usize).min(fields.remaining() / 26));
        for _ in 0..queue_count {
            let topic_size = fields.u16()?;
            let topic = fields.take(topic_size.into())?;
            let queue_id = fields.u32()?;
            let min = fields.u64()?;
            let base = fields.u64()?;
            let slot_count = fields.u32()?;
            let slots = fields.take((slot_count as usize).saturating_mul(Slot::SIZE_BYTES))?;
            let slots = slots
                .chunks_exact(Slot::SIZE_BYTES)
                .filter_map(Slot::decode)
                .collect();
            let name = QueueName {
                topic: String::from_utf8_lossy(topic).into(),
                queue_id,
            };
            queues.push(QueueRecord {
                name,
                min,
                live: Run { base, slots },
            });
        }
        let keys = if version == 1 {
            Keys::Unknown
        } else {
            decode_keys(&mut fields)?
        };
        let view = sized(&mut fields)?;
        let recent = if version == 1 {
            Vec::new()
        } else {
            sized(&mut fields)?
        };
        Ok(Self {
            serial,
            epoch,
            flush,
            position,
            last_store_ms,
            first,
            queues,
            keys,
            view,
            recent,
        })
    }

    /// Writes the checkpoint over the older of the two, and makes it durable.
    ///
    /// # Errors
    /// Whatever the disk says; the newer one is untouched.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let path = self.path(dir);
        // Written over in place, so that on a full disk the space of the older one is there for this one.
        let (file, is_new) = match disk.open(&path, OpenMode::ReadWrite) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (disk.open(&path, OpenMode::CreateNew)?, true)
            }
            Err(error) => return Err(error),
        };
        // In steps: tens of megabytes in one sync would keep groups from the disk for as long. A checkpoint that is half written is
        // a damaged one, and the other file is there.
        let mut at = 0;
        for step in self.encode().chunks(CHECKPOINT_WRITE_BYTES) {
            let outcome = file.write_at(step, at).and_then(|()| file.sync());
            if outcome.is_err() {
                spoil(file.as_ref());
                return outcome;
            }
            at += step.len() as u64;
        }
        if is_new { disk.sync_dir(dir) } else { Ok(()) }
    }

    /// Where a checkpoint with this serial goes.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(NAMES[usize::from(self.serial % 2 == 1)])
    }

    /// What is in the two files, as it is; nothing is changed. Those that are not there are left out.
    pub(crate) fn look(disk: &dyn Disk, dir: &Path) -> Vec<Kept> {
        let look = |name: &str| {
            let path = dir.join(name);
            let bytes = match read_all(disk, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                bytes => bytes,
            };
            Some(Kept {
                path,
                size_bytes: bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
                content: bytes.map(|bytes| Self::decode(&bytes)),
            })
        };
        NAMES.iter().filter_map(|name| look(name)).collect()
    }

    /// The checkpoints that check out, the newest one first. A damaged one is told in the log and passed over. The newest is durable when
    /// this returns: the next one is written over the other, and until that is whole there is only this.
    ///
    /// # Errors
    /// Whatever the disk says to reading and syncing, with the file.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Vec<Self>, (PathBuf, io::Error)> {
        let mut whole = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            let path = dir.join(name);
            let bytes = match read_all(disk, &path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err((path, error)),
            };
            match Self::decode(&bytes) {
                Ok(checkpoint) => whole.push(checkpoint),
                Err(reason) => tracing::warn!(file = %path.display(), reason, "passing over a checkpoint"),
            }
        }
        whole.sort_unstable_by_key(|checkpoint: &Self| std::cmp::Reverse(checkpoint.serial));
        if let Some(newest) = whole.first() {
            // Whoever wrote it may have been killed before the sync. After a sync that failed the next one would succeed without
            // writing anything, so that there is something to write again.
            let path = newest.path(dir);
            let synced = disk.open(&path, OpenMode::ReadWrite).and_then(|file| {
                file.sync().inspect_err(|_| {
                    if let Err(error) = file.write_at(&newest.encode(), 0) {
                        tracing::warn!(%error, "a checkpoint that is not durable cannot be written again");
                    }
                })
            });
            synced.map_err(|error| (path, error))?;
        }
        Ok(whole)
    }
}

/// Takes from a checkpoint whose sync failed what makes it one: it may be whole in the page cache and on no disk, and the next start would
/// believe it.
fn spoil(file: &dyn DiskFile) {
    if let Err(error) = file.write_at(&[0; BLOCK_SIZE_BYTES], 0) {
        tracing::warn!(%error, "a checkpoint that is not durable cannot be taken back");
    }
}

fn decode_keys(fields: &mut Fields<'_>) -> Result<Keys, Short> {
    let count = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
    let (live, _) = fields.take(count.saturating_mul(8))?.as_chunks::<8>();
    let live = live
        .iter()
        .map(|bits| KeyEntry::from_bits(u64::from_le_bytes(*bits)))
        .collect();
    let last = LastKey {
        position: fields.u64()?,
        store_ms: fields.i64()?,
    };
    Ok(Keys::Known { live, last })
}

/// Bytes behind their size.
fn sized(fields: &mut Fields<'_>) -> Result<Vec<u8>, Short> {
    let size = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
    fields.take(size).map(<[u8]>::to_vec)
}

fn count_u32(count: usize) -> u32 {
    // Queues and the entries of one segment are numbered with 32 bits.
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let size = usize::try_from(file.size_bytes()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::{SimDisk, Survivors, Tear};

    fn sample() -> Checkpoint {
        let slot = Slot::new(77, 5, 100, -1).spanning(true);
        let name = QueueName {
            topic: "orders".into(),
            queue_id: 2,
        };
        Checkpoint {
            serial: 4,
            epoch: 3,
            flush: Flush::Relaxed,
            position: 4711,
            last_store_ms: 99,
            first: 4096,
            queues: vec![QueueRecord {
                name,
                min: 1,
                live: Run {
                    base: 6,
                    slots: vec![slot],
                },
            }],
            keys: Keys::Known {
                live: vec![KeyEntry::from_bits(0x0123_4567_0000_4000)],
                last: LastKey {
                    position: 0x4000,
                    store_ms: 98,
                },
            },
            view: b"state".to_vec(),
            recent: b"recent".to_vec(),
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(Checkpoint::decode(&sample().encode()), Ok(sample()));
    }

    /// What bytes of this version become if `cut` takes out of them what an older one did not have.
    fn as_version(version: u32, checkpoint: &Checkpoint, cut: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = checkpoint.encode();
        cut(&mut bytes);
        // The first position, behind serial, epoch, flush, position and last store time.
        let first_at = HEADER_SIZE_BYTES + 33;
        bytes.drain(first_at..first_at + 8);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let crc = crc32fast::hash(&bytes[HEADER_SIZE_BYTES..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let size = (bytes.len() - HEADER_SIZE_BYTES) as u64;
        bytes[16..24].copy_from_slice(&size.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn versions_before_this_one_are_read() {
        let second = Checkpoint { first: 0, ..sample() };
        assert_eq!(
            Checkpoint::decode(&as_version(2, &second, |_| {})),
            Ok(second.clone())
        );
        let first = Checkpoint {
            keys: Keys::Unknown,
            recent: Vec::new(),
            ..second
        };
        let bytes = as_version(1, &first, |bytes| {
            // Without key count, last key and the size of the recent state.
            let view_at = bytes.len() - 8 - first.view.len() - 8;
            bytes.drain(bytes.len() - 8..);
            bytes.drain(view_at - 24..view_at);
        });
        assert_eq!(Checkpoint::decode(&bytes), Ok(first));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let clean = sample().encode();
        for bit in 0..clean.len() * 8 {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Checkpoint::decode(&bytes).unwrap_err();
        }
        for size in 0..clean.len() {
            Checkpoint::decode(&clean[..size]).unwrap_err();
        }
        let longer = [clean.as_slice(), b"left over"].concat();
        assert_eq!(Checkpoint::decode(&longer), Ok(sample()));
    }

    /// The next one is written over the older file, so the newer must be on the disk by then, and not only in the page cache.
    #[test]
    fn what_is_not_durable_is_never_the_newest() {
        let dir = Path::new("/store");
        for killed_before_its_sync in [true, false] {
            let disk = SimDisk::new();
            disk.create_dir_all(dir).unwrap();
            let [third, fourth, fifth] = [3, 4, 5].map(|serial| Checkpoint { serial, ..sample() });
            third.write(&disk, dir).unwrap();
            // The operations of a first write: create, write, sync.
            let sync = disk.operations() + 2;
            if killed_before_its_sync {
                disk.crash_at(sync, Tear::None);
            } else {
                disk.fail_sync_once_dropping(sync);
            }
            fourth.write(&disk, dir).unwrap_err();
            let disk = disk.after_kill();
            let newest = Checkpoint::read(&disk, dir).unwrap().remove(0);
            let expected = if killed_before_its_sync { &fourth } else { &third };
            assert_eq!(newest, *expected);
            // While the next one is written over the other file the power goes.
            disk.crash_at(disk.operations() + 1, Tear::None);
            let next = if killed_before_its_sync { fifth } else { fourth };
            next.write(&disk, dir).unwrap_err();
            let disk = disk.after_power_cut(Survivors::Random(1));
            let found = Checkpoint::read(&disk, dir).unwrap();
            assert!(!found.is_empty(), "killed: {killed_before_its_sync}");
        }
    }
}
