//! Timers in the order in which they are due, in blocks: 24 bytes a timer and little beside it.
//!
//! ```text
//! blocks, in order:   [first timer's order | ptr]  [ ... ]  [ ... ]        a queue: the front is taken, most are added behind
//!                            |
//!                            v
//!                     up to 512 timers, in order, shared with the checkpoints that are being written
//! ```
//!
//! A copy of the whole is a copy of the list of blocks: a change copies the one block it concerns, if a copy still holds it.
//! That is how a checkpoint takes a million timers without keeping the log's writer waiting.

use std::collections::VecDeque;
use std::sync::Arc;

/// Most timers of a block.
const BLOCK_TIMERS_MAX: usize = 512;

/// A message that waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    /// When it is due, in milliseconds since the epoch.
    pub(crate) due_ms: i64,
    /// Position of its record.
    pub(crate) position: u64,
    /// Size of its record; 0 if that is not known.
    pub(crate) size_bytes: u32,
    /// What its unique key comes to, see [`key_hash`](super::recall::key_hash); 0 for a timer that nobody can recall.
    pub(crate) key_hash: u32,
}

type Order = (i64, u64);

impl Timer {
    /// What timers are ordered by; no two are equal in it.
    const fn order(&self) -> Order {
        (self.due_ms, self.position)
    }
}

#[derive(Debug, Clone)]
struct Block {
    first: Order,
    /// Where the last one was added.
    last_place: usize,
    /// Never empty.
    timers: Arc<Vec<Timer>>,
}

impl Block {
    fn new(timers: Vec<Timer>) -> Option<Self> {
        Some(Self {
            first: timers.first()?.order(),
            last_place: 0,
            timers: Arc::new(timers),
        })
    }

    fn find(&self, order: Order) -> Result<usize, usize> {
        self.timers.binary_search_by_key(&order, Timer::order)
    }
}

/// Timers by when they are due; those due at the same time by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sorted {
    blocks: VecDeque<Block>,
    len: usize,
}

impl Sorted {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self) -> Option<&Timer> {
        self.blocks.front()?.timers.first()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.blocks.iter().flat_map(|block| block.timers.iter())
    }

    /// The block that a timer of this order is in, or would be.
    fn block_of(&self, order: Order) -> usize {
        self.blocks
            .partition_point(|block| block.first <= order)
            .saturating_sub(1)
    }

    /// Adds a timer. One of the same order takes the other's place.
    pub(crate) fn insert(&mut self, timer: Timer) {
        let at = self.block_of(timer.order());
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.extend(Block::new(vec![timer]));
            self.len = 1;
            return;
        };
        let place = match block.find(timer.order()) {
            Ok(same) => {
                Arc::make_mut(&mut block.timers)[same] = timer;
                return;
            }
            Err(place) => place,
        };
        self.len += 1;
        let follows = place == block.last_place + 1 || place == block.timers.len();
        block.last_place = place;
        if block.timers.len() < BLOCK_TIMERS_MAX {
            let timers = Arc::make_mut(&mut block.timers);
            if timers.len() == timers.capacity() {
                // Twofold, as ever, but never beyond a block.
                let more = timers.len().clamp(8, BLOCK_TIMERS_MAX);
                timers.reserve_exact(more.min(BLOCK_TIMERS_MAX - timers.len()));
            }
            timers.insert(place, timer);
            block.first = block.first.min(timer.order());
            return;
        }
        // Timers of one delay come in order: where they are added a block is left to be filled. Elsewhere it is halved.
        let cut = if follows { place } else { BLOCK_TIMERS_MAX / 2 };
        let timers = Arc::make_mut(&mut block.timers);
        let mut behind = timers.split_off(cut);
        if place <= cut && timers.len() < BLOCK_TIMERS_MAX {
            timers.insert(place, timer);
            block.first = block.first.min(timer.order());
        } else {
            behind.insert(place - cut, timer);
        }
        if let Some(block) = Block::new(behind) {
            self.blocks.insert(at + 1, block);
        }
    }

    /// Takes a timer out.
    pub(crate) fn remove(&mut self, due_ms: i64, position: u64) -> Option<Timer> {
        let order = (due_ms, position);
        let at = self.block_of(order);
        let block = self.blocks.get_mut(at)?;
        let place = block.find(order).ok()?;
        let timers = Arc::make_mut(&mut block.timers);
        let timer = timers.remove(place);
        self.len -= 1;
        match timers.first() {
            Some(first) => {
                block.first = first.order();
                self.join(at);
            }
            None => {
                self.blocks.remove(at);
            }
        }
        Some(timer)
    }

    /// Joins a block that has become small with the one behind it, so that blocks do not lie about almost empty.
    fn join(&mut self, at: usize) {
        let len_of = |at: usize| {
            self.blocks
                .get(at)
                .map_or(BLOCK_TIMERS_MAX, |block| block.timers.len())
        };
        if len_of(at) >= BLOCK_TIMERS_MAX / 4 {
            return;
        }
        let front = if len_of(at) + len_of(at + 1) <= BLOCK_TIMERS_MAX / 2 {
            at
        } else {
            match at.checked_sub(1) {
                Some(before) if len_of(before) + len_of(at) <= BLOCK_TIMERS_MAX / 2 => before,
                _ => return,
            }
        };
        let Some(behind) = self.blocks.remove(front + 1) else {
            return;
        };
        if let Some(block) = self.blocks.get_mut(front) {
            Arc::make_mut(&mut block.timers).extend_from_slice(&behind.timers);
        }
    }

    /// Takes timers from the front, in order, as long as `wants` says so.
    pub(crate) fn take_while(&mut self, mut wants: impl FnMut(&Timer) -> bool) -> Vec<Timer> {
        let mut taken = Vec::new();
        while let Some(block) = self.blocks.front_mut() {
            let count = block.timers.iter().take_while(|timer| wants(timer)).count();
            taken.extend_from_slice(&block.timers[..count]);
            if count == block.timers.len() {
                self.blocks.pop_front();
                continue;
            }
            if count > 0 {
                let timers = Arc::make_mut(&mut block.timers);
                timers.drain(..count);
                if let Some(first) = timers.first() {
                    block.first = first.order();
                }
            }
            break;
        }
        self.len -= taken.len();
        taken
    }

    /// Those that are due at `due_ms`.
    pub(crate) fn due_at(&self, due_ms: i64) -> impl Iterator<Item = &Timer> {
        self.blocks
            .range(self.block_of((due_ms, 0))..)
            .take_while(move |block| block.first.0 <= due_ms)
            .flat_map(|block| block.timers.iter())
            .skip_while(move |timer| timer.due_ms < due_ms)
            .take_while(move |timer| timer.due_ms == due_ms)
    }

    /// Keeps those that `wanted` says.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&Timer) -> bool) {
        for block in &mut self.blocks {
            if !block.timers.iter().all(&mut wanted) {
                let timers = Arc::make_mut(&mut block.timers);
                timers.retain(&mut wanted);
                if let Some(first) = timers.first() {
                    block.first = first.order();
                }
            }
        }
        self.blocks.retain(|block| !block.timers.is_empty());
        self.len = self.blocks.iter().map(|block| block.timers.len()).sum();
    }
}

/// From timers in any order.
impl FromIterator<Timer> for Sorted {
    fn from_iter<T: IntoIterator<Item = Timer>>(timers: T) -> Self {
        let mut sorted = Self::default();
        for timer in timers {
            sorted.insert(timer);
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn timer(due_ms: i64, position: u64) -> Timer {
        Timer {
            due_ms,
            position,
            size_bytes: 7,
            key_hash: 9,
        }
    }

    fn check(sorted: &Sorted) {
        assert_eq!(sorted.len(), sorted.iter().count());
        assert!(sorted.iter().is_sorted_by_key(|timer| timer.order()));
        for block in &sorted.blocks {
            assert_eq!(Some(block.first), block.timers.first().map(Timer::order));
            assert!(block.timers.len() <= BLOCK_TIMERS_MAX);
            assert!(block.timers.capacity() <= BLOCK_TIMERS_MAX);
        }
    }

    #[test]
    fn timers_that_come_in_order_fill_their_blocks() {
        let mut sorted = Sorted::default();
        for at in 0..10_000 {
            // Three delays, each in order, and one in between of all.
            for (delay, due_ms) in [1_000_000, 2_000_000, 3_000_000].into_iter().enumerate() {
                sorted.insert(timer(due_ms + at, (at as u64) * 4 + delay as u64));
            }
        }
        check(&sorted);
        let full = 30_000_f64 / BLOCK_TIMERS_MAX as f64;
        assert!(
            (sorted.blocks.len() as f64) < full * 1.2,
            "{} blocks",
            sorted.blocks.len()
        );
    }

    #[test]
    fn recalled_timers_leave_no_empty_memory_behind() {
        let mut sorted: Sorted = (0..20_000).map(|at| timer(at, at as u64)).collect();
        for at in (0..20_000).filter(|at| at % 97 != 0) {
            assert!(sorted.remove(at, at as u64).is_some());
        }
        check(&sorted);
        assert!(sorted.blocks.len() < 8, "{} blocks", sorted.blocks.len());
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut sorted: Sorted = (0..2_000).map(|at| timer(at, 1)).collect();
        let copy = sorted.clone();
        sorted.take_while(|timer| timer.due_ms < 700);
        sorted.insert(timer(1_500, 2));
        sorted.remove(1_800, 1);
        check(&sorted);
        assert!(copy.iter().copied().eq((0..2_000).map(|at| timer(at, 1))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
        fn as_a_map_would(steps in proptest::collection::vec((0_u8..20, 0_i64..60, 0_u64..60), 1..4_000)) {
            let mut sorted = Sorted::default();
            let mut map = BTreeMap::new();
            for (what, due_ms, position) in steps {
                match what {
                    0 => {
                        let gone = sorted.take_while(|timer| timer.due_ms <= due_ms / 8);
                        let rest = map.split_off(&(due_ms / 8 + 1, 0));
                        let gone_too: Vec<Timer> = std::mem::replace(&mut map, rest).into_values().collect();
                        prop_assert_eq!(gone, gone_too);
                    }
                    1 => {
                        sorted.retain(|timer| timer.position % 7 != position % 7);
                        map.retain(|(_, at), _| *at % 7 != position % 7);
                    }
                    2..6 => prop_assert_eq!(
                        sorted.remove(due_ms, position),
                        map.remove(&(due_ms, position))
                    ),
                    _ => {
                        sorted.insert(timer(due_ms, position));
                        map.insert((due_ms, position), timer(due_ms, position));
                    }
                }
                let at: Vec<u64> = sorted.due_at(due_ms).map(|timer| timer.position).collect();
                let at_too: Vec<u64> = map.range((due_ms, 0)..(due_ms + 1, 0)).map(|((_, at), _)| *at).collect();
                prop_assert_eq!(at, at_too);
            }
            check(&sorted);
            prop_assert!(sorted.iter().eq(map.values()));
            prop_assert_eq!(sorted.first(), map.values().next());
        }
    }
}
