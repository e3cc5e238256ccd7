//! What carrying a store over came to, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use kourou_migration::Report;

use crate::output::{Paint, counted, grouped, print_line, size};

/// Prints it. `to` is what was made.
pub(super) fn print(report: &Report, to: &str, took: Duration) -> anyhow::Result<()> {
    let paint = Paint::stdout();
    let seconds = took.as_secs_f64().max(0.001);
    let rate = size((report.read_bytes as f64 / seconds) as u64);
    print_line(&format!(
        "{} {} of log, {} in {seconds:.1} s, {rate}/s",
        paint.bold(to),
        size(report.read_bytes),
        counted(report.read_records, "record"),
    ))?;
    let mut parts = vec![
        counted(report.messages, "message"),
        counted(report.topics, "topic"),
        counted(report.groups, "group"),
        counted(report.offsets, "committed offset"),
    ];
    let more = [
        (report.timers, "message that waits for its time"),
        (report.half_messages, "pending half message"),
        (report.popped, "popped message that is delivered again"),
        (report.moved_queues, "queue that begins later than at 0"),
    ];
    parts.extend(
        more.iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} x {what}", grouped(*count))),
    );
    print_line(&format!("  carried over: {}", parts.join(", ")))?;
    if report.was_killed {
        print_line(
            "  its broker had been killed: what it wrote down now and then (offsets) is as old as up to ten seconds",
        )?;
    }
    if report.cut_bytes > 0 {
        print_line(&format!(
            "  a torn write of {} at the end of the log was cut off",
            counted(report.cut_bytes, "byte")
        ))?;
    }
    if let Some(damage) = &report.damage {
        print_line(&format!("  {} {damage}", paint.yellow("only up to damage:")))?;
    }
    print_counts("left behind, because it is over", &report.over)?;
    print_counts("settings without a place here", &report.left)?;
    print_counts(&paint.yellow("NOT carried over"), &report.lost)
}

fn print_counts(title: &str, counts: &BTreeMap<String, u64>) -> anyhow::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    print_line(&format!("  {title}:"))?;
    for (what, count) in counts {
        print_line(&format!("    {} {what}", grouped(*count)))?;
    }
    Ok(())
}
