//! Paths from socket to socket.

use std::io;

use kourou_proto::HeaderCodec::{self, Json, Rocketmq};

use super::{BODY, Opened, Path};
use crate::lockstep::Lockstep;
use crate::requests::{self, OTHER_TAG, TAG};

pub(super) const PATHS: [Path; 7] = [
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
];

fn send(codec: HeaderCodec, connections: i32, each: usize) -> io::Result<Opened> {
    let request = |queue_id| {
        let wire = requests::wire(&requests::send(codec, TAG, queue_id, &BODY), each);
        (wire, each)
    };
    let requests: Vec<_> = (0..connections).map(request).collect();
    let size_bytes = requests.iter().map(|(wire, _)| wire.len()).sum();
    let mut port = Lockstep::start(requests)?;
    port.checked_round()?;
    Ok(Opened::new(size_bytes, move || port.round()))
}

fn send_batch() -> io::Result<Opened> {
    let wire = requests::wire(&requests::send_batch(Json, 0, 32, &BODY), 1);
    let size_bytes = wire.len();
    let mut port = Lockstep::start(vec![(wire, 1)])?;
    port.checked_round()?;
    Ok(Opened::new(size_bytes, move || port.round()))
}

fn pull(codec: HeaderCodec, subscription: &str) -> io::Result<Opened> {
    let request = |tag| requests::wire(&requests::send(Json, tag, 0, &BODY), 1);
    let both = [request(TAG), request(OTHER_TAG)].concat();
    let mut port = Lockstep::start(vec![(both, 2)])?;
    for _ in 0..32 {
        port.checked_round()?;
    }
    let wire = requests::wire(&requests::pull(codec, 0, 0, subscription), 1);
    port.ask_instead(vec![(wire, 1)])?;
    let size_bytes = port.checked_round()?;
    if size_bytes < 32 * BODY.len() {
        return Err(io::Error::other("the pull does not find its 32 messages"));
    }
    Ok(Opened::new(size_bytes, move || port.round()))
}
