//! The transactions that are pending, by where their half record is and by when their producer is to be asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::{EndTransaction, Outcome, TransactionError};
use crate::state::{Fields, Writer};

/// How many ended transactions are remembered, to answer decisions that come twice.
const ENDED_MAX: usize = 4_096;
/// Stands in a checkpoint for a message that does not say how long nobody is asked.
const NO_IMMUNITY: u32 = u32::MAX;

/// The transaction table.
pub(crate) struct TransactionTable {
    /// How long nobody is asked when the message does not say otherwise.
    timeout_ms: i64,
    check_interval_ms: i64,
    inner: Mutex<Transactions>,
}

#[derive(Default)]
struct Transactions {
    pending: HashMap<u64, Pending>,
    /// Every pending one, by when it is to be asked for.
    checks: BTreeSet<(i64, u64)>,
    /// Each group's name once, however many transactions it has.
    groups: HashSet<Arc<str>>,
    ended: HashMap<u64, Outcome>,
    ended_in_order: VecDeque<u64>,
}

struct Pending {
    group: Arc<str>,
    /// Where its half record lies: at its own position, until it is appended anew.
    place: u64,
    stored_ms: i64,
    next_check_ms: i64,
    size_bytes: u32,
    /// What the message itself says of how long nobody is asked.
    immunity_s: Option<u32>,
    checks: u32,
    /// A record that ends it is on its way to the log.
    in_flight: bool,
}

/// A half message as its record has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Half<'a> {
    pub(crate) position: u64,
    pub(crate) group: &'a str,
    pub(crate) stored_ms: i64,
    pub(crate) size_bytes: u32,
    pub(crate) immunity_s: Option<u32>,
}

/// What came of the wish to end a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is the caller's to end: by a record, or by [`TransactionTable::give_back`].
    Ours(Place),
    /// It has ended so before.
    Before,
}

/// Where the half record of a transaction lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) size_bytes: u32,
}

/// A transaction whose producer is to be asked.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// What it is named by.
    pub(super) position: u64,
    pub(super) half: Place,
    pub(super) group: Arc<str>,
    /// How often it has been asked.
    pub(super) checks: u32,
}

impl fmt::Debug for TransactionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions", self.pending())
    }
}

/// A transaction whose half record is about to expire.
#[derive(Debug, Clone)]
pub(super) struct Lying {
    pub(super) stored_ms: i64,
    pub(super) due: Due,
}

impl Pending {
    fn half(&self) -> Place {
        Place {
            position: self.place,
            size_bytes: self.size_bytes,
        }
    }
}

impl Transactions {
    fn group(&mut self, group: &str) -> Arc<str> {
        self.groups
            .get_or_insert_with(group, |group| Arc::from(group))
            .clone()
    }

    fn insert(&mut self, position: u64, pending: Pending) {
        self.remove(position);
        self.checks.insert((pending.next_check_ms, position));
        self.pending.insert(position, pending);
    }

    fn remove(&mut self, position: u64) -> bool {
        let Some(pending) = self.pending.remove(&position) else {
            return false;
        };
        self.checks.remove(&(pending.next_check_ms, position));
        // This one and the table's own: nobody else has it.
        if Arc::strong_count(&pending.group) == 2 {
            self.groups.remove(&pending.group);
        }
        true
    }

    /// Sets when a pending one is asked for next.
    fn check_at(&mut self, position: u64, next_check_ms: i64) {
        if let Some(pending) = self.pending.get_mut(&position) {
            self.checks.remove(&(pending.next_check_ms, position));
            pending.next_check_ms = next_check_ms;
            self.checks.insert((next_check_ms, position));
        }
    }
}

impl TransactionTable {
    pub(crate) fn new(timeout_ms: i64, check_interval_ms: i64) -> Self {
        Self {
            timeout_ms,
            // The loop over what is due must come to an end.
            check_interval_ms: check_interval_ms.max(1),
            inner: Mutex::default(),
        }
    }

    fn immunity_ms(&self, immunity_s: Option<u32>) -> i64 {
        immunity_s.map_or(self.timeout_ms, |seconds| i64::from(seconds) * 1_000)
    }

    /// The record of a half message has been applied.
    pub(crate) fn add(&self, half: &Half<'_>) {
        let immunity_ms = self.immunity_ms(half.immunity_s);
        let mut inner = self.inner.lock();
        let pending = Pending {
            group: inner.group(half.group),
            place: half.position,
            stored_ms: half.stored_ms,
            next_check_ms: half.stored_ms.saturating_add(immunity_ms),
            size_bytes: half.size_bytes,
            immunity_s: half.immunity_s,
            checks: 0,
            in_flight: false,
        };
        inner.insert(half.position, pending);
    }

    /// A record that ends the transaction has been applied.
    pub(crate) fn ended(&self, position: u64, outcome: Outcome) {
        let mut inner = self.inner.lock();
        if !inner.remove(position) {
            return;
        }
        if inner.ended_in_order.len() >= ENDED_MAX
            && let Some(oldest) = inner.ended_in_order.pop_front()
        {
            inner.ended.remove(&oldest);
        }
        inner.ended_in_order.push_back(position);
        inner.ended.insert(position, outcome);
    }

    /// A record that says how often a producer was asked has been applied. Live it is known already.
    pub(crate) fn checked(&self, position: u64, checks: u32, at_ms: i64) {
        let next_check_ms = at_ms.saturating_add(self.check_interval_ms);
        let mut inner = self.inner.lock();
        if let Some(pending) = inner.pending.get_mut(&position)
            && pending.checks < checks
        {
            pending.checks = checks;
            inner.check_at(position, next_check_ms);
        }
    }

    /// Marks a transaction as being ended by its producer's decision.
    pub(super) fn begin(
        &self,
        position: u64,
        end: &EndTransaction<'_>,
        now_ms: i64,
    ) -> Result<Begun, TransactionError> {
        let mut inner = self.inner.lock();
        let named = end.position;
        let Some(pending) = inner.pending.get_mut(&position) else {
            return match inner.ended.get(&position) {
                Some(outcome) if *outcome == Outcome::from(end.decision) => Ok(Begun::Before),
                Some(outcome) => Err(TransactionError::Ended {
                    position: named,
                    outcome: *outcome,
                }),
                None => Err(TransactionError::NotPending { position: named }),
            };
        };
        if pending.immunity_s.is_some() && !end.from_check {
            let immunity_ms = self.immunity_ms(pending.immunity_s);
            if now_ms.saturating_sub(pending.stored_ms) > immunity_ms {
                return Err(TransactionError::TooLate {
                    position: named,
                    immunity_ms,
                });
            }
        }
        if *pending.group != *end.group {
            return Err(TransactionError::WrongGroup {
                position: named,
                group: pending.group.to_string(),
            });
        }
        // Half messages are in no queue: what their senders were told is 0.
        if end.queue_offset != 0 {
            return Err(TransactionError::WrongOffset {
                position: named,
                found: end.queue_offset,
            });
        }
        if std::mem::replace(&mut pending.in_flight, true) {
            return Err(TransactionError::InFlight { position: named });
        }
        Ok(Begun::Ours(pending.half()))
    }

    /// The half record of the transaction at `position` lies at `place` from now on: a record has been applied that says so. False if no
    /// such transaction is pending.
    pub(crate) fn moved(&self, position: u64, place: u64, size_bytes: u32) -> bool {
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.get_mut(&position) else {
            return false;
        };
        pending.place = place;
        pending.size_bytes = size_bytes;
        pending.in_flight = false;
        true
    }

    /// Where the half record of a pending transaction lies.
    pub(super) fn place(&self, position: u64) -> Option<u64> {
        self.inner
            .lock()
            .pending
            .get(&position)
            .map(|pending| pending.place)
    }

    /// The transactions whose half records lie before `below`: at most `max` that are not being ended, those that lie first; and where
    /// the first of all of them lies.
    pub(super) fn lying_before(&self, below: u64, max: usize) -> (Vec<Lying>, Option<u64>) {
        let inner = self.inner.lock();
        let mut lying: Vec<_> = inner
            .pending
            .iter()
            .filter(|(_, pending)| pending.place < below)
            .collect();
        lying.sort_unstable_by_key(|(_, pending)| pending.place);
        let first = lying.first().map(|(_, pending)| pending.place);
        let lying = lying
            .into_iter()
            .filter(|(_, pending)| !pending.in_flight)
            .take(max);
        let lying = lying.map(|(position, pending)| Lying {
            stored_ms: pending.stored_ms,
            due: Due {
                position: *position,
                half: pending.half(),
                group: pending.group.clone(),
                checks: pending.checks,
            },
        });
        (lying.collect(), first)
    }

    /// Marks a transaction as being given up, or as being appended anew; false if it is being ended otherwise.
    pub(super) fn begin_giving_up(&self, position: u64) -> bool {
        let mut inner = self.inner.lock();
        inner
            .pending
            .get_mut(&position)
            .is_some_and(|pending| !std::mem::replace(&mut pending.in_flight, true))
    }

    /// The record that was to end it is not in the log.
    pub(super) fn give_back(&self, position: u64) {
        if let Some(pending) = self.inner.lock().pending.get_mut(&position) {
            pending.in_flight = false;
        }
    }

    /// Takes those whose producers are to be asked by now, earliest first, at most `max`. Each is due again an interval later,
    /// whatever becomes of it now: what cannot be asked for keeps nobody waiting.
    pub(super) fn take_due(&self, now_ms: i64, max: usize) -> Vec<Due> {
        let next_check_ms = now_ms.saturating_add(self.check_interval_ms);
        let mut inner = self.inner.lock();
        let mut due = Vec::new();
        while due.len() < max
            && let Some(&(at_ms, position)) = inner.checks.first()
            && at_ms <= now_ms
        {
            inner.checks.pop_first();
            inner.check_at(position, next_check_ms);
            match inner.pending.get(&position) {
                Some(pending) if !pending.in_flight => due.push(Due {
                    position,
                    half: pending.half(),
                    group: pending.group.clone(),
                    checks: pending.checks,
                }),
                _ => {}
            }
        }
        due
    }

    /// A producer has been asked.
    pub(super) fn count_check(&self, position: u64) {
        if let Some(pending) = self.inner.lock().pending.get_mut(&position) {
            pending.checks = pending.checks.saturating_add(1);
        }
    }

    /// When the next producer is to be asked.
    pub(crate) fn next_check_ms(&self) -> Option<i64> {
        self.inner.lock().checks.first().map(|(at_ms, _)| *at_ms)
    }

    /// How many transactions have not ended.
    pub(crate) fn pending(&self) -> usize {
        self.inner.lock().pending.len()
    }

    /// How often the producer of a pending transaction has been asked.
    pub(crate) fn checks(&self, position: u64) -> Option<u32> {
        self.inner
            .lock()
            .pending
            .get(&position)
            .map(|pending| pending.checks)
    }

    /// Where the half messages lie that are pending.
    pub(crate) fn places(&self) -> Vec<u64> {
        let inner = self.inner.lock();
        inner.pending.values().map(|pending| pending.place).collect()
    }

    pub(crate) fn encode(&self) -> Writer {
        let inner = self.inner.lock();
        let mut by_group: BTreeMap<&str, Vec<(u64, &Pending)>> = BTreeMap::new();
        for (position, pending) in &inner.pending {
            by_group
                .entry(&pending.group)
                .or_default()
                .push((*position, pending));
        }
        let mut out = Writer::new();
        out.count(by_group.len());
        for (group, transactions) in by_group {
            out.text(group);
            out.count(transactions.len());
            for (position, pending) in transactions {
                out.u64(position);
                out.u32(pending.size_bytes);
                out.i64(pending.stored_ms);
                out.i64(pending.next_check_ms);
                out.u32(pending.checks);
                out.u32(pending.immunity_s.unwrap_or(NO_IMMUNITY));
            }
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut restored = Transactions::default();
        for _ in 0..fields.count()? {
            let group = restored.group(fields.text()?);
            for _ in 0..fields.count()? {
                let position = fields.u64()?;
                let pending = Pending {
                    group: group.clone(),
                    place: position,
                    size_bytes: fields.u32()?,
                    stored_ms: fields.i64()?,
                    next_check_ms: fields.i64()?,
                    checks: fields.u32()?,
                    immunity_s: Some(fields.u32()?).filter(|seconds| *seconds != NO_IMMUNITY),
                    in_flight: false,
                };
                restored.insert(position, pending);
            }
        }
        *self.inner.lock() = restored;
        Some(())
    }

    /// Where the half records lie that were appended anew.
    pub(crate) fn encode_places(&self) -> Writer {
        let inner = self.inner.lock();
        let moved = inner
            .pending
            .iter()
            .filter(|(position, pending)| **position != pending.place);
        let mut out = Writer::new();
        let count_at = out.count_later();
        let mut count = 0;
        for (position, pending) in moved {
            count += 1;
            out.u64(*position);
            out.u64(pending.place);
        }
        out.set_count(count_at, count);
        out
    }

    /// Behind [`TransactionTable::restore`].
    pub(crate) fn restore_places(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut inner = self.inner.lock();
        for _ in 0..fields.count()? {
            let (position, place) = (fields.u64()?, fields.u64()?);
            inner.pending.get_mut(&position)?.place = place;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Decision;

    fn half(position: u64, group: &str) -> Half<'_> {
        Half {
            position,
            group,
            stored_ms: 1_000,
            size_bytes: 100,
            immunity_s: None,
        }
    }

    fn end(position: u64, decision: Decision) -> EndTransaction<'static> {
        EndTransaction {
            group: "g".into(),
            position: position as i64,
            queue_offset: 0,
            decision,
            from_check: false,
        }
    }

    fn table() -> TransactionTable {
        TransactionTable::new(6_000, 30_000)
    }

    #[test]
    fn is_decided_once() {
        let table = table();
        table.add(&half(5, "g"));
        let commit = end(5, Decision::Commit);
        assert!(matches!(
            table.begin(5, &commit, 0),
            Ok(Begun::Ours(Place {
                position: 5,
                size_bytes: 100
            }))
        ));
        assert!(matches!(
            table.begin(5, &commit, 0),
            Err(TransactionError::InFlight { .. })
        ));
        assert!(!table.begin_giving_up(5));
        table.give_back(5);
        assert!(table.begin_giving_up(5));
        table.give_back(5);
        assert!(table.begin(5, &commit, 0).is_ok());
        table.ended(5, Outcome::Committed);
        table.give_back(5);
        assert_eq!(table.begin(5, &commit, 0).unwrap(), Begun::Before);
        assert!(matches!(
            table.begin(5, &end(5, Decision::Rollback), 0),
            Err(TransactionError::Ended {
                outcome: Outcome::Committed,
                ..
            })
        ));
        assert!(matches!(
            table.begin(6, &end(6, Decision::Rollback), 0),
            Err(TransactionError::NotPending { .. })
        ));
        assert_eq!((table.pending(), table.next_check_ms()), (0, None));
        assert!(table.inner.lock().groups.is_empty());
    }

    #[test]
    fn so_many_ends_are_remembered() {
        let table = table();
        for position in 0..=ENDED_MAX as u64 {
            table.add(&half(position, "g"));
            table.ended(position, Outcome::RolledBack);
        }
        let inner = table.inner.lock();
        assert_eq!(
            (inner.ended.len(), inner.ended_in_order.len()),
            (ENDED_MAX, ENDED_MAX)
        );
    }

    #[test]
    fn those_that_cannot_be_asked_for_keep_nobody_waiting() {
        let table = table();
        for position in 1..=5 {
            table.add(&half(position, "g"));
        }
        assert!(table.take_due(6_999, 9).is_empty());
        table.begin_giving_up(2);
        let positions = |due: Vec<Due>| due.iter().map(|due| due.position).collect::<Vec<_>>();
        assert_eq!(positions(table.take_due(7_000, 2)), [1, 3]);
        assert_eq!(positions(table.take_due(7_000, 9)), [4, 5]);
        assert_eq!(table.next_check_ms(), Some(37_000));
    }

    #[test]
    fn a_half_message_that_was_appended_anew_is_the_same_transaction() {
        let table = table();
        for position in [5, 6, 9] {
            table.add(&half(position, "g"));
        }
        let lying = |below, max| {
            let (lying, first) = table.lying_before(below, max);
            (
                lying.iter().map(|one| one.due.position).collect::<Vec<_>>(),
                first,
            )
        };
        assert_eq!(lying(9, 9), (vec![5, 6], Some(5)));
        assert!(table.begin_giving_up(5));
        assert_eq!(lying(9, 9), (vec![6], Some(5)));
        assert!(table.moved(5, 50, 120) && !table.moved(7, 70, 1));
        assert_eq!((lying(9, 9), table.place(5)), ((vec![6], Some(6)), Some(50)));
        assert_eq!(lying(51, 2), (vec![6, 9], Some(6)));
        let restored = self::table();
        let bytes = table.encode().finish();
        assert_eq!(restored.restore(&mut Fields::new(&bytes)), Some(()));
        let bytes = table.encode_places().finish();
        assert_eq!(restored.restore_places(&mut Fields::new(&bytes)), Some(()));
        assert_eq!((restored.place(5), restored.place(6)), (Some(50), Some(6)));
        assert!(matches!(
            restored.begin(5, &end(5, Decision::Commit), 0),
            Ok(Begun::Ours(Place {
                position: 50,
                size_bytes: 120
            }))
        ));
    }

    #[test]
    fn a_checkpoint_keeps_all_but_what_is_in_flight() {
        let table = table();
        table.add(&half(1, "g"));
        table.add(&Half {
            immunity_s: Some(60),
            ..half(2, "g")
        });
        table.add(&half(3, "other"));
        table.take_due(7_000, 1);
        table.count_check(1);
        table.begin_giving_up(1);
        let restored = self::table();
        let bytes = table.encode().finish();
        assert_eq!(restored.restore(&mut Fields::new(&bytes)), Some(()));
        assert_eq!(restored.encode().finish().len(), bytes.len());
        assert_eq!(restored.checks(1), Some(1));
        assert!(restored.begin_giving_up(1));
        assert!(matches!(
            restored.begin(2, &end(2, Decision::Commit), 61_001),
            Err(TransactionError::TooLate {
                immunity_ms: 60_000,
                ..
            })
        ));
        let due: Vec<_> = restored
            .take_due(61_000, 9)
            .iter()
            .map(|due| due.position)
            .collect();
        assert_eq!(due, [3, 2]);
    }
}
