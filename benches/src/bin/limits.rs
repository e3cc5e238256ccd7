//! Prints what the criterion suites have measured, each beside its limit from the same run: `limits [GROUP-PREFIX...]`.
//!
//! Reads the estimates that criterion leaves under the target folder. Those of an earlier run, an hour older than the newest, are left
//! out. The share says how much of the limit is reached: 50 % takes twice as long as the limit.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use kourou_benches::suite::LIMIT;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Estimates that are so much older than the newest are of another run.
const RUN_MAX: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    let prefixes: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |figure: &Figure| {
        prefixes.is_empty()
            || prefixes
                .iter()
                .any(|prefix| figure.id.group.starts_with(prefix.as_str()))
    };
    let mut figures = Vec::new();
    let folder = criterion_folder()?;
    collect(&folder, &mut figures)?;
    let newest = figures.iter().map(|figure| figure.when).max();
    let newest = newest.ok_or_else(|| format!("nothing in {}: run cargo bench first", folder.display()))?;
    figures
        .retain(|figure| newest.duration_since(figure.when).is_ok_and(|age| age < RUN_MAX) && chosen(figure));
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
    println!(
        "{:<58} {:>10} {:>12} {:>10} {:>7}  of what",
        "what", "takes", "rate", "limit", "share"
    );
    for figures in order.iter().filter_map(|key| rows.get(key)) {
        let limit = figures
            .iter()
            .find(|figure| figure.id.function.starts_with(LIMIT));
        for figure in figures
            .iter()
            .filter(|figure| !figure.id.function.starts_with(LIMIT))
        {
            println!("{}", line(figure, limit));
        }
    }
    Ok(())
}

fn line(figure: &Figure, limit: Option<&Figure>) -> String {
    let value = figure.id.value.iter().map(|value| format!(" [{value}]"));
    let what = format!(
        "{}: {}{}",
        figure.id.group,
        figure.id.function,
        value.collect::<String>()
    );
    let (of, least, share) = limit.map_or_else(Default::default, |limit| {
        let name = limit.id.function.trim_start_matches(LIMIT).to_owned();
        let share = format!("{:.0} %", limit.time_ns / figure.time_ns * 100.0);
        (name, time(limit.time_ns), share)
    });
    format!(
        "{what:<58} {:>10} {:>12} {least:>10} {share:>7}  {of}",
        time(figure.time_ns),
        figure.rate()
    )
}

fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.1} ns"),
        ..1e6 => format!("{:.2} us", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

/// Where criterion leaves its estimates: beside the profile's folder that this program lies in.
fn criterion_folder() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.parent().ok_or(io::ErrorKind::NotFound)?;
    Ok(profile.with_file_name("criterion"))
}

/// One measured function.
struct Figure {
    id: Id,
    time_ns: f64,
    when: SystemTime,
}

impl Figure {
    fn rate(&self) -> String {
        let per_second = |count: u64| count as f64 * 1e9 / self.time_ns;
        match self.id.throughput {
            Some(Throughput::Bytes(count) | Throughput::BytesDecimal(count)) => {
                format!("{:.0} MB/s", per_second(count) / 1e6)
            }
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
    BytesDecimal(u64),
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

fn collect(folder: &Path, figures: &mut Vec<Figure>) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "new") {
            let estimates_path = path.join("estimates.json");
            let estimates: Estimates = read(&estimates_path)?;
            figures.push(Figure {
                id: read(&path.join("benchmark.json"))?,
                time_ns: estimates.median.point_estimate,
                when: fs::metadata(&estimates_path)?.modified()?,
            });
        } else if path.is_dir() {
            collect(&path, figures)?;
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}
