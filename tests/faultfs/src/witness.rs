//! Sends numbered messages to a broker, one at a time, notes what each was answered, and reads back what is there.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use kourou_proto::message::stored::StoredMessages;
use kourou_proto::remoting::request::{CreateTopicHeader, PullMessageHeader, SendMessageHeader, SendNames};
use kourou_proto::{Command, FrameDecoder, RequestCode, ResponseCode};

/// The topic; it has one queue.
const TOPIC: &str = "witnessed";
/// How long a broker may think about an answer. Apache's waits five seconds for a sync before it says so.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long a broker that was just started may take until it serves the topic.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long what was acknowledged may take to be found after a restart: a broker may build its queues anew meanwhile.
const SEARCH_LIMIT: Duration = Duration::from_secs(15);

/// What came of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 'Stored': SEND_OK.
    Ok,
    /// The broker said no, or not quite.
    Refused {
        /// The protocol's number for it.
        code: i32,
        /// The broker's own words.
        remark: String,
    },
    /// No answer: why.
    None(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => write!(f, "SEND_OK"),
            Self::Refused { code, remark } => write!(f, "refused, code {code}: {remark}"),
            Self::None(why) => write!(f, "no answer: {why}"),
        }
    }
}

/// One producer and consumer of one topic.
#[derive(Debug)]
pub struct Witness {
    broker: SocketAddr,
    connection: Option<TcpStream>,
    input: BytesMut,
    next: u64,
    acknowledged: BTreeSet<u64>,
    body_bytes: usize,
}

impl Witness {
    /// A witness whose messages have so many bytes.
    pub fn new(broker: SocketAddr, body_bytes: usize) -> Self {
        Self {
            broker,
            connection: None,
            input: BytesMut::new(),
            next: 0,
            acknowledged: BTreeSet::new(),
            body_bytes,
        }
    }

    /// How many messages were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Makes the topic; waits for a broker that has just been started.
    ///
    /// # Errors
    /// If it cannot be made for long.
    pub fn create_topic(&mut self) -> Result<()> {
        let header = CreateTopicHeader::plain(TOPIC, 1);
        let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 1).with_fields(&header);
        self.ask_until_served(&request).context("making a topic")
    }

    /// Waits until the broker serves the topic.
    ///
    /// # Errors
    /// If it does not for long.
    pub fn wait_ready(&mut self) -> Result<()> {
        let request = Command::request(RequestCode::GET_MAX_OFFSET, 1)
            .with_field("topic", TOPIC)
            .with_field("queueId", "0");
        self.ask_until_served(&request).context("waiting for the broker")
    }

    /// Sends the next message, and tells what was answered.
    pub fn send(&mut self) -> Answer {
        let number = self.next;
        self.next += 1;
        let properties = format!("UNIQ_KEY\u{1}{number:032X}\u{2}WAIT\u{1}true\u{2}");
        let header = SendMessageHeader {
            names: SendNames::Short,
            producer_group: "witness",
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queue_nums: 1,
            queue_id: 0,
            sys_flag: 0,
            born_timestamp_ms: 1_700_000_000_000,
            flag: 0,
            properties: &properties,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: Some(0),
            batch: false,
            broker_name: None,
        };
        let mut body = number.to_be_bytes().to_vec();
        body.resize(self.body_bytes.max(8), b'.');
        let request = Command::request(RequestCode::SEND_MESSAGE_V2, 1)
            .with_fields(&header)
            .with_body(body);
        match self.ask(&request) {
            Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => {
                self.acknowledged.insert(number);
                Answer::Ok
            }
            Ok(answer) => Answer::Refused {
                code: answer.response_code().value(),
                remark: answer.remark().to_owned(),
            },
            Err(error) => Answer::None(format!("{error:#}")),
        }
    }

    /// Reads the queue, and returns the numbers of the messages that were acknowledged and are not there. Waits a while for them.
    ///
    /// # Errors
    /// If the broker does not answer, or what it has is damaged.
    pub fn lost(&mut self) -> Result<Vec<u64>> {
        let begin = Instant::now();
        loop {
            let found = self.read()?;
            let lost: Vec<u64> = self.acknowledged.difference(&found).copied().collect();
            if lost.is_empty() || begin.elapsed() > SEARCH_LIMIT {
                return Ok(lost);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn read(&mut self) -> Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        let mut offset = 0;
        loop {
            let header = PullMessageHeader::of_all("witness", TOPIC, 0, offset);
            let answer = self.ask(&Command::request(RequestCode::PULL_MESSAGE, 1).with_fields(&header))?;
            for message in StoredMessages::new(&answer.body) {
                let message = message.context("a message that was read back")?;
                let number = message.body.first_chunk().context("a body that is too short")?;
                found.insert(u64::from_be_bytes(*number));
            }
            let next: i64 = match answer.field("nextBeginOffset") {
                Some(next) => next.parse().context("nextBeginOffset")?,
                None => return Ok(found),
            };
            // Where an earlier end was cut off, the broker says where to go on.
            if next <= offset {
                return Ok(found);
            }
            offset = next;
        }
    }

    /// Asks until the broker says yes, over a new connection each time.
    fn ask_until_served(&mut self, request: &Command) -> Result<()> {
        let begin = Instant::now();
        loop {
            self.connection = None;
            let outcome = self.ask(request).and_then(|answer| {
                let (code, remark) = (answer.response_code(), answer.remark());
                ensure!(code == ResponseCode::SUCCESS, "code {}: {remark}", code.value());
                Ok(())
            });
            match outcome {
                Err(_) if begin.elapsed() < START_LIMIT => std::thread::sleep(Duration::from_millis(50)),
                outcome => return outcome,
            }
        }
    }

    fn ask(&mut self, request: &Command) -> Result<Command> {
        let answer = self.ask_on_connection(request);
        if answer.is_err() {
            // What else comes from it would be answers to other questions.
            self.connection = None;
        }
        answer
    }

    fn ask_on_connection(&mut self, request: &Command) -> Result<Command> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.broker, Duration::from_secs(1))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            self.input.clear();
            self.connection = Some(stream);
        }
        let stream = self.connection.as_mut().context("no connection")?;
        let mut output = BytesMut::new();
        request.encode(&mut output)?;
        stream.write_all(&output)?;
        loop {
            while let Some(frame) = FrameDecoder::default().decode(&mut self.input)? {
                let command = Command::decode(frame)?;
                // A broker asks its clients things, too.
                if command.is_response() {
                    return Ok(command);
                }
            }
            let mut chunk = [0; 64 * 1024];
            let count = stream.read(&mut chunk)?;
            ensure!(count > 0, "the broker closed the connection");
            self.input.extend_from_slice(&chunk[..count]);
        }
    }
}
