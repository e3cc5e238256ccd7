//! A figure and its limit taken in turn, for what shares its disk with others.
//!
//! A disk that somebody else uses for a second makes any two figures of different seconds incomparable. Taken in turn, many times, both
//! meet the same disk, and the spread of the shares says how much to believe them.

use std::fmt;
use std::time::Duration;

/// Turns of each.
const TURNS: usize = 25;

/// How much of the limit was reached, over all turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    least: f64,
    median: f64,
    most: f64,
}

impl Shares {
    /// Takes both in turn. Each says how long it took for the same amount of work.
    pub fn measure(mut figure: impl FnMut() -> Duration, mut limit: impl FnMut() -> Duration) -> Self {
        let turn = |_| {
            let taken = figure();
            limit().as_secs_f64() / taken.as_secs_f64()
        };
        let mut shares: [f64; TURNS] = std::array::from_fn(turn);
        shares.sort_by(f64::total_cmp);
        Self {
            least: shares[0],
            median: shares[TURNS / 2],
            most: shares[TURNS - 1],
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        write!(
            f,
            "{:>5.0} % {:>5.0} % {:>5.0} %",
            percent(self.least),
            percent(self.median),
            percent(self.most)
        )
    }
}
