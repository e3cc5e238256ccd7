//! A broker of a few lines that can be told to lie: to forget, repeat or damage what it acknowledges, to stall, to refuse.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kourou_proto::body::TopicConfig;
use kourou_proto::message::batch::BatchMessages;
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::message::stored::StoredMessage;
use kourou_proto::remoting::request::{
    EndTransactionHeader, PullMessageHeader, QueueHeader, SendMessageHeader, TopicHeader, transaction_end,
};
use kourou_proto::remoting::response::{OffsetResponse, PullMessageResponse, SendMessageResponse};
use kourou_proto::{Command, FrameDecoder, HeaderFields, RequestCode, ResponseCode};

const QUEUES: usize = 4;
/// Where a record has its offset in the queue.
const QUEUE_OFFSET_AT: usize = 20;

/// What is wrong with a broker.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Every so manyth message is acknowledged and not kept.
    pub(crate) forget_every: Option<u64>,
    /// Every so manyth message is kept twice.
    pub(crate) repeat_every: Option<u64>,
    /// Every so manyth message is kept with another body.
    pub(crate) damage_every: Option<u64>,
    /// Every so manyth message is refused, and kept nevertheless.
    pub(crate) refuse_every: Option<u64>,
    /// Nobody is answered for this long, once, so long after the first send.
    pub(crate) stall: Option<(Duration, Duration)>,
    /// The connection is closed at this message.
    pub(crate) close_at: Option<u64>,
    /// Every so manyth commit is not heeded.
    pub(crate) lose_commit_every: Option<u64>,
    /// Every record says that it is the first of its queue.
    pub(crate) no_offsets: bool,
    /// Pulls leave out every so manyth offset.
    pub(crate) skip_every: Option<i64>,
}

#[derive(Debug, Default)]
struct State {
    queues: [Vec<Bytes>; QUEUES],
    /// Half messages and their queues, in place of a log.
    halves: Vec<(usize, Bytes)>,
    has_topic: bool,
    sends: u64,
    commits: u64,
    first_send: Option<Instant>,
}

/// A running broker. Its threads end with their connections.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    host: SocketAddr,
    state: Mutex<State>,
}

impl Toy {
    pub(crate) fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            faults,
            host: address,
            state: Mutex::default(),
        });
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, shared) = (socket.unwrap(), Arc::clone(&shared));
                thread::spawn(move || serve(socket, &shared));
            }
        });
        Self { address }
    }
}

fn serve(mut socket: TcpStream, shared: &Shared) {
    socket.set_nodelay(true).unwrap();
    let decoder = FrameDecoder::default();
    let mut input = BytesMut::new();
    let mut chunk = [0; 1 << 16];
    loop {
        let count = socket.read(&mut chunk).unwrap_or(0);
        if count == 0 {
            return;
        }
        input.extend_from_slice(&chunk[..count]);
        let mut output = BytesMut::new();
        while let Some(frame) = decoder.decode(&mut input).unwrap() {
            let request = Command::decode(frame).unwrap();
            if request.code() == RequestCode::END_TRANSACTION {
                assert!(request.is_oneway());
                shared.commit(&request);
                continue;
            }
            let Some(answer) = shared.answer(&request) else {
                return;
            };
            answer.encode(&mut output).unwrap();
        }
        if socket.write_all(&output).is_err() {
            return;
        }
    }
}

impl Shared {
    /// `None` closes the connection.
    fn answer(&self, request: &Command) -> Option<Command> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match request.code() {
            RequestCode::UPDATE_AND_CREATE_TOPIC => {
                state.has_topic = true;
                request.reply(ResponseCode::SUCCESS)
            }
            RequestCode::GET_TOPIC_CONFIG if !state.has_topic => request.reply(ResponseCode::TOPIC_NOT_EXIST),
            RequestCode::GET_TOPIC_CONFIG => {
                let topic = TopicHeader::decode(request).unwrap().topic;
                let mut config = TopicConfig::decode(b"{}").unwrap();
                config.topic_name = topic.to_owned();
                config.write_queue_nums = i32::try_from(QUEUES).unwrap();
                request.reply(ResponseCode::SUCCESS).with_body(config.encode())
            }
            RequestCode::GET_MIN_OFFSET => offset(request, 0),
            RequestCode::GET_MAX_OFFSET => {
                let queue = QueueHeader::decode(request).unwrap().queue_id;
                offset(request, state.queues[usize::try_from(queue).unwrap()].len())
            }
            RequestCode::PULL_MESSAGE => self.pull(&state, request),
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => {
                return self.send(&mut state, request);
            }
            other => panic!("nobody should ask for {other}"),
        })
    }

    fn send(&self, state: &mut State, request: &Command) -> Option<Command> {
        let header = SendMessageHeader::decode(request).unwrap();
        let first = *state.first_send.get_or_insert_with(Instant::now);
        if let Some((after, stall)) = self.faults.stall
            && first.elapsed() > after
            && first.elapsed() < after + stall
        {
            // Everybody waits: the state is locked.
            thread::sleep((after + stall).saturating_sub(first.elapsed()));
        }
        let bodies: Vec<Vec<u8>> = if header.batch {
            let messages = BatchMessages::new(&request.body);
            messages.map(|message| message.unwrap().body.to_vec()).collect()
        } else {
            vec![request.body.to_vec()]
        };
        let queue_id = usize::try_from(header.queue_id).unwrap();
        let is_half = header.properties.contains("TRAN_MSG\u{1}true");
        let id = OffsetMessageId {
            store_host: self.host,
            position: i64::try_from(state.halves.len()).unwrap(),
        };
        let mut code = ResponseCode::SUCCESS;
        for mut body in bodies {
            state.sends += 1;
            let is = |every: Option<u64>| every.is_some_and(|every| state.sends.is_multiple_of(every));
            if self.faults.close_at == Some(state.sends) {
                return None;
            }
            if is(self.faults.refuse_every) {
                code = ResponseCode::SYSTEM_BUSY;
            }
            if is(self.faults.forget_every) {
                continue;
            }
            if is(self.faults.damage_every) {
                body[3] ^= 1;
            }
            let copies = if is(self.faults.repeat_every) { 2 } else { 1 };
            for _ in 0..copies {
                if is_half {
                    let record = stored(&header, 0, &body);
                    state.halves.push((queue_id, record));
                } else {
                    let queue = &mut state.queues[queue_id];
                    let queue_offset = if self.faults.no_offsets { 0 } else { queue.len() };
                    let queue_offset = i64::try_from(queue_offset).unwrap();
                    queue.push(stored(&header, queue_offset, &body));
                }
            }
        }
        Some(
            request
                .reply(code)
                .with_remark("as told")
                .with_fields(&SendMessageResponse {
                    msg_id: &id.to_string(),
                    queue_id: header.queue_id,
                    queue_offset: 0,
                    transaction_id: None,
                    batch_uniq_id: None,
                    recall_handle: None,
                    region_id: None,
                    trace_on: None,
                }),
        )
    }

    fn commit(&self, request: &Command) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let header = EndTransactionHeader::decode(request).unwrap();
        assert_eq!(header.commit_or_rollback, transaction_end::COMMIT);
        state.commits += 1;
        let every = self.faults.lose_commit_every;
        if every.is_some_and(|every| state.commits.is_multiple_of(every)) {
            return;
        }
        let (queue_id, half) = state.halves[usize::try_from(header.position).unwrap()].clone();
        let queue = &mut state.queues[queue_id];
        let mut record = half.to_vec();
        record[QUEUE_OFFSET_AT..][..8].copy_from_slice(&(queue.len() as u64).to_be_bytes());
        queue.push(record.into());
    }

    /// Does not hold pulls; whoever wants to be held asks again.
    fn pull(&self, state: &State, request: &Command) -> Command {
        let header = PullMessageHeader::decode(request).unwrap();
        let queue = &state.queues[usize::try_from(header.queue_id).unwrap()];
        let begin = usize::try_from(header.queue_offset).unwrap();
        let wanted = usize::try_from(header.max_msg_nums).unwrap();
        let end = queue.len().min(begin + wanted).max(begin);
        let is_skipped = |offset: usize| {
            self.faults
                .skip_every
                .is_some_and(|every| offset as i64 % every == every - 1)
        };
        let found: Vec<u8> = (begin..end)
            .filter(|offset| !is_skipped(*offset))
            .flat_map(|offset| queue[offset].to_vec())
            .collect();
        let code = if begin == end {
            ResponseCode::PULL_NOT_FOUND
        } else {
            ResponseCode::SUCCESS
        };
        request
            .reply(code)
            .with_fields(&PullMessageResponse {
                suggest_which_broker_id: 0,
                next_begin_offset: i64::try_from(end).unwrap(),
                min_offset: 0,
                max_offset: i64::try_from(queue.len()).unwrap(),
                offset_delta: None,
                topic_sys_flag: None,
                group_sys_flag: None,
                forbidden_type: None,
            })
            .with_body(found)
    }
}

fn offset(request: &Command, offset: usize) -> Command {
    request.reply(ResponseCode::SUCCESS).with_fields(&OffsetResponse {
        offset: i64::try_from(offset).unwrap(),
    })
}

fn stored(header: &SendMessageHeader<'_>, queue_offset: i64, body: &[u8]) -> Bytes {
    let host = "127.0.0.1:1".parse().unwrap();
    let message = StoredMessage {
        topic: header.topic,
        queue_id: header.queue_id,
        queue_offset,
        position: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: header.born_timestamp_ms,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_position: 0,
        body,
        properties: "",
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes.into()
}
