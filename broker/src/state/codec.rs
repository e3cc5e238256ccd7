//! The encoding of state records and checkpoints: little-endian fields, every length checked against what is there before
//! anything is allocated for it.
//!
//! ```text
//! text    u32 size, bytes (UTF-8)
//! pairs   u32 count, then text name, text value for each
//! bool    u8, 0 or 1
//! ```

use std::collections::BTreeMap;
use std::fmt;

type Later = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// Writes fields.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// Writes what follows, when it is finished.
    later: Option<Later>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes with `write` when it is finished: for what takes long, which must not be done where a checkpoint is taken.
    pub(crate) fn later(write: impl FnOnce(&mut Vec<u8>) + Send + 'static) -> Self {
        Self {
            bytes: Vec::new(),
            later: Some(Box::new(write)),
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if let Some(write) = self.later {
            write(&mut self.bytes);
        }
        self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.bytes.push(value.into());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A count of things in memory; there are never 2^32 of any.
    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Reserves a count that is not known yet; [`Writer::set_count`] fills it in.
    pub(crate) fn count_later(&mut self) -> usize {
        self.u32(0);
        self.bytes.len() - 4
    }

    pub(crate) fn set_count(&mut self, at: usize, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&count.to_le_bytes());
        }
    }

    /// A part with its size before it.
    pub(crate) fn section(&mut self, part: Self) {
        let part = part.finish();
        self.u64(part.len() as u64);
        self.bytes.extend_from_slice(&part);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn pairs(&mut self, pairs: &BTreeMap<String, String>) {
        self.count(pairs.len());
        for (name, value) in pairs {
            self.text(name);
            self.text(value);
        }
    }
}

/// Reads fields; `None` where the bytes end too early or do not mean anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.len()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A part with its size before it.
    pub(crate) fn section(&mut self) -> Option<Self> {
        let size = usize::try_from(self.u64()?).ok()?;
        self.slice(size).map(Self)
    }

    pub(crate) fn slice(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// How many things follow; `None` if there are fewer bytes than that left. Nothing is allocated for a count alone.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let size = self.count()?;
        std::str::from_utf8(self.slice(size)?).ok()
    }

    pub(crate) fn pairs(&mut self) -> Option<BTreeMap<String, String>> {
        (0..self.count()?)
            .map(|_| Some((self.text()?.to_owned(), self.text()?.to_owned())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::new();
        out.u8(7);
        out.bool(true);
        out.i64(-2);
        let count_at = out.count_later();
        out.text("first");
        out.set_count(count_at, 1);
        out.pairs(&BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let bytes = out.finish();

        let mut fields = Fields::new(&bytes);
        assert_eq!(
            (fields.u8(), fields.bool(), fields.i64()),
            (Some(7), Some(true), Some(-2))
        );
        assert_eq!((fields.count(), fields.text()), (Some(1), Some("first")));
        assert_eq!(
            fields.pairs(),
            Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]))
        );
        assert!(fields.is_empty());

        for end in 0..bytes.len() {
            let mut fields = Fields::new(bytes.get(..end).unwrap_or_default());
            let all = (|| {
                fields.u8()?;
                fields.bool()?;
                fields.i64()?;
                fields.count()?;
                fields.text()?;
                fields.pairs()
            })();
            assert_eq!(all, None, "cut at {end}");
        }
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        let bytes = [0xff; 8];
        assert_eq!(Fields::new(&bytes).count(), None);
        assert_eq!(Fields::new(&bytes).text(), None);
        assert_eq!(Fields::new(&bytes).pairs(), None);
    }
}
