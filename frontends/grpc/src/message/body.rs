//! The body of a stored message as clients of this protocol can read it.
//!
//! The protocol knows one kind of compression, gzip, which no client uses; remoting producers have others, and only their flags say
//! which. Apache's proxy calls all of them gzip, and clients cannot read what they are then given: that for Node.js knows gzip alone,
//! those for Go and Python zlib beside it. So bodies that their producers compressed are handed over as they were before.

use std::io::Read;

use bytes::Bytes;
use kourou_proto::message::sysflag::Compression;

use crate::limits::message::{BODY_DECODED_SIZE_BYTES_MAX, ZSTD_WINDOW_LOG_MAX};
use crate::wire::v2::Encoding;

/// What a gzip stream begins with, and no other kind.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The body, and what it is on its way to the client. One that cannot be read, or would be longer than
/// [`BODY_DECODED_SIZE_BYTES_MAX`], stays what it is and is called gzip: as a client of Apache's proxy would get it.
pub(super) fn readable(stored: Bytes, sys_flag: i32) -> (Bytes, Encoding) {
    match Compression::of(sys_flag) {
        None => (stored, Encoding::Identity),
        Some(_) if stored.starts_with(&GZIP) => (stored, Encoding::Gzip),
        Some(kind) => match decoded(kind, &stored, BODY_DECODED_SIZE_BYTES_MAX) {
            Some(body) => (body.into(), Encoding::Identity),
            None => {
                tracing::debug!(
                    ?kind,
                    size_bytes = stored.len(),
                    "a body is not what its flags say, or too long to be decompressed"
                );
                (stored, Encoding::Gzip)
            }
        },
    }
}

fn decoded(kind: Compression, stored: &[u8], size_bytes_max: usize) -> Option<Vec<u8>> {
    match kind {
        Compression::Zlib => read(flate2::read::ZlibDecoder::new(stored), size_bytes_max),
        Compression::Lz4 => read(lz4_flex::frame::FrameDecoder::new(stored), size_bytes_max),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(stored).ok()?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
            read(decoder, size_bytes_max)
        }
        _ => None,
    }
}

/// All of it, unless that is more than the bound: what a few bytes claim to be takes no memory.
fn read(decoder: impl Read, size_bytes_max: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let bound = u64::try_from(size_bytes_max).ok()?.saturating_add(1);
    decoder.take(bound).read_to_end(&mut body).ok()?;
    (body.len() <= size_bytes_max).then_some(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(body: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        zstd::encode_all(body, 3).unwrap()
    }

    type Encode = fn(&[u8]) -> Vec<u8>;
    const KINDS: [(Compression, Encode); 3] = [
        (Compression::Zlib, zlib),
        (Compression::Lz4, lz4),
        (Compression::Zstd, zstd),
    ];

    #[test]
    fn every_kind_is_undone() {
        let body = b"the quick brown fox ".repeat(1_000);
        for (kind, encode) in KINDS {
            let (found, encoding) = readable(encode(&body).into(), kind.flags());
            assert!(found == body, "{kind:?}");
            assert_eq!(encoding, Encoding::Identity, "{kind:?}");
        }
        // What old clients mean when they say nothing.
        let (found, _) = readable(zlib(&body).into(), 1);
        assert!(found == body);
    }

    #[test]
    fn what_is_not_compressed_or_gzip_is_passed_on() {
        let plain = readable(Bytes::from_static(b"plain"), 0);
        assert_eq!(plain, (Bytes::from_static(b"plain"), Encoding::Identity));
        let gzip = readable(Bytes::from_static(b"\x1f\x8bwhatever"), 1);
        assert_eq!(gzip, (Bytes::from_static(b"\x1f\x8bwhatever"), Encoding::Gzip));
    }

    #[test]
    fn what_its_flags_do_not_describe_stays_as_it_is() {
        let body = b"0123456789".repeat(100);
        for (kind, encode) in KINDS {
            let whole = encode(&body);
            for bad in [&whole[..whole.len() / 2], b"nonsense"] {
                let stored = Bytes::copy_from_slice(bad);
                let found = readable(stored.clone(), kind.flags());
                assert_eq!(found, (stored, Encoding::Gzip), "{kind:?} {}", bad.len());
            }
        }
        let unknown = readable(zlib(&body).into(), Compression::Unknown(5).flags());
        assert_eq!(unknown, (zlib(&body).into(), Encoding::Gzip));
    }

    #[test]
    fn no_body_grows_beyond_the_bound() {
        let zeros = vec![0; 100_000];
        for (kind, encode) in KINDS {
            let stored = encode(&zeros);
            assert!(decoded(kind, &stored, 100_000).is_some(), "{kind:?}");
            assert!(decoded(kind, &stored, 99_999).is_none(), "{kind:?}");
        }
    }
}
