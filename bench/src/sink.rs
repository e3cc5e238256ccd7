//! A broker that keeps nothing: it answers every send at once. What it costs and what it lets through is the floor and
//! the ceiling of every other measurement.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use kourou_proto::remoting::response::{OffsetResponse, PullMessageResponse, SendMessageResponse};
use kourou_proto::{Command, HeaderCodec, RequestCode, ResponseCode};
use memchr::memmem::{self, Finder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::answer::{Front, RawFrame, front};
use crate::error::BenchError;

/// The field that tells a run that nothing is kept.
pub(crate) const SINK_FIELD: &str = "kourouBenchSink";

const INPUT_BYTES: usize = 256 * 1024;
/// The stop flag is looked at this often.
const LOOK_NS: i64 = 50_000_000;
/// Numbers with this many characters fit; shorter ones are followed by spaces.
const OPAQUE_TEXT_BYTES: usize = 11;
const OPAQUE_MARK: i32 = -1_234_567_890;

/// Answers until `stop` is set. Serves all connections in this thread.
///
/// # Errors
///
/// The listener cannot be waited for. A connection that fails or says nonsense is closed.
pub fn serve(listener: &TcpListener, stop: &AtomicBool) -> Result<(), BenchError> {
    listener.set_nonblocking(true).map_err(BenchError::Wait)?;
    let mut sink = Sink::new()?;
    let mut peers: Vec<Peer> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd<'_>> = Vec::with_capacity(peers.len() + 1);
        waiting.push(PollFd::new(listener, PollFlags::IN));
        waiting.extend(
            peers
                .iter()
                .map(|peer| PollFd::new(&peer.socket, peer.interest())),
        );
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: LOOK_NS,
        };
        match poll(&mut waiting, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(BenchError::Wait(error.into())),
        }
        let ready: Vec<bool> = waiting.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(waiting);
        let mut index = 0;
        // The listener comes first, then the peers in their order.
        for is_ready in ready.iter().skip(1) {
            if *is_ready && peers[index].serve(&mut sink).is_err() {
                peers.remove(index);
            } else {
                index += 1;
            }
        }
        if ready.first() == Some(&true)
            && let Ok((socket, _)) = listener.accept()
            && let Ok(peer) = Peer::new(socket)
        {
            peers.push(peer);
        }
    }
    Ok(())
}

/// What all connections share.
struct Sink {
    opaque: Finder<'static>,
    json: Prepared,
    binary: Prepared,
}

/// The answer to a send, but for its number.
struct Prepared {
    frame: Vec<u8>,
    opaque_at: usize,
}

struct Peer {
    socket: TcpStream,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
}

impl Peer {
    fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            output: Vec::with_capacity(INPUT_BYTES),
        })
    }

    fn interest(&self) -> PollFlags {
        if self.output.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::OUT
        }
    }

    /// Reads once, answers what came as a whole, writes once.
    fn serve(&mut self, sink: &mut Sink) -> io::Result<()> {
        if self.output.is_empty() {
            match self.socket.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            self.answer_all(sink)?;
        }
        match rustix::net::send(&self.socket, &self.output, SendFlags::NOSIGNAL) {
            Ok(count) if count == self.output.len() => self.output.clear(),
            Ok(count) => drop(self.output.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn answer_all(&mut self, sink: &mut Sink) -> io::Result<()> {
        let mut start = 0;
        loop {
            match front(&self.input[start..self.filled]).map_err(io::Error::other)? {
                Front::Frame(frame, whole) => {
                    sink.answer(&frame, &mut self.output)?;
                    start += whole;
                }
                Front::Part(whole) => {
                    self.input.copy_within(start..self.filled, 0);
                    self.filled -= start;
                    if whole > self.input.len() {
                        self.input.resize(whole, 0);
                    }
                    return Ok(());
                }
            }
        }
    }
}

impl Sink {
    fn new() -> Result<Self, BenchError> {
        Ok(Self {
            opaque: Finder::new(b"\"opaque\":"),
            json: Prepared::new(HeaderCodec::Json)?,
            binary: Prepared::new(HeaderCodec::Rocketmq)?,
        })
    }

    fn answer(&mut self, frame: &RawFrame<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        match (frame.codec, self.send_opaque(frame)) {
            (HeaderCodec::Json, Some(opaque)) => self.json.append_text(opaque, out),
            (HeaderCodec::Rocketmq, Some(opaque)) => self.binary.append_bytes(opaque, out),
            (_, None) => return other(frame, out),
        }
        Ok(())
    }

    /// The number of a send as it stands there; `None` for every other request.
    fn send_opaque<'a>(&self, frame: &RawFrame<'a>) -> Option<&'a [u8]> {
        match frame.codec {
            HeaderCodec::Json => {
                let rest = frame.header.strip_prefix(b"{\"code\":")?;
                rest.strip_prefix(b"310,")
                    .or_else(|| rest.strip_prefix(b"320,"))?;
                let at = self.opaque.find(rest)? + b"\"opaque\":".len();
                let text = rest.get(at..)?;
                let end = text
                    .iter()
                    .position(|byte| !(byte.is_ascii_digit() || *byte == b'-'))?;
                text.get(..end).filter(|text| text.len() <= OPAQUE_TEXT_BYTES)
            }
            HeaderCodec::Rocketmq => {
                let code = i16::from_be_bytes(*frame.header.first_chunk()?);
                (code == 310 || code == 320).then(|| frame.header.get(5..9))?
            }
        }
    }
}

impl Prepared {
    fn new(codec: HeaderCodec) -> Result<Self, BenchError> {
        let response = SendMessageResponse {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: 0,
            queue_offset: 0,
            transaction_id: Some("00000000000000000000000000000000"),
            batch_uniq_id: None,
            recall_handle: None,
            region_id: Some("DefaultRegion"),
            trace_on: Some(true),
        };
        let answer = Command::request(RequestCode::SEND_MESSAGE_V2, OPAQUE_MARK)
            .with_codec(codec)
            .reply(ResponseCode::SUCCESS)
            .with_fields(&response);
        let mut frame = BytesMut::new();
        answer
            .encode(&mut frame)
            .map_err(|error| BenchError::Settings(error.to_string()))?;
        let text = OPAQUE_MARK.to_string();
        let bytes = OPAQUE_MARK.to_be_bytes();
        let mark = if codec == HeaderCodec::Json {
            text.as_bytes()
        } else {
            &bytes
        };
        let opaque_at = memmem::find(&frame, mark)
            .ok_or_else(|| BenchError::Settings("an answer without a number".into()))?;
        Ok(Self {
            frame: frame.to_vec(),
            opaque_at,
        })
    }

    fn append_text(&self, opaque: &[u8], out: &mut Vec<u8>) {
        let place = out.len() + self.opaque_at;
        out.extend_from_slice(&self.frame);
        let place = &mut out[place..place + OPAQUE_TEXT_BYTES];
        place.fill(b' ');
        place[..opaque.len()].copy_from_slice(opaque);
    }

    fn append_bytes(&self, opaque: &[u8], out: &mut Vec<u8>) {
        let place = out.len() + self.opaque_at;
        out.extend_from_slice(&self.frame);
        out[place..place + opaque.len()].copy_from_slice(opaque);
    }
}

/// Whatever else is asked is answered as an empty broker would.
fn other(frame: &RawFrame<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    let header = kourou_proto::Header::decode(frame.codec, frame.header).map_err(io::Error::other)?;
    let request = Command {
        codec: frame.codec,
        header,
        body: bytes::Bytes::new(),
    };
    if request.is_oneway() || request.is_response() {
        return Ok(());
    }
    let answer = match request.code() {
        RequestCode::PULL_MESSAGE => {
            request
                .reply(ResponseCode::PULL_NOT_FOUND)
                .with_fields(&PullMessageResponse {
                    suggest_which_broker_id: 0,
                    next_begin_offset: 0,
                    min_offset: 0,
                    max_offset: 0,
                    offset_delta: None,
                    topic_sys_flag: None,
                    group_sys_flag: None,
                    forbidden_type: None,
                })
        }
        RequestCode::GET_MIN_OFFSET | RequestCode::GET_MAX_OFFSET => request
            .reply(ResponseCode::SUCCESS)
            .with_fields(&OffsetResponse { offset: 0 }),
        _ => request.reply(ResponseCode::SUCCESS),
    };
    let mut bytes = BytesMut::new();
    answer
        .with_field(SINK_FIELD, "true")
        .encode(&mut bytes)
        .map_err(io::Error::other)?;
    out.extend_from_slice(&bytes);
    Ok(())
}
