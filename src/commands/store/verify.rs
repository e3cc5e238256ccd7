//! `kourou store verify`: whether every byte of a store is what was written.

use anyhow::Result;
use kourou_engine::verify::{Finding, QueuePlace, Report, Severity, Verdict};
use serde::Serialize;

use super::progress::Bar;
use super::{Outcome, closed};
use crate::cli::store::Place;
use crate::output::{Paint, counted, print_json, print_line, size};

#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    kind: &'static str,
    severity: &'static str,
    file: String,
    offset: u64,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    expected: &'a str,
    found: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_offset: Option<u64>,
    meaning: &'static str,
    remedy: &'static str,
}

#[derive(Debug, Serialize)]
struct VerdictJson {
    verdict: &'static str,
    findings: u64,
    looked_bytes: u64,
    total_bytes: u64,
    segments: u64,
    indexes: u64,
    checkpoints: u64,
    records: u64,
    messages: u64,
    queues: u64,
    first_position: u64,
    end_position: u64,
}

pub(super) fn run(place: &Place) -> Result<Outcome> {
    let store = closed(&place.dir)?;
    let mut bar = Bar::new();
    let report = store.verify(&mut |progress| bar.show(progress));
    bar.clear();
    let report = report?;
    if place.json {
        print_as_json(&report)?;
    } else {
        print_for_people(&report, Paint::stdout())?;
    }
    Ok(match report.verdict() {
        Verdict::Clean => Outcome::Clean,
        _ => Outcome::Findings,
    })
}

fn severity(finding: &Finding) -> &'static str {
    match finding.kind.severity() {
        Severity::Leftover => "leftover",
        Severity::Harmless => "harmless",
        _ => "loss",
    }
}

fn verdict(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Clean => "clean",
        _ => "findings",
    }
}

fn print_as_json(report: &Report) -> Result<()> {
    for finding in &report.findings {
        let place = finding.place.as_ref();
        print_json(&FindingJson {
            kind: finding.kind.name(),
            severity: severity(finding),
            file: finding.file.display().to_string(),
            offset: finding.offset,
            size_bytes: finding.size_bytes,
            position: finding.position,
            expected: &finding.expected,
            found: &finding.found,
            topic: place.map(|place: &QueuePlace| place.topic.as_str()),
            queue: place.map(|place| place.queue_id),
            queue_offset: place.map(|place| place.queue_offset),
            meaning: finding.kind.meaning(),
            remedy: finding.kind.remedy(),
        })?;
    }
    print_json(&VerdictJson {
        verdict: verdict(report),
        findings: report.findings.len() as u64 + report.further_findings,
        looked_bytes: report.looked_bytes,
        total_bytes: report.total_bytes,
        segments: report.segments,
        indexes: report.indexes,
        checkpoints: report.checkpoints,
        records: report.records,
        messages: report.messages,
        queues: report.queues,
        first_position: report.first_position,
        end_position: report.end_position,
    })
}

fn print_for_people(report: &Report, paint: Paint) -> Result<()> {
    for finding in &report.findings {
        let severity = severity(finding);
        let severity = if severity == "leftover" {
            paint.dim(severity)
        } else {
            paint.yellow(severity)
        };
        print_line(&format!("{severity}: {finding}"))?;
        print_line(&paint.dim(&format!("  meaning: {}", finding.kind.meaning())))?;
        print_line(&paint.dim(&format!("  to do: {}", finding.kind.remedy())))?;
    }
    if report.further_findings > 0 {
        print_line(&format!(
            "and {} more",
            counted(report.further_findings, "finding")
        ))?;
    }
    print_line(&format!(
        "{}: {} of {} looked at; {}, {}, {} in {}",
        paint.bold(verdict(report)),
        size(report.looked_bytes),
        size(report.total_bytes),
        counted(report.segments, "segment"),
        counted(report.records, "record"),
        counted(report.messages, "message"),
        counted(report.queues, "queue"),
    ))
}
