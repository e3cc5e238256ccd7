//! The settings of the server parts, typed.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use kourou_broker::assign::RequestMode;
use kourou_tls::Mode;

use super::address::{Advertise, HostPort};

/// When a send is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushMode {
    /// Once its record is on the disk.
    Durable,
    /// Once the page cache has it: survives the process, not the power.
    Relaxed,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Everything that `kourou`, `kourou namesrv` and `kourou broker` can be told. A port of 0 switches its listener off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) bind: IpAddr,
    pub(crate) advertise: Option<Advertise>,
    pub(crate) namesrv: Vec<HostPort>,
    pub(crate) namesrv_port: u16,
    pub(crate) broker_port: u16,
    pub(crate) grpc_port: u16,
    pub(crate) quic_port: u16,
    pub(crate) http_port: u16,
    pub(crate) tls_mode: Mode,
    /// Files in PEM form; without them a certificate is made at the start.
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) flush: FlushMode,
    /// `None` chooses by the machine.
    pub(crate) io_threads: Option<NonZeroUsize>,
    pub(crate) segment_size_bytes: u64,
    /// 0 keeps messages for ever.
    pub(crate) retention_hours: u32,
    /// `None` bounds nothing.
    pub(crate) retention_size_bytes: Option<u64>,
    pub(crate) disk_retention: bool,
    pub(crate) disk_full_percent: u8,
    pub(crate) disk_urgent_percent: u8,
    pub(crate) scrub_bytes_per_s: u64,
    pub(crate) broker_name: String,
    pub(crate) cluster: String,
    pub(crate) auto_create_topics: bool,
    pub(crate) auto_create_groups: bool,
    pub(crate) default_queues: u32,
    pub(crate) reject_transactions: bool,
    pub(crate) store_replies: bool,
    pub(crate) server_side_reset_offset: bool,
    pub(crate) transaction_timeout_ms: i64,
    pub(crate) transaction_check_interval_ms: i64,
    pub(crate) transaction_checks: u32,
    pub(crate) check_message_types: bool,
    pub(crate) in_flight_size_bytes: u64,
    pub(crate) commit_latency_max_ms: i64,
    /// A second, for each client; `None` bounds nothing.
    pub(crate) client_send_messages: Option<NonZeroU64>,
    pub(crate) client_send_bytes: Option<NonZeroU64>,
    pub(crate) timers: bool,
    pub(crate) timer_max_delay_s: i64,
    pub(crate) recall_messages: bool,
    pub(crate) trace_on: bool,
    pub(crate) broker_traces: bool,
    pub(crate) retry_topic_v2: bool,
    pub(crate) default_request_mode: RequestMode,
    pub(crate) retried_send_window_ms: i64,
    pub(crate) retried_send_ids: usize,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./kourou-data"),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: None,
            namesrv: Vec::new(),
            namesrv_port: 9876,
            broker_port: 10911,
            grpc_port: 8081,
            quic_port: 10912,
            http_port: 8080,
            tls_mode: Mode::Permissive,
            tls_cert: None,
            tls_key: None,
            flush: FlushMode::Durable,
            io_threads: None,
            segment_size_bytes: 256 << 20,
            retention_hours: 72,
            retention_size_bytes: None,
            disk_retention: true,
            disk_full_percent: 85,
            disk_urgent_percent: 75,
            scrub_bytes_per_s: 4 << 20,
            broker_name: "kourou".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            auto_create_topics: true,
            auto_create_groups: true,
            default_queues: 8,
            reject_transactions: false,
            store_replies: true,
            server_side_reset_offset: true,
            transaction_timeout_ms: 6_000,
            transaction_check_interval_ms: 30_000,
            transaction_checks: 15,
            check_message_types: true,
            in_flight_size_bytes: 64 << 20,
            commit_latency_max_ms: 2_000,
            client_send_messages: None,
            client_send_bytes: None,
            timers: true,
            timer_max_delay_s: 40 * 24 * 3_600,
            recall_messages: true,
            trace_on: true,
            broker_traces: false,
            retry_topic_v2: false,
            default_request_mode: RequestMode::Pull,
            retried_send_window_ms: 60_000,
            retried_send_ids: 1_000_000,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}
