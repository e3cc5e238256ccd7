//! A received message, decoded as far as a person wants it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use anyhow::{Context, Result, bail};
use kourou_engine::record::RecordView;
use serde::Serialize;

use crate::output::Paint;

/// The bits of a message's system flag that say how its body is compressed.
const COMPRESSED: i32 = 1;
const COMPRESSION: i32 = 0x700;
const COMPRESSION_ZLIB: [i32; 2] = [0, 0x300];

/// The most that a body may grow to; a few bytes can claim to be terabytes.
const BODY_SIZE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Message<'a> {
    record: RecordView<'a>,
    body: Cow<'a, [u8]>,
}

#[derive(Debug, Serialize)]
struct MessageJson<'a> {
    topic: &'a str,
    queue: u32,
    offset: u64,
    id: Option<&'a str>,
    tag: Option<&'a str>,
    keys: Vec<&'a str>,
    born_ms: i64,
    store_ms: i64,
    reconsume_times: i32,
    properties: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// Instead of `body` when that is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'a> Message<'a> {
    /// Takes the first message off the body of a pull's answer.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Result<Self> {
        let record = RecordView::parse(bytes).context("the broker sent a damaged message")?;
        *bytes = &bytes[record.bytes().len()..];
        let body = inflated(record.sys_flag(), record.body())?;
        Ok(Self { record, body })
    }

    pub(super) fn offset(&self) -> u64 {
        self.record.queue_offset()
    }

    pub(super) fn tag(&self) -> Option<&'a str> {
        self.record.property("TAGS")
    }

    /// The body alone, for whoever reads on.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Where it came from, dim, before its body.
    pub(super) fn line(&self, paint: Paint) -> String {
        let mut from = format!("{}:{}", self.record.queue_id(), self.offset());
        for part in [self.tag(), self.record.property("KEYS")].into_iter().flatten() {
            let _ = write!(from, " {part}");
        }
        format!("{}  {}", paint.dim(&from), String::from_utf8_lossy(&self.body))
    }

    pub(super) fn json(&self) -> Result<String> {
        let record = &self.record;
        let text = std::str::from_utf8(&self.body).ok();
        let json = MessageJson {
            topic: record.topic(),
            queue: record.queue_id(),
            offset: self.offset(),
            id: record.property("UNIQ_KEY"),
            tag: self.tag(),
            keys: record
                .property("KEYS")
                .map(|keys| keys.split(' ').collect())
                .unwrap_or_default(),
            born_ms: record.born_ms(),
            store_ms: record.store_ms(),
            reconsume_times: record.reconsume_times(),
            properties: properties(record.properties()),
            body: text,
            body_base64: text.is_none().then(|| base64(&self.body)),
        };
        Ok(serde_json::to_string(&json)?)
    }
}

fn properties(bytes: &[u8]) -> BTreeMap<&str, &str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split('\u{2}')
        .filter_map(|pair| pair.split_once('\u{1}'))
        .collect()
}

/// Producers compress large bodies; brokers leave them as they are.
fn inflated(sys_flag: i32, body: &[u8]) -> Result<Cow<'_, [u8]>> {
    if sys_flag & COMPRESSED == 0 {
        return Ok(Cow::Borrowed(body));
    }
    let mut plain = Vec::new();
    let read = match sys_flag & COMPRESSION {
        kind if COMPRESSION_ZLIB.contains(&kind) => flate2::read::ZlibDecoder::new(body)
            .take(BODY_SIZE_BYTES_MAX)
            .read_to_end(&mut plain),
        0x100 => lz4_flex::frame::FrameDecoder::new(body)
            .take(BODY_SIZE_BYTES_MAX)
            .read_to_end(&mut plain),
        kind => bail!("a message is compressed in a way that this command does not read ({kind:#x})"),
    };
    read.context("a message's body cannot be decompressed")?;
    Ok(Cow::Owned(plain))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= chunk.len() {
                char::from(symbol)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn base64_as_the_rfc_shows_it() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn compressed_bodies_come_back() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(b"body").unwrap();
        let zlib = zlib.finish().unwrap();
        assert_eq!(&*inflated(COMPRESSED, &zlib).unwrap(), b"body");
        assert_eq!(&*inflated(COMPRESSED | 0x300, &zlib).unwrap(), b"body");
        assert_eq!(&*inflated(0, b"body").unwrap(), b"body");
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(b"body").unwrap();
        assert_eq!(
            &*inflated(COMPRESSED | 0x100, &lz4.finish().unwrap()).unwrap(),
            b"body"
        );
        assert!(inflated(COMPRESSED, b"nonsense").is_err());
        assert!(inflated(COMPRESSED | 0x200, &zlib).is_err());
    }

    #[test]
    fn properties_are_pairs() {
        let pairs = properties(b"KEYS\x01a b\x02TAGS\x01t\x02");
        assert_eq!(
            pairs.into_iter().collect::<Vec<_>>(),
            [("KEYS", "a b"), ("TAGS", "t")]
        );
    }
}
