//! Messages as they travel: property strings, flags, ids, batches, and the records of a pull response.

pub mod batch;
pub mod id;
pub mod properties;
pub mod property;
pub mod stored;
pub mod sysflag;
pub mod tag;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Takes fields off the front of a byte slice; `None` once they run out.
#[derive(Debug, Clone, Copy)]
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// As many bytes as a length field says; a negative one says nothing.
    fn bytes(&mut self, length: impl TryInto<usize>) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length.try_into().ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    /// An address of four or sixteen bytes and a port of four, of which the lower two count.
    fn host(&mut self, v6: bool) -> Option<SocketAddr> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))
        };
        let [_, _, high, low] = self.array()?;
        Some(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
    }
}

fn put_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&u32::from(host.port()).to_be_bytes());
}
