//! The open loop: requests at times fixed in advance, whatever becomes of the ones before. A latency counts from the
//! time a request was to be sent, so that a stall shows in every request that was due during it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::Answer;
use crate::clock::Clock;
use crate::closed::{Outcome, Window};
use crate::drive::Load;
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::ledger::Ledger;
use crate::template::{OPAQUE_MAX, OPAQUE_MIN, Request, Template};
use crate::timeline::Timeline;

/// Bytes that may wait for a socket before nothing more is written; what is due keeps its time.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// When each request is to be sent: one every `period_ns` over all connections of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// When the first one is due.
    pub(crate) begin_ns: u64,
    /// Requests a second, of the whole run.
    pub(crate) rate: f64,
    /// Connections of the whole run, which take turns.
    pub(crate) connections: u64,
}

impl Schedule {
    /// When a request of a connection is due.
    pub(crate) fn due_ns(&self, lane: u64, number: u64) -> u64 {
        let index = number * self.connections + lane;
        self.begin_ns + (index as f64 * 1e9 / self.rate) as u64
    }
}

/// The requests of some connections.
#[derive(Debug)]
pub(crate) struct OpenLoop<'a> {
    lanes: Vec<Lane>,
    schedule: Schedule,
    window: Window,
    latencies: Latencies,
    lateness: Latencies,
    timeline: Timeline,
    acknowledged: &'a AtomicU64,
    acknowledged_messages: u64,
    messages_per_request: u64,
    in_flight: u64,
}

#[derive(Debug)]
struct Lane {
    /// Which connection of the run.
    number: u64,
    template: Template,
    ledger: Ledger,
    next_due_ns: u64,
}

impl<'a> OpenLoop<'a> {
    /// `lanes` are the numbers of the connections with their templates.
    pub(crate) fn new(
        lanes: Vec<(u64, Template)>,
        schedule: Schedule,
        window: Window,
        timeline: Timeline,
        messages_per_request: u64,
        acknowledged: &'a AtomicU64,
    ) -> Result<Self, BenchError> {
        let lane = |(number, template)| Lane {
            number,
            template,
            ledger: Ledger::default(),
            next_due_ns: schedule.due_ns(number, 0),
        };
        Ok(Self {
            lanes: lanes.into_iter().map(lane).collect(),
            schedule,
            window,
            latencies: Latencies::new()?,
            lateness: Latencies::new()?,
            timeline,
            acknowledged,
            acknowledged_messages: 0,
            messages_per_request,
            in_flight: 0,
        })
    }

    /// From the intended time to the socket: how late this side was itself.
    pub(crate) const fn lateness(&self) -> &Latencies {
        &self.lateness
    }

    pub(crate) fn finish(self) -> Outcome {
        Outcome {
            ledgers: self.lanes.into_iter().map(|lane| lane.ledger).collect(),
            latencies: self.latencies,
            timeline: self.timeline,
        }
    }
}

impl Load for OpenLoop<'_> {
    fn fill(&mut self, connection: usize, out: &mut Vec<u8>, clock: &Clock) -> Result<(), BenchError> {
        let lane = &mut self.lanes[connection];
        let now_ns = clock.now_ns();
        let end_ns = self.window.end_ns;
        while lane.next_due_ns <= now_ns && lane.next_due_ns < end_ns && out.len() < OUTPUT_BYTES_MAX {
            let intended_ns = lane.next_due_ns;
            let number = lane.ledger.next_request();
            lane.next_due_ns = self.schedule.due_ns(lane.number, number + 1);
            self.in_flight += 1;
            let opaque = i32::try_from(number)
                .ok()
                .and_then(|number| OPAQUE_MIN.checked_add(number));
            let Some(opaque) = opaque.filter(|opaque| *opaque <= OPAQUE_MAX) else {
                return Err(BenchError::Settings(
                    "a connection can send a thousand million requests and not more; use more connections"
                        .into(),
                ));
            };
            let request = Request {
                opaque,
                number,
                born_unix_ms: clock.unix_ms(now_ns),
                intended_ns,
                sent_ns: now_ns,
            };
            lane.template.append(out, &request);
            if self.window.measures(intended_ns) {
                self.lateness.record(now_ns - intended_ns);
            }
        }
        Ok(())
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, now_ns: u64) -> Result<(), BenchError> {
        let lane = &mut self.lanes[connection];
        let unasked = || BenchError::UnaskedAnswer {
            connection,
            opaque: answer.opaque,
        };
        let number = u64::try_from(answer.opaque.wrapping_sub(OPAQUE_MIN))
            .ok()
            .filter(|number| *number < lane.ledger.sent_requests)
            .ok_or_else(unasked)?;
        if answer.code == 0 {
            if !lane.ledger.acknowledge(number) {
                return Err(unasked());
            }
            self.acknowledged_messages += self.messages_per_request;
            self.acknowledged
                .store(self.acknowledged_messages, Ordering::Relaxed);
            let intended_ns = self.schedule.due_ns(lane.number, number);
            if self.window.measures(intended_ns) {
                let latency_ns = now_ns.saturating_sub(intended_ns);
                self.latencies.record(latency_ns);
                self.timeline.record(intended_ns, latency_ns);
            }
        } else {
            lane.ledger.refuse(answer.code, || answer.remark());
            if self.window.measures(self.schedule.due_ns(lane.number, number)) {
                self.latencies.miss();
            }
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(())
    }

    fn wake_at_ns(&self) -> Option<u64> {
        self.lanes
            .iter()
            .map(|lane| lane.next_due_ns)
            .min()
            .filter(|due_ns| *due_ns < self.window.end_ns)
    }

    fn is_done(&self, now_ns: u64) -> bool {
        let over = self.wake_at_ns().is_none() && self.in_flight == 0;
        over || now_ns >= self.window.end_ns.saturating_add(self.window.patience_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::answer;
    use crate::template::tests::template;

    const MILLISECOND_NS: u64 = 1_000_000;

    /// Everything due is long overdue: the schedule begins with the clock, at a request a microsecond for 10 ms.
    fn load(counter: &AtomicU64) -> OpenLoop<'_> {
        let schedule = Schedule {
            begin_ns: 0,
            rate: 1e6,
            connections: 2,
        };
        let window = Window {
            begin_ns: 0,
            end_ns: 10 * MILLISECOND_NS,
            patience_ns: 50 * MILLISECOND_NS,
        };
        let timeline = Timeline::new(0, window.end_ns, true).unwrap();
        let lanes = vec![(0, template()), (1, template())];
        OpenLoop::new(lanes, schedule, window, timeline, 1, counter).unwrap()
    }

    #[test]
    fn connections_take_turns_in_time() {
        let counter = AtomicU64::new(0);
        let schedule = load(&counter).schedule;
        let due = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(lane, number)| schedule.due_ns(lane, number));
        assert_eq!(due, [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_latency_counts_from_the_time_a_request_was_due() {
        let counter = AtomicU64::new(0);
        let (mut load, clock) = (load(&counter), Clock::start());
        while clock.now_ns() < MILLISECOND_NS {
            std::hint::spin_loop();
        }
        load.fill(0, &mut Vec::new(), &clock).unwrap();
        assert!(load.lanes[0].ledger.sent_requests >= 500);
        // All of them are answered at the same moment, and were due one after another.
        for number in 0..100 {
            load.answered(0, &answer(OPAQUE_MIN + number, 0), MILLISECOND_NS)
                .unwrap();
        }
        let latency = load.latencies.summary().unwrap();
        assert_eq!((latency.count, latency.max_us), (100, 1000.0));
        assert!((latency.min_us - 802.0).abs() < 1.0, "{latency:?}");
        assert!(load.lateness().summary().unwrap().max_us >= 1000.0);
        for opaque in [OPAQUE_MIN, OPAQUE_MIN + 1_000_000, 0] {
            assert!(
                load.answered(0, &answer(opaque, 0), MILLISECOND_NS).is_err(),
                "{opaque}"
            );
        }
        assert_eq!(counter.into_inner(), 100);
    }

    #[test]
    fn it_is_over_when_all_is_answered_or_given_up() {
        let counter = AtomicU64::new(0);
        let (mut load, clock) = (load(&counter), Clock::start());
        while clock.now_ns() < 10 * MILLISECOND_NS {
            std::hint::spin_loop();
        }
        assert_eq!(load.wake_at_ns(), Some(0));
        let mut out = Vec::new();
        for lane in [0, 1, 0, 1, 0, 1, 0, 1] {
            load.fill(lane, &mut out, &clock).unwrap();
            out.clear();
        }
        assert_eq!(load.wake_at_ns(), None);
        // At a time of its own: a machine under load may have let the patience pass by now.
        assert!(!load.is_done(10 * MILLISECOND_NS));
        assert!(load.is_done(60 * MILLISECOND_NS));
        for lane in [0, 1] {
            for number in 0..5000 {
                load.answered(lane, &answer(OPAQUE_MIN + number, 2), 0).unwrap();
            }
        }
        assert!(load.is_done(10 * MILLISECOND_NS));
        let refused: u64 = load
            .finish()
            .ledgers
            .iter()
            .map(|ledger| ledger.refused_requests)
            .sum();
        assert_eq!(refused, 10_000);
    }
}
