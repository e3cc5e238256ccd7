//! The key-value configuration: namespaces of text, kept in memory only.

use std::collections::BTreeMap;

use crate::error::KvError;
use crate::limits::Limits;

/// The namespace that holds `broker:queues[;broker:queues]` per ordered topic.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

#[derive(Debug, Default)]
pub(crate) struct KvConfig {
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    entries: usize,
}

impl KvConfig {
    pub(crate) fn put(
        &mut self,
        namespace: &str,
        key: &str,
        value: &str,
        limits: &Limits,
    ) -> Result<(), KvError> {
        for (field, text) in [("namespace", namespace), ("key", key), ("value", value)] {
            if text.len() > limits.kv_text_size_bytes_max {
                return Err(KvError::TooLong {
                    field,
                    size_bytes: text.len(),
                    max: limits.kv_text_size_bytes_max,
                });
            }
        }
        if self.get(namespace, key).is_none() {
            if self.entries >= limits.kv_entries_max {
                return Err(KvError::Full {
                    max: limits.kv_entries_max,
                });
            }
            self.entries += 1;
        }
        self.namespaces
            .entry(namespace.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.namespaces.get(namespace)?.get(key).map(String::as_str)
    }

    pub(crate) fn delete(&mut self, namespace: &str, key: &str) {
        let Some(table) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if table.remove(key).is_some() {
            self.entries -= 1;
        }
        if table.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    pub(crate) fn list(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_gets_lists_and_forgets() {
        let limits = Limits::default();
        let mut kv = KvConfig::default();
        kv.put("ns", "a", "1", &limits).unwrap();
        kv.put("ns", "a", "2", &limits).unwrap();
        kv.put("ns", "b", "3", &limits).unwrap();
        assert_eq!(kv.get("ns", "a"), Some("2"));
        assert_eq!(kv.list("ns").unwrap().len(), 2);
        kv.delete("ns", "a");
        kv.delete("ns", "b");
        kv.delete("other", "b");
        assert!(kv.list("ns").is_none());
        assert_eq!(kv.entries, 0);
    }

    #[test]
    fn is_bounded() {
        let limits = Limits {
            kv_entries_max: 1,
            kv_text_size_bytes_max: 4,
            ..Limits::default()
        };
        let mut kv = KvConfig::default();
        kv.put("ns", "a", "1", &limits).unwrap();
        kv.put("ns", "a", "2", &limits).unwrap();
        assert_eq!(kv.put("ns", "b", "1", &limits), Err(KvError::Full { max: 1 }));
        assert!(matches!(
            kv.put("ns", "a", "12345", &limits),
            Err(KvError::TooLong { field: "value", .. })
        ));
    }
}
