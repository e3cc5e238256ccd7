//! The only place that knows all parts: opens the store, starts name server, broker and frontends, reminds them of the time,
//! and stops them in order.

mod health;
#[cfg(feature = "quic")]
mod quic;
mod store;
mod tls;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use kourou_broker::Broker;
use kourou_broker::name::AUTO_CREATE_TOPIC;
use kourou_engine::clock::SystemClock;
use kourou_nameserver::NameServer;
use kourou_remoting::{BrokerEvents, IoThreads, Listener, NameServers};
use kourou_tls::Tls;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, Settings};
use crate::output::Paint;
use crate::stop::Stop;
use crate::welcome::Welcome;
use store::Opened;

/// Which parts a process is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    All,
    NameServer,
    Broker,
}

/// Of this runtime, which accepts, announces and keeps time; connections have threads of their own.
const BLOCKING_THREADS_MAX: usize = 4;

/// How a shell numbers a process that was interrupted.
const EXIT_INTERRUPTED: i32 = 130;

/// The broker is announced by a task of its own; a start is over when that is done, which takes microseconds.
const ANNOUNCED_POLL_INTERVAL: Duration = Duration::from_millis(1);
const ANNOUNCED_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the parts until the process is asked to stop.
pub(crate) fn run(settings: &Settings, role: Role) -> Result<()> {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("kourou-work")
        .enable_all()
        .build()
        .context("the async runtime")?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let mut welcome = Welcome::default();
        let node = Node::start(settings, role, &mut welcome)?;
        node.announced().await;
        welcome.took = begin.elapsed();
        print(&welcome);

        stop.asked().await;
        tokio::spawn(async move {
            stop.asked().await;
            eprintln!("kourou: stopped at once; the next start recovers");
            process::exit(EXIT_INTERRUPTED);
        });
        node.stop().await
    })
}

/// A closed stdout is no reason not to serve.
fn print(welcome: &Welcome) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(welcome.render(Paint::stdout()).as_bytes())
        .and_then(|()| stdout.flush());
}

/// The running parts.
#[derive(Debug, Default)]
struct Node {
    broker: Option<Arc<Broker>>,
    name_server: Option<Arc<NameServer>>,
    /// What clients must not be sent to any more when the frontends end: registrations, first of all.
    announcing: Group,
    frontends: Group,
}

/// Tasks that end together.
#[derive(Debug, Default)]
struct Group {
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Group {
    async fn end(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Node {
    fn start(settings: &Settings, role: Role, welcome: &mut Welcome) -> Result<Self> {
        if role == Role::Broker && settings.namesrv.is_empty() {
            return Err(ConfigError::NoNameServer.into());
        }
        let mut node = Self::default();
        let tls = tls::open(settings)?;
        welcome.tls = tls::line(settings);
        // The store first: whoever starts a second process on it should hear of the first one, not of its ports.
        let opened = match role {
            Role::NameServer => None,
            Role::All | Role::Broker => Some(Opened::open(settings)?),
        };
        node.name_server = match role {
            Role::Broker => None,
            Role::All | Role::NameServer => {
                Some(Arc::new(NameServer::new(kourou_nameserver::Options::default())))
            }
        };
        node.broker = opened.as_ref().map(|opened| opened.broker.clone());
        if let Err(error) = node.serve(settings, opened, tls, welcome) {
            // The store was opened for nothing; what prevented the start is what there is to report.
            let _ = node.broker.map(|broker| broker.close());
            return Err(error);
        }
        Ok(node)
    }

    fn serve(
        &self,
        settings: &Settings,
        opened: Option<Opened>,
        tls: Tls,
        welcome: &mut Welcome,
    ) -> Result<()> {
        let name_server = self.name_server.clone();
        // Both ports before anything is served on one of them.
        let name_port = name_server
            .as_ref()
            .map(|_| bind(settings, settings.namesrv_port, "namesrv-port"))
            .transpose()?;
        let broker_port = opened
            .as_ref()
            .map(|_| bind(settings, settings.broker_port, "broker-port"))
            .transpose()?;
        let (name_port, broker_port) = (name_port.flatten(), broker_port.flatten());
        #[cfg(feature = "grpc")]
        let grpc_port = match opened {
            Some(_) => bind(settings, settings.grpc_port, "grpc-port")?,
            None => None,
        };
        #[cfg(feature = "quic")]
        let quic_port = match opened {
            Some(_) => quic::bind(settings, &tls, name_server.is_some())?,
            None => None,
        };
        #[cfg(feature = "quic")]
        if let Some(endpoint) = &quic_port {
            welcome.quic = Some(quic::line(endpoint, &tls)?);
        }
        #[cfg(feature = "quic")]
        let streams = match (quic_port, &opened) {
            (Some(port), Some(opened)) => {
                quic::serve(&self.frontends, port, opened.advertised, name_server.is_some())
            }
            _ => quic::Streams::default(),
        };
        let limits = kourou_remoting::Limits::default();
        let count = settings.io_threads.unwrap_or_else(io_threads);
        let io_threads = Arc::new(IoThreads::start(count).context("threads for connections")?);
        let frontends = &self.frontends;
        let remoting_tls = tls.port(&[])?;
        #[cfg(feature = "grpc")]
        let grpc_tls = tls.port(&[b"h2"])?;
        let ended = frontends.shutdown.clone();
        frontends
            .tasks
            .spawn(async move { ended.run_until_cancelled(tls.follow_files()).await });

        if let Some(opened) = opened {
            let remote: Vec<String> = match name_server {
                Some(_) => Vec::new(),
                None => settings.namesrv.iter().map(ToString::to_string).collect(),
            };
            welcome.broker = Some(opened.lines(settings, broker_port.is_some(), remote.clone()));
            let broker = opened.broker;
            #[cfg(feature = "grpc")]
            if let Some(listener) = grpc_port {
                welcome.grpc = Some(listener.local_addr()?.to_string());
                let options = kourou_grpc::Options {
                    threads: io_threads.handles().to_vec(),
                    tls: grpc_tls,
                    ..kourou_grpc::Options::default()
                };
                let shutdown = frontends.shutdown.clone();
                frontends
                    .tasks
                    .spawn(kourou_grpc::serve(listener, broker.clone(), options, shutdown));
            }
            self.announce(
                &broker,
                NameServers {
                    local: name_server.clone(),
                    remote,
                },
            );
            let tcp = broker_port.map(|port| Listener::from(port).with_tls(remoting_tls.clone()));
            let listeners = tcp.into_iter();
            #[cfg(feature = "quic")]
            let listeners = listeners.chain(streams.broker);
            for listener in listeners {
                frontends.tasks.spawn(kourou_remoting::serve_broker(
                    listener.spread_over(&io_threads),
                    broker.clone(),
                    limits,
                    frontends.shutdown.clone(),
                ));
            }
        }
        if let Some(name_server) = name_server {
            if let Some(port) = &name_port {
                welcome.name_server = Some(port.local_addr()?.to_string());
            }
            let tcp = name_port.map(|port| Listener::from(port).with_tls(remoting_tls));
            let listeners = tcp.into_iter();
            #[cfg(feature = "quic")]
            let listeners = listeners.chain(streams.name_server);
            let shutdown = frontends.shutdown.clone();
            frontends.tasks.spawn(kourou_remoting::serve_name_server(
                listeners
                    .map(|listener| listener.spread_over(&io_threads))
                    .collect(),
                name_server,
                Arc::new(SystemClock),
                limits,
                shutdown,
            ));
        }
        Ok(())
    }

    /// Makes the broker known, and reminds it of the time.
    fn announce(&self, broker: &Arc<Broker>, to: NameServers) {
        let events = Arc::new(BrokerEvents::default());
        broker.set_listener(events.clone());
        let Group { shutdown, tasks } = &self.announcing;
        tasks.spawn(kourou_remoting::announce(
            broker.clone(),
            events.clone(),
            to,
            shutdown.clone(),
        ));
        tasks.spawn(kourou_remoting::keep_time(
            broker.clone(),
            events,
            shutdown.clone(),
        ));
        let (health, shutdown) = (health::watch(broker.clone()), shutdown.clone());
        tasks.spawn(async move { shutdown.run_until_cancelled(health).await });
    }

    /// Waits until whoever asks the name server of this process finds the broker of this process.
    async fn announced(&self) {
        if let (Some(name_server), Some(_)) = (&self.name_server, &self.broker) {
            let known = async {
                while name_server.route(AUTO_CREATE_TOPIC).is_none() {
                    tokio::time::sleep(ANNOUNCED_POLL_INTERVAL).await;
                }
            };
            // If it cannot be announced, that has been logged, and the broker still serves those who know its address.
            let _ = tokio::time::timeout(ANNOUNCED_TIMEOUT, known).await;
        }
    }

    /// Stops in order: no more clients are sent here, what they have asked is answered, the store is closed.
    async fn stop(self) -> Result<()> {
        self.announcing.end().await;
        self.frontends.end().await;
        if let Some(broker) = self.broker {
            tokio::task::spawn_blocking(move || broker.close())
                .await
                .context("closing the store")??;
        }
        Ok(())
    }
}

/// How many threads serve connections on this machine. The log's writer and the kernel's own work need as much again.
fn io_threads() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
}

/// Binds a port of the settings; none for port 0.
fn bind(settings: &Settings, port: u16, flag: &str) -> Result<Option<TcpListener>> {
    if port == 0 {
        return Ok(None);
    }
    let address = SocketAddr::new(settings.bind, port);
    kourou_remoting::listen(address)
        .map(Some)
        .map_err(|error| cannot_listen(settings, address, flag, &error))
}

/// Why a port of the settings cannot be bound, and what to do.
fn cannot_listen(settings: &Settings, address: SocketAddr, flag: &str, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow!("{address} is taken by another process; --{flag} PORT listens elsewhere")
        }
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{} is not an address of this machine; see --bind", settings.bind)
        }
        _ => anyhow!("cannot listen on {address} (see --bind and --{flag}): {error}"),
    }
}
