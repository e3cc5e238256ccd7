//! Bounds of the port and of one connection. Everything a peer can make us remember is counted against one of them.

use std::sync::Arc;
use std::time::Duration;

use quinn::{TransportConfig, VarInt};

/// How much the port gives to its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of the port. Beyond the bound a new one is refused.
    pub connections_max: usize,
    /// Streams of one connection at a time; the peer is told, and waits.
    pub streams_max: u32,
    /// Handshakes under way beyond which a peer first has to show that its address is its own (RFC 9000, section 8.1.2).
    pub handshakes_unproved_max: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Bytes of one stream that have arrived and were not read. At the bound the peer waits.
    pub stream_window_size_bytes: u32,
    /// Bytes of all streams of a connection that have arrived and were not read. At the bound the peer waits.
    pub window_size_bytes: u32,
    /// Bytes of a connection that were written and not acknowledged by the peer. At the bound writers wait.
    pub unacknowledged_size_bytes_max: u64,
    /// Silence after which a connection is over. Links send something more often.
    pub idle: Duration,
    /// How long answers may still be on their way when the port shuts down.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            streams_max: 1_024,
            handshakes_unproved_max: 64,
            handshake: Duration::from_secs(10),
            stream_window_size_bytes: 1 << 20,
            window_size_bytes: 8 << 20,
            unacknowledged_size_bytes_max: 16 << 20,
            idle: Duration::from_secs(30),
            drain: Duration::from_secs(6),
        }
    }
}

/// How often a link sends something when it has nothing to say. Middleboxes forget UDP after half a minute, some sooner.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

impl Limits {
    /// For the port, to which peers open streams.
    pub(crate) fn of_port(&self) -> Arc<TransportConfig> {
        let mut transport = self.common();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(self.streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(0));
        Arc::new(transport)
    }

    /// For a link, to which the port opens the one stream on which it says what it is.
    pub(crate) fn of_link(&self) -> Arc<TransportConfig> {
        let mut transport = self.common();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(1))
            .keep_alive_interval(Some(KEEP_ALIVE_INTERVAL));
        Arc::new(transport)
    }

    fn common(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(VarInt::from_u32(self.stream_window_size_bytes))
            .receive_window(VarInt::from_u32(self.window_size_bytes))
            .send_window(self.unacknowledged_size_bytes_max)
            // Nothing is sent in datagrams.
            .datagram_receive_buffer_size(None)
            // What does not fit has no limit then, which is none.
            .max_idle_timeout(self.idle.try_into().ok());
        transport
    }
}
