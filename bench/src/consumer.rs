//! The consumer beside an open loop: held pulls on every queue, each message measured when it arrives.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::closed::Window;
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::read::{PullSpec, ReadLoop, Reader, Stretch};
use crate::records::Record;
use crate::report::LoadReport;
use crate::settings::Target;
use crate::stage::Stage;
use crate::trailer::Trailer;

const BATCH: i32 = 32;

/// How many messages are to come; unknown until all are sent.
#[derive(Debug)]
pub(crate) struct Expected(AtomicU64);

impl Default for Expected {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Expected {
    /// All are sent; so many were acknowledged.
    pub(crate) fn tell(&self, messages: u64) {
        self.0.store(messages, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Consumer<'a> {
    run: u64,
    window: Window,
    expected: &'a Expected,
    received: u64,
    from_intended: Latencies,
    from_socket: Latencies,
}

impl<'a> Consumer<'a> {
    /// Pulls on every queue, from its end.
    pub(crate) fn load(
        target: &Target,
        stage: &'a Stage,
        window: Window,
        expected: &'a Expected,
    ) -> Result<ReadLoop<'a, Self>, BenchError> {
        let stretches: Vec<Stretch> = (0..)
            .zip(&stage.begins)
            .map(|(queue_id, &begin)| Stretch {
                queue_id,
                offsets: begin..i64::MAX,
            })
            .collect();
        let spec = PullSpec {
            topic: &stage.topic,
            codec: target.codec,
            batch: BATCH,
            suspend: true,
        };
        let consumer = Self {
            run: stage.run,
            window,
            expected,
            received: 0,
            from_intended: Latencies::new()?,
            from_socket: Latencies::new()?,
        };
        Ok(ReadLoop::new(spec, &stretches, 1, consumer))
    }

    pub(crate) fn tell(&self, report: &mut LoadReport) {
        report.end_to_end = self.from_intended.summary();
        report.end_to_end_from_socket = self.from_socket.summary();
        report.received = Some(self.received);
    }
}

impl Reader for Consumer<'_> {
    fn message(&mut self, _: usize, record: &Record<'_>, now_ns: u64) {
        let Some(trailer) = Trailer::read(record.body).filter(|trailer| trailer.run == self.run) else {
            return;
        };
        self.received += 1;
        if self.window.measures(trailer.intended_ns) {
            self.from_intended
                .record(now_ns.saturating_sub(trailer.intended_ns));
            self.from_socket.record(now_ns.saturating_sub(trailer.sent_ns));
        }
    }

    /// The audit looks for what is damaged.
    fn damaged(&mut self, _: usize) {}

    fn pulled(&mut self, _: u64, _: u64) {}

    fn again(&mut self, _: usize) -> Option<Range<i64>> {
        None
    }

    fn is_over(&self, now_ns: u64) -> bool {
        self.received >= self.expected.0.load(Ordering::Relaxed)
            || now_ns >= self.window.end_ns.saturating_add(self.window.patience_ns)
    }
}
