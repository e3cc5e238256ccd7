//! A broker behind its real port, whose every step is taken in turn by one thread.
//!
//! ```text
//! client: write all requests -> port: read, decode, hand over -> engine: one group -> port: answer -> client: read all answers
//! ```
//!
//! Everything runs on the thread that calls [`Lockstep::round`]: the connections' tasks on a runtime of one thread, the engine when
//! it is pumped, the client on plain sockets that never block. So each round does the same work as the one before, and what is
//! counted over many rounds can be divided by them. The client keeps its requests as bytes and looks at no more of an answer than
//! its length: it costs little and allocates nothing.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Poll;

use bytes::BytesMut;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::clock::SystemClock;
use kourou_engine::{Options, Threads};
use kourou_proto::{Command, FrameDecoder, FrameLimits, ResponseCode};
use kourou_remoting::{Limits, listen, serve_broker};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::memory_disk::MemoryDisk;
use crate::requests::{QUEUES, TOPIC, key_places, renew_keys};

/// An answer that takes longer than this many turns never comes.
const TURNS_MAX: usize = 100_000;

/// A broker in memory, its port, and a client with some connections to it.
#[derive(Debug)]
pub struct Lockstep {
    runtime: Runtime,
    broker: Arc<Broker>,
    address: SocketAddr,
    shutdown: CancellationToken,
    peers: Vec<Peer>,
    /// The number of the next message that is sent.
    next_key: u32,
}

impl Lockstep {
    /// Starts a broker that has [`TOPIC`], and connects as often as there are items in `requests`: the bytes that this connection
    /// writes in each round, and how many answers they have.
    ///
    /// # Errors
    /// The system gives no port or no connection.
    pub fn start(requests: Vec<(Vec<u8>, usize)>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shutdown = CancellationToken::new();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (broker, address) = runtime.block_on(async {
            let listener = listen(any)?;
            let address = listener.local_addr()?;
            let broker = broker(address)?;
            let limits = Limits::default();
            tokio::spawn(serve_broker(
                listener,
                Arc::clone(&broker),
                limits,
                shutdown.clone(),
            ));
            io::Result::Ok((broker, address))
        })?;
        Ok(Self {
            runtime,
            broker,
            address,
            shutdown,
            peers: connect(address, requests)?,
            next_key: 0,
        })
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Closes the client's connections and opens others, as [`Lockstep::start`] does.
    ///
    /// # Errors
    /// The system gives no connection.
    pub fn ask_instead(&mut self, requests: Vec<(Vec<u8>, usize)>) -> io::Result<()> {
        self.peers = connect(self.address, requests)?;
        Ok(())
    }

    /// Writes every connection's requests, and goes on until all are answered.
    ///
    /// # Errors
    /// A connection ended, or an answer does not come.
    pub fn round(&mut self) -> io::Result<()> {
        let Self {
            runtime,
            broker,
            peers,
            next_key,
            ..
        } = self;
        for peer in &mut *peers {
            peer.ask(next_key)?;
        }
        runtime.block_on(async {
            for _ in 0..TURNS_MAX {
                turn().await;
                broker.engine().pump();
                let mut all = true;
                for peer in &mut *peers {
                    all &= peer.hear()?;
                }
                if all {
                    return Ok(());
                }
            }
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// As [`Lockstep::round`], and looks at every answer: how many bytes of bodies came.
    ///
    /// # Errors
    /// As [`Lockstep::round`], and when an answer is not what was asked for.
    pub fn checked_round(&mut self) -> io::Result<usize> {
        for peer in &mut self.peers {
            peer.kept = Some(BytesMut::new());
        }
        self.round()?;
        let mut body_bytes = 0;
        for peer in &mut self.peers {
            let mut answers = peer.kept.take().unwrap_or_default();
            body_bytes += check(&mut answers, peer.answers)?;
        }
        Ok(body_bytes)
    }
}

impl Drop for Lockstep {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.peers.clear();
        if let Err(error) = self.broker.close() {
            eprintln!("the broker did not close: {error}");
        }
    }
}

/// Comes back after the sockets were looked at and every task that had something to do has run. Tokio's own `yield_now` allocates.
async fn turn() {
    let mut taken = false;
    poll_fn(|context| {
        if taken {
            return Poll::Ready(());
        }
        taken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn broker(address: SocketAddr) -> io::Result<Arc<Broker>> {
    let options = Options {
        threads: Threads::Manual,
        // Small enough that a few thousand messages fill it: from then on it is warm.
        tail_cache_size_bytes: 4 << 20,
        ..Options::new("/memory")
    };
    let disk = Arc::new(MemoryDisk::default());
    let broker = Broker::open(BrokerOptions::new(address), options, disk, Arc::new(SystemClock));
    let broker = broker.map_err(io::Error::other)?;
    let (done, made) = channel();
    broker.put_topic(TopicConfig::new(TOPIC, QUEUES), move |outcome| {
        let _ = done.send(outcome);
    });
    broker.engine().pump();
    made.recv().map_err(io::Error::other)?.map_err(io::Error::other)?;
    Ok(broker)
}

fn connect(address: SocketAddr, requests: Vec<(Vec<u8>, usize)>) -> io::Result<Vec<Peer>> {
    let peers = requests.into_iter();
    peers
        .map(|(request, answers)| Peer::connect(address, request, answers))
        .collect()
}

fn check(answers: &mut BytesMut, count: usize) -> io::Result<usize> {
    let decoder = FrameDecoder::new(FrameLimits::default());
    let mut body_bytes = 0;
    for _ in 0..count {
        let frame = decoder.decode(answers).map_err(io::Error::other)?;
        let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer = Command::decode(frame).map_err(io::Error::other)?;
        if answer.response_code() != ResponseCode::SUCCESS {
            let code = answer.response_code().value();
            return Err(io::Error::other(format!("answered {code}: {}", answer.remark())));
        }
        body_bytes += answer.body.len();
    }
    Ok(body_bytes)
}

/// One connection of the client.
#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    /// What it writes in each round.
    request: Vec<u8>,
    /// Where the messages' unique keys are in it.
    keys: Vec<usize>,
    answers: usize,
    unread: usize,
    buffer: Vec<u8>,
    /// The beginning of a frame's length field, at the front of the buffer.
    partial: usize,
    /// Bytes of the frame at hand that are still to come.
    skip: usize,
    /// Everything that came, if somebody wants to look at it.
    kept: Option<BytesMut>,
}

impl Peer {
    fn connect(address: SocketAddr, request: Vec<u8>, answers: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            keys: key_places(&request),
            request,
            answers,
            unread: 0,
            buffer: vec![0; 256 << 10],
            partial: 0,
            skip: 0,
            kept: None,
        })
    }

    fn ask(&mut self, next_key: &mut u32) -> io::Result<()> {
        self.unread = self.answers;
        renew_keys(&mut self.request, &self.keys, next_key);
        // Far less than a socket's buffer holds, so it goes as a whole or something is wrong.
        let written = self.stream.write(&self.request)?;
        if written < self.request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// Reads what is there. True once all answers have come.
    fn hear(&mut self) -> io::Result<bool> {
        while self.unread > 0 {
            let count = match self.stream.read(&mut self.buffer[self.partial..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if let Some(kept) = &mut self.kept {
                kept.extend_from_slice(&self.buffer[self.partial..self.partial + count]);
            }
            self.count_frames(self.partial + count);
        }
        Ok(true)
    }

    /// Steps over the frames in the first `filled` bytes, and keeps the beginning of a length field.
    fn count_frames(&mut self, filled: usize) {
        let mut at = 0;
        while at < filled {
            if self.skip == 0 {
                let Some(&length) = self.buffer[at..filled].first_chunk::<4>() else {
                    break;
                };
                self.skip = u32::from_be_bytes(length) as usize + 4;
            }
            let taken = self.skip.min(filled - at);
            at += taken;
            self.skip -= taken;
            if self.skip == 0 {
                self.unread -= 1;
            }
        }
        self.buffer.copy_within(at..filled, 0);
        self.partial = filled - at;
    }
}
