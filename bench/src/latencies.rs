//! Latencies of one run: a histogram of bounded size, and the share within a millisecond counted exactly.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::BenchError;

const MILLISECOND_NS: u64 = 1_000_000;
/// What is longer counts as this long.
const LONGEST_NS: u64 = 600_000_000_000;
const SHORTEST_NS: u64 = 100;
/// Digits that a value keeps.
const PRECISION: u8 = 3;

/// What has been measured so far.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    within_millisecond: u64,
    /// What was refused: in no time, and not within any.
    missed: u64,
    longest_ns: u64,
}

impl Latencies {
    pub(crate) fn new() -> Result<Self, BenchError> {
        Ok(Self {
            histogram: histogram(PRECISION)?,
            within_millisecond: 0,
            missed: 0,
            longest_ns: 0,
        })
    }

    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
        self.within_millisecond += u64::from(latency_ns <= MILLISECOND_NS);
        self.longest_ns = self.longest_ns.max(latency_ns);
    }

    /// Notes what did not come about.
    pub(crate) const fn miss(&mut self) {
        self.missed += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, and nothing beyond them was recorded.
        let _ = self.histogram.add(&other.histogram);
        self.within_millisecond += other.within_millisecond;
        self.missed += other.missed;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    /// `None` if nothing was measured.
    pub(crate) fn summary(&self) -> Option<LatencySummary> {
        let count = self.histogram.len();
        let at = |percentile| self.histogram.value_at_percentile(percentile) as f64 / 1e3;
        (count > 0).then(|| LatencySummary {
            count,
            min_us: self.histogram.min() as f64 / 1e3,
            mean_us: self.histogram.mean() / 1e3,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p99_9_us: at(99.9),
            max_us: self.longest_ns as f64 / 1e3,
            within_1ms_percent: 100.0 * self.within_millisecond as f64 / (count + self.missed) as f64,
        })
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct LatencySummary {
    /// How many were measured.
    pub count: u64,
    /// The shortest.
    pub min_us: f64,
    /// The mean.
    pub mean_us: f64,
    /// Half were at most this.
    pub p50_us: f64,
    /// Nine of ten were at most this.
    pub p90_us: f64,
    /// 99 of 100 were at most this.
    pub p99_us: f64,
    /// 999 of 1000 were at most this.
    pub p99_9_us: f64,
    /// The longest, exactly.
    pub max_us: f64,
    /// How many of a hundred took at most a millisecond; those that were refused did not.
    pub within_1ms_percent: f64,
}

/// A histogram of nanoseconds with this many digits.
pub(crate) fn histogram(precision: u8) -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, precision).map_err(BenchError::Histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_within_a_millisecond_is_exact_and_counts_what_was_refused() {
        let mut latencies = Latencies::new().unwrap();
        assert!(latencies.summary().is_none());
        for latency_ns in [1_000_000, 1_000_001, 500, 7_000_000] {
            latencies.record(latency_ns);
        }
        latencies.miss();
        let mut all = Latencies::new().unwrap();
        all.add(&latencies);
        let summary = all.summary().unwrap();
        assert_eq!((summary.count, summary.within_1ms_percent), (4, 40.0));
        assert_eq!(summary.max_us, 7000.0);
        assert!((summary.p90_us - 7000.0).abs() < 10.0, "{summary:?}");
    }

    #[test]
    fn what_takes_forever_is_still_recorded() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(u64::MAX);
        assert_eq!(latencies.summary().unwrap().count, 1);
    }
}
