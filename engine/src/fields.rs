//! Little-endian fields of the engine's own files (identity, index, checkpoint), read with bounds checked.

/// The bytes ended before the field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    /// Where the field should begin.
    pub(crate) offset: usize,
}

/// A reader over bytes.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let end = self
            .offset
            .checked_add(count)
            .ok_or(Short { offset: self.offset })?;
        let taken = self
            .bytes
            .get(self.offset..end)
            .ok_or(Short { offset: self.offset })?;
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let offset = self.offset;
        self.take(N)?.try_into().map_err(|_| Short { offset })
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Short> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Short> {
        self.array().map(i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_says_where() {
        let mut fields = Fields::new(&[1, 0, 2]);
        assert_eq!(fields.u16(), Ok(1));
        assert_eq!(fields.remaining(), 1);
        assert_eq!(fields.u16(), Err(Short { offset: 2 }));
    }
}
