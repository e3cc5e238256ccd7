//! Bodies as clients of v2 can read them: as they are, or gzip. Remoting producers have other ways to compress, and do so by themselves
//! from 4 KiB on; what they have sent is unpacked here.

use std::io::Read;

use bytes::Bytes;
use kourou_proto::message::sysflag::Compression;

use crate::wire::v2::Encoding;

/// A body that unpacks to more is passed on as it is.
const UNPACKED_SIZE_BYTES_MAX: u64 = 16 << 20;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// The body, and how it is encoded.
pub(super) fn readable(body: Bytes, sys_flag: i32) -> (Bytes, Encoding) {
    readable_within(body, sys_flag, UNPACKED_SIZE_BYTES_MAX)
}

fn readable_within(body: Bytes, sys_flag: i32, max_bytes: u64) -> (Bytes, Encoding) {
    let unpacked = match Compression::of(sys_flag) {
        None => return (body, Encoding::Identity),
        // What clients of this protocol send says no more than that it is compressed.
        Some(_) if body.starts_with(GZIP_MAGIC) => None,
        Some(Compression::Zlib) => unpacked(flate2::read::ZlibDecoder::new(&*body), max_bytes),
        Some(Compression::Lz4) => unpacked(lz4_flex::frame::FrameDecoder::new(&*body), max_bytes),
        Some(_) => None,
    };
    match unpacked {
        Some(unpacked) => (unpacked.into(), Encoding::Identity),
        None => (body, Encoding::Gzip),
    }
}

fn unpacked(from: impl Read, max_bytes: u64) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = from.take(max_bytes + 1).read_to_end(&mut unpacked).ok()?;
    (read as u64 <= max_bytes).then_some(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zlib(body: &[u8]) -> Bytes {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(body).unwrap();
        packed.finish().unwrap().into()
    }

    #[test]
    fn what_remoting_producers_compress() {
        let body = Bytes::from_static(b"some body");
        assert_eq!(readable(body.clone(), 0), (body.clone(), Encoding::Identity));
        for flags in [1, Compression::Zlib.flags()] {
            assert_eq!(readable(zlib(&body), flags), (body.clone(), Encoding::Identity));
        }
        let mut packed = lz4_flex::frame::FrameEncoder::new(Vec::new());
        packed.write_all(&body).unwrap();
        let packed = Bytes::from(packed.finish().unwrap());
        assert_eq!(
            readable(packed, Compression::Lz4.flags()),
            (body, Encoding::Identity)
        );
    }

    #[test]
    fn what_cannot_be_unpacked_is_passed_on() {
        let gzip = Bytes::from_static(&[0x1f, 0x8b, 8, 0]);
        assert_eq!(readable(gzip.clone(), 1), (gzip, Encoding::Gzip));
        let none = Bytes::from_static(b"none of it");
        for flags in [Compression::Zlib, Compression::Lz4, Compression::Zstd].map(Compression::flags) {
            assert_eq!(readable(none.clone(), flags), (none.clone(), Encoding::Gzip));
        }
        let bomb = zlib(&[0; 1_001]);
        assert_eq!(readable_within(bomb.clone(), 1, 1_000), (bomb, Encoding::Gzip));
    }
}
