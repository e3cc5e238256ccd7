//! Batches, as clients make them and take them apart: several messages in one body.

use crate::message::Content;

/// Bytes of a message in a batch beside its body and properties.
const FIXED_SIZE_BYTES: usize = 22;

/// A message of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inner<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) properties: &'a [u8],
}

/// The messages, one behind the other.
pub(crate) fn encode<'a>(contents: impl Iterator<Item = &'a Content>) -> Vec<u8> {
    let mut out = Vec::new();
    for content in contents {
        let (body, properties) = (content.body(), content.properties());
        let size = FIXED_SIZE_BYTES + body.len() + properties.len();
        for field in [size as i32, 0, 0, 0, body.len() as i32] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&body);
        out.extend_from_slice(&(properties.len() as i16).to_be_bytes());
        out.extend_from_slice(&properties);
    }
    out
}

/// The messages of a batch, up to the first that is none.
pub(crate) fn messages(batch: &[u8]) -> Vec<Inner<'_>> {
    let mut rest = batch;
    std::iter::from_fn(|| take(&mut rest)).collect()
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<Inner<'a>> {
    let size = number(rest.get(..4)?)?;
    let (message, after) = rest.split_at_checked(size)?;
    let body_size = number(message.get(16..20)?)?;
    let (body, properties) = message.get(20..)?.split_at_checked(body_size)?;
    *rest = after;
    Some(Inner {
        body,
        properties: properties.get(2..)?,
    })
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

/// A property among the stored ones.
pub(crate) fn property<'a>(properties: &'a [u8], name: &str) -> Option<&'a str> {
    properties
        .split(|byte| *byte == kourou_engine::record::VALUE_END)
        .find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?;
            std::str::from_utf8(value.strip_prefix(&[kourou_engine::record::NAME_END])?).ok()
        })
}
