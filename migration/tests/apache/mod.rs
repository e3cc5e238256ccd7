//! A store of an Apache broker, written by hand after the layout that `docs/design/format.md` draws, without the broker's optional checksum.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// When the first message was stored.
const STORED_MS: i64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) offset: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: String,
    pub(crate) store_ms: i64,
}

impl Message {
    pub(crate) fn new(topic: &str, queue_id: u32, offset: u64) -> Self {
        Self {
            topic: topic.to_owned(),
            queue_id,
            offset,
            body: format!("{topic} {queue_id} {offset} ").repeat(5).into_bytes(),
            properties: format!("TAGS\x01red\x02KEYS\x01key-{offset}\x02"),
            store_ms: STORED_MS + offset as i64 * 10,
        }
    }

    fn encode(&self, position: u64) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend(0xDAA3_20A7_u32.to_be_bytes());
        out.extend((crc(&self.body) & 0x7FFF_FFFF).to_be_bytes());
        out.extend(self.queue_id.to_be_bytes());
        out.extend(0_u32.to_be_bytes());
        out.extend(self.offset.to_be_bytes());
        out.extend(position.to_be_bytes());
        out.extend(0_u32.to_be_bytes());
        out.extend((self.store_ms - 3).to_be_bytes());
        out.extend([127, 0, 0, 1, 0, 0, 0x12, 0x34]);
        out.extend(self.store_ms.to_be_bytes());
        out.extend([127, 0, 0, 1, 0, 0, 0x2A, 0x9F]);
        out.extend(0_u32.to_be_bytes());
        out.extend(0_u64.to_be_bytes());
        out.extend((self.body.len() as u32).to_be_bytes());
        out.extend(&self.body);
        out.push(self.topic.len() as u8);
        out.extend(self.topic.as_bytes());
        out.extend((self.properties.len() as u16).to_be_bytes());
        out.extend(self.properties.as_bytes());
        let size = (out.len() as u32).to_be_bytes();
        out[..4].copy_from_slice(&size);
        out
    }
}

/// CRC-32, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

pub(crate) struct Store {
    dir: tempfile::TempDir,
    file_size_bytes: u64,
    first: u64,
    position: u64,
    /// Where messages lie in their files.
    places: Vec<u64>,
    topics: BTreeMap<String, u32>,
    offsets: BTreeMap<String, BTreeMap<u32, u64>>,
    ends: HashMap<(String, u32), u64>,
}

impl Store {
    /// With files of a size, the first of which begins at a position.
    pub(crate) fn new(file_size_bytes: u64, first: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["commitlog", "consumequeue", "config"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        // As a broker that has ended leaves it.
        fs::write(dir.path().join("lock"), "lock").unwrap();
        let store = Self {
            dir,
            file_size_bytes,
            first,
            position: first,
            places: Vec::new(),
            topics: BTreeMap::new(),
            offsets: BTreeMap::new(),
            ends: HashMap::new(),
        };
        store.make_file();
        store
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn make_file(&self) {
        let start = self.position - (self.position - self.first) % self.file_size_bytes;
        let path = self.dir().join(format!("commitlog/{start:020}"));
        File::create_new(path)
            .unwrap()
            .set_len(self.file_size_bytes)
            .unwrap();
    }

    pub(crate) fn append(&mut self, message: &Message) {
        let size = message.encode(0).len() as u64;
        let left = self.file_size_bytes - (self.position - self.first) % self.file_size_bytes;
        if size + 8 > left {
            let blank = [(left as u32).to_be_bytes(), 0xCBD4_3194_u32.to_be_bytes()].concat();
            self.write(self.position, &blank);
            self.position += left;
            self.make_file();
        }
        let position = self.position;
        self.write(position, &message.encode(position));
        self.places.push((position - self.first) % self.file_size_bytes);
        self.position += size;
        self.unit(
            &message.topic,
            message.queue_id,
            message.offset,
            position,
            size as u32,
        );
    }

    fn write(&self, position: u64, bytes: &[u8]) {
        let at = (position - self.first) / self.file_size_bytes;
        let file = File::options().write(true).open(self.file(at)).unwrap();
        file.write_all_at(bytes, (position - self.first) % self.file_size_bytes)
            .unwrap();
    }

    /// Puts a unit into a consume queue, in its first file.
    fn unit(&mut self, topic: &str, queue_id: u32, offset: u64, position: u64, size: u32) {
        let dir = self.dir().join(format!("consumequeue/{topic}/{queue_id}"));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{:020}", 0));
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
            .unwrap();
        file.set_len(6_000_000).unwrap();
        let end = self.ends.entry((topic.to_owned(), queue_id)).or_default();
        // What is before the first is filled up.
        for fill in *end..offset {
            let bytes = [&[0; 8][..], &i32::MAX.to_be_bytes(), &[0; 8]].concat();
            file.write_all_at(&bytes, fill * 20).unwrap();
        }
        *end = offset + 1;
        let bytes = [&position.to_be_bytes()[..], &size.to_be_bytes(), &[0; 8]].concat();
        file.write_all_at(&bytes, offset * 20).unwrap();
        // A topic that is made again begins with a new file.
        file.write_all_at(&[0; 20], (offset + 1) * 20).unwrap();
    }

    /// A queue whose messages have expired.
    pub(crate) fn queue_end(&mut self, topic: &str, queue_id: u32, end: u64) {
        self.unit(topic, queue_id, end - 1, 0, 100);
    }

    pub(crate) fn topic(&mut self, name: &str, queues: u32) {
        self.topics.insert(name.to_owned(), queues);
        let topics: Vec<String> = self
            .topics
            .iter()
            .map(|(name, queues)| {
                format!(r#""{name}":{{"perm":6,"readQueueNums":{queues},"topicName":"{name}","writeQueueNums":{queues}}}"#)
            })
            .collect();
        self.config(
            "topics.json",
            &format!(r#"{{"topicConfigTable":{{{}}}}}"#, topics.join(",")),
        );
    }

    pub(crate) fn offset(&mut self, topic: &str, group: &str, queue_id: u32, offset: u64) {
        let queues = self.offsets.entry(format!("{topic}@{group}")).or_default();
        queues.insert(queue_id, offset);
        let table: Vec<String> = self
            .offsets
            .iter()
            .map(|(name, queues)| {
                let queues: Vec<String> = queues
                    .iter()
                    .map(|(queue_id, offset)| format!("{queue_id}:{offset}"))
                    .collect();
                format!(r#""{name}":{{{}}}"#, queues.join(","))
            })
            .collect();
        self.config(
            "consumerOffset.json",
            &format!(r#"{{"offsetTable":{{{}}}}}"#, table.join(",")),
        );
    }

    pub(crate) fn config(&self, name: &str, text: &str) {
        fs::write(self.dir().join("config").join(name), text).unwrap();
    }

    pub(crate) fn timer_check(&self, delivered_before_ms: i64, queue_offset: i64) {
        let numbers = [delivered_before_ms, 0, queue_offset, queue_offset];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        fs::write(self.dir().join("config/timercheck"), bytes).unwrap();
    }

    pub(crate) fn file(&self, at: u64) -> PathBuf {
        let start = self.first + at * self.file_size_bytes;
        self.dir().join(format!("commitlog/{start:020}"))
    }

    pub(crate) fn file_count(&self) -> usize {
        fs::read_dir(self.dir().join("commitlog")).unwrap().count()
    }

    pub(crate) fn remove_file(&self, at: u64) {
        fs::remove_file(self.file(at)).unwrap();
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> u64 {
        self.position
    }

    /// Where a message lies in its file.
    pub(crate) fn place_of(&self, message: usize) -> u64 {
        self.places[message]
    }

    pub(crate) fn overwrite(&self, position: u64, bytes: &[u8]) {
        self.write(position, bytes);
    }

    /// Flips a bit of the first file.
    pub(crate) fn flip(&self, at: u64) {
        let file = File::options().read(true).write(true).open(self.file(0)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }

    /// All files that are not mostly holes, and their content.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.dir().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).unwrap();
                    files.insert(path, content);
                }
            }
        }
        files
    }
}
