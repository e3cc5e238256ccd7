//! What ends the body of every message that a run sends, so that it can be known again and its delay be told.
//!
//! ```text
//! fill | run u64 | lane u32 | sequence u64 | intended ns u64 | sent ns u64 | CRC-32 u32 of everything before
//! ```
//!
//! It stands at the end because the checksum over the fill, the same in every message, is then computed once.

/// Bytes of a trailer: the least that a body can have.
pub(crate) const TRAILER_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 4;

/// Who a message is and when it was sent, in the time of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// The run that sent it.
    pub(crate) run: u64,
    /// The connection that sent it.
    pub(crate) lane: u32,
    /// Which message of that connection, counted from 0.
    pub(crate) sequence: u64,
    /// When it was to be sent.
    pub(crate) intended_ns: u64,
    /// When it was handed to the socket.
    pub(crate) sent_ns: u64,
}

impl Trailer {
    /// Writes everything but the checksum to the front of `out`, and the checksum over `fill` and that behind it.
    pub(crate) fn write(&self, fill: &crc32fast::Hasher, out: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = out.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&self.run.to_be_bytes());
        put(&self.lane.to_be_bytes());
        put(&self.sequence.to_be_bytes());
        put(&self.intended_ns.to_be_bytes());
        put(&self.sent_ns.to_be_bytes());
        let (text, checksum) = out.split_at_mut(TRAILER_BYTES - CHECKSUM_BYTES);
        let mut hasher = fill.clone();
        hasher.update(text);
        checksum.copy_from_slice(&hasher.finalize().to_be_bytes());
    }

    /// The trailer of a body, its checksum not looked at; `None` if the body is too short to have one.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (_, trailer) = body.split_last_chunk::<TRAILER_BYTES>()?;
        let u64_at = |at: usize| Some(u64::from_be_bytes(*trailer.get(at..)?.first_chunk()?));
        Some(Self {
            run: u64_at(0)?,
            lane: u32::from_be_bytes(*trailer.get(8..)?.first_chunk()?),
            sequence: u64_at(12)?,
            intended_ns: u64_at(20)?,
            sent_ns: u64_at(28)?,
        })
    }

    /// Whether a body is as it was sent.
    pub(crate) fn is_intact(body: &[u8]) -> bool {
        body.split_last_chunk::<CHECKSUM_BYTES>()
            .is_some_and(|(text, checksum)| crc32fast::hash(text) == u32::from_be_bytes(*checksum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAILER: Trailer = Trailer {
        run: 1,
        lane: 2,
        sequence: 3,
        intended_ns: 4,
        sent_ns: 5,
    };

    fn body(fill: &[u8]) -> Vec<u8> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(fill);
        let mut body = fill.to_vec();
        body.resize(fill.len() + TRAILER_BYTES, 0);
        TRAILER.write(&hasher, &mut body[fill.len()..]);
        body
    }

    #[test]
    fn what_is_written_is_read() {
        for fill in [&b""[..], b"fill"] {
            let body = body(fill);
            assert!(Trailer::is_intact(&body));
            assert_eq!(Trailer::read(&body), Some(TRAILER));
        }
        assert_eq!(Trailer::read(b"short"), None);
        assert!(!Trailer::is_intact(b"abc"));
    }

    #[test]
    fn any_changed_byte_is_found() {
        let whole = body(b"fill");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(!Trailer::is_intact(&damaged), "byte {at}");
        }
    }
}
