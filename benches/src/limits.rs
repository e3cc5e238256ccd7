//! The table of what the criterion suites have measured, each figure beside its limit from the same run.
//!
//! It is made of the estimates that criterion leaves under the target folder. The share says how much of the limit is reached: 50 % takes
//! twice as long as the limit.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::suite::{self, LIMIT};

/// The table of the figures that were measured since `started`; empty if there is none.
///
/// # Errors
/// Criterion's estimates cannot be read.
pub fn table(started: SystemTime) -> Result<String, Box<dyn Error>> {
    let mut figures = Vec::new();
    collect(&suite::estimates(), started, &mut figures)?;
    figures.sort_by_key(|figure| figure.when);

    // By group and value, in the order of the run.
    let mut order = Vec::new();
    let mut rows: BTreeMap<(String, String), Vec<Figure>> = BTreeMap::new();
    for figure in figures {
        let key = (
            figure.id.group.clone(),
            figure.id.value.clone().unwrap_or_default(),
        );
        let row = rows.entry(key.clone()).or_default();
        if row.is_empty() {
            order.push(key);
        }
        row.push(figure);
    }
    let mut table = String::new();
    for figures in order.iter().filter_map(|key| rows.get(key)) {
        let limit = figures.iter().find(|figure| figure.is_limit());
        for figure in figures.iter().filter(|figure| !figure.is_limit()) {
            if table.is_empty() {
                table.push_str(&row(&["what", "takes", "rate", "limit", "share", "of what"]));
            }
            table.push_str(&line(figure, limit));
        }
    }
    Ok(table)
}

fn line(figure: &Figure, limit: Option<&Figure>) -> String {
    let Id {
        group,
        function,
        value,
        ..
    } = &figure.id;
    let value = value.iter().map(|value| format!(" [{value}]"));
    let what = format!("{group}: {function}{}", value.collect::<String>());
    let (of, least, share) = limit.map_or_else(Default::default, |limit| {
        let name = limit.id.function.trim_start_matches(LIMIT).to_owned();
        let share = format!("{:.0} %", limit.time_ns / figure.time_ns * 100.0);
        (name, time(limit.time_ns), share)
    });
    row(&[&what, &time(figure.time_ns), &figure.rate(), &least, &share, &of])
}

fn row(cells: &[&str; 6]) -> String {
    let [what, takes, rate, limit, share, of] = cells;
    let mut row = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        row,
        "{what:<54} {takes:>10} {rate:>12} {limit:>10} {share:>7}  {of}"
    );
    row
}

fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.1} ns"),
        ..1e6 => format!("{:.2} us", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

/// One measured function.
struct Figure {
    id: Id,
    time_ns: f64,
    when: SystemTime,
}

impl Figure {
    fn is_limit(&self) -> bool {
        self.id.function.starts_with(LIMIT)
    }

    fn rate(&self) -> String {
        let per_second = |count: u64| count as f64 * 1e9 / self.time_ns;
        match self.id.throughput {
            Some(Throughput::Bytes(count)) => format!("{:.0} MB/s", per_second(count) / 1e6),
            Some(Throughput::Elements(count)) => format!("{:.0} k/s", per_second(count) / 1e3),
            Some(Throughput::Other(_)) | None => String::new(),
        }
    }
}

/// `benchmark.json`, as far as it is needed here.
#[derive(Deserialize)]
struct Id {
    #[serde(rename = "group_id")]
    group: String,
    #[serde(rename = "function_id")]
    function: String,
    #[serde(rename = "value_str")]
    value: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Bytes(u64),
    Elements(u64),
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

/// `estimates.json`, as far as it is needed here.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

fn collect(folder: &Path, started: SystemTime, figures: &mut Vec<Figure>) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "new") {
            let estimates_path = path.join("estimates.json");
            let when = fs::metadata(&estimates_path)?.modified()?;
            if when < started {
                continue;
            }
            let estimates: Estimates = read(&estimates_path)?;
            figures.push(Figure {
                id: read(&path.join("benchmark.json"))?,
                time_ns: estimates.median.point_estimate,
                when,
            });
        } else if path.is_dir() {
            collect(&path, started, figures)?;
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}
