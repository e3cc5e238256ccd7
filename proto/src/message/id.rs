//! The two ids of a message.
//!
//! The *offset id* is given by the broker: where to ask, and for what. The *unique key* is made by the producer and
//! only has to be unique.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::{Fields, put_host};

/// A broker's address and a position in its commit log.
///
/// ```text
/// ip 4 or 16 bytes | port u32 | position i64       in upper case hexadecimal: 32 or 56 digits
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// The broker.
    pub store_host: SocketAddr,
    /// Position of the record in the commit log.
    pub position: i64,
}

/// A text that is no offset id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a message id of 32 or 56 hexadecimal digits")]
pub struct BadMessageId;

impl OffsetMessageId {
    /// Reads the text.
    ///
    /// # Errors
    /// It is no offset id. A unique key of the same length reads as nonsense rather than failing.
    pub fn parse(text: &str) -> Result<Self, BadMessageId> {
        let mut buffer = [0; 28];
        let bytes = match text.len() {
            32 => &mut buffer[..16],
            56 => &mut buffer[..],
            _ => return Err(BadMessageId),
        };
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(BadMessageId);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).unwrap_or(0);
        }
        let v6 = bytes.len() == 28;
        let mut fields = Fields { rest: bytes };
        let parsed = fields.host(v6).zip(fields.i64());
        parsed
            .map(|(store_host, position)| Self { store_host, position })
            .ok_or(BadMessageId)
    }
}

impl std::fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::with_capacity(28);
        put_host(&mut bytes, self.store_host);
        bytes.extend_from_slice(&self.position.to_be_bytes());
        f.write_str(&hex(&bytes))
    }
}

/// What a unique key is made of. The first three are a process's own.
///
/// ```text
/// ip 4 or 16 bytes | pid u16 | discriminator u32 | elapsed u32 | counter u16
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueKey {
    /// The machine.
    pub ip: IpAddr,
    /// The process, cut to sixteen bits.
    pub pid: u16,
    /// Tells apart several producers in a process.
    pub discriminator: u32,
    /// Since the first of the month, in milliseconds. Tools read the time of sending from it.
    pub elapsed_ms: u32,
    /// Counts up, and wraps around.
    pub counter: u16,
}

impl std::fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::with_capacity(28);
        match self.ip {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&self.pid.to_be_bytes());
        bytes.extend_from_slice(&self.discriminator.to_be_bytes());
        bytes.extend_from_slice(&self.elapsed_ms.to_be_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        f.write_str(&hex(&bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_as_java_makes_them() {
        for (host, text) in [
            ("10.0.0.1:10911", "0A00000100002A9F0000000000001092"),
            (
                "[2001:db8::1]:10911",
                "20010DB800000000000000000000000100002A9F0000000000001092",
            ),
        ] {
            let id = OffsetMessageId {
                store_host: host.parse().unwrap(),
                position: 4242,
            };
            assert_eq!(id.to_string(), text);
            assert_eq!(OffsetMessageId::parse(text), Ok(id));
            assert_eq!(OffsetMessageId::parse(&text.to_lowercase()), Ok(id));
        }
    }

    #[test]
    fn not_ids() {
        for text in [
            "",
            "0A",
            "0A00000100002A9F000000000000109",
            "zA00000100002A9F0000000000001092",
        ] {
            assert_eq!(OffsetMessageId::parse(text), Err(BadMessageId));
        }
        assert_eq!(OffsetMessageId::parse(&"\u{e9}".repeat(16)), Err(BadMessageId));
    }

    #[test]
    fn unique_keys() {
        let mut key = UniqueKey {
            ip: "127.0.0.1".parse().unwrap(),
            pid: 0x0a2b,
            discriminator: 0x3c4d_5e6f,
            elapsed_ms: 1,
            counter: 0xffff,
        };
        assert_eq!(key.to_string(), "7F0000010A2B3C4D5E6F00000001FFFF");
        key.ip = "::1".parse().unwrap();
        assert_eq!(key.to_string().len(), 56);
    }
}
