//! How a broker is opened, and every bound that it keeps.

use std::net::SocketAddr;

use kourou_engine::Retention;
use kourou_engine::record::INNER_NUM_MAX;

use crate::assign::RequestMode;
use crate::flow::Rates;
use crate::topic::perm;

/// How a broker is opened.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Name of the cluster; stored with every message and answered to clients.
    pub cluster_name: String,
    /// Name of this broker in the cluster.
    pub broker_name: String,
    /// Number of this broker under its name; 0 is the master.
    pub broker_id: u64,
    /// Address that clients reach this broker at. It becomes part of every message and of offset message ids.
    pub store_host: SocketAddr,
    /// Region that is stored with every message and answered to clients.
    pub region: String,
    /// Whether clients are asked to trace.
    pub trace_on: bool,
    /// Whether the broker itself traces what it is sent and what it delivers.
    pub traces: bool,
    /// What clients may do here at all; see [`perm`].
    pub perm: u32,
    /// Whether a first send creates its topic.
    pub auto_create_topic: bool,
    /// Whether the first use creates a consumer group.
    pub auto_create_group: bool,
    /// Queues of the template for new topics.
    pub default_topic_queues: u32,
    /// Whether messages that are one half of a transaction are refused.
    pub reject_transactions: bool,
    /// Whether replies are stored after they have been given to the client that waits for them.
    pub store_replies: bool,
    /// Whether a reset of a group's offsets is done here, for the consumers to find with their next pull; else those that are
    /// connected are told to do it themselves.
    pub reset_offsets_here: bool,
    /// How long a transaction may be pending before its producer is asked what became of it, unless its message says otherwise.
    pub transaction_timeout_ms: i64,
    /// How long after one question the next is asked.
    pub transaction_check_interval_ms: i64,
    /// How often a producer is asked before its transaction is given up.
    pub transaction_checks_max: u32,
    /// Whether a message that is not of the type that its topic declares is refused; see [`MessageType`](crate::topic::MessageType).
    pub check_message_types: bool,
    /// Sends are refused while so many bytes are on their way to the disk.
    pub in_flight_size_bytes_max: u64,
    /// Sends are refused while it takes longer than this until a message is durable.
    pub commit_latency_max_ms: i64,
    /// What one client may send a second, unless the attributes of its producer group say otherwise.
    pub client_send_quota: Rates,
    /// Whether messages may be sent that are to be delivered at a time; delay levels always may.
    pub timers: bool,
    /// How far ahead such a time may be.
    pub timer_delay_ms_max: i64,
    /// Whether messages that wait for a time can be recalled.
    pub recall: bool,
    /// Whether messages that were popped and not acknowledged go to retry topics whose names cannot be another group's.
    pub retry_topic_v2: bool,
    /// How consumers get their messages that let the broker share queues out, where nothing was set for them.
    pub default_request_mode: RequestMode,
    /// How long a send is remembered, so that it is stored once if its producer tries it again; 0 to store it again.
    pub retried_send_window_ms: i64,
    /// Most sends that are remembered, 16 bytes each, and some for finding them. At least the newest half is.
    pub retried_send_ids_max: usize,
    /// What of the log is kept. What is pending stays whatever this says.
    pub retention: Retention,
    /// How long a segment that is too old, or too much, waits for the deliveries that are out of it.
    pub retention_hold_ms: i64,
    /// Beside a disk that is fuller than this, in percent, it does not wait.
    pub disk_percent_urgent: u8,
    /// So many bytes a second of the log's complete segments are read and checked, from end to end, once a day; 0: none.
    pub scrub_bytes_per_s: u64,
    /// Whether consumers go past a message that is damaged on the disk, which can then never be delivered to them; else whoever asks for
    /// it gets an error until somebody puts it right.
    pub pass_over_damage: bool,
    /// How often dirty offsets become a state record.
    pub offset_flush_interval_ms: i64,
    /// An entry this near to the log's end counts as being in memory when the start of a new group on a young topic is decided,
    /// beside what the tail cache holds: a log so short is surely in the page cache.
    pub young_log_size_bytes: u64,
    /// First bytes of generated message ids; different for each life of each broker (address, process id, random).
    pub message_id_seed: [u8; 10],
    /// The bounds.
    pub limits: Limits,
}

impl BrokerOptions {
    /// Defaults for a broker that clients reach at `store_host`.
    pub fn new(store_host: SocketAddr) -> Self {
        Self {
            cluster_name: "DefaultCluster".to_owned(),
            broker_name: "kourou".to_owned(),
            broker_id: 0,
            store_host,
            region: "DefaultRegion".to_owned(),
            trace_on: true,
            traces: false,
            perm: perm::READ | perm::WRITE,
            auto_create_topic: true,
            auto_create_group: true,
            default_topic_queues: 8,
            reject_transactions: false,
            store_replies: true,
            reset_offsets_here: true,
            transaction_timeout_ms: 6_000,
            transaction_check_interval_ms: 30_000,
            transaction_checks_max: 15,
            check_message_types: true,
            // The engine lets as much wait, and counts only what waits: offsets and topics find room when messages do not.
            in_flight_size_bytes_max: 64 << 20,
            // Clients give up after three seconds; before that, they can still be told to try another broker.
            commit_latency_max_ms: 2_000,
            client_send_quota: Rates::default(),
            timers: true,
            timer_delay_ms_max: 40 * 24 * 3_600_000,
            recall: true,
            retry_topic_v2: false,
            default_request_mode: RequestMode::Pull,
            retried_send_window_ms: 60_000,
            retried_send_ids_max: 1_000_000,
            retention: Retention::default(),
            retention_hold_ms: 10 * 60_000,
            // As upstream's diskMaxUsedSpaceRatio.
            disk_percent_urgent: 75,
            scrub_bytes_per_s: 0,
            pass_over_damage: false,
            offset_flush_interval_ms: 1_000,
            young_log_size_bytes: 256 << 20,
            message_id_seed: [0; 10],
            limits: Limits::default(),
        }
    }
}

/// Bounds of one broker.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest body of a message, and longest body of a batch.
    pub body_size_bytes_max: usize,
    /// Longest property string, what the broker adds included.
    pub properties_size_bytes_max: usize,
    /// Most messages in one batch; no more than one record can take offsets for.
    pub batch_messages_max: usize,
    /// Most topics.
    pub topics_max: usize,
    /// Most consumer groups.
    pub groups_max: usize,
    /// Most producer groups of one client connection.
    pub producer_groups_max: usize,
    /// Most queues of one topic.
    pub queues_per_topic_max: u32,
    /// Most sends that wait for topics being created.
    pub creation_waiters_max: usize,
    /// Most pulls held at once.
    pub holds_max: usize,
    /// Most messages of one pull from memory.
    pub pull_hot_messages_max: usize,
    /// Most bytes of one pull from memory; the first message is always allowed.
    pub pull_hot_size_bytes_max: usize,
    /// Most messages of one pull from the disk.
    pub pull_cold_messages_max: usize,
    /// Most bytes of one pull from the disk; the first message is always allowed.
    pub pull_cold_size_bytes_max: usize,
    /// Most queue entries that one filtered pull looks at.
    pub pull_scan_entries_max: usize,
    /// Most bytes that one pull from the disk reads to look for messages that its filter wants; the first step always reads.
    pub pull_scan_size_bytes_max: usize,
    /// Most messages that a query by key brings.
    pub query_messages_max: usize,
    /// Most messages that a query by unique key brings.
    pub query_unique_messages_max: usize,
    /// A query brings no further message once it has so many bytes.
    pub query_size_bytes_max: usize,
    /// Records that a query may read beyond those that it may bring, because hashes of keys can be the same.
    pub query_extra_looks_max: usize,
    /// A client that has not been heard for so long is gone.
    pub client_expiry_ms: i64,
    /// How often expired clients and locks are looked for.
    pub client_scan_interval_ms: i64,
    /// How long a queue lock holds after its last refresh.
    pub lock_lease_ms: i64,
    /// Most messages that wait for their time; each takes memory while it does.
    pub timers_max: usize,
    /// Most timers whose delivery is being written at once.
    pub timers_in_flight_max: usize,
    /// Most bytes of timers that are taken to be delivered in one go; one is always allowed.
    pub timers_taken_size_bytes_max: u64,
    /// Most timers that are read before the first of them is delivered.
    pub timers_read_max: usize,
    /// How long timers wait after a delivery was refused.
    pub timer_retry_ms: i64,
    /// Most transactions that are pending; each takes memory while it is.
    pub transactions_max: usize,
    /// Most transactions whose producers are asked in one go.
    pub transaction_checks_per_round: usize,
    /// Most messages of one pop.
    pub pop_messages_max: i32,
    /// Longest time for which a message may be out.
    pub invisible_max_ms: i64,
    /// Most messages of one queue that are out for one group. At the bound nothing more of the queue is handed out.
    pub deliveries_per_queue_max: usize,
    /// Most messages that are out altogether; each takes memory while it is.
    pub deliveries_max: usize,
    /// Most messages whose redelivery is being written at once.
    pub redeliveries_in_flight_max: usize,
    /// Most pops held at once.
    pub pop_holds_max: usize,
    /// Most pops of one group that are held for one queue, or for any queue of one topic.
    pub pop_holds_per_queue_max: usize,
    /// Most lite topics, of all topics; each takes memory.
    pub lite_topics_max: usize,
    /// Most subscriptions to lite topics, of all clients; each takes memory.
    pub lite_subscriptions_max: usize,
    /// Most receives of lite topics that are held for one client.
    pub lite_holds_per_client_max: usize,
    /// Most pairs of topic and group whose request mode is set.
    pub request_modes_max: usize,
    /// How often it is looked which segments are no longer to be kept.
    pub expiry_interval_ms: i64,
    /// How soon it is looked again when more is to go, or the disk is full.
    pub expiry_again_ms: i64,
    /// How often a part of the log is scrubbed.
    pub scrub_interval_ms: i64,
    /// The log is not scrubbed again before this has passed since the last time was begun.
    pub scrub_again_ms: i64,
    /// Most timers, half messages and deliveries that are appended anew in one go, before a segment expires.
    pub carried_max: usize,
    /// Most bytes of them; one is always allowed.
    pub carried_size_bytes_max: u64,
    /// Most queues whose offsets one state record holds.
    pub offsets_per_record_max: usize,
    /// Most bytes of the broker's traces that wait to be written; more are dropped.
    pub traces_pending_size_bytes_max: usize,
    /// The broker's traces are held back while so many bytes of them are on their way to the disk.
    pub traces_in_flight_size_bytes_max: u64,
    /// How long a trace waits for others to be written together with it.
    pub trace_interval_ms: i64,
    /// Most deliveries whose outcome the broker's traces tell; each takes memory until it is known.
    pub traced_deliveries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_size_bytes_max: 4 << 20,
            properties_size_bytes_max: 32_767,
            batch_messages_max: INNER_NUM_MAX as usize,
            topics_max: 1_000_000,
            groups_max: 1_000_000,
            producer_groups_max: 1_024,
            queues_per_topic_max: 65_536,
            creation_waiters_max: 16_384,
            holds_max: 100_000,
            pull_hot_messages_max: 32,
            pull_hot_size_bytes_max: 256 << 10,
            // Upstream gives 8 and 64 KiB, so that a backlog does not wear out the page cache that its writes need. Ours go
            // past it.
            pull_cold_messages_max: 32,
            pull_cold_size_bytes_max: 256 << 10,
            pull_scan_entries_max: 800,
            pull_scan_size_bytes_max: 4 << 20,
            // As upstream: maxMsgsNumBatch and defaultQueryMaxNum.
            query_messages_max: 64,
            query_unique_messages_max: 32,
            query_size_bytes_max: 8 << 20,
            query_extra_looks_max: 1_024,
            client_expiry_ms: 120_000,
            client_scan_interval_ms: 10_000,
            lock_lease_ms: 60_000,
            timers_max: 10_000_000,
            timers_in_flight_max: 4_096,
            timers_taken_size_bytes_max: 4 << 20,
            timers_read_max: 256,
            timer_retry_ms: 100,
            transactions_max: 1_000_000,
            transaction_checks_per_round: 256,
            pop_messages_max: 32,
            // As long as upstream lets a timer wait.
            invisible_max_ms: 3 * 24 * 3_600_000,
            deliveries_per_queue_max: 100_000,
            deliveries_max: 2_000_000,
            redeliveries_in_flight_max: 1_024,
            pop_holds_max: 100_000,
            pop_holds_per_queue_max: 1_024,
            lite_topics_max: 1_000_000,
            lite_subscriptions_max: 1_000_000,
            lite_holds_per_client_max: 16,
            request_modes_max: 1_000_000,
            // As upstream's cleanResourceInterval.
            expiry_interval_ms: 10_000,
            expiry_again_ms: 200,
            scrub_interval_ms: 1_000,
            scrub_again_ms: 24 * 3_600_000,
            carried_max: 4_096,
            carried_size_bytes_max: 4 << 20,
            offsets_per_record_max: 4_096,
            traces_pending_size_bytes_max: 16 << 20,
            traces_in_flight_size_bytes_max: 1 << 20,
            trace_interval_ms: 200,
            traced_deliveries_max: 100_000,
        }
    }
}
