//! What idle consumers cost: so many pulls held by a broker that has nothing for them.
//!
//! `cargo build --release -p kourou && cargo run --release -p kourou-benches --bin holds -- target/release/kourou [POLLS [CONNECTIONS]]`
//!
//! Starts the broker on an empty folder, opens the connections, sends the pulls, waits until buffers that are not used have been
//! given back, and looks at what the process has then: memory that it has more than before, and processor time over ten seconds.
//! In the end it sees to it that every pull is still held. Without CONNECTIONS it measures twice, with one connection for each
//! poll and with twenty polls on each.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kourou_proto::remoting::request::{CreateTopicHeader, PullMessageHeader};
use kourou_proto::{Command, FrameDecoder, RequestCode, ResponseCode};
use rustix::process::{Resource, getrlimit, setrlimit};

type Outcome<T> = Result<T, Box<dyn Error>>;

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

/// The broker, killed when dropped.
struct Broker {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(binary: &Path, polls: usize, connections: usize) -> Outcome<bool> {
    let broker = start(binary)?;
    create_topic(&mut TcpStream::connect(broker.address)?)?;
    std::thread::sleep(SETTLE);
    let before = resident_bytes(&broker.child)?;

    let mut streams = Vec::with_capacity(connections);
    for at in 0..connections {
        streams.push(TcpStream::connect(broker.address)?);
        if at % BURST == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    std::thread::sleep(SETTLE);
    let connected = resident_bytes(&broker.child)?;

    for at in 0..polls {
        let mut wire = BytesMut::new();
        pull(at).encode(&mut wire)?;
        streams[at % connections].write_all(&wire)?;
        if at % BURST == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    std::thread::sleep(SETTLE);
    let cpu_before = cpu_ticks(&broker.child)?;
    let begin = Instant::now();
    std::thread::sleep(WATCH);
    let share = (cpu_ticks(&broker.child)? - cpu_before) as f64
        / rustix::param::clock_ticks_per_second() as f64
        / begin.elapsed().as_secs_f64();
    let after = resident_bytes(&broker.child)?;

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

fn start(binary: &Path) -> Outcome<Broker> {
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Process::new(binary)
        .arg("--data")
        .arg(folder.path())
        .args(["--namesrv-port", "0", "--broker-port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let broker = Broker {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        _folder: folder,
    };
    let begin = Instant::now();
    while TcpStream::connect(broker.address).is_err() {
        if begin.elapsed() > Duration::from_secs(10) {
            return Err(format!(
                "{} does not listen on port {port} after ten seconds",
                binary.display()
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(broker)
}

fn create_topic(stream: &mut TcpStream) -> Outcome<()> {
    let header = CreateTopicHeader {
        topic: "idle",
        default_topic: "TBW102",
        read_queue_nums: QUEUES,
        write_queue_nums: QUEUES,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: None,
        order: false,
        attributes: None,
        force: None,
    };
    let mut wire = BytesMut::new();
    Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 1)
        .with_fields(&header)
        .encode(&mut wire)?;
    stream.write_all(&wire)?;
    let mut input = BytesMut::new();
    loop {
        if let Some(frame) = FrameDecoder::default().decode(&mut input)? {
            let answer = Command::decode(frame)?;
            if answer.response_code() == ResponseCode::SUCCESS {
                return Ok(());
            }
            return Err(format!(
                "the topic is not made: {} {}",
                answer.response_code(),
                answer.remark()
            )
            .into());
        }
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err("the broker has closed the connection".into());
        }
        input.extend_from_slice(&chunk[..count]);
    }
}

/// A pull of a consumer that has all there is, and may be held.
fn pull(at: usize) -> Command {
    let number = i32::try_from(at).unwrap_or(i32::MAX);
    let header = PullMessageHeader {
        consumer_group: "idlers",
        topic: "idle",
        queue_id: number % QUEUES,
        queue_offset: 0,
        max_msg_nums: 32,
        // It may be held, and brings its subscription with it.
        sys_flag: 2 | 4,
        commit_offset: 0,
        suspend_timeout_ms: HOLD_MS,
        subscription: Some("*"),
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        broker_name: None,
    };
    Command::request(RequestCode::PULL_MESSAGE, number).with_fields(&header)
}

fn resident_bytes(child: &Child) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("the process has no VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}

fn cpu_ticks(child: &Child) -> Outcome<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // The name may hold anything; what follows its bracket is numbers.
    let after_name = stat.rsplit_once(')').ok_or("an unreadable stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok());
    Ok(field(11)
        .zip(field(12))
        .map(|(user, system)| user + system)
        .ok_or("an unreadable stat")?)
}
