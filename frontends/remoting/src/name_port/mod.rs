//! The name server's port: requests of brokers, clients and tools, turned into calls of [`kourou_nameserver`].

mod brokers;
mod kv;
mod route;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kourou_engine::clock::Clock;
use kourou_nameserver::{ConnectionId, NameServer};
use kourou_proto::{Command, RequestCode, ResponseCode};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Connection, Handler, ReplyTo};
use crate::limits::Limits;
use crate::listener::{self, Listener};
use crate::refusal::{Refusal, answer, not_supported};

/// How often silent brokers are looked for.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);

/// What all connections of the port share.
struct Port {
    names: Arc<NameServer>,
    clock: Arc<dyn Clock>,
    /// Connections that brokers registered on, to be closed with a broker that has gone silent.
    brokers: Mutex<HashMap<ConnectionId, Weak<Connection>>>,
}

/// Serves the name server's protocol on all `listeners` until `shutdown`, and forgets brokers that have gone silent.
pub async fn serve_name_server(
    listeners: Vec<Listener>,
    names: Arc<NameServer>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let port = Arc::new(Port {
        names,
        clock,
        brokers: Mutex::default(),
    });
    let accepting = TaskTracker::new();
    for listener in listeners {
        let port = Arc::clone(&port);
        let new_handler = move |_: &Arc<Connection>, _| NameHandler {
            port: Arc::clone(&port),
        };
        let accept = listener::accept(listener, "name server", limits, new_handler, shutdown.clone());
        accepting.spawn(accept);
    }
    accepting.close();
    tokio::join!(accepting.wait(), scan(&port, &shutdown));
}

async fn scan(port: &Port, shutdown: &CancellationToken) {
    let mut ticks = interval_at(tokio::time::Instant::now() + SCAN_INTERVAL, SCAN_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        for id in port.names.expire(port.clock.now_ms()) {
            let connection = port
                .brokers
                .lock()
                .remove(&id)
                .and_then(|connection| connection.upgrade());
            if let Some(connection) = connection {
                tracing::info!(peer = %connection.peer(), "a broker has gone silent");
                connection.kill();
            }
        }
    }
}

struct NameHandler {
    port: Arc<Port>,
}

impl Handler for NameHandler {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        if command.is_response() {
            return;
        }
        let reply = connection.ticket(command);
        self.port.dispatch(connection, command, reply);
    }

    fn on_close(&mut self, connection: &Arc<Connection>) {
        let id = ConnectionId(connection.id());
        self.port.brokers.lock().remove(&id);
        let gone = self.port.names.connection_closed(id);
        if gone > 0 {
            tracing::info!(peer = %connection.peer(), "a broker is gone with its connection");
        }
    }
}

impl Port {
    fn dispatch(&self, connection: &Arc<Connection>, request: &Command, reply: ReplyTo) {
        let success = reply.command(ResponseCode::SUCCESS);
        let names = &*self.names;
        let made = match request.code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => route::route(names, request, success),
            RequestCode::GET_BROKER_CLUSTER_INFO => Ok(route::cluster_info(names, success)),
            RequestCode::REGISTER_BROKER => {
                self.brokers
                    .lock()
                    .insert(ConnectionId(connection.id()), Arc::downgrade(connection));
                brokers::register(names, connection, request, success, self.clock.now_ms())
            }
            RequestCode::UNREGISTER_BROKER => brokers::unregister(names, request, success),
            RequestCode::QUERY_DATA_VERSION => {
                brokers::data_version(names, request, success, self.clock.now_ms())
            }
            RequestCode::BROKER_HEARTBEAT => brokers::heartbeat(names, request, success, self.clock.now_ms()),
            RequestCode::GET_BROKER_MEMBER_GROUP => brokers::members(names, request, success),
            RequestCode::WIPE_WRITE_PERM_OF_BROKER => brokers::wipe_write_perm(names, request, success),
            RequestCode::ADD_WRITE_PERM_OF_BROKER => brokers::add_write_perm(names, request, success),
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => topics::all(names, success),
            RequestCode::DELETE_TOPIC_IN_NAMESRV => topics::delete(names, request, success),
            RequestCode::REGISTER_TOPIC_IN_NAMESRV => topics::register(names, request, success),
            RequestCode::GET_TOPICS_BY_CLUSTER => topics::of_cluster(names, request, success),
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => Ok(topics::system(names, success)),
            RequestCode::GET_UNIT_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => topics::unit(names, request, success),
            RequestCode::PUT_KV_CONFIG => kv::put(names, request, success),
            RequestCode::GET_KV_CONFIG => kv::get(names, request, success),
            RequestCode::DELETE_KV_CONFIG => kv::delete(names, request, success),
            RequestCode::GET_KVLIST_BY_NAMESPACE => kv::list(names, request, success),
            RequestCode::UPDATE_NAMESRV_CONFIG => kv::set_options(names, request, success),
            RequestCode::GET_NAMESRV_CONFIG => Ok(kv::options(names, success)),
            code => Err(not_supported(code.value())),
        };
        answer(reply, made);
    }
}

type Made = Result<Command, Refusal>;
