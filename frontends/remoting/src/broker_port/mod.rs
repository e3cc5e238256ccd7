//! The broker's port: requests of clients and of administrators' tools, turned into calls of [`kourou_broker`].

mod assign;
mod channel;
mod clients;
mod cold;
mod groups;
mod hold;
mod locks;
mod offsets;
mod pop;
mod progress;
mod pull;
mod query;
mod recall;
mod relay;
mod reply;
mod resets;
mod runtime;
mod send;
mod send_back;
mod settle;
mod topics;
mod transaction;

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::client::ClientChannel;
use kourou_proto::{Command, RequestCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use send::{Sent, write_answer};
pub(crate) use topics::{config_body as topic_body, table_body as topics_body};

use crate::connection::{Connection, Handler, ReplyTo};
use crate::limits::Limits;
use crate::listener::{self, Listener};
use crate::refusal::{Refusal, answer, not_supported};
use cold::ColdReads;
use settle::Settling;

/// What all connections of the port share.
#[derive(Debug)]
struct Port {
    broker: Arc<Broker>,
    cold_reads: ColdReads,
}

/// Serves the broker's protocol on `listener` until `shutdown`. Then nothing new is accepted or read, and what was read
/// is answered, for as long as [`Limits::drain`] says; when this returns, no connection is left.
///
/// The same broker may be served on several listeners: clients that use the second port of a broker (two below the
/// first) get the same there.
pub async fn serve_broker(
    listener: impl Into<Listener>,
    broker: Arc<Broker>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let port = Arc::new(Port {
        broker,
        cold_reads: ColdReads::new(limits.cold_reads_max),
    });
    let listener = listener.into();
    let settling = listener
        .threads()
        .map(|threads| Settling::start(threads, &port.broker));
    let new_handler = |connection: &Arc<Connection>, thread: Option<usize>| BrokerHandler {
        port: Arc::clone(&port),
        settle: settling
            .as_ref()
            .zip(thread)
            .and_then(|(settling, at)| settling.of_thread(at)),
        channel: Arc::clone(connection) as Arc<dyn ClientChannel>,
        finished: send::Finished::default(),
    };
    listener::accept(listener, "broker", limits, new_handler, shutdown).await;
}

struct BrokerHandler {
    port: Arc<Port>,
    channel: Arc<dyn ClientChannel>,
    finished: send::Finished,
    /// Tells a task of this thread that sends were queued; without one each send wakes the log's writer.
    settle: Option<Arc<Notify>>,
}

impl Handler for BrokerHandler {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        if command.is_response() {
            if !connection.answered(command) {
                tracing::debug!(peer = %connection.peer(), opaque = command.opaque(), "an answer to no question, or a late one");
            }
            return;
        }
        let reply = connection.ticket(command);
        self.dispatch(command, reply);
    }

    fn on_answered(&mut self, sent: Box<Sent>) {
        self.finished.keep(sent);
    }

    fn on_rest(&mut self) {
        self.finished.shrink();
    }

    fn on_close(&mut self, connection: &Arc<Connection>) {
        self.port.broker.channel_closed(connection.id());
    }
}

impl BrokerHandler {
    /// The table of codes. The first few are the busy ones.
    fn dispatch(&mut self, request: &Command, reply: ReplyTo) {
        let port = &self.port;
        let broker = &port.broker;
        match request.code() {
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_MESSAGE | RequestCode::SEND_BATCH_MESSAGE => {
                send::send(broker, request, reply, &mut self.finished, self.settle.as_deref());
            }
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => pull::pull(port, request, reply),
            RequestCode::UPDATE_CONSUMER_OFFSET => offsets::update(broker, request, reply),
            RequestCode::QUERY_CONSUMER_OFFSET => {
                answer_with(request, reply, |r, c| offsets::query(broker, r, c))
            }
            RequestCode::HEART_BEAT => {
                answer_with(request, reply, |r, c| {
                    clients::heartbeat(broker, &self.channel, r, c)
                });
            }
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                answer_with(request, reply, |r, c| clients::consumer_ids(broker, r, c));
            }
            RequestCode::UNREGISTER_CLIENT => {
                answer_with(request, reply, |r, c| {
                    clients::unregister(broker, &self.channel, r, c)
                });
            }
            RequestCode::CHECK_CLIENT_CONFIG => answer_with(request, reply, clients::check_config),
            RequestCode::GET_CONSUMER_CONNECTION_LIST => {
                answer_with(request, reply, |r, c| clients::consumer_connections(broker, r, c));
            }
            RequestCode::GET_PRODUCER_CONNECTION_LIST => {
                answer_with(request, reply, |r, c| clients::producer_connections(broker, r, c));
            }
            RequestCode::POP_MESSAGE => pop::pop(port, request, reply),
            RequestCode::ACK_MESSAGE => pop::ack(port, request, reply),
            RequestCode::BATCH_ACK_MESSAGE => pop::batch_ack(port, request, reply),
            RequestCode::CHANGE_MESSAGE_INVISIBLETIME => pop::change_invisible(port, request, reply),
            RequestCode::NOTIFICATION => pop::notification(port, request, reply),
            RequestCode::PEEK_MESSAGE => pop::peek(port, request, reply),
            RequestCode::POLLING_INFO => {
                answer_with(request, reply, |r, c| pop::polling_info(broker, r, c));
            }
            RequestCode::QUERY_ASSIGNMENT => answer_with(request, reply, |r, c| assign::query(broker, r, c)),
            RequestCode::END_TRANSACTION => transaction::end(port, request, reply),
            RequestCode::RESUME_CHECK_HALF_MESSAGE => transaction::resume(port, request, reply),
            RequestCode::RECALL_MESSAGE => recall::recall(port, request, reply),
            RequestCode::CONSUMER_SEND_MSG_BACK => send_back::send_back(port, request, reply),
            RequestCode::QUERY_MESSAGE => query::query(port, request, reply),
            RequestCode::VIEW_MESSAGE_BY_ID => send_back::view(port, request, reply),
            RequestCode::LOCK_BATCH_MQ => answer_with(request, reply, |r, c| locks::lock(broker, r, c)),
            RequestCode::UNLOCK_BATCH_MQ => answer_with(request, reply, |r, c| locks::unlock(broker, r, c)),
            RequestCode::GET_MAX_OFFSET => answer_with(request, reply, |r, c| offsets::max(broker, r, c)),
            RequestCode::GET_MIN_OFFSET => answer_with(request, reply, |r, c| offsets::min(broker, r, c)),
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
                answer_with(request, reply, |r, c| offsets::by_time(broker, r, c));
            }
            RequestCode::GET_EARLIEST_MSG_STORETIME => {
                answer_with(request, reply, |r, c| offsets::earliest(broker, r, c));
            }
            RequestCode::GET_ALL_CONSUMER_OFFSET => {
                answer_with(request, reply, |_, c| Ok(offsets::all(broker, c)))
            }
            RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
                reply::reply(broker, request, reply);
            }
            RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => resets::reset(broker, request, reply),
            RequestCode::CLONE_GROUP_OFFSET => resets::clone(broker, request, reply),
            RequestCode::GET_CONSUMER_RUNNING_INFO => relay::running_info(port, request, reply),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => relay::consume_directly(port, request, reply),
            RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => relay::consumer_status(port, request, reply),
            _ => self.dispatch_admin(request, reply),
        }
    }

    fn dispatch_admin(&self, request: &Command, reply: ReplyTo) {
        let broker = &self.port.broker;
        match request.code() {
            RequestCode::UPDATE_AND_CREATE_TOPIC => topics::put(broker, request, reply),
            RequestCode::DELETE_TOPIC_IN_BROKER => topics::delete(broker, request, reply),
            RequestCode::GET_ALL_TOPIC_CONFIG => {
                answer_with(request, reply, |r, c| topics::all(broker, r, c))
            }
            RequestCode::GET_TOPIC_CONFIG => answer_with(request, reply, |r, c| topics::one(broker, r, c)),
            RequestCode::GET_TOPIC_STATS_INFO => {
                answer_with(request, reply, |r, c| topics::stats(broker, r, c))
            }
            RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => {
                answer_with(request, reply, |r, c| topics::groups(broker, r, c));
            }
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => {
                answer_with(request, reply, |_, c| Ok(topics::system(broker, c)));
            }
            RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => groups::put(broker, request, reply),
            RequestCode::DELETE_SUBSCRIPTIONGROUP => groups::delete(broker, request, reply),
            RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => {
                answer_with(request, reply, |r, c| groups::all(broker, r, c));
            }
            RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => {
                answer_with(request, reply, |r, c| groups::one(broker, r, c));
            }
            RequestCode::GET_BROKER_CONSUME_STATS => {
                answer_with(request, reply, |r, c| progress::consume_stats(broker, r, c));
            }
            RequestCode::QUERY_CONSUME_TIME_SPAN => {
                answer_with(request, reply, |r, c| progress::time_spans(broker, r, c));
            }
            RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => {
                answer_with(request, reply, |r, c| progress::subscription(broker, r, c));
            }
            RequestCode::QUERY_CORRECTION_OFFSET => {
                answer_with(request, reply, |r, c| progress::corrections(broker, r, c));
            }
            RequestCode::QUERY_CONSUME_QUEUE => {
                answer_with(request, reply, |r, c| progress::queue_entries(broker, r, c));
            }
            RequestCode::GET_ALL_PRODUCER_INFO => {
                answer_with(request, reply, |_, c| Ok(progress::producers(broker, c)));
            }
            RequestCode::SET_MESSAGE_REQUEST_MODE => assign::set_mode(broker, request, reply),
            RequestCode::GET_ALL_MESSAGE_REQUEST_MODE => {
                answer_with(request, reply, |_, c| Ok(assign::modes(broker, c)));
            }
            RequestCode::GET_CONSUME_STATS => answer_with(request, reply, |r, c| groups::stats(broker, r, c)),
            RequestCode::QUERY_TOPICS_BY_CONSUMER => {
                answer_with(request, reply, |r, c| groups::topics(broker, r, c));
            }
            RequestCode::GET_BROKER_RUNTIME_INFO => {
                answer_with(request, reply, |_, c| Ok(runtime::info(broker, c)));
            }
            RequestCode::GET_BROKER_CONFIG => {
                answer_with(request, reply, |_, c| Ok(runtime::config(broker, c)));
            }
            code => not_supported(code.value()).send(reply),
        }
    }
}

/// Answers with what `make` makes of the request and of an empty success.
fn answer_with(
    request: &Command,
    reply: ReplyTo,
    make: impl FnOnce(&Command, Command) -> Result<Command, Refusal>,
) {
    let success = reply.command(kourou_proto::ResponseCode::SUCCESS);
    let made = make(request, success);
    answer(reply, made);
}
