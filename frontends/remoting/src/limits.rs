//! Bounds of one connection and of a port. Everything a peer can make us remember is counted against one of them.

use std::time::Duration;

/// How much one port gives to its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest frame, its length field included.
    pub frame_size_bytes_max: usize,
    /// Requests of one connection that are being worked on. At the bound its socket is not read.
    pub in_flight_max: usize,
    /// Bodies of those requests. At the bound the socket is not read; one frame may go beyond it.
    pub in_flight_size_bytes_max: usize,
    /// Answers of one connection that its peer has not taken. At the bound the socket is not read, and pushes to the
    /// peer are dropped.
    pub outbox_size_bytes_max: usize,
    /// Pulls of one connection that wait for messages. Beyond the bound a pull is answered at once.
    pub held_max: usize,
    /// Questions of ours that one client has not answered. Beyond the bound whoever wants to ask is told that it is busy.
    pub questions_max: usize,
    /// Connections of one port. Beyond the bound a new one is closed at once.
    pub connections_max: usize,
    /// Silence, in both directions, after which a connection is closed.
    pub idle: Duration,
    /// How long answers may still be written when the port shuts down.
    pub drain: Duration,
    /// Reads from disk that run at the same time.
    pub cold_reads_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_size_bytes_max: 16 * 1024 * 1024,
            in_flight_max: 8192,
            in_flight_size_bytes_max: 32 * 1024 * 1024,
            outbox_size_bytes_max: 16 * 1024 * 1024,
            held_max: 65_536,
            questions_max: 256,
            connections_max: 65_536,
            idle: Duration::from_secs(120),
            drain: Duration::from_secs(5),
            cold_reads_max: 16,
        }
    }
}

/// Messages that one request may acknowledge.
pub(crate) const ACKS_PER_REQUEST_MAX: usize = 65_536;
/// Connections that the kernel keeps for us before they are accepted.
pub(crate) const BACKLOG: i32 = 1024;
/// Smallest and largest room that a read is given. It follows how much arrives.
pub(crate) const READ_SIZE_BYTES_MIN: usize = 8 * 1024;
/// See [`READ_SIZE_BYTES_MIN`].
pub(crate) const READ_SIZE_BYTES_MAX: usize = 256 * 1024;
/// Reads of a connection that was silent before it takes a buffer for them.
pub(crate) const READS_ASIDE: u8 = 2;
/// Silence after which a connection gives its buffers back.
pub(crate) const REST_AFTER: Duration = Duration::from_secs(1);
/// Frames that one connection handles before it lets others run.
pub(crate) const FRAMES_PER_TURN_MAX: usize = 512;
/// Slices of a body up to this length are copied behind their header; longer ones are written from where they are.
pub(crate) const COPIED_SLICE_SIZE_BYTES_MAX: usize = 512;

const _: () = assert!(READ_SIZE_BYTES_MIN <= READ_SIZE_BYTES_MAX);
