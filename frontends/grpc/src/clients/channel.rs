//! One client, and how it is told things.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kourou_broker::client::{AnswerDone, AskError, ClientChannel, Question, next_channel_id};
use kourou_broker::transaction::TransactionCheck;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;

use super::Role;
use super::asked::Asked;
use crate::caller::Caller;
use crate::limits::Limits;
use crate::message::{TransactionId, delivered};
use crate::wire::v2::{
    NotifyUnsubscribeLiteCommand, RecoverOrphanedTransactionCommand, TelemetryCommand,
    telemetry_command::Command,
};

/// The way to one Telemetry stream.
pub(crate) type Commands = mpsc::Sender<Result<TelemetryCommand, Status>>;

/// One client.
#[derive(Debug)]
pub(crate) struct GrpcClient {
    channel_id: u64,
    client_id: Arc<str>,
    limits: Limits,
    /// Where it is waited for what it is asked.
    runtime: Handle,
    asked: Mutex<Asked>,
    state: Mutex<State>,
    /// Itself, for what outlives a call.
    this: Weak<Self>,
}

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    heard: Instant,
    role: Option<Arc<Role>>,
    /// Its streams, the newest last.
    streams: Vec<(u64, Commands)>,
}

impl GrpcClient {
    /// To be called where a runtime is.
    pub(super) fn new(client_id: Arc<str>, caller: &Caller, limits: Limits) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            channel_id: next_channel_id(),
            client_id,
            limits,
            runtime: Handle::current(),
            asked: Mutex::default(),
            state: Mutex::new(State {
                peer: caller.peer,
                heard: Instant::now(),
                role: None,
                streams: Vec::new(),
            }),
            this: this.clone(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock()
    }

    /// Nobody is there to answer.
    fn is_gone(&self) {
        let open = self.asked().take();
        for done in open {
            done(Err(AskError::Gone));
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(super) fn channel_id(&self) -> u64 {
        self.channel_id
    }

    /// It has called.
    pub(super) fn heard(&self, peer: SocketAddr) {
        let mut state = self.state.lock();
        state.peer = peer;
        state.heard = Instant::now();
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.state.lock().heard)
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.state.lock().streams.is_empty()
    }

    /// What its settings say that it is.
    pub(crate) fn role(&self) -> Option<Arc<Role>> {
        self.state.lock().role.clone()
    }

    /// Takes in settings that came by a stream; from now on that is where it is told things. The oldest of too many streams ends.
    pub(super) fn settle(&self, role: Arc<Role>, stream_id: u64, commands: &Commands) {
        let mut state = self.state.lock();
        state.role = Some(role);
        state.streams.retain(|(id, _)| *id != stream_id);
        state.streams.push((stream_id, commands.clone()));
        if state.streams.len() > self.limits.streams_per_client_max {
            state.streams.remove(0);
        }
    }

    /// A stream has ended. Whether it was the last one.
    pub(super) fn detach(&self, stream_id: u64) -> bool {
        let was_last = {
            let mut state = self.state.lock();
            let before = state.streams.len();
            state.streams.retain(|(id, _)| *id != stream_id);
            before > 0 && state.streams.is_empty()
        };
        if was_last {
            self.is_gone();
        }
        was_last
    }

    /// Whether a stream is still one of its own.
    pub(super) fn has(&self, stream_id: u64) -> bool {
        self.state.lock().streams.iter().any(|(id, _)| *id == stream_id)
    }

    /// Sends a command by the newest stream that takes one.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut command = Ok(TelemetryCommand {
            status: None,
            command: Some(command),
        });
        for (_, commands) in self.state.lock().streams.iter().rev() {
            match commands.try_send(command) {
                Ok(()) => return true,
                Err(refused) => command = refused.into_inner(),
            }
        }
        false
    }
}

impl ClientChannel for GrpcClient {
    fn id(&self) -> u64 {
        self.channel_id
    }

    fn remote_addr(&self) -> SocketAddr {
        self.state.lock().peer
    }

    /// Clients of this protocol share nothing out among themselves.
    fn notify_consumer_ids_changed(&self, _group: &str) {}

    fn check_transaction(&self, check: &TransactionCheck<'_>) -> bool {
        let message = match delivered(&check.message) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(position = check.position, %error, "a half message cannot be shown to its producer");
                return false;
            }
        };
        let transaction_id = TransactionId {
            position: check.position,
            queue_offset: check.queue_offset,
        };
        self.push(Command::RecoverOrphanedTransactionCommand(
            RecoverOrphanedTransactionCommand {
                message: Some(message),
                transaction_id: transaction_id.to_string(),
            },
        ))
    }

    fn ask(&self, question: Question, done: AnswerDone) {
        match self.this.upgrade() {
            Some(this) => this.put(question, done),
            None => done(Err(AskError::Gone)),
        }
    }

    fn unsubscribe_lite(&self, lite_topic: &str) -> bool {
        let lite_topic = lite_topic.to_owned();
        self.push(Command::NotifyUnsubscribeLiteCommand(
            NotifyUnsubscribeLiteCommand { lite_topic },
        ))
    }

    fn close(&self) {
        // Dropping them ends them.
        self.state.lock().streams.clear();
        self.is_gone();
    }
}
