//! Bounds of the port, of one connection and of one client. Everything a peer can make us remember is counted against one of them.

use std::time::Duration;

/// How much the port gives to its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest request message.
    pub request_size_bytes_max: usize,
    /// Requests and streams of one connection at a time; HTTP/2 tells the peer.
    pub requests_max: u32,
    /// Bytes of requests of one connection that are being read or worked on. A request that goes beyond it is refused.
    pub requests_size_bytes_max: usize,
    /// Connections of the port. Beyond the bound a new one is closed at once.
    pub connections_max: usize,
    /// Clients that are remembered, by client id. Beyond the bound the settings of a new one are refused.
    pub clients_max: usize,
    /// Telemetry streams of one client. The newest is the one that it is told things by; beyond the bound the oldest ends.
    pub streams_per_client_max: usize,
    /// Commands that wait on one Telemetry stream. Beyond the bound a command is dropped.
    pub commands_max: usize,
    /// Questions that one client has not answered. Beyond the bound it is asked nothing.
    pub questions_max: usize,
    /// Topics that a producer, or topics that a consumer may name in its settings.
    pub topics_per_client_max: usize,
    /// Messages of one send.
    pub messages_per_send_max: usize,
    /// For how long push consumers' messages are out at first. They are renewed when a sixth of it is left.
    pub renewed: Duration,
    /// Messages that are renewed for one push consumer. Beyond the bound its receives are refused until it acknowledges some.
    pub renewals_per_client_max: usize,
    /// How long a client that has lost its last stream may take to come back before the messages that it has go to others.
    pub return_grace: Duration,
    /// Acknowledgements of one request.
    pub acks_per_request_max: usize,
    /// Time without any request or stream after which a connection is closed.
    pub idle: Duration,
    /// Time without a request after which a client that has no stream is forgotten.
    pub client_expiry: Duration,
    /// How long answers may still be written when the port shuts down.
    pub drain: Duration,
    /// Reads from disk that run at the same time.
    pub cold_reads_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_size_bytes_max: 16 * 1024 * 1024,
            requests_max: 1024,
            requests_size_bytes_max: 32 * 1024 * 1024,
            connections_max: 65_536,
            clients_max: 65_536,
            streams_per_client_max: 8,
            commands_max: 64,
            questions_max: 16,
            topics_per_client_max: 1_024,
            messages_per_send_max: 1_024,
            renewed: Duration::from_secs(60),
            renewals_per_client_max: 8_192,
            return_grace: Duration::from_secs(5),
            acks_per_request_max: 1_024,
            idle: Duration::from_secs(120),
            client_expiry: Duration::from_secs(120),
            drain: Duration::from_secs(5),
            cold_reads_max: 16,
        }
    }
}

/// What a message may have. The v2 protocol's numbers, as Apache's proxy has them by default.
pub(crate) mod message {
    use std::time::Duration;

    /// User properties.
    pub(crate) const USER_PROPERTIES_MAX: usize = 128;
    /// Bytes of names and values of user properties, tag and keys.
    pub(crate) const PROPERTIES_SIZE_BYTES_MAX: usize = 16 * 1024;
    /// Bytes of a message group, exclusive.
    pub(crate) const GROUP_SIZE_BYTES_END: usize = 64;
    /// How long a transaction may be undecided before its producer is asked.
    pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(3_600);
    /// Bytes of a body when its compression is undone.
    pub(crate) const BODY_DECODED_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
    /// Of a Zstandard frame: it may refer back to this power of two of bytes. As much as a body may have.
    pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 24;
}

/// Longest client id, in bytes.
pub(crate) const CLIENT_ID_SIZE_BYTES_MAX: usize = 512;
/// Longest header list of a request.
pub(crate) const HEADERS_SIZE_BYTES_MAX: u32 = 32 * 1024;
/// HTTP/2 flow control: what a peer may send of one request before we have read it, and of all of a connection.
pub(crate) const STREAM_WINDOW_SIZE_BYTES: u32 = 1024 * 1024;
/// See [`STREAM_WINDOW_SIZE_BYTES`].
pub(crate) const CONNECTION_WINDOW_SIZE_BYTES: u32 = 4 * 1024 * 1024;
/// HTTP/2 pings find out that a peer is gone: how often, and how long the answer may take.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(60);
/// See [`PING_INTERVAL`].
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often idle connections and forgotten clients are looked for.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Messages of one answer.
pub(crate) const BATCH_MAX: i32 = 32;
/// For how long messages are out. The numbers of Apache's proxy.
pub(crate) mod receive {
    use std::time::Duration;

    /// The shortest that a consumer may ask for.
    pub(crate) const INVISIBLE_MIN: Duration = Duration::from_secs(10);
    /// The longest.
    pub(crate) const INVISIBLE_MAX: Duration = Duration::from_secs(12 * 3_600);
    /// Of messages that did not reach their consumer, in milliseconds.
    pub(crate) const UNDELIVERED_MS: i64 = 1_000;

    /// The pauses before each new attempt, in seconds: the delay levels.
    pub(crate) const RETRY_PAUSES_S: [u64; 18] = [
        1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200,
    ];

    /// The pause after an attempt, counted from 1.
    pub(crate) fn retry_pause_ms(attempt: u32) -> i64 {
        let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause_s = RETRY_PAUSES_S.get(at).or(RETRY_PAUSES_S.last());
        pause_s.map_or(0, |pause_s| i64::try_from(pause_s * 1_000).unwrap_or(i64::MAX))
    }
}

/// The shortest long poll.
pub(crate) const POLL_MIN: Duration = Duration::from_secs(5);
/// The longest long poll.
pub(crate) const POLL_MAX: Duration = Duration::from_secs(20);
