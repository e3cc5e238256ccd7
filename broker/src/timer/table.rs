//! The timers there are, by when they are due and by where their record is.

use std::collections::BTreeSet;
use std::fmt;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::state::{Fields, Writer};

/// The timer table.
#[derive(Default)]
pub(crate) struct TimerTable(Mutex<Timers>);

#[derive(Default)]
struct Timers {
    /// Every timer that is not delivered: waiting, being delivered, or parked.
    due_by_position: HashMap<u64, i64>,
    /// Those that wait.
    waiting: BTreeSet<(i64, u64)>,
    /// Those that can not be delivered; they stay in the checkpoint, and are tried again after a restart.
    parked: usize,
    /// After a refused delivery, nothing is tried before this.
    paused_until_ms: i64,
}

impl Timers {
    fn in_flight(&self) -> usize {
        self.due_by_position
            .len()
            .saturating_sub(self.waiting.len() + self.parked)
    }
}

impl fmt::Debug for TimerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timers", self.pending())
    }
}

impl TimerTable {
    /// Adds a timer; whether it is due before all others that wait.
    pub(crate) fn add(&self, due_ms: i64, position: u64) -> bool {
        let mut timers = self.0.lock();
        timers.due_by_position.insert(position, due_ms);
        timers.waiting.insert((due_ms, position));
        timers.waiting.first() == Some(&(due_ms, position))
    }

    /// A record that delivers the timer has been applied.
    pub(crate) fn delivered(&self, position: u64) {
        let mut timers = self.0.lock();
        if let Some(due_ms) = timers.due_by_position.remove(&position) {
            // In recovery it waits; live it is in flight.
            timers.waiting.remove(&(due_ms, position));
        }
    }

    /// Takes the timers that are due, earliest first, as long as no more than `in_flight_max` are in flight.
    pub(crate) fn take_due(&self, now_ms: i64, in_flight_max: usize) -> Vec<(i64, u64)> {
        let mut timers = self.0.lock();
        let mut due = Vec::new();
        if timers.paused_until_ms > now_ms {
            return due;
        }
        while timers.in_flight() < in_flight_max
            && let Some(&first) = timers.waiting.first()
            && first.0 <= now_ms
        {
            timers.waiting.pop_first();
            due.push(first);
        }
        due
    }

    /// A timer that was taken was not delivered: it waits again, and all wait until `retry_ms`.
    pub(crate) fn give_back(&self, position: u64, retry_ms: i64) {
        let mut timers = self.0.lock();
        timers.paused_until_ms = retry_ms;
        if let Some(&due_ms) = timers.due_by_position.get(&position) {
            timers.waiting.insert((due_ms, position));
        }
    }

    /// A timer that was taken can not be delivered.
    pub(crate) fn park(&self, position: u64) {
        let mut timers = self.0.lock();
        if timers.due_by_position.contains_key(&position) {
            timers.parked += 1;
        }
    }

    /// When the earliest waiting timer is due, or may be tried again.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        let timers = self.0.lock();
        timers
            .waiting
            .first()
            .map(|(due_ms, _)| timers.paused_until_ms.max(*due_ms))
    }

    /// How many timers are not delivered.
    pub(crate) fn pending(&self) -> usize {
        self.0.lock().due_by_position.len()
    }

    pub(crate) fn encode(&self) -> Writer {
        let timers = self.0.lock();
        let mut out = Writer::new();
        out.count(timers.due_by_position.len());
        for (position, due_ms) in &timers.due_by_position {
            out.i64(*due_ms);
            out.u64(*position);
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut timers = Timers::default();
        for _ in 0..fields.count()? {
            let (due_ms, position) = (fields.i64()?, fields.u64()?);
            timers.due_by_position.insert(position, due_ms);
            timers.waiting.insert((due_ms, position));
        }
        *self.0.lock() = timers;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_in_order_and_never_twice() {
        let table = TimerTable::default();
        assert!(table.add(20, 100));
        assert!(table.add(10, 200));
        assert!(!table.add(10, 300));
        assert!(table.take_due(9, 8).is_empty());
        assert_eq!(table.take_due(20, 8), [(10, 200), (10, 300), (20, 100)]);
        assert!(table.take_due(20, 8).is_empty(), "in flight");
        table.give_back(300, 0);
        table.delivered(200);
        assert_eq!(table.take_due(20, 8), [(10, 300)]);
        table.delivered(300);
        table.give_back(300, 0);
        assert_eq!((table.next_due_ms(), table.pending()), (None, 1));
    }

    #[test]
    fn a_refusal_pauses_all() {
        let table = TimerTable::default();
        table.add(10, 1);
        table.add(11, 2);
        assert_eq!(table.take_due(10, 8), [(10, 1)]);
        table.give_back(1, 110);
        assert_eq!(table.next_due_ms(), Some(110));
        assert!(table.take_due(109, 8).is_empty());
        assert_eq!(table.take_due(110, 8), [(10, 1), (11, 2)]);
    }

    #[test]
    fn in_flight_is_bounded() {
        let table = TimerTable::default();
        for position in 1..=5 {
            table.add(1, position);
        }
        assert_eq!(table.take_due(1, 2), [(1, 1), (1, 2)]);
        assert!(table.take_due(1, 2).is_empty());
        table.park(1);
        assert_eq!(table.take_due(1, 2), [(1, 3)]);
        table.delivered(2);
        assert_eq!(table.take_due(1, 2), [(1, 4)]);
    }

    #[test]
    fn a_checkpoint_keeps_those_in_flight() {
        let table = TimerTable::default();
        table.add(10, 1);
        table.add(20, 2);
        table.take_due(10, 8);
        let restored = TimerTable::default();
        assert_eq!(
            restored.restore(&mut Fields::new(&table.encode().finish())),
            Some(())
        );
        assert_eq!(restored.take_due(20, 8), [(10, 1), (20, 2)]);
        // Recovery replays the delivery that was in flight when the checkpoint was taken.
        let replayed = TimerTable::default();
        assert_eq!(
            replayed.restore(&mut Fields::new(&table.encode().finish())),
            Some(())
        );
        replayed.delivered(1);
        assert_eq!(replayed.take_due(20, 8), [(20, 2)]);
    }
}
