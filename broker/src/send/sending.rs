//! A send on its way: what is known of it before the log has it, and the memory that it takes.
//!
//! ```text
//!  frontend --Box<Sending>--> broker --> engine: pending, writer --> SendDone::sent --Box<Sending>--> frontend
//! ```
//!
//! The box goes all the way round, with its buffers, so that a frontend that keeps it for its next send needs no new memory.

use std::net::SocketAddr;
use std::sync::Arc;

use kourou_engine::record::{EncodedRecords, KeyHash};
use kourou_engine::{AppendDone, AppendError, Appended, Engine};

use super::once::Place;
use super::recent::{RecentSends, Waiter};
use super::{SendError, SendReceipt};
use crate::lite::InFlight;
use crate::property::REAL_TOPIC;
use crate::timer::RecallHandle;
use crate::trace::SendTrace;

/// Memory for properties that is kept for the next send; what grew beyond it is given back.
const KEPT_PROPERTIES_SIZE_BYTES_MAX: usize = 4 * 1024;

/// Who is told of a send. The value travels with it.
pub trait SendDone: Send + Sized + 'static {
    /// What became of the send: it is durable and can be consumed, and [`Sending::receipt`] says where; or why it is not.
    /// Runs once, as every `done` of [`Broker`](crate::Broker).
    fn sent(sending: Box<Sending<Self>>, outcome: Result<(), SendError>);
}

/// One send on its way, or the memory of one that is over.
#[derive(Debug)]
pub struct Sending<D> {
    /// Who is told.
    pub done: D,
    pub(super) receipt: SendReceipt,
    /// Properties as they are stored.
    pub(super) properties: Vec<u8>,
    pub(super) records: EncodedRecords,
    is_batch: bool,
    waking: Waking,
    /// The id under which others wait for the end of this send.
    id: Option<KeyHash>,
    /// Whom to tell of the end; kept for the next send.
    recent: Option<Arc<RecentSends>>,
    /// Keeps the queue of a lite topic while a message is on its way there.
    pub(super) lite: Option<InFlight>,
    /// What the broker's traces tell of this send.
    pub(super) trace: Option<Box<SendTrace>>,
}

/// Who is woken by an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waking {
    /// The log's writer.
    Writer,
    /// Nobody: the caller sees to that when it has appended all that it has.
    Nobody,
}

impl<D: SendDone> Sending<D> {
    /// For a first send.
    pub fn new(done: D) -> Box<Self> {
        Box::new(Self {
            done,
            receipt: SendReceipt {
                store_host: SocketAddr::from(([0, 0, 0, 0], 0)),
                position: 0,
                batch_positions: Vec::new(),
                queue_id: 0,
                queue_offset: 0,
                transaction_id: String::new(),
                is_inner_batch: false,
                recall_handle: String::new(),
                region: Arc::from(""),
                trace_on: false,
            },
            properties: Vec::new(),
            records: EncodedRecords::new(),
            is_batch: false,
            waking: Waking::Writer,
            id: None,
            recent: None,
            lite: None,
            trace: None,
        })
    }

    /// Where the messages are, after a send that succeeded.
    pub fn receipt(&self) -> &SendReceipt {
        &self.receipt
    }

    /// Forgets an earlier send.
    pub(super) fn begin(&mut self, is_batch: bool, waking: Waking) {
        self.is_batch = is_batch;
        self.waking = waking;
        self.id = None;
        self.lite = None;
        self.records.clear();
        self.receipt.batch_positions.clear();
        self.receipt.transaction_id.clear();
        self.receipt.is_inner_batch = false;
        self.receipt.recall_handle.clear();
        if self.properties.capacity() > KEPT_PROPERTIES_SIZE_BYTES_MAX {
            self.properties = Vec::new();
        }
        self.properties.clear();
    }

    /// The end of this send is to be told to `recent`.
    pub(super) fn track(&mut self, id: KeyHash, recent: &Arc<RecentSends>) {
        self.id = Some(id);
        if self.recent.is_none() {
            self.recent = Some(Arc::clone(recent));
        }
    }

    /// The writer is woken: whoever queued this send has seen to the others meanwhile.
    pub(super) fn wake_writer(&mut self) {
        self.waking = Waking::Writer;
    }

    /// Answers with places where the messages are already.
    pub(super) fn answer(mut self: Box<Self>, places: &[Place]) {
        self.lite = None;
        self.records.clear();
        if let Some(first) = places.first() {
            self.receipt.position = first.position;
            self.receipt.queue_id = first.queue_id;
            self.receipt.queue_offset = first.queue_offset;
        }
        if self.is_batch && !self.receipt.is_inner_batch {
            let positions = places.iter().map(|place| place.position);
            self.receipt.batch_positions.extend(positions);
        }
        self.end_trace(Some(&mut places.iter().map(|place| place.position)));
        D::sent(self, Ok(()));
    }

    pub(super) fn refuse(mut self: Box<Self>, error: SendError) {
        self.lite = None;
        self.records.clear();
        self.end_trace(None);
        D::sent(self, Err(error));
    }

    /// Appends the records that have been put in.
    pub(super) fn append_to(mut self: Box<Self>, engine: &Engine) {
        let records = std::mem::take(&mut self.records);
        match self.waking {
            Waking::Writer => engine.append_with(records, self),
            Waking::Nobody => engine.enqueue(records, self),
        }
    }
}

impl<D: SendDone> AppendDone for Sending<D> {
    fn done(mut self: Box<Self>, outcome: Result<&[Appended], AppendError>, records: EncodedRecords) {
        self.records = records;
        self.lite = None;
        let waiters = self.told_recent(&outcome);
        match &outcome {
            Ok(appended) => self.end_trace(Some(&mut appended.iter().map(|one| one.position))),
            Err(_) => self.end_trace(None),
        }
        let outcome = outcome.map_err(SendError::Store).map(|appended| {
            if let Some(first) = appended.first() {
                self.receipt.position = first.position;
                self.receipt.queue_offset = first.queue_offset;
            }
            if self.is_batch && !self.receipt.is_inner_batch {
                let positions = appended.iter().map(|one| one.position);
                self.receipt.batch_positions.extend(positions);
            }
        });
        let position = outcome.is_ok().then_some(self.receipt.position);
        D::sent(self, outcome);
        for waiter in waiters {
            waiter(position);
        }
    }
}

impl<D> Sending<D> {
    /// Notes how the send ended, for the broker's traces.
    fn end_trace(&mut self, positions: Option<&mut dyn Iterator<Item = u64>>) {
        let Some(mut trace) = self.trace.take() else {
            return;
        };
        let messages = &mut trace.sent().messages;
        if !self.is_batch || self.receipt.is_inner_batch {
            // One record, whose id is the one that the sender is told.
            messages.truncate(1);
            let id = &self.receipt.transaction_id;
            if let Some(message) = messages.first_mut().filter(|_| !id.is_empty()) {
                message.id = id.as_str().into();
            }
        }
        trace.end(positions);
    }

    /// Makes the recall handle, if there is one, that of a message which is due then.
    pub(super) fn recall_at(&mut self, broker_name: &str, due_ms: i64) {
        let topic = self
            .records
            .views()
            .next()
            .and_then(|record| record.property(REAL_TOPIC));
        if let (false, Some(topic)) = (self.receipt.recall_handle.is_empty(), topic) {
            self.receipt.recall_handle.clear();
            let id = &self.receipt.transaction_id;
            RecallHandle::push(&mut self.receipt.recall_handle, topic, broker_name, due_ms, id);
        }
    }

    /// Tells whoever keeps ids how this send ended. Returns who waited for that.
    fn told_recent(&mut self, outcome: &Result<&[Appended], AppendError>) -> Vec<Waiter> {
        let (Some(id), Some(recent)) = (self.id.take(), &self.recent) else {
            return Vec::new();
        };
        match outcome {
            Ok([first, ..]) => recent.stored(id, first.position),
            _ => recent.failed(id),
        }
    }
}

/// A callback as one that is told.
pub(super) struct Call<F>(pub(super) F);

impl<F> SendDone for Call<F>
where
    F: FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
{
    fn sent(sending: Box<Sending<Self>>, outcome: Result<(), SendError>) {
        let Sending { done, receipt, .. } = *sending;
        (done.0)(outcome.map(|()| receipt));
    }
}
