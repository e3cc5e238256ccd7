//! What is out in order: the messages of one queue that one consumer of a group works on, while all others wait.
//!
//! A block is what one pop handed out. While any of it is neither acknowledged nor due again, nothing else of the queue is
//! handed out. When its time is over, what of it was not acknowledged is handed out again, and nothing new before all of it
//! is.

use crate::state::{Fields, Writer};

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The group's offset in the queue, as long as this block is the reason for it.
    pub(super) committed: u64,
    /// Names the attempt that got it; the same attempt may ask again. Empty for none.
    attempt_id: Box<str>,
    messages: Vec<Ordered>,
    /// It is being handed out again: what was said of it before counts no more.
    pub(super) is_repopped: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ordered {
    offset: u64,
    pop_ms: i64,
    due_ms: i64,
    /// How often it had been handed out before.
    times: u32,
    is_acked: bool,
    /// Its consumer has not tried it: that it is out does not count as one more time.
    is_suspended: bool,
    /// Records on their way to the log that concern it.
    in_flight: u16,
}

/// What a pop in order finds of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is out: the next messages may go.
    Clear,
    /// Nothing may go yet.
    Blocked,
    /// These are to be handed out again; and how often each has been.
    Again(Vec<(u64, u32)>),
}

/// What is known of a message that somebody speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// It is out, as the speaker says.
    Out,
    /// It was handed out again since, or is acknowledged.
    Past,
    /// It is not of the block.
    Unknown,
}

/// What is acknowledged, or was not tried, in checkpoints.
const WAITING: u8 = 0;
const ACKED: u8 = 1;
const SUSPENDED: u8 = 2;

impl Ordered {
    /// How often it will have been handed out when it is handed out again, by the same attempt or another one.
    fn times_next(&self, same: bool) -> u32 {
        self.times.saturating_add(u32::from(!same && !self.is_suspended))
    }
}

impl Block {
    /// What the next pop may have, `attempt_id` asking.
    pub(super) fn standing(&self, attempt_id: &str, now_ms: i64) -> Standing {
        let waiting = || self.messages.iter().filter(|message| !message.is_acked);
        if self.is_repopped || self.is_spoken_of() {
            return Standing::Blocked;
        }
        if waiting().next().is_none() {
            return Standing::Clear;
        }
        let same = self.is_attempt(attempt_id);
        if !same && waiting().any(|message| message.due_ms > now_ms) {
            return Standing::Blocked;
        }
        let counted = |message: &Ordered| message.times_next(same);
        Standing::Again(
            waiting()
                .map(|message| (message.offset, counted(message)))
                .collect(),
        )
    }

    fn is_attempt(&self, attempt_id: &str) -> bool {
        !attempt_id.is_empty() && *self.attempt_id == *attempt_id
    }

    /// What is known of this delivery.
    pub(super) fn spoken_of(&self, offset: u64, pop_ms: i64) -> Spoken {
        match self.messages.iter().find(|message| message.offset == offset) {
            None => Spoken::Unknown,
            Some(message) if message.pop_ms == pop_ms && !message.is_acked && !self.is_repopped => {
                Spoken::Out
            }
            Some(_) => Spoken::Past,
        }
    }

    /// Whether this delivery is one of it.
    pub(super) fn has(&self, offset: u64, pop_ms: i64) -> bool {
        let is_meant = |message: &Ordered| (message.offset, message.pop_ms) == (offset, pop_ms);
        self.messages.iter().any(is_meant)
    }

    /// The lowest offset of it, from `from` on, that is not acknowledged.
    pub(super) fn lowest(&self, from: u64) -> Option<u64> {
        let waiting = self.messages.iter().filter(|message| !message.is_acked);
        waiting
            .map(|message| message.offset)
            .filter(|offset| *offset >= from)
            .min()
    }

    /// The deliveries of it before `offset` that nothing is being done with: their offsets and pop times.
    pub(super) fn before(&self, offset: u64) -> Vec<(u64, i64)> {
        if self.is_repopped {
            return Vec::new();
        }
        let meant =
            |message: &&Ordered| message.offset < offset && !message.is_acked && message.in_flight == 0;
        let messages = self.messages.iter().filter(meant);
        messages.map(|message| (message.offset, message.pop_ms)).collect()
    }

    /// Counts a record that goes to the log for a message, or comes from there.
    pub(super) fn count_in_flight(&mut self, offset: u64, pop_ms: i64, change: i16) {
        let mut messages = self.messages.iter_mut();
        if let Some(message) = messages.find(|message| message.offset == offset && message.pop_ms == pop_ms) {
            message.in_flight = message.in_flight.saturating_add_signed(change);
        }
    }

    /// When everything of it that was not acknowledged may be handed out again; `None` if nothing waits.
    pub(super) fn over_ms(&self) -> Option<i64> {
        let waiting = self.messages.iter().filter(|message| !message.is_acked);
        waiting.map(|message| message.due_ms).max()
    }

    /// A pop has been applied: these messages are out.
    pub(super) fn popped(block: &mut Option<Box<Self>>, popped: &OrderedPop<'_>) {
        let block = match block {
            Some(block) if !popped.is_new => block,
            _ => block.insert(Box::new(Self {
                committed: popped.committed,
                attempt_id: "".into(),
                messages: Vec::with_capacity(popped.offsets.len()),
                is_repopped: false,
            })),
        };
        let same = block.is_attempt(popped.attempt_id);
        block.attempt_id = popped.attempt_id.into();
        for offset in popped.offsets {
            match block
                .messages
                .iter_mut()
                .find(|message| message.offset == *offset)
            {
                Some(message) => {
                    message.times = message.times_next(same);
                    message.is_suspended = false;
                    message.pop_ms = popped.pop_ms;
                    message.due_ms = popped.due_ms;
                    message.in_flight = 0;
                }
                None => block.messages.push(Ordered {
                    offset: *offset,
                    pop_ms: popped.pop_ms,
                    due_ms: popped.due_ms,
                    times: 0,
                    is_acked: false,
                    is_suspended: false,
                    in_flight: 0,
                }),
            }
        }
    }

    /// Whether a record that concerns it is on its way to the log.
    pub(super) fn is_spoken_of(&self) -> bool {
        self.messages.iter().any(|message| message.in_flight > 0)
    }

    /// The offset that the group is at and the one that it will be at when these are acknowledged, if it moves.
    pub(super) fn moves(&self, pop_ms: i64, offsets: &[u64]) -> Option<(u64, u64)> {
        let waits = |message: &&Ordered| {
            !(message.is_acked || message.pop_ms == pop_ms && offsets.contains(&message.offset))
        };
        let behind = self.messages.last().map(|last| last.offset + 1);
        let first = self.messages.iter().find(waits).map(|message| message.offset);
        let now = first.or(behind).unwrap_or(self.committed);
        (now != self.committed).then_some((self.committed, now))
    }

    /// Acknowledgements have been applied. Returns the offset that the group was at and the one that it is at now, if it has
    /// moved; the block is gone if nothing of it waits.
    pub(super) fn acked(block: &mut Option<Box<Self>>, pop_ms: i64, offsets: &[u64]) -> Option<(u64, u64)> {
        let this = block.as_mut()?;
        let moved = this.moves(pop_ms, offsets);
        for message in &mut this.messages {
            if message.pop_ms == pop_ms && offsets.contains(&message.offset) {
                message.is_acked = true;
                message.in_flight = message.in_flight.saturating_sub(1);
            }
        }
        if this.messages.iter().all(|message| message.is_acked) {
            *block = None;
        } else if let Some((_, now)) = moved {
            this.committed = now;
        }
        moved
    }

    /// A message has been given a new time.
    pub(super) fn changed(&mut self, offset: u64, pop_ms: i64, due_ms: i64, is_suspended: bool) {
        let mut messages = self.messages.iter_mut();
        if let Some(message) = messages.find(|message| message.offset == offset && message.pop_ms == pop_ms) {
            message.due_ms = due_ms;
            message.is_suspended = is_suspended;
            message.in_flight = message.in_flight.saturating_sub(1);
        }
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u64(self.committed);
        out.text(&self.attempt_id);
        out.count(self.messages.len());
        for message in &self.messages {
            out.u64(message.offset);
            out.i64(message.pop_ms);
            out.i64(message.due_ms);
            out.u32(message.times);
            out.u8(match (message.is_acked, message.is_suspended) {
                (true, _) => ACKED,
                (false, true) => SUSPENDED,
                (false, false) => WAITING,
            });
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let (committed, attempt_id) = (fields.u64()?, fields.text()?.into());
        let messages = (0..fields.count()?).map(|_| {
            let (offset, pop_ms, due_ms) = (fields.u64()?, fields.i64()?, fields.i64()?);
            let times = fields.u32()?;
            let state = fields.u8().filter(|state| *state <= SUSPENDED)?;
            Some(Ordered {
                offset,
                pop_ms,
                due_ms,
                times,
                is_acked: state == ACKED,
                is_suspended: state == SUSPENDED,
                in_flight: 0,
            })
        });
        let messages = messages.collect::<Option<_>>()?;
        Some(Self {
            committed,
            attempt_id,
            messages,
            is_repopped: false,
        })
    }
}

/// What a pop in order hands out.
#[derive(Debug)]
pub(super) struct OrderedPop<'a> {
    pub(super) attempt_id: &'a str,
    pub(super) pop_ms: i64,
    pub(super) due_ms: i64,
    /// The group's offset in the queue.
    pub(super) committed: u64,
    /// Whether they are the first of a new block.
    pub(super) is_new: bool,
    pub(super) offsets: &'a [u64],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop<'a>(attempt_id: &'a str, pop_ms: i64, offsets: &'a [u64], is_new: bool) -> OrderedPop<'a> {
        OrderedPop {
            attempt_id,
            pop_ms,
            due_ms: pop_ms + 10,
            committed: offsets[0],
            is_new,
            offsets,
        }
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_before_anything_new() {
        let mut block = None;
        Block::popped(&mut block, &pop("", 0, &[3, 4, 7], true));
        let standing = |block: &Option<Box<Block>>, now_ms| block.as_ref().unwrap().standing("", now_ms);
        assert_eq!(standing(&block, 9), Standing::Blocked);
        assert_eq!(Block::acked(&mut block, 0, &[4]), None, "the first is still out");
        assert_eq!(standing(&block, 10), Standing::Again(vec![(3, 1), (7, 1)]));
        Block::popped(&mut block, &pop("", 10, &[3], false));
        assert_eq!(Block::acked(&mut block, 0, &[3]), None, "of an earlier time");
        assert_eq!(standing(&block, 19), Standing::Blocked);
        assert_eq!(standing(&block, 20), Standing::Again(vec![(3, 2), (7, 1)]));
        assert_eq!(Block::acked(&mut block, 10, &[3]), Some((3, 7)));
        assert_eq!(Block::acked(&mut block, 0, &[7]), Some((7, 8)));
        assert_eq!(block, None);
    }

    #[test]
    fn the_same_attempt_may_ask_again_and_it_does_not_count() {
        let mut block = None;
        Block::popped(&mut block, &pop("a", 0, &[0, 1], true));
        let again = block.as_ref().unwrap().standing("a", 1);
        assert_eq!(again, Standing::Again(vec![(0, 0), (1, 0)]));
        assert_eq!(block.as_ref().unwrap().standing("b", 1), Standing::Blocked);
        Block::popped(&mut block, &pop("a", 1, &[0, 1], false));
        assert_eq!(
            block.as_ref().unwrap().standing("b", 11),
            Standing::Again(vec![(0, 1), (1, 1)])
        );
    }

    #[test]
    fn what_was_not_tried_does_not_count() {
        let mut block = None;
        Block::popped(&mut block, &pop("", 0, &[0, 1], true));
        block.as_mut().unwrap().changed(0, 0, 5, true);
        let mut out = Writer::new();
        block.as_ref().unwrap().encode(&mut out);
        let decoded = Block::decode(&mut Fields::new(&out.finish()));
        assert_eq!(decoded.as_ref(), block.as_deref());
        let standing = |block: &Option<Box<Block>>, now_ms| block.as_ref().unwrap().standing("", now_ms);
        assert_eq!(standing(&block, 10), Standing::Again(vec![(0, 0), (1, 1)]));
        Block::popped(&mut block, &pop("", 10, &[0, 1], false));
        assert_eq!(standing(&block, 20), Standing::Again(vec![(0, 1), (1, 2)]));
    }

    #[test]
    fn what_is_on_its_way_blocks() {
        let mut block = None;
        Block::popped(&mut block, &pop("", 0, &[0, 1], true));
        block.as_mut().unwrap().count_in_flight(0, 0, 1);
        assert_eq!(block.as_ref().unwrap().standing("", 50), Standing::Blocked);
        assert_eq!(Block::acked(&mut block, 0, &[0]), Some((0, 1)));
        assert_eq!(
            block.as_ref().unwrap().standing("", 50),
            Standing::Again(vec![(1, 1)])
        );
        block.as_mut().unwrap().changed(1, 0, 60, false);
        assert_eq!(block.as_ref().unwrap().over_ms(), Some(60));
        let mut out = Writer::new();
        block.as_ref().unwrap().encode(&mut out);
        let decoded = Block::decode(&mut Fields::new(&out.finish()));
        assert_eq!(decoded.as_ref(), block.as_deref());
    }
}
