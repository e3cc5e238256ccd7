//! What became of the messages of one connection.

use std::collections::BTreeMap;

/// Texts of refusals that are kept, one a code.
const REFUSAL_CODES_MAX: usize = 16;

/// One bit for each number, growing by need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub(crate) fn has(&self, number: u64) -> bool {
        self.words
            .get(word_index(number))
            .is_some_and(|word| word & bit(number) != 0)
    }

    /// Sets a bit; whether it was not set before.
    pub(crate) fn set(&mut self, number: u64) -> bool {
        let index = word_index(number);
        if index >= self.words.len() {
            self.words.resize((index + 1).max(self.words.len() * 2), 0);
        }
        let was = self.words[index];
        self.words[index] |= bit(number);
        was & bit(number) == 0
    }
}

/// Numbers of messages of a run are far below what an index can be; one that is not has no word.
fn word_index(number: u64) -> usize {
    usize::try_from(number / 64).unwrap_or(usize::MAX)
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

/// What one connection has sent and what it was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Requests sent so far: the number of the next one.
    pub(crate) sent_requests: u64,
    /// By number of request.
    pub(crate) acknowledged: Bits,
    pub(crate) acknowledged_requests: u64,
    pub(crate) refused_requests: u64,
    pub(crate) refusals: BTreeMap<i32, Refusal>,
}

/// Answers with one code other than success.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) requests: u64,
    /// What the broker said the first time.
    pub(crate) remark: String,
}

impl Ledger {
    pub(crate) fn next_request(&mut self) -> u64 {
        let number = self.sent_requests;
        self.sent_requests += 1;
        number
    }

    /// Notes a success; false if that request has had one already.
    pub(crate) fn acknowledge(&mut self, number: u64) -> bool {
        let first = self.acknowledged.set(number);
        self.acknowledged_requests += u64::from(first);
        first
    }

    /// Notes a refusal; `remark` is asked for the first time that a code comes.
    pub(crate) fn refuse(&mut self, code: i32, remark: impl FnOnce() -> String) {
        self.refused_requests += 1;
        if let Some(refusal) = self.refusals.get_mut(&code) {
            refusal.requests += 1;
        } else if self.refusals.len() < REFUSAL_CODES_MAX {
            let remark = remark();
            self.refusals.insert(code, Refusal { requests: 1, remark });
        }
    }

    /// Requests that nobody has answered.
    pub(crate) fn unanswered_requests(&self) -> u64 {
        self.sent_requests - self.acknowledged_requests - self.refused_requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_once() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 1_000_000] {
            assert!(!bits.has(number));
            assert!(bits.set(number));
            assert!(!bits.set(number));
            assert!(bits.has(number));
        }
        assert!(!bits.has(1));
        assert!(!bits.has(u64::MAX));
    }
}
