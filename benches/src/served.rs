//! A broker in a process of its own, for what is measured from outside: its memory and its processor time.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kourou_proto::message::sysflag::pull::{SUBSCRIPTION, SUSPEND};
use kourou_proto::remoting::request::{CreateTopicHeader, PullMessageHeader};
use kourou_proto::{Command, FrameDecoder, RequestCode, ResponseCode};

/// What a measurement comes to, or why there is none.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const START_LIMIT: Duration = Duration::from_secs(10);

/// The broker, killed when dropped.
#[derive(Debug)]
pub struct Served {
    binary: PathBuf,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts `binary` on an empty folder below `below`, which should be on the disk that is meant.
    ///
    /// # Errors
    /// If it does not listen soon.
    pub fn start(binary: &Path, below: &Path) -> Outcome<Self> {
        Self::start_with_grpc(binary, below, 0)
    }

    /// As [`Served::start`], with gRPC on a port of its own.
    ///
    /// # Errors
    /// If it does not listen soon.
    pub fn start_with_grpc(binary: &Path, below: &Path, grpc_port: u16) -> Outcome<Self> {
        let folder = tempfile::tempdir_in(below)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Process::new(binary)
            .arg("--data")
            .arg(folder.path())
            .args(["--namesrv-port", "0", "--broker-port", &port.to_string()])
            .args([
                "--grpc-port",
                &grpc_port.to_string(),
                "--quic-port",
                "0",
                "--log",
                "warn",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let served = Self {
            binary: binary.to_owned(),
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _folder: folder,
        };
        let begin = Instant::now();
        while TcpStream::connect(served.address).is_err() {
            if begin.elapsed() > START_LIMIT {
                return Err(format!("{} does not listen on port {port}", binary.display()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(served)
    }

    /// `kourou bench` against it, ready to be started.
    pub fn bench(&self, arguments: &[&str]) -> Process {
        let mut bench = Process::new(&self.binary);
        bench
            .arg("bench")
            .args(arguments)
            .args(["--broker", &self.address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        bench
    }

    /// Makes a topic with so many queues.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn create_topic(&self, topic: &str, queues: i32) -> Outcome<()> {
        let header = CreateTopicHeader::plain(topic, queues);
        let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 1).with_fields(&header);
        let mut caller = Caller::connect(self.address)?;
        caller.send(&request)?;
        let answer = caller.receive()?;
        if answer.response_code() == ResponseCode::SUCCESS {
            return Ok(());
        }
        let (code, remark) = (answer.response_code(), answer.remark());
        Err(format!("the topic is not made: {code} {remark}").into())
    }

    /// The memory that the process has.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resident_bytes(&self) -> Outcome<u64> {
        self.memory_bytes("VmRSS:")
    }

    /// Memory that is the process's own: not the files that it has mapped.
    ///
    /// # Errors
    /// If it is gone.
    pub fn anonymous_bytes(&self) -> Outcome<u64> {
        self.memory_bytes("RssAnon:")
    }

    fn memory_bytes(&self, name: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .ok_or_else(|| format!("the process has no {name}"))?
            .parse()?;
        Ok(kib * 1024)
    }

    /// Processor time so far, in clock ticks.
    ///
    /// # Errors
    /// If it is gone.
    pub fn cpu_ticks(&self) -> Outcome<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold anything; what follows its bracket is numbers.
        let after_name = stat.rsplit_once(')').ok_or("an unreadable stat")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok());
        Ok(field(11)
            .zip(field(12))
            .map(|(user, system)| user + system)
            .ok_or("an unreadable stat")?)
    }
}

/// What a pull that may be held asks for.
#[derive(Debug, Clone, Copy)]
pub struct HeldPull<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The first offset that is wanted.
    pub offset: i64,
    /// For how long it may be held.
    pub hold_ms: i64,
    /// The request's number on its connection.
    pub opaque: i32,
}

impl HeldPull<'_> {
    /// The request. It brings its subscription with it, to everything.
    pub fn request(&self) -> Command {
        let header = PullMessageHeader {
            // It may be held, and has a subscription.
            sys_flag: SUSPEND | SUBSCRIPTION,
            suspend_timeout_ms: self.hold_ms,
            ..PullMessageHeader::of_all(self.group, self.topic, self.queue_id, self.offset)
        };
        Command::request(RequestCode::PULL_MESSAGE, self.opaque).with_fields(&header)
    }
}

/// One connection: requests out, answers in.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
        })
    }

    /// Keeps a request until the next [`Caller::flush`].
    ///
    /// # Errors
    /// If it is too long for a frame.
    pub fn queue(&mut self, request: &Command) -> Outcome<()> {
        Ok(request.encode(&mut self.output)?)
    }

    /// Sends what is kept, in one write.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn flush(&mut self) -> Outcome<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, request: &Command) -> Outcome<()> {
        self.queue(request)?;
        self.flush()
    }

    /// The next answer; waits for it.
    ///
    /// # Errors
    /// Those of the socket, and bytes that are no answer.
    pub fn receive(&mut self) -> Outcome<Command> {
        loop {
            if let Some(frame) = FrameDecoder::default().decode(&mut self.input)? {
                return Ok(Command::decode(frame)?);
            }
            let mut chunk = [0; 64 * 1024];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err("the broker has closed the connection".into());
            }
            self.input.extend_from_slice(&chunk[..count]);
        }
    }
}
