//! The command line: what there is to type. The flags of the server parts come from the table of settings.

pub(crate) mod bench;
pub(crate) mod migrate;
pub(crate) mod store;

#[cfg(feature = "quic")]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum};

use bench::Bench;
#[cfg(feature = "quic")]
use kourou_tls::Trust;
use store::Store;

use crate::config::address::HostPort;
use crate::config::keys::{KEYS, Key, Parts};
use crate::config::{Given, Origin, Sources};

/// A message broker that Apache RocketMQ clients and tools use as they are
#[derive(Debug, Parser)]
#[command(
    name = "kourou",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
#[command(
    after_help = "Without a command, kourou starts the name server and the broker, with its store in ./kourou-data."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: ServerFlags<Everything>,

    #[command(subcommand)]
    pub(crate) command: Option<Task>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Start the name server alone
    Namesrv(ServerFlags<NameServerAlone>),
    /// Start a broker alone; it registers with the name servers given
    Broker(ServerFlags<BrokerAlone>),
    /// Send messages: one with --body, else one for each line of standard input
    Produce(Produce),
    /// Receive messages as a member of a consumer group
    Consume(Consume),
    /// Messages: find them by key, by id, by where they are stored
    #[command(subcommand)]
    Message(Find),
    /// Topics: create, list, show
    #[command(subcommand)]
    Topic(Topic),
    /// Consumer groups: list, show how far behind they are
    #[command(subcommand)]
    Group(Group),
    /// Measure a broker: rates, latencies, costs, and whether everything is there
    #[command(subcommand)]
    Bench(Bench),
    /// A store that no broker has open: check it, look into it, carry it over
    #[command(subcommand)]
    Store(Store),
    /// Local ports whose traffic goes to a kourou elsewhere by QUIC, for clients on a bad network
    #[cfg(feature = "quic")]
    Link(Link),
    /// Print a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print a manual page: kourou man produce | man -l -
    Man { command: Option<String> },
}

#[cfg(feature = "quic")]
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("trust").args(["ca", "fingerprint", "insecure"])),
    after_help = "Clients are given the name server 127.0.0.1:9876; the routes that they get there lead here, too."
)]
pub(crate) struct Link {
    /// The other kourou, and its QUIC port
    #[arg(value_name = "quic://HOST:PORT", value_parser = quic_address)]
    pub(crate) to: HostPort,
    /// Where it is like a name server
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9876")]
    pub(crate) listen: SocketAddr,
    /// Where it is like the broker; port 0 takes any
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10911")]
    pub(crate) broker_listen: SocketAddr,
    /// Believe servers whose certificate one of the authorities in this PEM file has signed
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    pub(crate) ca: PathBuf,
    /// Believe the server whose certificate has this SHA-256; its start prints it
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    pub(crate) fingerprint: Option<Trust>,
    /// Believe anybody: encrypted, and possibly with somebody else
    #[arg(long)]
    pub(crate) insecure: bool,
    /// What the certificate has to be good for, if not the host
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
}

#[cfg(feature = "quic")]
fn quic_address(text: &str) -> Result<HostPort, &'static str> {
    HostPort::parse(text.strip_prefix("quic://").unwrap_or(text)).ok_or("expected quic://host:port")
}

#[cfg(feature = "quic")]
fn fingerprint(text: &str) -> Result<Trust, &'static str> {
    Trust::fingerprint(text).ok_or("expected 64 hexadecimal digits")
}

/// Where the cluster is, and how the answer is printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The name servers, separated by ';'
    #[arg(short = 'n', long, value_name = "HOST:PORT", env = "NAMESRV_ADDR", default_value = "127.0.0.1:9876",
          hide_env_values = true, value_parser = namesrv_list)]
    pub(crate) namesrv: NameServers,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// A list, as one value.
#[derive(Debug, Clone)]
pub(crate) struct NameServers(pub(crate) Vec<HostPort>);

fn namesrv_list(text: &str) -> Result<NameServers, &'static str> {
    HostPort::parse_list(text)
        .map(NameServers)
        .ok_or("expected host:port, several separated by ';'")
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The topic; created by the first send where the broker allows it
    pub(crate) topic: String,
    /// The message's text; without it each line of standard input is a message
    #[arg(long, value_name = "TEXT")]
    pub(crate) body: Option<String>,
    /// A key to find the message by; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// The tag to filter by
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// A property; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    pub(crate) property: Vec<(String, String)>,
    /// How many times to send each message
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

fn property(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected name=value"),
    }
}

/// Where a group without an offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// With the oldest message that is kept
    First,
    /// With the next message that arrives
    Last,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    pub(crate) topic: String,
    /// The consumer group; its offsets are kept
    #[arg(long, short, value_name = "GROUP")]
    pub(crate) group: String,
    /// Where to begin when the group has no offset yet
    #[arg(long, value_enum, default_value = "first")]
    pub(crate) from: From,
    /// Only messages with one of these tags: 'a || b'
    #[arg(long, value_name = "TAGS", default_value = "*", conflicts_with = "sql")]
    pub(crate) tag: String,
    /// Only messages whose properties satisfy this SQL92 expression: "region = 'eu' AND amount > 5"
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) sql: Option<String>,
    /// Stop after this many messages; without it, go on until interrupted
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Find {
    /// Those that were sent with a key; the newest, in the order in which they were stored
    Key {
        topic: String,
        key: String,
        /// How many at the most, of each broker
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..=64))]
        count: i32,
        #[command(flatten)]
        target: Target,
    },
    /// The one that its sender knows under an id (msgId, UNIQ_KEY)
    Id {
        topic: String,
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// The one that an offset id (offsetMsgId) names: broker and place
    At {
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic, or change its queues
    Create {
        topic: String,
        /// How many queues
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
        queues: u32,
        /// The kind of messages it takes; clients of RocketMQ 5 send no other, and without it only normal ones
        #[arg(long = "type", value_name = "TYPE", value_parser = ["NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "LITE", "MIXED"], ignore_case = true)]
        message_type: Option<String>,
        /// Minutes after its last message in which a lite topic is gone; without it they stay
        #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
        lite_expiration: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
    /// All topics
    List {
        /// System topics too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        target: Target,
    },
    /// One topic: its queues and how much is in them
    Show {
        topic: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Create a group, or change what is said here of one
    Create {
        group: String,
        #[command(flatten)]
        changes: GroupChanges,
        #[command(flatten)]
        target: Target,
    },
    /// All consumer groups
    List {
        #[command(flatten)]
        target: Target,
    },
    /// One group: its members, and each queue's offset and lag
    Show {
        group: String,
        #[command(flatten)]
        target: Target,
    },
    /// Set where a group goes on in a topic, whether its consumers are connected or not
    Reset {
        group: String,
        /// The topic
        #[arg(long, value_name = "TOPIC")]
        topic: String,
        /// earliest, latest, an offset (with --queue), an age as 90s, 15m, 2h or 3d, or a time in UTC as 2026-08-01T12:00
        #[arg(long, value_name = "PLACE")]
        to: String,
        /// One queue only
        #[arg(long, value_name = "N")]
        queue: Option<i32>,
        #[command(flatten)]
        target: Target,
    },
    /// Give a group the offsets of another
    Clone {
        from: String,
        to: String,
        /// This topic only
        #[arg(long, value_name = "TOPIC")]
        topic: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// What can be said of a group.
#[derive(Debug, clap::Args)]
pub(crate) struct GroupChanges {
    /// How often a message is tried again before it is a dead letter
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) retries: Option<i32>,
    /// Whether it consumes in order
    #[arg(long, value_name = "BOOL")]
    pub(crate) in_order: Option<bool>,
    /// The topic whose lite topics it consumes
    #[arg(long, value_name = "TOPIC")]
    pub(crate) lite_topics_of: Option<String>,
    /// Whether a lite topic is one client's alone: the last one that subscribed to it
    #[arg(long, value_name = "BOOL")]
    pub(crate) lite_exclusive: Option<bool>,
    /// How many lite topics one client may subscribe to
    #[arg(long, value_name = "N")]
    pub(crate) lite_quota: Option<u32>,
}

/// Which command a set of server flags is for.
pub(crate) trait Part: std::fmt::Debug {
    fn takes(parts: Parts) -> bool;
}

#[derive(Debug)]
pub(crate) struct Everything;
#[derive(Debug)]
pub(crate) struct NameServerAlone;
#[derive(Debug)]
pub(crate) struct BrokerAlone;

impl Part for Everything {
    fn takes(parts: Parts) -> bool {
        parts.all
    }
}

impl Part for NameServerAlone {
    fn takes(parts: Parts) -> bool {
        parts.namesrv
    }
}

impl Part for BrokerAlone {
    fn takes(parts: Parts) -> bool {
        parts.broker
    }
}

/// The flags of a server part, as texts: [`crate::config`] parses them together with the other layers.
#[derive(Debug)]
pub(crate) struct ServerFlags<P> {
    config: Option<PathBuf>,
    broker_conf: Option<PathBuf>,
    given: Vec<Given>,
    part: std::marker::PhantomData<P>,
}

impl<P> ServerFlags<P> {
    /// These flags over the environment of this process.
    pub(crate) fn sources(self) -> Sources {
        let environment = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        Sources {
            config: self.config,
            broker_conf: self.broker_conf,
            environment,
            flags: self.given,
        }
    }
}

const CONFIG: &str = "config";
const BROKER_CONF: &str = "broker-conf";

impl<P: Part> Args for ServerFlags<P> {
    fn augment_args(command: Command) -> Command {
        let file = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("FILE")
                .help(help)
                .value_parser(clap::value_parser!(PathBuf))
        };
        let settings = KEYS.iter().filter(|key| P::takes(key.parts)).map(|key| {
            let help = if key.default.is_empty() {
                key.help.to_owned()
            } else {
                format!("{} [default: {}]", key.help, key.default)
            };
            Arg::new(key.name)
                .long(key.name)
                .short(key.short)
                .value_name(key.value)
                .help(help)
                .action(ArgAction::Set)
                .allow_hyphen_values(false)
        });
        command
            .args(settings)
            .arg(file(
                CONFIG,
                "A TOML file with any of these settings (also KOUROU_CONFIG)",
            ))
            .arg(file(
                BROKER_CONF,
                "An Apache broker.conf to take settings from (also KOUROU_BROKER_CONF)",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Part> FromArgMatches for ServerFlags<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &'static Key| {
            let text = matches.get_one::<String>(key.name)?.clone();
            Some(Given {
                key,
                text,
                origin: Origin::Flag(key.name.to_owned()),
            })
        };
        Ok(Self {
            config: matches.get_one::<PathBuf>(CONFIG).cloned(),
            broker_conf: matches.get_one::<PathBuf>(BROKER_CONF).cloned(),
            given: KEYS
                .iter()
                .filter(|key| P::takes(key.parts))
                .filter_map(given)
                .collect(),
            part: std::marker::PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_settings() {
        let cli = Cli::try_parse_from([
            "kourou",
            "--data",
            "/x",
            "--broker-port",
            "1",
            "--flush",
            "relaxed",
        ])
        .unwrap();
        let settings = crate::config::resolve(Sources {
            flags: cli.flags.given,
            ..Sources::default()
        })
        .unwrap()
        .settings;
        assert_eq!(settings.data, PathBuf::from("/x"));
        assert_eq!(settings.broker_port, 1);
        assert_eq!(settings.flush, crate::config::FlushMode::Relaxed);
    }

    #[test]
    fn each_part_takes_the_flags_that_mean_something_to_it() {
        let parses = |arguments: &[&str]| Cli::try_parse_from(arguments).is_ok();
        assert!(parses(&["kourou", "broker", "-n", "a:1", "--data", "/x"]));
        assert!(parses(&["kourou", "namesrv", "--namesrv-port", "1"]));
        assert!(!parses(&["kourou", "namesrv", "--data", "/x"]));
        assert!(!parses(&["kourou", "broker", "--namesrv-port", "1"]));
        assert!(!parses(&["kourou", "-n", "a:1"]));
        assert!(!parses(&["kourou", "--data", "/x", "topic", "list"]));
    }

    #[test]
    fn properties_are_pairs() {
        let parses = |text: &str| Cli::try_parse_from(["kourou", "produce", "t", "--property", text]).is_ok();
        assert!(parses("a=b=c"));
        assert!(!parses("a") && !parses("=b") && !parses("a="));
    }
}
