//! The tables at the end.

use crate::brokers::Flavour;
use crate::runs::{Figure, Run, Samples};

/// Prints a table for each run: the median of the rounds, with the least and the most.
pub(crate) fn print(runs: &[&Run], samples: &Samples) {
    for run in runs {
        println!("\n**{}**\n", run.title);
        print!("| |");
        for figure in run.shows {
            print!(" {} |", figure.title());
        }
        println!(" rate / Apache async | rate / Apache sync |");
        println!("|---|{}---|---|", "---|".repeat(run.shows.len()));
        let median = |flavour, figure| middle(&samples.sorted(run.name, flavour, figure));
        for flavour in run.of {
            print!("| {} |", flavour.name());
            for figure in run.shows {
                print!(" {} |", cell(&samples.sorted(run.name, *flavour, *figure)));
            }
            for base in [Flavour::ApacheAsync, Flavour::ApacheSync] {
                let ratio = median(*flavour, Figure::PerSecond).zip(median(base, Figure::PerSecond));
                match ratio {
                    Some((ours, theirs)) => print!(" {:.2} |", ours / theirs),
                    None => print!(" |"),
                }
            }
            println!();
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
