//! What idle consumers cost: so many pulls held by a broker that has nothing for them.
//!
//! `cargo build --release -p kourou && cargo run --release -p kourou-benches --bin holds -- target/release/kourou [POLLS [CONNECTIONS]]`
//!
//! Starts the broker on an empty folder, opens the connections, sends the pulls, waits until buffers that are not used have been
//! given back, and looks at what the process has then: memory that it has more than before, and processor time over ten seconds.
//! In the end it sees to it that every pull is still held. Without CONNECTIONS it measures twice, with one connection for each
//! poll and with twenty polls on each.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kourou_benches::served::{HeldPull, Outcome, Served};
use kourou_proto::Command;
use rustix::process::{Resource, getrlimit, setrlimit};

const POLLS: usize = 10_000;
const POLLS_PER_CONNECTION: usize = 20;
const QUEUES: i32 = 16;
/// The bars.
const BYTES_PER_POLL_MAX: u64 = 4096;
const CORE_SHARE_MAX: f64 = 0.01;

/// Longer than a measurement, shorter than what the broker allows.
const HOLD_MS: i64 = 90_000;
/// Until memory of the beginning has been given back.
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(10);
/// Sent at once; what a client library would need a second for must not come in one burst.
const BURST: usize = 100;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments
        .next()
        .ok_or("say where the kourou binary is, e.g. target/release/kourou")?;
    let polls = arguments.next().map_or(Ok(POLLS), |polls| polls.parse())?;
    let connections: Option<usize> = arguments
        .next()
        .map(|connections| connections.parse())
        .transpose()?;
    raise_descriptors();
    println!(
        "{:>7} {:>12} {:>14} {:>14} {:>10}",
        "polls", "connections", "bytes a poll", "of connection", "of a core"
    );
    let mut within = true;
    for connections in connections.map_or_else(|| vec![polls, polls / POLLS_PER_CONNECTION], |one| vec![one])
    {
        within &= measure(Path::new(&binary), polls, connections.clamp(1, polls.max(1)))?;
    }
    if within {
        Ok(())
    } else {
        Err(
            format!("more than {BYTES_PER_POLL_MAX} bytes a poll, or more than {CORE_SHARE_MAX} of a core")
                .into(),
        )
    }
}

/// Both ends of each connection take a descriptor, here and, by inheritance, in the broker.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of open files stays as it is: {error}");
    }
}

fn measure(binary: &Path, polls: usize, connections: usize) -> Outcome<bool> {
    let broker = Served::start(binary, &std::env::temp_dir())?;
    broker.create_topic("idle", QUEUES)?;
    std::thread::sleep(SETTLE);
    let before = broker.resident_bytes()?;

    let mut streams = Vec::with_capacity(connections);
    for at in 0..connections {
        streams.push(TcpStream::connect(broker.address)?);
        if at % BURST == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    std::thread::sleep(SETTLE);
    let connected = broker.resident_bytes()?;

    for at in 0..polls {
        let mut wire = BytesMut::new();
        pull(at).encode(&mut wire)?;
        streams[at % connections].write_all(&wire)?;
        if at % BURST == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    std::thread::sleep(SETTLE);
    let cpu_before = broker.cpu_ticks()?;
    let begin = Instant::now();
    std::thread::sleep(WATCH);
    let share = (broker.cpu_ticks()? - cpu_before) as f64
        / rustix::param::clock_ticks_per_second() as f64
        / begin.elapsed().as_secs_f64();
    let after = broker.resident_bytes()?;

    for stream in &mut streams {
        stream.set_nonblocking(true)?;
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return Err(format!("a pull is not held any more: {other:?}").into()),
        }
    }
    let each = |bytes: u64| bytes / polls.max(1) as u64;
    let per_poll = each(after.saturating_sub(before));
    let of_connection = each(connected.saturating_sub(before));
    println!(
        "{polls:>7} {connections:>12} {per_poll:>14} {of_connection:>14} {:>9.2}%",
        share * 100.0
    );
    Ok(per_poll <= BYTES_PER_POLL_MAX && share <= CORE_SHARE_MAX)
}

/// A pull of a consumer that has all there is, and may be held.
fn pull(at: usize) -> Command {
    let number = i32::try_from(at).unwrap_or(i32::MAX);
    let pull = HeldPull {
        group: "idlers",
        topic: "idle",
        queue_id: number % QUEUES,
        offset: 0,
        hold_ms: HOLD_MS,
        opaque: number,
    };
    pull.request()
}
