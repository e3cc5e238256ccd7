//! Reads ranges of queues: one pull after another in each range, many ranges at a time.

use std::ops::Range;

use bytes::BytesMut;
use kourou_proto::message::sysflag::pull::{SUBSCRIPTION, SUSPEND};
use kourou_proto::remoting::request::PullMessageHeader;
use kourou_proto::remoting::response::PullMessageResponse;
use kourou_proto::{Command, Header, HeaderCodec, HeaderFields, RequestCode, ResponseCode};

use crate::answer::Answer;
use crate::clock::{Clock, ns};
use crate::drive::Load;
use crate::error::BenchError;
use crate::records::{Record, Records};
use crate::stage::PATIENCE;
use crate::template::OPAQUE_MIN;

const CONSUMER_GROUP: &str = "kourou-bench";
const WHAT: &str = "pull messages";
/// A broker that is busy is asked again this often, without a message in between, before that is an error.
const BUSY_MAX: u32 = 10_000;
/// How long a pull may be held for want of messages; below what clients allow.
const SUSPEND_MS: i64 = 15_000;

/// A stretch of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) queue_id: i32,
    pub(crate) offsets: Range<i64>,
}

/// Takes what is read.
pub(crate) trait Reader {
    /// A message of a stretch; in its order, unless the broker mixes them up.
    fn message(&mut self, stretch: usize, record: &Record<'_>, now_ns: u64);

    /// A record that cannot be read; what followed it in the answer is skipped too.
    fn damaged(&mut self, stretch: usize);

    /// A pull has been answered with messages.
    fn pulled(&mut self, asked_ns: u64, now_ns: u64);

    /// Where a stretch that has come to its end is to go on; `None` if nowhere.
    fn again(&mut self, stretch: usize) -> Option<Range<i64>>;

    /// Whether to stop before the ends are reached.
    fn is_over(&self, now_ns: u64) -> bool;
}

/// What is pulled, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PullSpec<'a> {
    pub(crate) topic: &'a str,
    pub(crate) codec: HeaderCodec,
    /// Messages of a pull at most.
    pub(crate) batch: i32,
    /// Whether the broker holds a pull for want of messages; without it, a queue's end ends the stretch.
    pub(crate) suspend: bool,
}

/// The pulls of some connections.
#[derive(Debug)]
pub(crate) struct ReadLoop<'a, R> {
    spec: PullSpec<'a>,
    lanes: Vec<Lane>,
    connections: usize,
    unfinished: usize,
    last_answer_ns: u64,
    encoded: BytesMut,
    pub(crate) reader: R,
}

#[derive(Debug)]
struct Lane {
    queue_id: i32,
    next: i64,
    end: i64,
    state: State,
    busy_count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next pull can go.
    Ready,
    Asked {
        at_ns: u64,
    },
    Finished,
}

impl<'a, R: Reader> ReadLoop<'a, R> {
    /// Stretches take turns on the connections.
    pub(crate) fn new(spec: PullSpec<'a>, stretches: &[Stretch], connections: usize, reader: R) -> Self {
        let lane = |stretch: &Stretch| Lane {
            queue_id: stretch.queue_id,
            next: stretch.offsets.start,
            end: stretch.offsets.end,
            state: if stretch.offsets.is_empty() {
                State::Finished
            } else {
                State::Ready
            },
            busy_count: 0,
        };
        let lanes: Vec<Lane> = stretches.iter().map(lane).collect();
        Self {
            spec,
            unfinished: lanes.iter().filter(|lane| lane.state != State::Finished).count(),
            lanes,
            connections,
            last_answer_ns: 0,
            encoded: BytesMut::new(),
            reader,
        }
    }

    /// How far each stretch has been read.
    pub(crate) fn positions(&self) -> impl Iterator<Item = i64> {
        self.lanes.iter().map(|lane| lane.next)
    }

    /// Whether every stretch was read to its end.
    ///
    /// # Errors
    ///
    /// The broker stopped answering.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.unfinished == 0 {
            return Ok(());
        }
        Err(BenchError::NoAnswer {
            what: WHAT,
            timeout_ms: ns(PATIENCE) / 1_000_000,
        })
    }

    fn request(&mut self, index: usize, out: &mut Vec<u8>) -> Result<(), BenchError> {
        let lane = &self.lanes[index];
        let suspend = if self.spec.suspend { SUSPEND } else { 0 };
        let left = i32::try_from(lane.end.saturating_sub(lane.next)).unwrap_or(i32::MAX);
        let header = PullMessageHeader {
            max_msg_nums: self.spec.batch.min(left),
            sys_flag: SUBSCRIPTION | suspend,
            suspend_timeout_ms: SUSPEND_MS,
            ..PullMessageHeader::of_all(CONSUMER_GROUP, self.spec.topic, lane.queue_id, lane.next)
        };
        self.encoded.clear();
        Command::request(RequestCode::PULL_MESSAGE, opaque(index))
            .with_codec(self.spec.codec)
            .with_fields(&header)
            .encode(&mut self.encoded)
            .map_err(|error| BenchError::Settings(error.to_string()))?;
        out.extend_from_slice(&self.encoded);
        Ok(())
    }

    /// Takes the messages of an answer; whether there was one.
    fn messages(&mut self, index: usize, body: &[u8], now_ns: u64) -> bool {
        let mut any = false;
        let lane = &mut self.lanes[index];
        for record in Records::new(body) {
            let Ok(record) = record else {
                self.reader.damaged(index);
                break;
            };
            any = true;
            self.reader.message(index, &record, now_ns);
            lane.next = record.queue_offset.saturating_add(1);
        }
        any
    }

    /// Ends a stretch, or begins it again.
    fn ended(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        match self.reader.again(index) {
            Some(offsets) => (lane.next, lane.end) = (offsets.start, offsets.end),
            None => {
                lane.state = State::Finished;
                self.unfinished -= 1;
            }
        }
    }
}

impl<R: Reader> Load for ReadLoop<'_, R> {
    fn fill(&mut self, connection: usize, out: &mut Vec<u8>, clock: &Clock) -> Result<(), BenchError> {
        for index in (connection..self.lanes.len()).step_by(self.connections) {
            if self.lanes[index].state == State::Ready {
                self.request(index, out)?;
                self.lanes[index].state = State::Asked {
                    at_ns: clock.now_ns(),
                };
            }
        }
        Ok(())
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, now_ns: u64) -> Result<(), BenchError> {
        let index = usize::try_from(answer.opaque.wrapping_sub(OPAQUE_MIN)).unwrap_or(usize::MAX);
        let Some((lane, State::Asked { at_ns })) = self.lanes.get_mut(index).map(|lane| {
            let state = lane.state;
            (lane, state)
        }) else {
            return Err(BenchError::UnaskedAnswer {
                connection,
                opaque: answer.opaque,
            });
        };
        lane.state = State::Ready;
        self.last_answer_ns = now_ns;
        let code = ResponseCode::new(answer.code);
        if code == ResponseCode::SUCCESS {
            lane.busy_count = 0;
            let asked = lane.next;
            if self.messages(index, answer.body, now_ns) {
                self.reader.pulled(at_ns, now_ns);
            } else {
                self.lanes[index].next = next_begin(answer)?;
            }
            // Asked again and again it would never end.
            let next = self.lanes[index].next;
            if next <= asked {
                return Err(BenchError::BadAnswer {
                    what: WHAT,
                    problem: format!("offset {asked} was asked for, and it leads to {next}"),
                });
            }
        } else if code == ResponseCode::PULL_OFFSET_MOVED {
            let next = next_begin(answer)?;
            // Nothing there to go on with: what is before the queue's begin is gone.
            if next <= lane.next {
                self.ended(index);
                return Ok(());
            }
            lane.next = next;
        } else if code == ResponseCode::PULL_NOT_FOUND || code == ResponseCode::PULL_RETRY_IMMEDIATELY {
            let is_end = code == ResponseCode::PULL_NOT_FOUND && !self.spec.suspend;
            lane.next = next_begin(answer)?.max(lane.next);
            if is_end {
                self.ended(index);
                return Ok(());
            }
        } else if code == ResponseCode::SYSTEM_BUSY && lane.busy_count < BUSY_MAX {
            lane.busy_count += 1;
        } else {
            return Err(BenchError::Refused {
                what: WHAT,
                code,
                remark: Header::decode(answer.codec, answer.header)
                    .ok()
                    .and_then(|header| header.remark)
                    .unwrap_or_default()
                    .into_owned(),
            });
        }
        if self.lanes[index].next >= self.lanes[index].end {
            self.ended(index);
        }
        Ok(())
    }

    fn wake_at_ns(&self) -> Option<u64> {
        None
    }

    fn is_done(&self, now_ns: u64) -> bool {
        // A held pull is answered late, and by rights.
        let stalled = !self.spec.suspend && now_ns.saturating_sub(self.last_answer_ns) >= ns(PATIENCE);
        self.unfinished == 0 || stalled || self.reader.is_over(now_ns)
    }
}

/// Where to go on after an answer without messages.
fn next_begin(answer: &Answer<'_>) -> Result<i64, BenchError> {
    let bad = |problem: String| BenchError::BadAnswer { what: WHAT, problem };
    let header = Header::decode(answer.codec, answer.header).map_err(|error| bad(error.to_string()))?;
    PullMessageResponse::from_fields(&header.fields)
        .map(|response| response.next_begin_offset)
        .map_err(|error| bad(error.to_string()))
}

/// A stretch's number on the wire; there are fewer stretches than such numbers.
fn opaque(index: usize) -> i32 {
    OPAQUE_MIN + i32::try_from(index).unwrap_or(0)
}
