//! Latency over time: what happened in each tenth of a second or so, so that a stall can be seen and placed.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::BenchError;
use crate::latencies::histogram;

const STEP_NS_MIN: u64 = 100_000_000;
/// Steps of a run at most: longer runs have longer steps.
const STEPS_MAX: u64 = 1200;
const ENDLESS_NS: u64 = u64::MAX / 2;
/// One digit is enough to see a stall, and keeps a step small.
const PRECISION: u8 = 1;

/// Nothing is kept by one that is off.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    begin_ns: u64,
    step_ns: u64,
    empty: Histogram<u64>,
    steps: Vec<Step>,
    on: bool,
}

#[derive(Debug, Clone)]
struct Step {
    histogram: Histogram<u64>,
    longest_ns: u64,
}

impl Timeline {
    pub(crate) fn new(begin_ns: u64, end_ns: u64, on: bool) -> Result<Self, BenchError> {
        Ok(Self {
            begin_ns,
            step_ns: step_ns(end_ns.saturating_sub(begin_ns)),
            empty: histogram(PRECISION)?,
            steps: Vec::new(),
            on,
        })
    }

    /// Notes the latency of what began at this time.
    pub(crate) fn record(&mut self, at_ns: u64, latency_ns: u64) {
        if !self.on {
            return;
        }
        let index = (at_ns.saturating_sub(self.begin_ns) / self.step_ns).min(STEPS_MAX);
        let index = usize::try_from(index).unwrap_or(0);
        self.reach(index + 1);
        let step = &mut self.steps[index];
        step.histogram.saturating_record(latency_ns);
        step.longest_ns = step.longest_ns.max(latency_ns);
    }

    fn reach(&mut self, count: usize) {
        if count > self.steps.len() {
            let empty = Step {
                histogram: self.empty.clone(),
                longest_ns: 0,
            };
            self.steps.resize(count, empty);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.reach(other.steps.len());
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            // Both have the same bounds.
            let _ = step.histogram.add(&other.histogram);
            step.longest_ns = step.longest_ns.max(other.longest_ns);
        }
    }

    pub(crate) fn summary(&self) -> Vec<TimelineStep> {
        let step = |(index, step): (usize, &Step)| TimelineStep {
            begin_ms: index as u64 * self.step_ns / 1_000_000,
            count: step.histogram.len(),
            p50_us: step.histogram.value_at_percentile(50.0) as f64 / 1e3,
            p99_us: step.histogram.value_at_percentile(99.0) as f64 / 1e3,
            max_us: step.longest_ns as f64 / 1e3,
        };
        self.steps.iter().enumerate().map(step).collect()
    }
}

/// A run that ends after so many messages has no known end.
fn step_ns(duration_ns: u64) -> u64 {
    match duration_ns {
        ENDLESS_NS.. => STEP_NS_MIN,
        _ => (duration_ns / STEPS_MAX).max(STEP_NS_MIN),
    }
}

/// One step of a timeline.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct TimelineStep {
    /// When it began, from the begin of the measurement.
    pub begin_ms: u64,
    /// What began in it.
    pub count: u64,
    /// Half took at most this, to one digit.
    pub p50_us: f64,
    /// 99 of 100 took at most this, to one digit.
    pub p99_us: f64,
    /// The longest, exactly.
    pub max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_tell_what_began_in_them() {
        let mut timeline = Timeline::new(1000, 1_000_000_000, true).unwrap();
        let mut other = timeline.clone();
        timeline.record(1000, 5000);
        other.record(STEP_NS_MIN * 2 + 1000, 300_000_000);
        timeline.add(&other);
        let steps = timeline.summary();
        let told: Vec<_> = steps
            .iter()
            .map(|step| (step.begin_ms, step.count, step.max_us))
            .collect();
        assert_eq!(told, [(0, 1, 5.0), (100, 0, 0.0), (200, 1, 300_000.0)]);
        assert!((steps[2].p99_us / 300_000.0 - 1.0).abs() < 0.1, "{steps:?}");
    }

    #[test]
    fn a_long_run_has_longer_steps_and_one_without_end_not_more() {
        let hour = Timeline::new(0, 3_600_000_000_000, true).unwrap();
        assert_eq!(hour.step_ns, 3_000_000_000);
        let mut timeline = Timeline::new(0, 1, true).unwrap();
        timeline.record(u64::MAX, 1);
        assert_eq!(timeline.summary().len() as u64, STEPS_MAX + 1);
        let mut off = Timeline::new(0, 1, false).unwrap();
        off.record(0, 1);
        assert!(off.summary().is_empty());
    }
}
