//! Records that are appended together, in memory that is used again.

use super::encode::{EncodeError, EncodedRecord, Limits, RecordDraft, Shape, Unstamped};
use super::key::KeyHash;
use super::view::RecordView;

/// Bytes that [`EncodedRecords::clear`] keeps for the next records; a buffer that grew beyond it is given back.
pub const KEPT_SIZE_BYTES_MAX: usize = 64 * 1024;
/// The same for the list of records.
const KEPT_RECORDS_MAX: usize = 1024;
/// And for the list of keys.
const KEPT_KEYS_MAX: usize = 4096;

/// One record or several, encoded one behind the other. They are appended together, and are in the log all or not at all.
///
/// An append gives it back empty, with its memory: whoever keeps it for the next append allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct EncodedRecords {
    bytes: Vec<u8>,
    shapes: Vec<Shape>,
    /// Of all records, one behind the other.
    keys: Vec<KeyHash>,
}

impl EncodedRecords {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            shapes: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Encodes a record behind the others, see [`RecordDraft::encode_within`].
    ///
    /// # Errors
    /// See [`EncodeError`]. The others stay as they are.
    pub fn push(&mut self, draft: &RecordDraft<'_>, limits: &Limits) -> Result<(), EncodeError> {
        let shape = draft.encode_onto(&mut self.bytes, &mut self.keys, limits)?;
        self.shapes.push(shape);
        Ok(())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Size of all of them in the log.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Forgets the records. Keeps the memory, up to [`KEPT_SIZE_BYTES_MAX`].
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_SIZE_BYTES_MAX {
            self.bytes = Vec::new();
        }
        if self.shapes.capacity() > KEPT_RECORDS_MAX {
            self.shapes = Vec::new();
        }
        if self.keys.capacity() > KEPT_KEYS_MAX {
            self.keys = Vec::new();
        }
        self.bytes.clear();
        self.shapes.clear();
        self.keys.clear();
    }

    /// The hash of the first record's unique key, if it has one. It was made when the record was encoded.
    pub fn first_unique_key(&self) -> Option<KeyHash> {
        let first = self.shapes.first()?;
        (first.has_unique_key && first.key_count > 0)
            .then(|| self.keys.first().copied())
            .flatten()
    }

    /// The records as readers see them, but for where and when they are stored, and the checksum.
    pub fn views(&self) -> impl Iterator<Item = RecordView<'_>> {
        self.iter()
            .filter_map(|record| RecordView::parse(record.bytes()).ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Unstamped<'_>> {
        let mut rest = self.bytes.as_slice();
        let mut keys_rest = self.keys.as_slice();
        self.shapes.iter().map_while(move |shape| {
            let (bytes, after) = rest.split_at_checked(shape.size_bytes as usize)?;
            let (keys, keys_after) = keys_rest.split_at_checked(shape.key_count.into())?;
            (rest, keys_rest) = (after, keys_after);
            Some(Unstamped { bytes, keys, shape })
        })
    }
}

impl From<EncodedRecord> for EncodedRecords {
    fn from(record: EncodedRecord) -> Self {
        Self {
            bytes: record.bytes,
            shapes: vec![record.shape],
            keys: record.keys,
        }
    }
}

impl FromIterator<EncodedRecord> for EncodedRecords {
    fn from_iter<T: IntoIterator<Item = EncodedRecord>>(records: T) -> Self {
        let mut all = Self::new();
        for record in records {
            all.bytes.extend_from_slice(&record.bytes);
            all.shapes.push(record.shape);
            all.keys.extend_from_slice(&record.keys);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_in_one_buffer_and_are_those_that_were_encoded() {
        let body = [7; 300];
        let drafts = [
            RecordDraft::new("orders", 1, &body),
            RecordDraft::new("kourou/state", 2, b""),
            RecordDraft {
                properties: b"TAGS\x01red",
                ..RecordDraft::new("t", 3, b"x")
            },
        ];
        let mut records = EncodedRecords::new();
        for _ in 0..2 {
            assert!(records.is_empty());
            for draft in &drafts {
                records.push(draft, &Limits::default()).unwrap();
            }
            let limits = Limits {
                body_size_bytes_max: 1,
            };
            records.push(&drafts[0], &limits).unwrap_err();
            assert_eq!(records.len(), 3);
            let alone = drafts.map(|draft| draft.encode().unwrap());
            let size_bytes: u64 = alone.iter().map(|one| u64::from(one.size_bytes())).sum();
            assert_eq!(records.size_bytes(), size_bytes);
            for (one, alone) in records.iter().zip(&alone) {
                assert_eq!(one.bytes(), alone.bytes());
                assert_eq!(
                    (one.topic(), one.queue_id(), one.tags_code(), one.indexed()),
                    (
                        alone.topic(),
                        alone.queue_id(),
                        alone.tags_code(),
                        alone.indexed()
                    )
                );
            }
            records.clear();
        }
    }

    #[test]
    fn memory_is_kept_up_to_a_bound() {
        let mut records = EncodedRecords::new();
        let mut kept_after = |body: &[u8]| {
            records
                .push(&RecordDraft::new("t", 0, body), &Limits::default())
                .unwrap();
            records.clear();
            records.bytes.capacity()
        };
        assert!(kept_after(&[0; 1000]) >= 1000);
        assert_eq!(kept_after(&[0; KEPT_SIZE_BYTES_MAX]), 0);
    }
}
