//! What the broker says: answers, and what clients are told without having asked.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kourou_broker::client::ClientChannel;
use kourou_broker::topic::Listener;
use kourou_broker::transaction::TransactionCheck;
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::record::RecordView;
use parking_lot::Mutex;

use crate::message;
use crate::wire::{ClientId, Reply, RequestId, Told};

/// Which request, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker {
    pub(super) client: ClientId,
    pub(super) connection: u64,
    pub(super) id: RequestId,
}

/// What the broker says.
pub(super) enum Said {
    Reply {
        to: Asker,
        reply: Reply,
        at_operation: u64,
    },
    Woken(u64),
    Told(ClientId, u64, Told),
}

pub(super) type Outbox = Arc<Mutex<Vec<Said>>>;

/// How one request is answered.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) to: Asker,
    pub(super) outbox: Outbox,
    pub(super) disk: SimDisk,
}

impl Answering {
    /// What a process says after its machine is gone is not said.
    pub(super) fn say(&self, reply: Reply) {
        if !self.disk.crashed() {
            self.outbox.lock().push(Said::Reply {
                to: self.to,
                reply,
                at_operation: self.disk.operations(),
            });
        }
    }

    /// A callback that answers.
    pub(super) fn with<T, E: Refusal>(
        &self,
        reply: impl FnOnce(T) -> Reply + Send + 'static,
    ) -> impl FnOnce(Result<T, E>) + Send + 'static {
        let answering = self.clone();
        move |outcome| {
            answering.say(match outcome {
                Ok(told) => reply(told),
                Err(error) => error.refused(),
            });
        }
    }
}

/// Errors that have a number in the protocol.
pub(super) trait Refusal: fmt::Display {
    fn code(&self) -> i32;

    fn refused(&self) -> Reply {
        Reply::Refused {
            code: self.code(),
            text: self.to_string(),
        }
    }
}

macro_rules! refusals {
    ($($error:ty),* $(,)?) => {
        $(impl Refusal for $error {
            fn code(&self) -> i32 {
                self.response_code()
            }
        })*
    };
}

refusals!(
    kourou_broker::send::SendError,
    kourou_broker::receive::PullError,
    kourou_broker::send_back::SendBackError,
    kourou_broker::delivery::PopError,
    kourou_broker::delivery::DeliveryError,
    kourou_broker::transaction::TransactionError,
    kourou_broker::RecallError,
    kourou_broker::offset::ResetError,
    kourou_broker::offset::CommitError,
    kourou_broker::topic::TopicError,
    kourou_broker::group::GroupError,
    kourou_broker::assign::RequestModeError,
    kourou_broker::lite::SyncError,
    kourou_broker::transaction::ResumeError,
);

/// The connection of a client, as the broker has it.
pub(super) struct Channel {
    pub(super) id: u64,
    pub(super) client: ClientId,
    pub(super) connection: u64,
    pub(super) outbox: Outbox,
    pub(super) disk: SimDisk,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl ClientChannel for Channel {
    fn id(&self) -> u64 {
        self.id
    }

    fn remote_addr(&self) -> SocketAddr {
        super::address(self.client)
    }

    fn notify_consumer_ids_changed(&self, _group: &str) {}

    fn unsubscribe_lite(&self, lite_topic: &str) -> bool {
        if self.disk.crashed() {
            return false;
        }
        let told = Told::LostLite {
            lite_topic: lite_topic.to_owned(),
        };
        self.outbox
            .lock()
            .push(Said::Told(self.client, self.connection, told));
        true
    }

    fn check_transaction(&self, check: &TransactionCheck<'_>) -> bool {
        let Some(message) = RecordView::parse(&check.message)
            .ok()
            .and_then(|view| message::id_of(view.body()))
        else {
            return false;
        };
        if self.disk.crashed() {
            return false;
        }
        let told = Told::Check {
            message,
            group: crate::clients::TRANSACTION_GROUP.to_owned(),
            position: check.position,
            queue_offset: check.queue_offset,
        };
        self.outbox
            .lock()
            .push(Said::Told(self.client, self.connection, told));
        true
    }
}

/// Hears when something is due earlier than before.
#[derive(Default)]
pub(super) struct Due(pub(super) AtomicBool);

impl Listener for Due {
    fn timer_due(&self, _due_ms: i64) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An answer, without the bytes of records.
pub(super) struct Brief<'a>(pub(super) &'a Reply);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |record: &Bytes| {
            RecordView::parse(record).map_or((0, 0), |view| (view.position(), view.queue_offset()))
        };
        match self.0 {
            Reply::Pulled { records, place: at } => {
                let places: Vec<_> = records.iter().map(place).collect();
                write!(f, "pulled {places:?}, next {}", at.next_offset)
            }
            Reply::Found(records) => {
                let places: Vec<_> = records.iter().map(place).collect();
                write!(f, "found {places:?}")
            }
            Reply::Popped(popped) => {
                let places: Vec<_> = popped
                    .queues
                    .iter()
                    .flat_map(|queue| {
                        queue
                            .messages
                            .iter()
                            .map(|one| (one.offset, one.times, place(&one.record)))
                    })
                    .collect();
                write!(f, "popped {places:?} at {}", popped.pop_ms)
            }
            other => write!(f, "{other:?}"),
        }
    }
}
