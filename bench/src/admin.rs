//! One request after another, for what comes before and after a run.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kourou_proto::body::TopicConfig;
use kourou_proto::remoting::request::{
    CreateTopicHeader, GetMaxOffsetHeader, GetTopicConfigHeader, QueueHeader,
};
use kourou_proto::remoting::response::OffsetResponse;
use kourou_proto::{Command, FrameDecoder, HeaderFields, RequestCode, ResponseCode};

use crate::connection::connect;
use crate::error::BenchError;
use crate::sink::SINK_FIELD;

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Admin {
    socket: TcpStream,
    input: BytesMut,
    next_opaque: i32,
}

/// What a broker does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Broker,
    /// It answers and keeps nothing.
    Sink,
}

impl Peer {
    fn of(answer: &Command) -> Self {
        if answer.field(SINK_FIELD).is_some() {
            Self::Sink
        } else {
            Self::Broker
        }
    }
}

/// A topic that is there already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// A sink has none.
    pub(crate) queues: Option<u32>,
    pub(crate) peer: Peer,
}

fn succeeded(what: &'static str, answer: Command) -> Result<Command, BenchError> {
    if answer.response_code() == ResponseCode::SUCCESS {
        return Ok(answer);
    }
    Err(BenchError::Refused {
        what,
        code: answer.response_code(),
        remark: answer.remark().to_owned(),
    })
}

impl Admin {
    pub(crate) fn connect(address: &str) -> Result<Self, BenchError> {
        Ok(Self {
            socket: connect(address)?,
            input: BytesMut::new(),
            next_opaque: 1,
        })
    }

    /// The topic's queues and who holds it; `None` if there is no such topic.
    pub(crate) fn find_topic(&mut self, topic: &str) -> Result<Option<Found>, BenchError> {
        let what = "describe the topic";
        let header = GetTopicConfigHeader { topic, logical: None };
        let request = Command::request(RequestCode::GET_TOPIC_CONFIG, 0).with_fields(&header);
        let answer = self.ask(what, request)?;
        if answer.response_code() == ResponseCode::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let answer = succeeded(what, answer)?;
        let peer = Peer::of(&answer);
        if peer == Peer::Sink {
            return Ok(Some(Found { queues: None, peer }));
        }
        let config = TopicConfig::decode(&answer.body).map_err(|error| BenchError::BadAnswer {
            what,
            problem: error.to_string(),
        })?;
        let queues = u32::try_from(config.write_queue_nums)
            .ok()
            .filter(|count| *count > 0);
        Ok(Some(Found { queues, peer }))
    }

    pub(crate) fn create_topic(&mut self, topic: &str, queues: u32) -> Result<Peer, BenchError> {
        let count = i32::try_from(queues).unwrap_or(i32::MAX);
        let header = CreateTopicHeader {
            topic_sys_flag: Some(0),
            ..CreateTopicHeader::plain(topic, count)
        };
        let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 0).with_fields(&header);
        Ok(Peer::of(&self.call("create the topic", request)?))
    }

    /// The offset behind the last message of a queue.
    pub(crate) fn max_offset(&mut self, topic: &str, queue_id: i32) -> Result<i64, BenchError> {
        let header = GetMaxOffsetHeader {
            topic,
            queue_id,
            committed: true,
        };
        self.offset(
            "tell a queue's end",
            Command::request(RequestCode::GET_MAX_OFFSET, 0).with_fields(&header),
        )
    }

    /// The offset of the first message of a queue.
    pub(crate) fn min_offset(&mut self, topic: &str, queue_id: i32) -> Result<i64, BenchError> {
        let header = QueueHeader { topic, queue_id };
        self.offset(
            "tell a queue's begin",
            Command::request(RequestCode::GET_MIN_OFFSET, 0).with_fields(&header),
        )
    }

    fn offset(&mut self, what: &'static str, request: Command) -> Result<i64, BenchError> {
        let answer = self.call(what, request)?;
        OffsetResponse::decode(&answer)
            .map(|response| response.offset)
            .map_err(|error| BenchError::BadAnswer {
                what,
                problem: error.to_string(),
            })
    }

    /// Asks; an answer other than success is an error.
    fn call(&mut self, what: &'static str, request: Command) -> Result<Command, BenchError> {
        succeeded(what, self.ask(what, request)?)
    }

    fn ask(&mut self, what: &'static str, mut request: Command) -> Result<Command, BenchError> {
        let bad = |problem: String| BenchError::BadAnswer { what, problem };
        let failed = |source| BenchError::Connection {
            connection: 0,
            source,
        };
        let opaque = self.next_opaque;
        self.next_opaque += 1;
        request.header.opaque = opaque;
        let mut output = BytesMut::new();
        request
            .encode(&mut output)
            .map_err(|error| bad(error.to_string()))?;
        self.socket.write_all(&output).map_err(failed)?;
        let deadline = Instant::now() + TIMEOUT;
        let decoder = FrameDecoder::default();
        let mut chunk = [0; 4096];
        loop {
            while let Some(frame) = decoder
                .decode(&mut self.input)
                .map_err(|error| bad(error.to_string()))?
            {
                let answer = Command::decode(frame).map_err(|error| bad(error.to_string()))?;
                if !answer.is_response() || answer.opaque() != opaque {
                    continue;
                }
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let no_answer = BenchError::NoAnswer {
                what,
                timeout_ms: u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            };
            if left.is_zero() {
                return Err(no_answer);
            }
            self.socket.set_read_timeout(Some(left)).map_err(failed)?;
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(BenchError::Closed { connection: 0 }),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(no_answer),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
