//! The closed loop: a fixed number of requests in flight; each answer makes room for the next request.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::Answer;
use crate::clock::Clock;
use crate::commit::Commits;
use crate::drive::Load;
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::ledger::Ledger;
use crate::template::{OPAQUE_MIN, Request, Template};
use crate::timeline::Timeline;

/// When a load begins to be measured and when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// What is sent before this warms up and is not measured.
    pub(crate) begin_ns: u64,
    /// Nothing is sent from here on.
    pub(crate) end_ns: u64,
    /// How long answers are waited for when none come.
    pub(crate) patience_ns: u64,
}

impl Window {
    pub(crate) const fn measures(&self, at_ns: u64) -> bool {
        self.begin_ns <= at_ns && at_ns < self.end_ns
    }
}

/// What a finished load hands over.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) latencies: Latencies,
    pub(crate) timeline: Timeline,
}

/// The requests of some connections.
#[derive(Debug)]
pub(crate) struct ClosedLoop<'a> {
    lanes: Vec<Lane>,
    window: Window,
    latencies: Latencies,
    timeline: Timeline,
    /// Messages acknowledged so far, for whoever watches.
    acknowledged: &'a AtomicU64,
    acknowledged_messages: u64,
    messages_per_request: u64,
    in_flight: usize,
    last_answer_ns: u64,
}

#[derive(Debug)]
struct Lane {
    template: Template,
    ledger: Ledger,
    /// Requests that may still be sent.
    quota: u64,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Of transactional sends.
    commits: Option<Commits>,
}

/// A place for one request in flight; its index is the request's number on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: u64,
    sent_ns: u64,
    busy: bool,
}

/// What one connection is to do.
#[derive(Debug)]
pub(crate) struct LaneSpec {
    pub(crate) template: Template,
    pub(crate) in_flight: usize,
    /// Requests to send at most.
    pub(crate) quota: u64,
    /// What follows the answers, if the sends are transactional.
    pub(crate) commits: Option<Commits>,
}

impl<'a> ClosedLoop<'a> {
    pub(crate) fn new(
        specs: Vec<LaneSpec>,
        window: Window,
        timeline: Timeline,
        messages_per_request: u64,
        acknowledged: &'a AtomicU64,
    ) -> Result<Self, BenchError> {
        let lane = |spec: LaneSpec| Lane {
            template: spec.template,
            ledger: Ledger::default(),
            quota: spec.quota,
            slots: vec![Slot::default(); spec.in_flight],
            free: (0..spec.in_flight).rev().collect(),
            commits: spec.commits,
        };
        Ok(Self {
            lanes: specs.into_iter().map(lane).collect(),
            window,
            latencies: Latencies::new()?,
            timeline,
            acknowledged,
            acknowledged_messages: 0,
            messages_per_request,
            in_flight: 0,
            last_answer_ns: window.begin_ns,
        })
    }

    pub(crate) fn finish(self) -> Outcome {
        Outcome {
            ledgers: self.lanes.into_iter().map(|lane| lane.ledger).collect(),
            latencies: self.latencies,
            timeline: self.timeline,
        }
    }
}

impl Load for ClosedLoop<'_> {
    fn fill(&mut self, connection: usize, out: &mut Vec<u8>, clock: &Clock) -> Result<(), BenchError> {
        let lane = &mut self.lanes[connection];
        if let Some(commits) = &mut lane.commits {
            commits.move_to(out);
        }
        if lane.free.is_empty() || lane.quota == 0 {
            return Ok(());
        }
        let now_ns = clock.now_ns();
        if now_ns >= self.window.end_ns {
            return Ok(());
        }
        let born_unix_ms = clock.unix_ms(now_ns);
        while lane.quota > 0
            && let Some(index) = lane.free.pop()
        {
            let number = lane.ledger.next_request();
            lane.quota -= 1;
            lane.slots[index] = Slot {
                number,
                sent_ns: now_ns,
                busy: true,
            };
            self.in_flight += 1;
            let request = Request {
                opaque: opaque(index),
                number,
                born_unix_ms,
                intended_ns: now_ns,
                sent_ns: now_ns,
            };
            lane.template.append(out, &request);
        }
        Ok(())
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, now_ns: u64) -> Result<(), BenchError> {
        let lane = &mut self.lanes[connection];
        let index = usize::try_from(answer.opaque.wrapping_sub(OPAQUE_MIN)).unwrap_or(usize::MAX);
        let Some(slot) = lane.slots.get_mut(index).filter(|slot| slot.busy) else {
            return Err(BenchError::UnaskedAnswer {
                connection,
                opaque: answer.opaque,
            });
        };
        slot.busy = false;
        let Slot { number, sent_ns, .. } = *slot;
        lane.free.push(index);
        self.in_flight -= 1;
        self.last_answer_ns = now_ns;
        if answer.code != 0 {
            lane.ledger.refuse(answer.code, || answer.remark());
            if self.window.measures(sent_ns) {
                self.latencies.miss();
            }
            return Ok(());
        }
        if let Some(commits) = &mut lane.commits {
            commits.add(connection, answer)?;
        }
        lane.ledger.acknowledge(number);
        self.acknowledged_messages += self.messages_per_request;
        self.acknowledged
            .store(self.acknowledged_messages, Ordering::Relaxed);
        if self.window.measures(sent_ns) {
            let latency_ns = now_ns - sent_ns;
            self.latencies.record(latency_ns);
            self.timeline.record(sent_ns, latency_ns);
        }
        Ok(())
    }

    fn wake_at_ns(&self) -> Option<u64> {
        None
    }

    fn is_done(&self, now_ns: u64) -> bool {
        let over = now_ns >= self.window.end_ns || self.lanes.iter().all(|lane| lane.quota == 0);
        let stalled = now_ns.saturating_sub(self.last_answer_ns) >= self.window.patience_ns;
        let committed = self
            .lanes
            .iter()
            .all(|lane| lane.commits.as_ref().is_none_or(Commits::is_empty));
        (over && self.in_flight == 0 && committed) || stalled
    }
}

/// A slot's number on the wire; there are fewer slots than such numbers, see [`crate::settings`].
fn opaque(index: usize) -> i32 {
    OPAQUE_MIN + i32::try_from(index).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::answer;
    use crate::template::tests::template;

    const PATIENCE_NS: u64 = 1_000_000_000_000;

    fn load(quota: u64, counter: &AtomicU64) -> ClosedLoop<'_> {
        let window = Window {
            begin_ns: 0,
            end_ns: u64::MAX,
            patience_ns: PATIENCE_NS,
        };
        let spec = LaneSpec {
            template: template(),
            in_flight: 2,
            quota,
            commits: None,
        };
        let timeline = Timeline::new(0, 1, false).unwrap();
        ClosedLoop::new(vec![spec], window, timeline, 1, counter).unwrap()
    }

    #[test]
    fn an_answer_makes_room_for_a_request_until_the_quota_is_sent() {
        let counter = AtomicU64::new(0);
        let (mut load, clock) = (load(3, &counter), Clock::start());
        let mut out = Vec::new();
        load.fill(0, &mut out, &clock).unwrap();
        let two = out.len();
        load.fill(0, &mut out, &clock).unwrap();
        assert_eq!(out.len(), two, "two are in flight already");
        load.answered(0, &answer(OPAQUE_MIN + 1, 0), clock.now_ns())
            .unwrap();
        load.fill(0, &mut out, &clock).unwrap();
        assert_eq!(out.len(), two / 2 * 3);
        for opaque in [OPAQUE_MIN, OPAQUE_MIN + 1] {
            assert!(!load.is_done(clock.now_ns()));
            load.answered(0, &answer(opaque, 0), clock.now_ns()).unwrap();
        }
        load.fill(0, &mut out, &clock).unwrap();
        assert_eq!(out.len(), two / 2 * 3);
        assert!(load.is_done(clock.now_ns()));
        assert_eq!(counter.into_inner(), 3);
    }

    #[test]
    fn an_answer_to_nothing_is_an_error() {
        let counter = AtomicU64::new(0);
        let (mut load, clock) = (load(3, &counter), Clock::start());
        load.fill(0, &mut Vec::new(), &clock).unwrap();
        load.answered(0, &answer(OPAQUE_MIN, 0), clock.now_ns()).unwrap();
        for opaque in [OPAQUE_MIN, OPAQUE_MIN + 2, OPAQUE_MIN - 1, 0, i32::MIN] {
            let error = load.answered(0, &answer(opaque, 0), 0).unwrap_err();
            assert!(matches!(error, BenchError::UnaskedAnswer { .. }), "{opaque}");
        }
    }

    #[test]
    fn a_broker_that_stops_answering_is_given_up_and_told_of() {
        let counter = AtomicU64::new(0);
        let (mut load, clock) = (load(10, &counter), Clock::start());
        load.fill(0, &mut Vec::new(), &clock).unwrap();
        let last_ns = clock.now_ns();
        load.answered(0, &answer(OPAQUE_MIN, 0), last_ns).unwrap();
        load.fill(0, &mut Vec::new(), &clock).unwrap();
        assert!(!load.is_done(last_ns + PATIENCE_NS - 1));
        assert!(load.is_done(last_ns + PATIENCE_NS));
        let outcome = load.finish();
        assert_eq!(outcome.ledgers[0].unanswered_requests(), 2);
    }
}
