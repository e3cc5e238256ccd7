//! One message of the trace topic: records, and the ids and keys that it is found by.

use hashbrown::HashSet;
use kourou_engine::record::KEYS_PER_RECORD_MAX;

/// Records that go together, in bytes; what upstream's clients send at once.
const BODY_SIZE_BYTES_MAX: usize = 128_000;
/// Keys of one message, in bytes: with them its properties stay below what a record can hold.
const KEYS_SIZE_BYTES_MAX: usize = 16 * 1024;
/// One is the message's own unique key.
const KEYS_MAX: usize = KEYS_PER_RECORD_MAX - 1;

/// A message as it is being put together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) body: String,
    /// Separated by blanks.
    pub(super) keys: String,
    known: HashSet<Box<str>>,
    pub(super) records: u64,
}

impl Batch {
    /// Puts in a record, made by `write`, and the words it is found by: the message's id and keys. Gives the batch before it back
    /// if this one does not fit in.
    pub(super) fn add<'a>(
        &mut self,
        id: &'a str,
        keys: &'a str,
        line: impl FnOnce(&mut String),
    ) -> Option<Self> {
        let words = || {
            std::iter::once(id)
                .chain(keys.split(' '))
                .filter(|word| !word.is_empty())
        };
        let new = words().filter(|word| !self.known.contains(*word));
        let (count, size_bytes) = new.fold((0, 0), |(count, size), word| (count + 1, size + word.len() + 1));
        let fits = self.body.len() < BODY_SIZE_BYTES_MAX
            && self.known.len() + count <= KEYS_MAX
            && self.keys.len() + size_bytes <= KEYS_SIZE_BYTES_MAX;
        let full = (!fits && self.records > 0).then(|| std::mem::take(self));
        for word in words() {
            // Of a message with more keys than any can have, the first ones count.
            let has_room = self.known.len() < KEYS_MAX && self.keys.len() + word.len() < KEYS_SIZE_BYTES_MAX;
            if has_room && self.known.insert(word.into()) {
                if !self.keys.is_empty() {
                    self.keys.push(' ');
                }
                self.keys.push_str(word);
            }
        }
        line(&mut self.body);
        self.records += 1;
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(batch: &mut Batch, id: &str, keys: &str) -> Option<Batch> {
        batch.add(id, keys, |body| body.push_str(id))
    }

    #[test]
    fn each_record_is_found_by_its_id_and_keys() {
        let mut batch = Batch::default();
        assert!(add(&mut batch, "1", "a b").is_none());
        assert!(add(&mut batch, "2", "b  c").is_none());
        assert!(add(&mut batch, "1", "").is_none());
        assert_eq!(
            (batch.keys.as_str(), batch.body.as_str(), batch.records),
            ("1 a b 2 c", "121", 3)
        );
    }

    #[test]
    fn a_batch_has_no_more_keys_than_are_indexed() {
        let mut batch = Batch::default();
        let mut full = Vec::new();
        for at in 0..1_000 {
            full.extend(add(&mut batch, &format!("id{at}"), &format!("key{at}")));
        }
        full.push(batch);
        assert!(
            full.iter()
                .all(|batch| batch.keys.split(' ').count() < KEYS_PER_RECORD_MAX)
        );
        assert_eq!(full.iter().map(|batch| batch.records).sum::<u64>(), 1_000);
        for (batch, next) in full.iter().zip(&full[1..]) {
            assert!(batch.keys.split(' ').count() + 2 >= KEYS_MAX, "{}", next.keys);
        }
    }

    #[test]
    fn a_message_with_endless_keys_goes_alone_and_is_found_by_the_first() {
        let many: Vec<String> = (0..2_000).map(|at| format!("key{at}")).collect();
        let mut batch = Batch::default();
        assert!(add(&mut batch, "before", "").is_none());
        let before = add(&mut batch, "id", &many.join(" ")).unwrap();
        assert_eq!(before.keys, "before");
        assert!(batch.keys.starts_with("id key0 key1 "));
        assert_eq!(batch.keys.split(' ').count(), KEYS_MAX);
        let long = "k".repeat(32_000);
        let before = add(&mut batch, "id2", &long).unwrap();
        assert_eq!((before.records, batch.keys.as_str()), (1, "id2"));
    }

    #[test]
    fn a_full_body_ends_a_batch() {
        let mut batch = Batch::default();
        let line = "x".repeat(BODY_SIZE_BYTES_MAX);
        assert!(batch.add("1", "", |body| body.push_str(&line)).is_none());
        assert_eq!(add(&mut batch, "1", "").unwrap().records, 1);
    }
}
