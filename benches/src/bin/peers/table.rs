//! The tables at the end.

use crate::brokers::Flavour;
use crate::runs::{Figure, Run, Samples};

/// Prints a table for each run: the median of the rounds, with the least and the most.
pub(crate) fn print(runs: &[&Run], samples: &Samples) {
    for run in runs {
        println!("\n**{}**\n", run.title);
        let mut heads: Vec<&str> = run.shows.iter().map(|figure| figure.title()).collect();
        let bases: &[Flavour] = match run.shows.contains(&Figure::PerSecond) {
            true => &[Flavour::ApacheAsync, Flavour::ApacheSync, Flavour::ApacheProxy],
            false => &[],
        };
        let bases: Vec<Flavour> = bases
            .iter()
            .copied()
            .filter(|base| run.of.contains(base))
            .collect();
        let ratios: Vec<String> = bases
            .iter()
            .map(|base| format!("rate / {}", base.name()))
            .collect();
        heads.extend(ratios.iter().map(String::as_str));
        println!("| | {} |", heads.join(" | "));
        println!("|---|{}", "---|".repeat(heads.len()));
        let median = |flavour, figure| middle(&samples.sorted(run.name, flavour, figure));
        for flavour in run.of {
            let figures = run
                .shows
                .iter()
                .map(|figure| cell(&samples.sorted(run.name, *flavour, *figure)));
            let ours = median(*flavour, Figure::PerSecond);
            let ratios = bases.iter().map(|base| {
                let ratio = ours.zip(median(*base, Figure::PerSecond));
                ratio.map_or_else(String::new, |(ours, theirs)| format!("{:.2}", ours / theirs))
            });
            let cells: Vec<String> = figures.chain(ratios).collect();
            println!("| {} | {} |", flavour.name(), cells.join(" | "));
        }
    }
}

fn middle(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

fn cell(sorted: &[f64]) -> String {
    let (Some(least), Some(middle), Some(most)) = (sorted.first(), middle(sorted), sorted.last()) else {
        return String::new();
    };
    let show = |value: f64| match value {
        value if value >= 1000.0 => thousands(value),
        value => format!("{value:.2}"),
    };
    format!("{} ({} to {})", show(middle), show(*least), show(*most))
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
