//! How much a name server agrees to remember.

/// Upper bounds of the tables. Anybody who reaches the port can register, so nothing may grow without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Distinct topics over all brokers.
    pub topics_max: usize,
    /// Broker groups (distinct broker names).
    pub brokers_max: usize,
    /// Brokers of one group (distinct broker ids under one name).
    pub members_max: usize,
    /// Entries of the key-value configuration over all namespaces.
    pub kv_entries_max: usize,
    /// Longest key, namespace or value of the key-value configuration.
    pub kv_text_size_bytes_max: usize,
    /// Filter servers one broker may announce.
    pub filter_servers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics_max: 1 << 20,
            brokers_max: 4096,
            members_max: 64,
            kv_entries_max: 1 << 16,
            kv_text_size_bytes_max: 64 * 1024,
            filter_servers_max: 64,
        }
    }
}
