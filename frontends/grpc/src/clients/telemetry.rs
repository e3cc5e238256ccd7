//! Telemetry: a stream both ways, by which a client says what it is and is told what to do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use kourou_broker::client::ClientChannel;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code as GrpcCode, Request, Status, Streaming};

use super::{Commands, GrpcClient, Role, settings};
use crate::budget::Taken;
use crate::caller::Caller;
use crate::port::Port;
use crate::refusal::{self, Refusal};
use crate::wire::v2::{self as wire, Settings, TelemetryCommand, telemetry_command::Command};

static NEXT_STREAM_ID: AtomicU64 = AtomicU64::new(1);

/// Commands on their way to a client.
#[derive(Debug)]
pub(crate) struct CommandStream(mpsc::Receiver<Result<TelemetryCommand, Status>>);

impl Stream for CommandStream {
    type Item = Result<TelemetryCommand, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Begins a stream. It ends when the client ends its half or says anything after it has ended, or with the port.
pub(crate) fn telemetry(port: &Arc<Port>, request: Request<Streaming<TelemetryCommand>>) -> CommandStream {
    let (commands, outgoing) = mpsc::channel(port.limits.commands_max);
    match Caller::of(&request) {
        Ok(caller) => {
            let taken = request.extensions().get().cloned();
            let reading = Reading {
                port: Arc::clone(port),
                caller,
                stream_id: NEXT_STREAM_ID.fetch_add(1, Ordering::Relaxed),
                commands,
                client: None,
            };
            tokio::spawn(reading.run(request.into_inner(), taken));
        }
        Err(refusal) => {
            // There is room for the first one.
            let _ = commands.try_send(Ok(TelemetryCommand {
                status: Some(refusal.into()),
                command: None,
            }));
        }
    }
    CommandStream(outgoing)
}

/// The client's half of a stream.
struct Reading {
    port: Arc<Port>,
    caller: Caller,
    stream_id: u64,
    commands: Commands,
    /// Once it has sent settings.
    client: Option<Arc<GrpcClient>>,
}

impl Reading {
    async fn run(mut self, mut incoming: Streaming<TelemetryCommand>, taken: Option<Taken>) {
        let commands = self.commands.clone();
        let shutdown = self.port.shutdown.clone();
        loop {
            let message = tokio::select! {
                message = incoming.message() => message,
                // The peer is gone, or the stream was ended in favour of newer ones.
                () = commands.closed() => break,
                () = shutdown.cancelled() => break,
            };
            let Ok(Some(message)) = message else {
                break;
            };
            if self.port.clients.has_ended(&self.caller.client_id) {
                tracing::debug!(client = %self.caller.client_id, "a stream of a client that has ended");
                break;
            }
            if let Some(Err(refusal)) = message
                .command
                .map(|command| self.hear(command, message.status.as_ref()))
            {
                tracing::debug!(client = %self.caller.client_id, peer = %self.caller.peer, message = %refusal.message,
                    "a client's settings were refused");
                let status = Status::new(GrpcCode::InvalidArgument, refusal.message);
                let _ = self.commands.send(Err(status)).await;
                break;
            }
            if let Some(taken) = &taken {
                taken.give_back();
            }
            if self
                .client
                .as_ref()
                .is_some_and(|client| !client.has(self.stream_id))
            {
                break;
            }
        }
        drop((incoming, taken));
        if let Some(client) = &self.client
            && client.detach(self.stream_id)
        {
            // Its settings stay for a while: it may be on its way back.
            let port = &self.port;
            port.broker.channel_closed(client.channel_id());
            tokio::select! {
                () = tokio::time::sleep(port.limits.return_grace) => {}
                () = shutdown.cancelled() => return,
            }
            if !port.clients.is_connected(&self.caller.client_id) {
                port.renewals.abandon(port, &self.caller.client_id);
            }
        }
    }

    fn hear(&mut self, command: Command, status: Option<&wire::Status>) -> Result<(), Refusal> {
        match command {
            Command::Settings(settings) => return self.settle(settings),
            Command::ThreadStackTrace(trace) => {
                self.answered(&trace.nonce, status, trace.thread_stack_trace.as_deref());
            }
            Command::VerifyMessageResult(result) => self.answered(&result.nonce, status, None),
            // The rest is what servers say.
            _ => {}
        }
        Ok(())
    }

    fn answered(&self, nonce: &str, status: Option<&wire::Status>, threads: Option<&str>) {
        let is_asked = self
            .client
            .as_ref()
            .is_some_and(|client| client.answered(nonce, status, threads));
        if !is_asked {
            tracing::debug!(client = %self.caller.client_id, "an answer to no question, or a late one");
        }
    }

    /// Takes in settings and sends them back, completed.
    fn settle(&mut self, settings: Settings) -> Result<(), Refusal> {
        let port = &self.port;
        let role = Arc::new(Role::of(
            &settings,
            &self.caller,
            &port.limits,
            port.broker.now_ms(),
        )?);
        let client = port.clients.enter(&self.caller)?;
        client.settle(Arc::clone(&role), self.stream_id, &self.commands);
        client.beat(port);
        self.client = Some(client);

        let group = role.group.as_deref().and_then(|group| port.broker.group(group));
        let body_size_bytes_max = port.broker.options().limits.body_size_bytes_max;
        let settings = settings::complete(settings, group.as_deref(), body_size_bytes_max);
        let answer = TelemetryCommand {
            // One client takes settings only with it.
            status: Some(refusal::ok()),
            command: Some(Command::Settings(settings)),
        };
        if self.commands.try_send(Ok(answer)).is_err() {
            tracing::debug!(client = %self.caller.client_id, "a slow client was not sent its settings");
        }
        Ok(())
    }
}

impl GrpcClient {
    /// Tells the broker that this client is here. False if it has not said what it is.
    pub(crate) fn beat(self: &Arc<Self>, port: &Port) -> bool {
        let Some(role) = self.role() else {
            return false;
        };
        let channel: Arc<dyn ClientChannel> = Arc::clone(self) as _;
        port.broker.heartbeat(&role.heartbeat, &channel);
        true
    }
}
