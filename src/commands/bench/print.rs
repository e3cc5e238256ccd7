//! Reports for people.

use std::fmt::Write;

use anyhow::Result;
use kourou_bench::{AuditReport, LatencySummary, LoadReport, ProcessReport, TimelineStep};

use crate::output::{Paint, Table, counted, grouped, print_line, size};

pub(super) fn load(report: &LoadReport) -> Result<()> {
    let paint = Paint::stdout();
    let mut out = String::new();
    let how = match (report.in_flight, report.rate) {
        (Some(in_flight), _) => format!("{} in flight", grouped(in_flight as u64)),
        (_, Some(rate)) => format!("{rate} a second"),
        _ => String::new(),
    };
    let batch = if report.batch > 1 {
        format!(" in batches of {}", report.batch)
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        "{} of {}{batch}, {how} over {}, {} headers, to {} at {}",
        report.run,
        size(report.body_bytes as u64),
        counted(report.connections as u64, "connection"),
        report.codec,
        report.topic,
        report.broker,
    );
    match (report.per_second, report.megabytes_per_second) {
        (Some(rate), Some(megabytes)) => {
            let _ = writeln!(
                out,
                "{} messages/s  {megabytes:.1} MB/s  ({} in {:.1} s)",
                paint.bold(&grouped(rate.round() as u64)),
                grouped(report.messages),
                report.seconds,
            );
        }
        _ => out.push_str("no throughput: messages are missing\n"),
    }
    out.push('\n');
    out.push_str(&latencies(report).render(paint));
    out.push('\n');
    out.push_str(&processes(report).render(paint));
    for refusal in &report.refused {
        let _ = writeln!(
            out,
            "\nrefused: {} with {}: {}",
            counted(refusal.requests, "request"),
            refusal.name,
            refusal.remark
        );
    }
    if report.unanswered > 0 {
        let _ = writeln!(out, "\nnever answered: {}", counted(report.unanswered, "request"));
    }
    if !report.timeline.is_empty() {
        out.push('\n');
        out.push_str(&timeline(&report.timeline).render(paint));
    }
    let _ = write!(out, "\n{}", audit(&report.audit));
    print_line(&out)
}

fn latencies(report: &LoadReport) -> Table {
    let mut table = Table::new(&[
        "ms",
        ">p50",
        ">p90",
        ">p99",
        ">p99.9",
        ">max",
        ">mean",
        ">within 1 ms",
    ]);
    let rows: [(&str, &Option<LatencySummary>); 4] = [
        ("acknowledged", &report.latency),
        ("own lateness", &report.lateness),
        ("received", &report.end_to_end),
        ("received, from the socket", &report.end_to_end_from_socket),
    ];
    for (name, row) in rows {
        let Some(row) = row else { continue };
        let ms = |us: f64| format!("{:.3}", us / 1e3);
        table.row([
            name.to_owned(),
            ms(row.p50_us),
            ms(row.p90_us),
            ms(row.p99_us),
            ms(row.p99_9_us),
            ms(row.max_us),
            ms(row.mean_us),
            format!("{:.2} %", row.within_1ms_percent),
        ]);
    }
    table
}

fn processes(report: &LoadReport) -> Table {
    let mut table = Table::new(&[
        "process",
        ">CPU us/message",
        ">cores",
        ">waits/message",
        ">memory",
        ">of it own",
    ]);
    let mut row = |name: String, process: &ProcessReport| {
        let each = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        table.row([
            name,
            each(process.cpu_us_per_message),
            format!("{:.2}", process.cpu_cores),
            each(process.waits_per_message),
            size(process.resident_bytes),
            size(process.anonymous_bytes),
        ]);
    };
    for process in &report.processes {
        row(process.pid.to_string(), process);
    }
    row("this one".to_owned(), &report.own);
    table
}

fn timeline(steps: &[TimelineStep]) -> Table {
    let mut table = Table::new(&[">at ms", ">messages", ">p50 ms", ">p99 ms", ">max ms"]);
    for step in steps {
        table.row([
            grouped(step.begin_ms),
            grouped(step.count),
            format!("{:.2}", step.p50_us / 1e3),
            format!("{:.2}", step.p99_us / 1e3),
            format!("{:.3}", step.max_us / 1e3),
        ]);
    }
    table
}

fn audit(audit: &AuditReport) -> String {
    match audit {
        AuditReport::Skipped { why } => format!("audit: none, {why}"),
        AuditReport::Done(audit) if audit.is_clean() => format!(
            "audit: all {} acknowledged messages are there, once and as they were sent",
            grouped(audit.acknowledged)
        ),
        AuditReport::Done(audit) => format!(
            "audit: of {} acknowledged messages {} LOST, {} damaged, {} there again",
            grouped(audit.acknowledged),
            grouped(audit.lost),
            grouped(audit.damaged),
            grouped(audit.duplicates)
        ),
        _ => String::new(),
    }
}
