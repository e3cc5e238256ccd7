//! The broker on its store, as the settings want it.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kourou_broker::flow::Rates;
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::{Flush, Options, Retention};

use crate::advertise;
use crate::commands::is_system_group;
use crate::config::{FlushMode, Settings};
use crate::welcome::{BrokerLines, Recovery};

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) broker: Arc<Broker>,
    pub(super) advertised: SocketAddr,
    was_new: bool,
    took: Duration,
}

impl Opened {
    /// Opens or makes the store. When this returns, everything that was ever acknowledged is there.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let begin = Instant::now();
        if kourou_migration::is_apache_store(&settings.data) {
            bail!(
                "{0} is the store of an Apache RocketMQ broker, and stays as it is; make one of it with: kourou store import {0} --data NEW_FOLDER",
                settings.data.display()
            );
        }
        let advertised = advertise::decide(settings)?;
        let was_new = is_new(&settings.data);
        let mut engine = Options::new(&settings.data);
        engine.flush = match settings.flush {
            FlushMode::Durable => Flush::Durable,
            FlushMode::Relaxed => Flush::Relaxed,
        };
        engine.segment_size_bytes = settings.segment_size_bytes;
        let mut options = BrokerOptions::new(advertised);
        options.cluster_name.clone_from(&settings.cluster);
        options.broker_name.clone_from(&settings.broker_name);
        options.auto_create_topic = settings.auto_create_topics;
        options.auto_create_group = settings.auto_create_groups;
        options.default_topic_queues = settings.default_queues;
        options.reject_transactions = settings.reject_transactions;
        options.store_replies = settings.store_replies;
        options.reset_offsets_here = settings.server_side_reset_offset;
        options.timers = settings.timers;
        options.timer_delay_ms_max = settings.timer_max_delay_s.saturating_mul(1_000);
        options.recall = settings.recall_messages;
        options.transaction_timeout_ms = settings.transaction_timeout_ms;
        options.transaction_check_interval_ms = settings.transaction_check_interval_ms;
        options.transaction_checks_max = settings.transaction_checks;
        options.check_message_types = settings.check_message_types;
        options.in_flight_size_bytes_max = settings.in_flight_size_bytes;
        engine.pending_size_bytes_max = settings.in_flight_size_bytes;
        options.commit_latency_max_ms = settings.commit_latency_max_ms;
        options.client_send_quota = Rates {
            messages_per_s: settings.client_send_messages,
            bytes_per_s: settings.client_send_bytes,
        };
        options.retention = retention(settings);
        options.disk_percent_urgent = settings.disk_urgent_percent;
        options.scrub_bytes_per_s = settings.scrub_bytes_per_s;
        // The disk gives nothing back by itself.
        options.pass_over_damage = true;
        options.trace_on = settings.trace_on;
        options.traces = settings.broker_traces;
        options.retry_topic_v2 = settings.retry_topic_v2;
        options.default_request_mode = settings.default_request_mode;
        options.retried_send_window_ms = settings.retried_send_window_ms;
        options.retried_send_ids_max = settings.retried_send_ids;
        options.message_id_seed = message_id_seed(advertised.ip());
        let disk = Arc::new(StdDisk::new(&settings.data, WriterKind::Auto));
        let broker = Broker::open(options, engine, disk, Arc::new(SystemClock))?;
        Ok(Self {
            broker,
            advertised,
            was_new,
            took: begin.elapsed(),
        })
    }

    /// What the start prints about it.
    pub(super) fn lines(
        &self,
        settings: &Settings,
        listens: bool,
        registers_with: Vec<String>,
    ) -> BrokerLines {
        let engine = self.broker.engine();
        let recovery = engine.recovery();
        let address = SocketAddr::new(settings.bind, settings.broker_port).to_string();
        let told = self.advertised.to_string();
        let built_in = self.broker.system_topics().len();
        BrokerLines {
            advertised: (listens && told != address).then_some(told),
            listens: listens.then_some(address),
            name: settings.broker_name.clone(),
            cluster: settings.cluster.clone(),
            registers_with,
            data: settings.data.display().to_string(),
            topics: (self.broker.topics().0.len() - built_in) as u64,
            groups: self
                .broker
                .groups()
                .0
                .iter()
                .filter(|group| !is_system_group(&group.name))
                .count() as u64,
            log_size_bytes: engine.watermark() - engine.first_position(),
            recovery: if self.was_new {
                Recovery::New
            } else if recovery.replayed_bytes > 0 || recovery.cut_bytes > 0 {
                Recovery::Crash {
                    took: self.took,
                    replayed_size_bytes: recovery.replayed_bytes,
                }
            } else {
                Recovery::Clean { took: self.took }
            },
            durable: settings.flush == FlushMode::Durable,
            writer: engine.writes_how().to_owned(),
        }
    }
}

/// So much of the log stays whatever else fills the disk, as long as that takes anything.
const KEPT_SIZE_BYTES_MIN: u64 = 1 << 30;

/// What of the log is kept.
fn retention(settings: &Settings) -> Retention {
    let hours = i64::from(settings.retention_hours);
    Retention {
        age_ms_max: (hours > 0).then_some(hours * 3_600_000),
        size_bytes_max: settings.retention_size_bytes,
        disk_percent_max: settings.disk_retention.then_some(settings.disk_full_percent),
        kept_size_bytes_min: KEPT_SIZE_BYTES_MIN,
    }
}

fn is_new(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// What tells the ids of this life from those of any other: the address, the process, and chance.
fn message_id_seed(ip: IpAddr) -> [u8; 10] {
    let chance = RandomState::new().build_hasher().finish().to_be_bytes();
    let pid = process::id().to_be_bytes();
    let ip = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => (ip.to_bits() as u32).to_be_bytes(),
    };
    let mut seed = [0; 10];
    seed[..4].copy_from_slice(&ip);
    seed[4..6].copy_from_slice(&pid[2..]);
    seed[6..].copy_from_slice(&chance[..4]);
    seed
}
