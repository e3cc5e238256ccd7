//! The table of settings: one row gives the flag, the TOML key, the environment variable, the help text, the line in
//! `docs/configuration.md` and the parser. Nothing about a setting is written down twice.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use kourou_broker::assign::RequestMode;
use tracing_subscriber::filter::Targets;

use super::address::{Advertise, HostPort};
use super::settings::{FlushMode, LogFormat, Settings};

const IO_THREADS_MAX: usize = 256;

/// Which commands take a setting as a flag. Files and the environment may always carry all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// `kourou` alone.
    pub(crate) all: bool,
    /// `kourou namesrv`.
    pub(crate) namesrv: bool,
    /// `kourou broker`.
    pub(crate) broker: bool,
}

const EVERY: Parts = Parts {
    all: true,
    namesrv: true,
    broker: true,
};
const BROKER: Parts = Parts {
    all: true,
    namesrv: false,
    broker: true,
};
const NAMESRV: Parts = Parts {
    all: true,
    namesrv: true,
    broker: false,
};
const BROKER_ALONE: Parts = Parts {
    all: false,
    namesrv: false,
    broker: true,
};

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// The flag without its dashes, and the TOML key.
    pub(crate) name: &'static str,
    /// A one-letter flag.
    pub(crate) short: Option<char>,
    /// What stands for the value in help texts.
    pub(crate) value: &'static str,
    /// The default as one would type it; empty when there is none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    /// The property of Apache's `broker.conf` that says the same.
    pub(crate) apache: Option<&'static str>,
    pub(crate) parts: Parts,
    /// Parses a text and stores it; the error says what the key takes.
    pub(crate) set: fn(&mut Settings, &str) -> Result<(), &'static str>,
}

impl Key {
    /// The environment variable of this setting.
    pub(crate) fn variable(&self) -> String {
        format!("KOUROU_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The row of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Every setting, in the order that help and reference show.
pub(crate) static KEYS: &[Key] = &[
    Key {
        name: "data",
        short: None,
        value: "DIR",
        default: "./kourou-data",
        help: "Where the store lives; created when absent",
        apache: Some("storePathRootDir"),
        parts: BROKER,
        set: |settings, text| {
            settings.data = Some(text)
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
                .ok_or("a directory")?;
            Ok(())
        },
    },
    Key {
        name: "bind",
        short: None,
        value: "ADDR",
        default: "127.0.0.1",
        help: "The address to listen on; 0.0.0.0 for all interfaces",
        apache: None,
        parts: EVERY,
        set: |settings, text| {
            settings.bind = text.parse().map_err(|_| "an IP address")?;
            Ok(())
        },
    },
    Key {
        name: "advertise",
        short: None,
        value: "ADDR",
        default: "",
        help: "The host (or host:port) that clients are told to reach the broker at; default: the --bind address, or \
               the machine's own when that is 0.0.0.0",
        apache: Some("brokerIP1"),
        parts: BROKER,
        set: |settings, text| {
            settings.advertise = Some(Advertise::parse(text).ok_or("a host name or address, or host:port")?);
            Ok(())
        },
    },
    Key {
        name: "namesrv",
        short: Some('n'),
        value: "HOST:PORT",
        default: "",
        help: "The name servers to register with, separated by ';' (also NAMESRV_ADDR)",
        apache: Some("namesrvAddr"),
        parts: BROKER_ALONE,
        set: |settings, text| {
            settings.namesrv = HostPort::parse_list(text).ok_or("host:port, several separated by ';'")?;
            Ok(())
        },
    },
    Key {
        name: "namesrv-port",
        short: None,
        value: "PORT",
        default: "9876",
        help: "Name server, TCP; 0 switches it off",
        apache: None,
        parts: NAMESRV,
        set: |settings, text| port(&mut settings.namesrv_port, text),
    },
    Key {
        name: "broker-port",
        short: None,
        value: "PORT",
        default: "10911",
        help: "Broker, remoting protocol, TCP; 0 switches it off",
        apache: Some("listenPort"),
        parts: BROKER,
        set: |settings, text| port(&mut settings.broker_port, text),
    },
    Key {
        name: "grpc-port",
        short: None,
        value: "PORT",
        default: "8081",
        help: "gRPC, for the clients of RocketMQ 5, TCP; 0 switches it off",
        apache: None,
        parts: BROKER,
        set: |settings, text| port(&mut settings.grpc_port, text),
    },
    Key {
        name: "quic-port",
        short: None,
        value: "PORT",
        default: "10912",
        help: "The remoting protocol over QUIC, for `kourou link`, UDP; 0 switches it off",
        apache: None,
        parts: BROKER,
        set: |settings, text| port(&mut settings.quic_port, text),
    },
    Key {
        name: "http-port",
        short: None,
        value: "PORT",
        default: "8080",
        help: "Reserved for console and metrics; nothing listens there in this version",
        apache: None,
        parts: BROKER,
        set: |settings, text| port(&mut settings.http_port, text),
    },
    Key {
        name: "tls-mode",
        short: None,
        value: "MODE",
        default: "permissive",
        help: "disabled: ports take plain connections; permissive: plain and TLS on the same ports; enforcing: only TLS",
        apache: None,
        parts: EVERY,
        set: |settings, text| {
            settings.tls_mode = text.parse().map_err(|()| "disabled, permissive or enforcing")?;
            Ok(())
        },
    },
    Key {
        name: "tls-cert",
        short: None,
        value: "FILE",
        default: "",
        help: "Certificate chain in PEM form, read again when it changes; default: one made at the start, signed by itself",
        apache: None,
        parts: EVERY,
        set: |settings, text| file(&mut settings.tls_cert, text),
    },
    Key {
        name: "tls-key",
        short: None,
        value: "FILE",
        default: "",
        help: "Private key of the certificate in PEM form, not encrypted",
        apache: None,
        parts: EVERY,
        set: |settings, text| file(&mut settings.tls_key, text),
    },
    Key {
        name: "flush",
        short: None,
        value: "MODE",
        default: "durable",
        help: "durable: a send is answered once it is on the disk; relaxed: once the page cache has it",
        apache: Some("flushDiskType"),
        parts: BROKER,
        set: |settings, text| {
            settings.flush = match text {
                "durable" => FlushMode::Durable,
                "relaxed" => FlushMode::Relaxed,
                _ => return Err("durable or relaxed"),
            };
            Ok(())
        },
    },
    Key {
        name: "io-threads",
        short: None,
        value: "COUNT",
        default: "",
        help: "Threads that serve connections, 1 to 256; default: half the processors",
        apache: None,
        parts: EVERY,
        set: |settings, text| {
            settings.io_threads = text
                .parse()
                .ok()
                .filter(|count: &NonZeroUsize| count.get() <= IO_THREADS_MAX)
                .map(Some)
                .ok_or("a number from 1 to 256")?;
            Ok(())
        },
    },
    Key {
        name: "segment-size",
        short: None,
        value: "SIZE",
        default: "256MiB",
        help: "Size of one file of a new store's log, 8MiB to 1GiB; a store keeps the size that it was made with",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.segment_size_bytes = size(text)
                .filter(|bytes| SEGMENT_SIZE_BYTES.contains(bytes) && bytes.is_multiple_of(4096))
                .ok_or("8MiB to 1GiB, in whole KiB, MiB, GiB or bytes, and whole blocks of 4KiB")?;
            Ok(())
        },
    },
    Key {
        name: "retention-hours",
        short: None,
        value: "HOURS",
        default: "72",
        help: "How long messages are kept; they go with whole files of the log, the oldest first. 0 keeps them for ever",
        apache: Some("fileReservedTime"),
        parts: BROKER,
        set: |settings, text| {
            settings.retention_hours = text
                .parse()
                .ok()
                .filter(|hours| *hours <= RETENTION_HOURS_MAX)
                .ok_or("hours, 0 to 876000")?;
            Ok(())
        },
    },
    Key {
        name: "retention-size",
        short: None,
        value: "SIZE",
        default: "0",
        help: "The oldest messages go while the log is longer than this; 0: however long it is",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            let bytes = size(text).ok_or("bytes, or a number of KiB, MiB or GiB; 0 for no bound")?;
            settings.retention_size_bytes = Some(bytes).filter(|bytes| *bytes > 0);
            Ok(())
        },
    },
    Key {
        name: "disk-retention",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Let the oldest messages go, whatever their age, for a disk that is almost full, instead of refusing new ones",
        apache: Some("cleanFileForciblyEnable"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.disk_retention, text),
    },
    Key {
        name: "disk-full-percent",
        short: None,
        value: "PERCENT",
        default: "85",
        help: "How full the disk is when they go; a log of up to 1GiB stays until the disk takes nothing more",
        apache: Some("diskSpaceCleanForciblyRatio"),
        parts: BROKER,
        set: |settings, text| percent(&mut settings.disk_full_percent, text),
    },
    Key {
        name: "disk-urgent-percent",
        short: None,
        value: "PERCENT",
        default: "75",
        help: "Beside a disk that is fuller than this, what is too old does not wait for the messages of it that consumers hold",
        apache: Some("diskMaxUsedSpaceRatio"),
        parts: BROKER,
        set: |settings, text| percent(&mut settings.disk_urgent_percent, text),
    },
    Key {
        name: "scrub-rate",
        short: None,
        value: "SIZE",
        default: "4MiB",
        help: "So much of the log is read and checked a second, all of it once a day, to notice a disk that rots; 0: none",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.scrub_bytes_per_s =
                size(text).ok_or("bytes a second, or a number of KiB, MiB or GiB; 0 for no scrubbing")?;
            Ok(())
        },
    },
    Key {
        name: "broker-name",
        short: None,
        value: "NAME",
        default: "kourou",
        help: "The broker's name in routes; each broker of a cluster has its own",
        apache: Some("brokerName"),
        parts: BROKER,
        set: |settings, text| name(&mut settings.broker_name, text),
    },
    Key {
        name: "cluster",
        short: None,
        value: "NAME",
        default: "DefaultCluster",
        help: "The cluster that the broker belongs to",
        apache: Some("brokerClusterName"),
        parts: BROKER,
        set: |settings, text| name(&mut settings.cluster, text),
    },
    Key {
        name: "auto-create-topics",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Create a topic when something is first sent to it",
        apache: Some("autoCreateTopicEnable"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.auto_create_topics, text),
    },
    Key {
        name: "auto-create-groups",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Create a consumer group when it is first used",
        apache: Some("autoCreateSubscriptionGroup"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.auto_create_groups, text),
    },
    Key {
        name: "default-queues",
        short: None,
        value: "COUNT",
        default: "8",
        help: "The most queues that a topic created by a send gets",
        apache: Some("defaultTopicQueueNums"),
        parts: BROKER,
        set: |settings, text| {
            settings.default_queues = match text.parse() {
                Ok(count @ 1..=QUEUES_MAX) => count,
                _ => return Err("a number from 1 to 1024"),
            };
            Ok(())
        },
    },
    Key {
        name: "store-replies",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Store the replies of request-reply after they have been given to their requesters",
        apache: Some("storeReplyMessageEnable"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.store_replies, text),
    },
    Key {
        name: "server-side-reset-offset",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Keep a group's reset offsets until its consumers pull, online or not; false: tell connected consumers to reset \
               themselves",
        apache: Some("useServerSideResetOffset"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.server_side_reset_offset, text),
    },
    Key {
        name: "reject-transactions",
        short: None,
        value: "BOOL",
        default: "false",
        help: "Refuse transactional messages",
        apache: Some("rejectTransactionMessage"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.reject_transactions, text),
    },
    Key {
        name: "transaction-timeout-ms",
        short: None,
        value: "MS",
        default: "6000",
        help: "How long a transaction may be undecided before its producer is asked",
        apache: Some("transactionTimeOut"),
        parts: BROKER,
        set: |settings, text| milliseconds(&mut settings.transaction_timeout_ms, text),
    },
    Key {
        name: "transaction-check-interval-ms",
        short: None,
        value: "MS",
        default: "30000",
        help: "How long after one question about a transaction the next is asked",
        apache: Some("transactionCheckInterval"),
        parts: BROKER,
        set: |settings, text| milliseconds(&mut settings.transaction_check_interval_ms, text),
    },
    Key {
        name: "transaction-checks",
        short: None,
        value: "COUNT",
        default: "15",
        help: "How often a producer is asked before its transaction is given up",
        apache: Some("transactionCheckMax"),
        parts: BROKER,
        set: |settings, text| {
            settings.transaction_checks = text
                .parse()
                .ok()
                .filter(|count| *count <= TRANSACTION_CHECKS_MAX)
                .ok_or("a number from 0 to 1000000")?;
            Ok(())
        },
    },
    Key {
        name: "check-message-types",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Refuse a message that is not of the type that its topic's attribute message.type declares",
        apache: None,
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.check_message_types, text),
    },
    Key {
        name: "in-flight-size",
        short: None,
        value: "SIZE",
        default: "64MiB",
        help: "Refuse sends while more than this is on its way to the disk, 1MiB to 4GiB",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.in_flight_size_bytes = size(text)
                .filter(|bytes| IN_FLIGHT_SIZE_BYTES.contains(bytes))
                .ok_or("1MiB to 4GiB, in whole KiB, MiB, GiB or bytes")?;
            Ok(())
        },
    },
    Key {
        name: "commit-latency-max-ms",
        short: None,
        value: "MS",
        default: "2000",
        help: "Refuse sends while it takes longer than this until a message is on the disk; clients give up after 3000",
        apache: Some("osPageCacheBusyTimeOutMills"),
        parts: BROKER,
        set: |settings, text| milliseconds(&mut settings.commit_latency_max_ms, text),
    },
    Key {
        name: "client-send-messages",
        short: None,
        value: "COUNT",
        default: "0",
        help: "Messages a second that one client connection may send, unless its producer group has a quota; 0: no bound",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.client_send_messages = rate(text.parse().ok())?;
            Ok(())
        },
    },
    Key {
        name: "client-send-bytes",
        short: None,
        value: "SIZE",
        default: "0",
        help: "Bytes a second that one client connection may send, unless its producer group has a quota; 0: no bound",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.client_send_bytes = rate(size(text))?;
            Ok(())
        },
    },
    Key {
        name: "timers",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Take messages that are to be delivered at a time; delay levels always work",
        apache: Some("timerWheelEnable"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.timers, text),
    },
    Key {
        name: "timer-max-delay-sec",
        short: None,
        value: "SECONDS",
        default: "3456000",
        help: "How far ahead a message's time may be; default: 40 days",
        apache: Some("timerMaxDelaySec"),
        parts: BROKER,
        set: |settings, text| {
            settings.timer_max_delay_s = text
                .parse()
                .ok()
                .filter(|seconds| (1..=TIMER_DELAY_S_MAX).contains(seconds))
                .ok_or("seconds, 1 to 315360000")?;
            Ok(())
        },
    },
    Key {
        name: "recall-messages",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Let producers recall messages that wait for their time, with the handle that a send is answered with",
        apache: Some("recallMessageEnable"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.recall_messages, text),
    },
    Key {
        name: "trace-on",
        short: None,
        value: "BOOL",
        default: "true",
        help: "Let clients that trace do so; false: they are told not to, with each answer and each message",
        apache: Some("traceOn"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.trace_on, text),
    },
    Key {
        name: "broker-traces",
        short: None,
        value: "BOOL",
        default: "false",
        help: "Write a trace of each message sent, each delivery and its outcome to RMQ_SYS_TRACE_TOPIC, whatever clients do",
        apache: None,
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.broker_traces, text),
    },
    Key {
        name: "retry-topic-v2",
        short: None,
        value: "BOOL",
        default: "false",
        help: "Deliver popped messages again in %RETRY%group+topic, which is never another group's, instead of %RETRY%group_topic",
        apache: Some("enableRetryTopicV2"),
        parts: BROKER,
        set: |settings, text| boolean(&mut settings.retry_topic_v2, text),
    },
    Key {
        name: "default-request-mode",
        short: None,
        value: "MODE",
        default: "PULL",
        help: "How consumers that leave balancing to the broker get messages, PULL or POP, where no administrator has set it",
        apache: Some("defaultMessageRequestMode"),
        parts: BROKER,
        set: |settings, text| {
            settings.default_request_mode = match text.to_ascii_uppercase().as_str() {
                "PULL" => RequestMode::Pull,
                "POP" => RequestMode::Pop,
                _ => return Err("PULL or POP"),
            };
            Ok(())
        },
    },
    Key {
        name: "retried-send-window-ms",
        short: None,
        value: "MS",
        default: "60000",
        help: "How long a send is remembered, so that it is stored once if its producer tries it again; 0 to store it again",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.retried_send_window_ms = text
                .parse()
                .ok()
                .filter(|ms| (0..=MILLISECONDS_MAX).contains(ms))
                .ok_or("milliseconds, 0 to 604800000")?;
            Ok(())
        },
    },
    Key {
        name: "retried-send-ids",
        short: None,
        value: "COUNT",
        default: "1000000",
        help: "How many sends are remembered at the most, about 20 bytes each; the newest half of them surely",
        apache: None,
        parts: BROKER,
        set: |settings, text| {
            settings.retried_send_ids = text
                .parse()
                .ok()
                .filter(|count| *count <= RETRIED_SEND_IDS_MAX)
                .ok_or("a number from 0 to 100000000")?;
            Ok(())
        },
    },
    Key {
        name: "log",
        short: None,
        value: "FILTER",
        default: "info",
        help: "What is logged on stderr: off, error, warn, info, debug or trace, or target=level pairs \
               (warn,kourou_broker=debug)",
        apache: None,
        parts: EVERY,
        set: |settings, text| {
            let _: Targets = text
                .parse()
                .map_err(|_| "a level or target=level pairs, such as warn,kourou_broker=debug")?;
            text.clone_into(&mut settings.log);
            Ok(())
        },
    },
    Key {
        name: "log-format",
        short: None,
        value: "FORMAT",
        default: "text",
        help: "text, or json: one object a line",
        apache: None,
        parts: EVERY,
        set: |settings, text| {
            settings.log_format = match text {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("text or json"),
            };
            Ok(())
        },
    },
];

/// The most queues that a topic created by a send may have.
const QUEUES_MAX: u32 = 1024;

/// The most questions about one transaction.
const TRANSACTION_CHECKS_MAX: u32 = 1_000_000;

/// The furthest that a message's time may be: ten years.
const TIMER_DELAY_S_MAX: i64 = 10 * 365 * 24 * 3_600;
/// The most sends that may be remembered; they take 2 GB.
const RETRIED_SEND_IDS_MAX: usize = 100_000_000;

/// The longest that messages may be kept, if not for ever: a hundred years.
const RETENTION_HOURS_MAX: u32 = 876_000;

/// The longest time that can be set: a week.
const MILLISECONDS_MAX: i64 = 7 * 24 * 3_600_000;

/// What a segment may measure: it must hold the largest batch, and its index entries are kept in memory while it is written.
const SEGMENT_SIZE_BYTES: std::ops::RangeInclusive<u64> = 8 << 20..=1 << 30;

/// The longest broker or cluster name: both become topic names.
const NAME_LEN_MAX: usize = 127;

fn port(into: &mut u16, text: &str) -> Result<(), &'static str> {
    *into = text.parse().map_err(|_| "a port, 0 to 65535")?;
    Ok(())
}

/// A number of bytes, or of KiB, MiB or GiB.
fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (count, unit) = units
        .into_iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, bytes)))
        .unwrap_or((text, 1));
    count.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// What may be on its way to the disk: at least a few of the largest messages.
const IN_FLIGHT_SIZE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=4 << 30;

/// The highest rate that can be set.
const RATE_MAX: u64 = 1_000_000_000_000;

/// So many a second; 0 means no bound.
fn rate(count: Option<u64>) -> Result<Option<NonZeroU64>, &'static str> {
    count
        .filter(|count| *count <= RATE_MAX)
        .map(NonZeroU64::new)
        .ok_or("a number from 0 to 1000000000000; sizes also in KiB, MiB or GiB")
}

fn milliseconds(into: &mut i64, text: &str) -> Result<(), &'static str> {
    *into = text
        .parse()
        .ok()
        .filter(|ms| (1..=MILLISECONDS_MAX).contains(ms))
        .ok_or("milliseconds, 1 to 604800000")?;
    Ok(())
}

fn percent(into: &mut u8, text: &str) -> Result<(), &'static str> {
    *into = text
        .parse()
        .ok()
        .filter(|percent| (1..=100).contains(percent))
        .ok_or("percent, 1 to 100")?;
    Ok(())
}

fn boolean(into: &mut bool, text: &str) -> Result<(), &'static str> {
    *into = text.parse().map_err(|_| "true or false")?;
    Ok(())
}

fn file(field: &mut Option<PathBuf>, text: &str) -> Result<(), &'static str> {
    *field = Some(text)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .map(Some)
        .ok_or("a file")?;
    Ok(())
}

fn name(into: &mut String, text: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > NAME_LEN_MAX || !text.bytes().all(plain) {
        return Err("a name of at most 127 letters, digits, '-', '_' and '.'");
    }
    text.clone_into(into);
    Ok(())
}
