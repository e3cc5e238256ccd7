//! The timers there are: those that wait, those on their way, and those that cannot be delivered.

use std::collections::BinaryHeap;
use std::fmt;

use hashbrown::{HashMap, HashSet};
use kourou_engine::planted::{self, Bug};
use parking_lot::Mutex;

use super::checkpoint;
use super::sorted::{Sorted, Timer};
use crate::state::{Fields, Writer};

/// The timer table.
#[derive(Default)]
pub(crate) struct TimerTable(Mutex<Timers>);

#[derive(Default)]
struct Timers {
    waiting: Sorted,
    /// By position: being delivered, or being recalled. A record that ends each is on its way.
    in_flight: HashMap<u64, Timer>,
    /// Those that cannot be delivered; they stay in the checkpoint, and are tried again after a restart.
    parked: Vec<Timer>,
    /// Positions of timers that ended while they were waiting, which happens in recovery alone. See [`Timers::settle`].
    ended: HashSet<u64>,
    /// After a refused delivery, nothing is tried before this.
    paused_until_ms: i64,
}

impl Timers {
    /// Takes those that have ended out of those that wait. Recovery learns of an end by position alone, and looking each up
    /// would need an index that nothing else needs; so they are taken out together, before anybody looks.
    fn settle(&mut self) {
        if !self.ended.is_empty() {
            let ended = std::mem::take(&mut self.ended);
            self.waiting.retain(|timer| !ended.contains(&timer.position));
        }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len() + self.parked.len()
    }
}

impl fmt::Debug for TimerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timers", self.pending())
    }
}

/// Timers that a recall may mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    pub(crate) waiting: Vec<Timer>,
    pub(crate) in_flight: Vec<Timer>,
}

impl TimerTable {
    /// Adds a timer; whether it is due before all others that wait.
    pub(crate) fn add(&self, timer: Timer) -> bool {
        let mut timers = self.0.lock();
        timers.waiting.insert(timer);
        timers.waiting.first() == Some(&timer)
    }

    /// A record that ends the timer at `position` has been applied: one that delivers it, or that recalls it.
    pub(crate) fn end(&self, position: u64) {
        let mut timers = self.0.lock();
        // Live it is in flight; in recovery it waits.
        if timers.in_flight.remove(&position).is_none() {
            timers.ended.insert(position);
        }
    }

    /// Takes the timers that are due, earliest first, as long as no more than `in_flight_max` are in flight, and no more than
    /// `size_bytes_max` are taken; one is always allowed.
    pub(crate) fn take_due(&self, now_ms: i64, in_flight_max: usize, size_bytes_max: u64) -> Vec<Timer> {
        let now_ms = now_ms
            + if planted::is(Bug::TimersAreEarly) {
                1_000
            } else {
                0
            };
        let mut timers = self.0.lock();
        timers.settle();
        if timers.paused_until_ms > now_ms {
            return Vec::new();
        }
        let mut count_left = in_flight_max.saturating_sub(timers.in_flight.len());
        let mut size_bytes = 0;
        let due = timers.waiting.take_while(|timer| {
            let fits = size_bytes == 0 || size_bytes + u64::from(timer.size_bytes) <= size_bytes_max;
            if timer.due_ms > now_ms || count_left == 0 || !fits {
                return false;
            }
            count_left -= 1;
            size_bytes += u64::from(timer.size_bytes);
            true
        });
        timers
            .in_flight
            .extend(due.iter().map(|timer| (timer.position, *timer)));
        due
    }

    /// Timers that were taken were not delivered: they wait again, and all wait until `retry_ms`.
    pub(crate) fn give_back(&self, positions: impl IntoIterator<Item = u64>, retry_ms: i64) {
        let mut timers = self.0.lock();
        timers.paused_until_ms = retry_ms;
        timers.wait_again(positions);
    }

    /// A timer that was taken cannot be delivered.
    pub(crate) fn park(&self, position: u64) {
        let mut timers = self.0.lock();
        let parked = timers.in_flight.remove(&position);
        timers.parked.extend(parked);
    }

    /// The timers that are due at `due_ms` and whose keys come to `key_hash`.
    pub(crate) fn find(&self, due_ms: i64, key_hash: u32) -> Candidates {
        let mut timers = self.0.lock();
        timers.settle();
        let is_meant = |timer: &&Timer| timer.due_ms == due_ms && timer.key_hash == key_hash;
        Candidates {
            waiting: timers.waiting.due_at(due_ms).filter(is_meant).copied().collect(),
            in_flight: timers.in_flight.values().filter(is_meant).copied().collect(),
        }
    }

    /// Takes these timers, to recall them, if all of them wait; else none.
    pub(crate) fn take(&self, wanted: &[Timer]) -> bool {
        let mut timers = self.0.lock();
        timers.settle();
        let taken: Vec<Timer> = wanted
            .iter()
            .map_while(|timer| timers.waiting.remove(timer.due_ms, timer.position))
            .collect();
        if taken.len() < wanted.len() {
            for timer in taken {
                timers.waiting.insert(timer);
            }
            return false;
        }
        timers
            .in_flight
            .extend(taken.into_iter().map(|timer| (timer.position, timer)));
        true
    }

    /// The timers whose records lie before `position`: at most `max` that neither are on their way nor cannot be delivered, those that lie
    /// first; and where the first of all of them lies.
    pub(crate) fn lying_before(&self, position: u64, max: usize) -> (Vec<Timer>, Option<u64>) {
        let (waiting, others) = {
            let mut timers = self.0.lock();
            timers.settle();
            let others = timers.in_flight.values().map(|timer| timer.position);
            let first = others.filter(|other| *other < position).min();
            // A list of blocks; what is added meanwhile lies behind.
            (timers.waiting.clone(), (timers.parked.clone(), first))
        };
        let (parked, in_flight) = others;
        let mut first: BinaryHeap<(u64, i64)> = BinaryHeap::new();
        let mut found: HashMap<u64, Timer> = HashMap::new();
        for timer in waiting.iter().chain(&parked) {
            if timer.position < position {
                first.push((timer.position, timer.due_ms));
                found.insert(timer.position, *timer);
                if first.len() > max
                    && let Some((farthest, _)) = first.pop()
                {
                    found.remove(&farthest);
                }
            }
        }
        let timers: Vec<Timer> = first
            .into_sorted_vec()
            .iter()
            .filter_map(|(position, _)| found.remove(position))
            .collect();
        let lowest = timers.first().map(|timer| timer.position);
        let lowest = lowest.into_iter().chain(in_flight).min();
        (timers, lowest)
    }

    /// Takes those of these timers that wait or cannot be delivered.
    pub(crate) fn take_each(&self, wanted: &[Timer]) -> Vec<Timer> {
        let mut timers = self.0.lock();
        timers.settle();
        let mut taken = Vec::with_capacity(wanted.len());
        for timer in wanted {
            let parked = timers
                .parked
                .iter()
                .position(|parked| parked.position == timer.position);
            let found = match parked {
                Some(at) => Some(timers.parked.swap_remove(at)),
                None => timers.waiting.remove(timer.due_ms, timer.position),
            };
            taken.extend(found);
        }
        timers
            .in_flight
            .extend(taken.iter().map(|timer| (timer.position, *timer)));
        taken
    }

    /// Timers that were taken to be recalled were not: they wait again.
    pub(crate) fn put_back(&self, positions: impl IntoIterator<Item = u64>) {
        self.0.lock().wait_again(positions);
    }

    /// When the earliest waiting timer is due, or may be tried again.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        let mut timers = self.0.lock();
        timers.settle();
        timers
            .waiting
            .first()
            .map(|timer| timers.paused_until_ms.max(timer.due_ms))
    }

    /// How many timers are not delivered.
    pub(crate) fn pending(&self) -> usize {
        let mut timers = self.0.lock();
        timers.settle();
        timers.len()
    }

    /// Where they all lie.
    pub(crate) fn positions(&self) -> Vec<u64> {
        let mut timers = self.0.lock();
        timers.settle();
        let others = timers.in_flight.values().chain(&timers.parked);
        let all = timers.waiting.iter().chain(others);
        all.map(|timer| timer.position).collect()
    }

    /// What a checkpoint keeps. Takes the list of blocks now, and the rest later.
    pub(crate) fn encode(&self) -> Writer {
        let mut timers = self.0.lock();
        timers.settle();
        let waiting = timers.waiting.clone();
        let others: Vec<Timer> = timers.in_flight.values().chain(&timers.parked).copied().collect();
        Writer::later(move |out| checkpoint::encode(&waiting, &others, out))
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        *self.0.lock() = Timers {
            waiting: checkpoint::decode(fields)?,
            ..Timers::default()
        };
        Some(())
    }
}

impl Timers {
    fn wait_again(&mut self, positions: impl IntoIterator<Item = u64>) {
        for position in positions {
            if let Some(timer) = self.in_flight.remove(&position) {
                self.waiting.insert(timer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn timer(due_ms: i64, position: u64) -> Timer {
        Timer {
            due_ms,
            position,
            size_bytes: 100,
            key_hash: position as u32,
        }
    }

    fn taken(table: &TimerTable, now_ms: i64, in_flight_max: usize, size_bytes_max: u64) -> Vec<(i64, u64)> {
        let taken = table.take_due(now_ms, in_flight_max, size_bytes_max);
        taken.iter().map(|timer| (timer.due_ms, timer.position)).collect()
    }

    fn copy(table: &TimerTable) -> TimerTable {
        let copy = TimerTable::default();
        assert_eq!(copy.restore(&mut Fields::new(&table.encode().finish())), Some(()));
        copy
    }

    #[test]
    fn due_in_order_and_never_twice() {
        let table = TimerTable::default();
        assert!(table.add(timer(20, 100)));
        assert!(table.add(timer(10, 200)));
        assert!(!table.add(timer(10, 300)));
        assert!(table.take_due(9, 8, ALL).is_empty());
        assert_eq!(taken(&table, 20, 8, ALL), [(10, 200), (10, 300), (20, 100)]);
        assert!(table.take_due(20, 8, ALL).is_empty(), "in flight");
        table.give_back([300], 0);
        table.end(200);
        assert_eq!(taken(&table, 20, 8, ALL), [(10, 300)]);
        table.end(300);
        table.give_back([300], 0);
        assert_eq!((table.next_due_ms(), table.pending()), (None, 1));
    }

    #[test]
    fn a_refusal_pauses_all() {
        let table = TimerTable::default();
        table.add(timer(10, 1));
        table.add(timer(11, 2));
        assert_eq!(taken(&table, 10, 8, ALL), [(10, 1)]);
        table.give_back([1], 110);
        assert_eq!(table.next_due_ms(), Some(110));
        assert!(table.take_due(109, 8, ALL).is_empty());
        assert_eq!(taken(&table, 110, 8, ALL), [(10, 1), (11, 2)]);
    }

    #[test]
    fn in_flight_is_bounded() {
        let table = TimerTable::default();
        for position in 1..=6 {
            table.add(timer(1, position));
        }
        assert_eq!(taken(&table, 1, 2, ALL), [(1, 1), (1, 2)]);
        assert!(table.take_due(1, 2, ALL).is_empty());
        table.park(1);
        assert_eq!(taken(&table, 1, 2, ALL), [(1, 3)]);
        table.end(2);
        table.end(3);
        assert_eq!(taken(&table, 1, 9, 200), [(1, 4), (1, 5)]);
        assert_eq!(taken(&table, 1, 9, 1), [(1, 6)], "one is always allowed");
        assert_eq!(table.pending(), 4);
    }

    #[test]
    fn a_recalled_timer_is_not_delivered_and_the_other_way_round() {
        let table = TimerTable::default();
        for at in [(10, 1), (10, 2), (11, 3)] {
            table.add(timer(at.0, at.1));
        }
        assert_eq!(table.find(10, 2).waiting, [timer(10, 2)]);
        assert_eq!(table.find(11, 2), Candidates::default());
        assert!(table.take(&[timer(10, 2)]));
        assert!(!table.take(&[timer(10, 1), timer(10, 2)]), "one is taken");
        assert_eq!(table.find(10, 2).in_flight, [timer(10, 2)]);
        assert_eq!(taken(&table, 20, 9, ALL), [(10, 1), (11, 3)]);
        assert!(!table.take(&[timer(10, 1)]));
        table.put_back([2]);
        assert_eq!(table.next_due_ms(), Some(10));
        assert!(table.take(&[timer(10, 2)]));
        table.end(2);
        assert_eq!(table.pending(), 2);
    }

    #[test]
    fn those_that_lie_first_are_found_whatever_they_wait_for() {
        let table = TimerTable::default();
        for at in [(10, 7), (20, 3), (30, 5), (5, 9), (1, 2), (1, 1)] {
            table.add(timer(at.0, at.1));
        }
        assert_eq!(taken(&table, 1, 9, ALL), [(1, 1), (1, 2)]);
        table.park(2);
        let lying = |position, max| {
            let (timers, first) = table.lying_before(position, max);
            (
                timers.iter().map(|timer| timer.position).collect::<Vec<_>>(),
                first,
            )
        };
        assert_eq!(lying(8, 9), (vec![2, 3, 5, 7], Some(1)), "one is on its way");
        assert_eq!(lying(8, 2), (vec![2, 3], Some(1)));
        assert_eq!(lying(1, 9), (vec![], None));
        let wanted = [timer(1, 1), timer(1, 2), timer(20, 3), timer(99, 9)];
        assert_eq!(table.take_each(&wanted), [timer(1, 2), timer(20, 3)]);
        assert_eq!(lying(8, 9), (vec![5, 7], Some(1)));
        for position in [1, 2, 3] {
            table.end(position);
        }
        assert_eq!((lying(8, 9).1, table.pending()), (Some(5), 3));
    }

    #[test]
    fn a_checkpoint_keeps_those_in_flight() {
        let table = TimerTable::default();
        table.add(timer(10, 1));
        table.add(timer(20, 2));
        table.add(timer(30, 3));
        table.take_due(10, 8, ALL);
        table.take(&[timer(30, 3)]);
        assert_eq!(taken(&copy(&table), 30, 8, ALL), [(10, 1), (20, 2), (30, 3)]);
        // Recovery replays the ends that were in flight when the checkpoint was taken.
        let replayed = copy(&table);
        replayed.end(1);
        replayed.end(3);
        assert_eq!(replayed.pending(), 1);
        let again = copy(&replayed);
        assert_eq!(taken(&again, 30, 8, ALL), [(20, 2)]);
    }

    #[test]
    fn a_checkpoint_is_of_the_moment_at_which_it_was_asked_for() {
        let table = TimerTable::default();
        table.add(timer(10, 1));
        let checkpoint = table.encode();
        table.add(timer(5, 2));
        table.take_due(100, 8, ALL);
        table.end(1);
        let restored = TimerTable::default();
        assert_eq!(restored.restore(&mut Fields::new(&checkpoint.finish())), Some(()));
        assert_eq!(taken(&restored, 100, 8, ALL), [(10, 1)]);
    }
}
