//! Quotas: what a topic, a consumer group or a client may have a second. They are attributes of topics and groups, so
//! administrators change them while everything runs and they are as durable as the topic is.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Unit;
use super::bucket::{Bucket, Dry};
use crate::topic::AttributeError;

/// Begins the names of attributes that are quotas.
const PREFIX: &str = "quota.";
/// The first name after all that begin so.
const PREFIX_END: &str = "quota/";
/// Messages a second that may be sent.
pub(crate) const SEND_MESSAGES: &str = "quota.send.messages";
/// Bytes a second that may be sent: bodies and properties.
pub(crate) const SEND_BYTES: &str = "quota.send.bytes";
/// Messages a second that may be received.
pub(crate) const PULL_MESSAGES: &str = "quota.pull.messages";
/// Bytes a second that may be received.
pub(crate) const PULL_BYTES: &str = "quota.pull.bytes";

/// What a quota may be. Balances of the largest fit their type with room to spare.
const QUOTAS: RangeInclusive<u64> = 1..=1_000_000_000_000;

/// Buckets that are kept although they are full.
const KEPT_BUCKETS: usize = 64;

/// Messages and bytes a second; none means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Messages a second.
    pub messages_per_s: Option<NonZeroU64>,
    /// Bytes a second.
    pub bytes_per_s: Option<NonZeroU64>,
}

impl Rates {
    /// Whether nothing is bounded.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}

/// What the attributes of a topic or group say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Quota {
    pub(crate) send: Rates,
    pub(crate) pull: Rates,
}

impl Quota {
    /// Reads the quotas among attributes. What cannot be one was refused by [`check`].
    pub(crate) fn of(attributes: &BTreeMap<String, String>) -> Self {
        let mut quota = Self::default();
        for (name, value) in quotas(attributes) {
            let rate = value.parse().ok();
            match name.as_str() {
                SEND_MESSAGES => quota.send.messages_per_s = rate,
                SEND_BYTES => quota.send.bytes_per_s = rate,
                PULL_MESSAGES => quota.pull.messages_per_s = rate,
                PULL_BYTES => quota.pull.bytes_per_s = rate,
                _ => {}
            }
        }
        quota
    }
}

/// Whether `name` is a quota.
pub(crate) fn is_quota(name: &str) -> bool {
    [SEND_MESSAGES, SEND_BYTES, PULL_MESSAGES, PULL_BYTES].contains(&name)
}

/// Whether a quota may have that value.
pub(crate) fn check(name: &str, value: &str) -> Result<(), AttributeError> {
    match value.parse() {
        Ok(rate) if QUOTAS.contains(&rate) => Ok(()),
        _ => Err(AttributeError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}

/// Whether the quotas among a group's attributes can be.
pub(crate) fn check_all(attributes: &BTreeMap<String, String>) -> Result<(), AttributeError> {
    quotas(attributes).try_for_each(|(name, value)| {
        if is_quota(name) {
            check(name, value)
        } else {
            Err(AttributeError::Unknown { name: name.clone() })
        }
    })
}

/// Whether any of the attributes is a quota.
pub(crate) fn has_quota(attributes: &BTreeMap<String, String>) -> bool {
    quotas(attributes).next().is_some()
}

fn quotas(attributes: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    attributes.range::<str, _>((Bound::Included(PREFIX), Bound::Excluded(PREFIX_END)))
}

/// A bucket for messages and one for bytes, where there are bounds.
#[derive(Debug)]
pub(super) struct Buckets {
    rates: Rates,
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Buckets {
    fn new(rates: Rates, now_ms: i64) -> Self {
        Self {
            rates,
            messages: rates.messages_per_s.map(|rate| Bucket::new(rate, now_ms)),
            bytes: rates.bytes_per_s.map(|rate| Bucket::new(rate, now_ms)),
        }
    }

    /// Whether both have enough; takes nothing.
    pub(super) fn have(&self, messages: u64, bytes: u64, now_ms: i64) -> Result<(), (Unit, Dry)> {
        let has = |bucket: &Option<Bucket>, unit, cost| match bucket {
            Some(bucket) => bucket.has(cost, now_ms).map_err(|dry| (unit, dry)),
            None => Ok(()),
        };
        has(&self.messages, Unit::Messages, messages)?;
        has(&self.bytes, Unit::Bytes, bytes)
    }

    pub(super) fn take(&self, messages: u64, bytes: u64, now_ms: i64) {
        for (bucket, cost) in [(&self.messages, messages), (&self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.take(cost, now_ms);
            }
        }
    }

    fn is_full(&self, now_ms: i64) -> bool {
        [&self.messages, &self.bytes]
            .into_iter()
            .flatten()
            .all(|bucket| bucket.is_full(now_ms))
    }
}

/// The buckets of those who have used some of theirs. Whoever has not for a while has full ones, which need not be kept.
#[derive(Debug)]
pub(super) struct Table<K> {
    buckets: Mutex<HashMap<K, Arc<Buckets>>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            buckets: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Table<K> {
    /// The buckets under `key`; new ones if there are none or if their rates have changed.
    pub(super) fn of<Q>(&self, key: &Q, rates: Rates, now_ms: i64, own: impl FnOnce(&Q) -> K) -> Arc<Buckets>
    where
        Q: Eq + Hash + ?Sized,
        K: Borrow<Q>,
    {
        let mut buckets = self.buckets.lock();
        match buckets.get(key) {
            Some(found) if found.rates == rates => Arc::clone(found),
            _ => {
                let new = Arc::new(Buckets::new(rates, now_ms));
                buckets.insert(own(key), Arc::clone(&new));
                new
            }
        }
    }

    /// Forgets those that are full.
    pub(super) fn sweep(&self, now_ms: i64) {
        let mut buckets = self.buckets.lock();
        if buckets.len() > KEPT_BUCKETS {
            buckets.retain(|_, one| !one.is_full(now_ms));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.buckets.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn attributes_that_are_quotas_are_found() {
        let some = attributes(&[
            ("message.type", "NORMAL"),
            ("quota.send.messages", "100"),
            ("quota.pull.bytes", "1000000"),
            ("reserve.time", "5"),
        ]);
        let quota = Quota::of(&some);
        assert_eq!(quota.send.messages_per_s, NonZeroU64::new(100));
        assert_eq!(quota.pull.bytes_per_s, NonZeroU64::new(1_000_000));
        assert!(quota.send.bytes_per_s.is_none() && quota.pull.messages_per_s.is_none());
        assert!(has_quota(&some) && check_all(&some).is_ok());
        assert!(!has_quota(&attributes(&[("message.type", "NORMAL")])));
        for bad in ["0", "-1", "", "many", "1000000000001"] {
            assert!(
                check_all(&attributes(&[("quota.send.bytes", bad)])).is_err(),
                "{bad}"
            );
        }
        assert!(check_all(&attributes(&[("quota.send.colours", "1")])).is_err());
    }

    #[test]
    fn buckets_are_made_anew_when_rates_change_and_forgotten_when_full() {
        let table: Table<u32> = Table::default();
        let rates = |rate| Rates {
            messages_per_s: NonZeroU64::new(rate),
            bytes_per_s: None,
        };
        let of = |key, rate, now_ms| table.of(&key, rates(rate), now_ms, |key| *key);
        of(1, 10, 0).take(10, 0, 0);
        assert!(of(1, 10, 0).have(1, 0, 0).is_err());
        assert!(
            of(1, 20, 0).have(1, 0, 0).is_ok(),
            "a new rate begins with a full bucket"
        );
        for key in 0..1_000 {
            of(key, 10, 0).take(5, 0, 0);
        }
        table.sweep(499);
        assert_eq!(table.len(), 1_000);
        table.sweep(500);
        assert_eq!(table.len(), 0);
    }
}
