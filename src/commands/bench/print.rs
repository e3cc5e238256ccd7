//! Reports for people.

use std::fmt::Write;

use anyhow::Result;
use kourou_bench::{
    AuditReport, LatencySummary, LoadReport, ProcessReport, PullAudit, PullReport, TimelineStep,
};

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
    rate(
        &mut out,
        report.per_second,
        report.megabytes_per_second,
        report.messages,
        report.seconds,
    );
    out.push('\n');
    let rows = [
        ("acknowledged", &report.latency),
        ("own lateness", &report.lateness),
        ("received", &report.end_to_end),
        ("received, from the socket", &report.end_to_end_from_socket),
    ];
    out.push_str(&latencies(&rows).render(paint));
    out.push('\n');
    out.push_str(&processes(&report.processes, &report.own).render(paint));
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

pub(super) fn pull(report: &PullReport) -> Result<()> {
    let paint = Paint::stdout();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "pull of up to {}, {} in flight over {}, {} headers, from {} at {}",
        report.batch,
        grouped(report.in_flight as u64),
        counted(report.connections as u64, "connection"),
        report.codec,
        report.topic,
        report.broker,
    );
    rate(
        &mut out,
        report.per_second,
        report.megabytes_per_second,
        report.messages,
        report.seconds,
    );
    let _ = writeln!(out, "{:.1} messages a pull", report.messages_per_pull);
    out.push('\n');
    out.push_str(&latencies(&[("answered", &report.latency)]).render(paint));
    out.push('\n');
    out.push_str(&processes(&report.processes, &report.own).render(paint));
    if let Some(fill) = &report.fill {
        let _ = writeln!(out, "\nfill {}", audit(fill));
    }
    let PullAudit {
        expected,
        missing,
        repeated,
        damaged,
        checksums,
        ..
    } = report.audit;
    let how = if checksums {
        "checksums computed"
    } else {
        "checksums not looked at, --no-audit"
    };
    let _ = if report.audit.is_clean() {
        write!(
            out,
            "\naudit: all {} messages came, in order and once; {how}",
            grouped(expected)
        )
    } else {
        write!(
            out,
            "\naudit: of {} messages {} MISSING, {} damaged, {} came again",
            grouped(expected),
            grouped(missing),
            grouped(damaged),
            grouped(repeated)
        )
    };
    print_line(&out)
}

fn rate(out: &mut String, per_second: Option<f64>, megabytes: Option<f64>, messages: u64, seconds: f64) {
    match (per_second, megabytes) {
        (Some(rate), Some(megabytes)) => {
            let _ = writeln!(
                out,
                "{} messages/s  {megabytes:.1} MB/s  ({} in {seconds:.1} s)",
                Paint::stdout().bold(&grouped(rate.round() as u64)),
                grouped(messages),
            );
        }
        _ => out.push_str("no throughput: messages are missing or damaged\n"),
    }
}

fn latencies(rows: &[(&str, &Option<LatencySummary>)]) -> Table {
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
    for (name, row) in rows {
        let Some(row) = row else { continue };
        let ms = |us: f64| format!("{:.3}", us / 1e3);
        table.row([
            (*name).to_owned(),
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

fn processes(others: &[ProcessReport], own: &ProcessReport) -> Table {
    let mut table = Table::new(&[
        "process",
        ">CPU us/message",
        ">cores",
        ">waits/message",
        ">memory",
        ">of it own",
    ]);
    let mut row = |name: String, process: &ProcessReport| {
        let each = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        table.row([
            name,
            each(process.cpu_us_per_message),
            format!("{:.2}", process.cpu_cores),
            each(process.waits_per_message),
            size(process.resident_bytes),
            size(process.anonymous_bytes),
        ]);
    };
    for process in others {
        row(process.pid.to_string(), process);
    }
    row("this one".to_owned(), own);
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
