//! The paths whose instructions and allocations are counted.

use std::io;
use std::sync::Arc;

use kourou_engine::clock::SystemClock;
use kourou_engine::record::RecordDraft;
use kourou_engine::{Engine, NoView, Options, Threads};
use kourou_proto::HeaderCodec::{self, Json, Rocketmq};

use crate::lockstep::Lockstep;
use crate::memory_disk::MemoryDisk;
use crate::requests::{self, OTHER_TAG, TAG};

/// One step of a path; every one does the same.
pub type Round = Box<dyn FnMut() -> io::Result<()>>;

/// A path of a message through the broker, or a part of it.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Its name: one word for each choice, with slashes.
    pub name: &'static str,
    /// What happens in a round.
    pub about: &'static str,
    /// Messages in a round; counts are divided by it.
    pub messages: usize,
    open: fn() -> io::Result<Round>,
}

impl Path {
    /// Everything that a round needs, and is not to be counted.
    ///
    /// # Errors
    /// The system gives no port or no memory.
    pub fn open(&self) -> io::Result<Round> {
        (self.open)()
    }
}

/// Bytes of a message's body.
const BODY: [u8; 1024] = [7; 1024];

/// All paths.
pub const PATHS: [Path; 9] = [
    Path {
        name: "send/json/1",
        about: "one send of 1 KiB over one connection, JSON header",
        messages: 1,
        open: || send(Json, 1, 1),
    },
    Path {
        name: "send/json/64",
        about: "64 sends of 1 KiB over 4 connections, JSON headers, one group",
        messages: 64,
        open: || send(Json, 4, 16),
    },
    Path {
        name: "send/binary/64",
        about: "64 sends of 1 KiB over 4 connections, binary headers, one group",
        messages: 64,
        open: || send(Rocketmq, 4, 16),
    },
    Path {
        name: "send/batch/32",
        about: "one batch of 32 messages of 1 KiB, JSON header",
        messages: 32,
        open: send_batch,
    },
    Path {
        name: "pull/json/32",
        about: "one pull that finds 32 messages of 1 KiB in memory, JSON header",
        messages: 32,
        open: || pull(Json, "*"),
    },
    Path {
        name: "pull/binary/32",
        about: "one pull that finds 32 messages of 1 KiB in memory, binary header",
        messages: 32,
        open: || pull(Rocketmq, "*"),
    },
    Path {
        name: "pull/tag/32",
        about: "one pull that finds 32 messages of 1 KiB among 64 by their tag, JSON header",
        messages: 32,
        open: || pull(Json, TAG),
    },
    Path {
        name: "append/1",
        about: "the engine alone: one record of 1 KiB encoded and appended, one group",
        messages: 1,
        open: || append(1),
    },
    Path {
        name: "append/64",
        about: "the engine alone: 64 records of 1 KiB encoded and appended, one group",
        messages: 64,
        open: || append(64),
    },
];

fn send(codec: HeaderCodec, connections: usize, each: usize) -> io::Result<Round> {
    let request = |at| {
        let wire = requests::wire(&requests::send(codec, TAG, at, &BODY), each);
        (wire, each)
    };
    let mut port = Lockstep::start((0..connections as i32).map(request).collect())?;
    port.checked_round()?;
    Ok(Box::new(move || port.round()))
}

fn send_batch() -> io::Result<Round> {
    let wire = requests::wire(&requests::send_batch(Json, 0, 32, &BODY), 1);
    let mut port = Lockstep::start(vec![(wire, 1)])?;
    port.checked_round()?;
    Ok(Box::new(move || port.round()))
}

fn pull(codec: HeaderCodec, subscription: &str) -> io::Result<Round> {
    let request = |tag| requests::wire(&requests::send(Json, tag, 0, &BODY), 1);
    let both = [request(TAG), request(OTHER_TAG)].concat();
    let mut port = Lockstep::start(vec![(both, 2)])?;
    for _ in 0..32 {
        port.checked_round()?;
    }
    let wire = requests::wire(&requests::pull(codec, 0, 0, subscription), 1);
    port.ask_instead(vec![(wire, 1)])?;
    if port.checked_round()? < 32 * BODY.len() {
        return Err(io::Error::other("the pull does not find its 32 messages"));
    }
    Ok(Box::new(move || port.round()))
}

fn append(count: usize) -> io::Result<Round> {
    let options = Options {
        threads: Threads::Manual,
        tail_cache_size_bytes: 4 << 20,
        ..Options::new("/memory")
    };
    let disk = Arc::new(MemoryDisk::default());
    let engine = Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView));
    let engine = engine.map_err(io::Error::other)?;
    let properties = requests::properties(TAG);
    Ok(Box::new(move || {
        let draft = RecordDraft {
            properties: properties.as_bytes(),
            ..RecordDraft::new(requests::TOPIC, 0, &BODY)
        };
        for _ in 0..count {
            let record = draft.encode().map_err(io::Error::other)?;
            engine.append(record, |outcome| {
                assert!(outcome.is_ok(), "an append failed: {outcome:?}")
            });
        }
        engine.pump();
        Ok(())
    }))
}
