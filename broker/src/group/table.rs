//! The consumer groups there are: built in, and made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::GroupConfig;
use crate::flow;
use crate::state::{Fields, Writer};
use crate::topic::DataVersion;

/// Groups of tools and of the system, which are there without anybody making them.
const BUILT_IN: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// The group table.
///
/// A group that is made by its first use has nothing but defaults, so it is there at once and its record follows: a crash in
/// between loses nothing that the next use does not make again. `stored` tells the two apart.
#[derive(Default)]
pub(crate) struct GroupTable {
    made: RwLock<Made>,
    /// How many have a quota; changes under the lock, and is read without it.
    with_quota: AtomicUsize,
}

#[derive(Default)]
struct Made {
    built_in: HashMap<Arc<str>, Arc<GroupConfig>>,
    groups: HashMap<Arc<str>, Entry>,
    version: DataVersion,
}

struct Entry {
    config: Arc<GroupConfig>,
    stored: bool,
}

impl fmt::Debug for GroupTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} groups", self.made.read().groups.len())
    }
}

impl GroupTable {
    pub(crate) fn new() -> Self {
        let built_in = BUILT_IN
            .into_iter()
            .map(GroupConfig::new)
            .map(|config| (config.name.clone(), Arc::new(config)))
            .collect();
        Self {
            made: RwLock::new(Made {
                built_in,
                ..Made::default()
            }),
            with_quota: AtomicUsize::new(0),
        }
    }

    pub(crate) fn get(&self, group: &str) -> Option<Arc<GroupConfig>> {
        let made = self.made.read();
        made.groups
            .get(group)
            .map(|entry| &entry.config)
            .or_else(|| made.built_in.get(group))
            .cloned()
    }

    /// Whether any group has a quota.
    pub(crate) fn any_quota(&self) -> bool {
        self.with_quota.load(Ordering::Relaxed) > 0
    }

    /// How many have been made.
    pub(crate) fn made_count(&self) -> usize {
        self.made.read().groups.len()
    }

    /// All groups, by name, and the version that they are.
    pub(crate) fn all(&self) -> (Vec<Arc<GroupConfig>>, DataVersion) {
        let made = self.made.read();
        let mut all: Vec<_> = made.groups.values().map(|entry| entry.config.clone()).collect();
        all.extend(
            made.built_in
                .values()
                .filter(|config| !made.groups.contains_key(&config.name))
                .cloned(),
        );
        let version = made.version;
        drop(made);
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        (all, version)
    }

    pub(crate) fn version(&self) -> DataVersion {
        self.made.read().version
    }

    /// Makes a group by its first use; the config, and whether it was made just now.
    pub(crate) fn use_first(&self, group: &str) -> (Arc<GroupConfig>, bool) {
        let mut made = self.made.write();
        if let Some(entry) = made.groups.get(group) {
            return (entry.config.clone(), false);
        }
        let config = Arc::new(GroupConfig::new(group));
        made.groups.insert(
            config.name.clone(),
            Entry {
                config: config.clone(),
                stored: false,
            },
        );
        (config, true)
    }

    /// Groups made by use whose record is not in the log.
    pub(crate) fn not_stored(&self) -> Vec<Arc<GroupConfig>> {
        let made = self.made.read();
        made.groups
            .values()
            .filter(|entry| !entry.stored)
            .map(|entry| entry.config.clone())
            .collect()
    }

    pub(crate) fn put(&self, config: GroupConfig, only_if_absent: bool, now_ms: i64) {
        let mut made = self.made.write();
        let has_quota = flow::has_quota(&config.attributes);
        match made.groups.get_mut(&config.name) {
            Some(entry) if only_if_absent && entry.stored => return,
            Some(entry) => {
                self.lose(entry);
                *entry = Entry {
                    config: Arc::new(config),
                    stored: true,
                }
            }
            None => {
                let entry = Entry {
                    config: Arc::new(config),
                    stored: true,
                };
                made.groups.insert(entry.config.name.clone(), entry);
            }
        }
        self.with_quota
            .fetch_add(usize::from(has_quota), Ordering::Relaxed);
        made.version.bump(now_ms);
    }

    /// A group's settings go.
    fn lose(&self, entry: &Entry) {
        let had_quota = flow::has_quota(&entry.config.attributes);
        self.with_quota
            .fetch_sub(usize::from(had_quota), Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, group: &str, now_ms: i64) {
        let mut made = self.made.write();
        if let Some(entry) = made.groups.remove(group) {
            self.lose(&entry);
            made.version.bump(now_ms);
        }
    }

    pub(crate) fn encode(&self) -> Writer {
        let made = self.made.read();
        let mut out = Writer::new();
        made.version.encode(&mut out);
        let count_at = out.count_later();
        let mut count = 0;
        for entry in made.groups.values().filter(|entry| entry.stored) {
            entry.config.encode(&mut out);
            count += 1;
        }
        out.set_count(count_at, count);
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let version = DataVersion::decode(fields)?;
        let mut groups = HashMap::new();
        let mut with_quota = 0;
        for _ in 0..fields.count()? {
            let config = Arc::new(GroupConfig::decode(fields)?);
            with_quota += usize::from(flow::has_quota(&config.attributes));
            groups.insert(config.name.clone(), Entry { config, stored: true });
        }
        let mut made = self.made.write();
        self.with_quota.store(with_quota, Ordering::Relaxed);
        made.groups = groups;
        made.version = version;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_made_by_use_never_undoes_a_change() {
        let table = GroupTable::new();
        let (_, made_now) = table.use_first("g");
        assert!(made_now && !table.use_first("g").1);
        assert_eq!(table.not_stored().len(), 1);
        // An administrator's change is logged first, the record of the first use after it.
        table.put(
            GroupConfig {
                retry_times_max: 3,
                ..GroupConfig::new("g")
            },
            false,
            5,
        );
        table.put(GroupConfig::new("g"), true, 6);
        assert_eq!(table.get("g").map(|config| config.retry_times_max), Some(3));
        assert!(table.not_stored().is_empty());
        assert_eq!(
            table.version(),
            DataVersion {
                state_version: 0,
                timestamp_ms: 5,
                counter: 1
            }
        );
    }

    #[test]
    fn a_checkpoint_holds_what_is_in_the_log() {
        let table = GroupTable::new();
        table.use_first("unstored");
        table.put(
            GroupConfig {
                sys_flag: 9,
                ..GroupConfig::new("stored")
            },
            false,
            5,
        );
        let bytes = table.encode().finish();
        let restored = GroupTable::new();
        assert_eq!(restored.restore(&mut Fields::new(&bytes)), Some(()));
        assert_eq!(restored.get("stored").map(|config| config.sys_flag), Some(9));
        assert_eq!(restored.get("unstored"), None);
        assert!(restored.get("TOOLS_CONSUMER").is_some());
    }
}
