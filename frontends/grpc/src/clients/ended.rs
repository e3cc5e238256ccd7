//! Clients that have said that they end, for a while.
//!
//! Apache's client for Java opens a Telemetry stream again a second after it has lost one, and does so even when it is being closed
//! meanwhile. Its close then waits for that stream to end, for as long as that takes. A stream of a client that has ended is
//! therefore ended at once. No client comes back under its id: each makes one of host, process, a number and the time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The second that clients wait before they open a stream again, and time to connect.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Beyond it the oldest is forgotten.
const ENDED_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Ended {
    ids: HashSet<Arc<str>>,
    /// Oldest first; each id of `ids` once.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Ended {
    pub(super) fn note(&mut self, client_id: &str, now: Instant) {
        self.forget_old(now);
        if self.ids.contains(client_id) {
            return;
        }
        if self.order.len() >= ENDED_MAX {
            self.forget_first();
        }
        let id: Arc<str> = client_id.into();
        self.ids.insert(Arc::clone(&id));
        self.order.push_back((now, id));
    }

    pub(super) fn has(&mut self, client_id: &str, now: Instant) -> bool {
        self.forget_old(now);
        self.ids.contains(client_id)
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && now.saturating_duration_since(*at) >= REMEMBERED
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_for_a_while_and_not_without_bound() {
        let begin = Instant::now();
        let mut ended = Ended::default();
        ended.note("a", begin);
        assert!(ended.has("a", begin + REMEMBERED / 2));
        assert!(!ended.has("b", begin));
        assert!(!ended.has("a", begin + REMEMBERED));

        for number in 0..=ENDED_MAX {
            ended.note(&number.to_string(), begin);
            ended.note(&number.to_string(), begin);
        }
        assert!(!ended.has("0", begin));
        assert!(ended.has("1", begin));
        assert_eq!((ended.ids.len(), ended.order.len()), (ENDED_MAX, ENDED_MAX));
    }
}
