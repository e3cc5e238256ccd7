//! Counts the allocations per message of every path once it is warm, and names the places that make them.
//!
//! `cargo run --profile profiling -p kourou-benches --bin allocations [-- PATH-PREFIX...]`
//!
//! With `--count PATH` it prints that path's figure and nothing else.
//!
//! Every allocation of the process counts: the port's, the broker's, the engine's and the runtime's. The client allocates nothing.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path as FilePath;
use std::{fs, io};

use kourou_benches::paths::{self, Path};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Places that are shown of each path.
const PLACES_MAX: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = wanted.iter().position(|argument| argument == "--count") {
        wanted.remove(at);
        let name = wanted.first().ok_or("--count wants a path")?;
        let path = paths::named(name).ok_or_else(|| format!("no path is called '{name}'"))?;
        println!(
            "{}",
            count(path, None)?.total_blocks as f64 / path.counted_messages() as f64
        );
        return Ok(());
    }
    let sources = Sources::find()?;
    let chosen =
        |path: &&Path| wanted.is_empty() || wanted.iter().any(|name| path.name.starts_with(name.as_str()));
    for path in paths::all().filter(chosen) {
        show(path, &sources)?;
    }
    Ok(())
}

/// Takes the path, and leaves what DHAT has seen in `report`.
fn count(path: &Path, report: Option<&FilePath>) -> io::Result<dhat::HeapStats> {
    let mut round = path.open()?.round;
    for _ in 0..path.warm_rounds() {
        round()?;
    }
    let profiler = dhat::Profiler::builder().trim_backtraces(None);
    let profiler = match report {
        Some(file) => profiler.file_name(file).build(),
        None => profiler.testing().build(),
    };
    for _ in 0..path.counted_rounds() {
        round()?;
    }
    let stats = dhat::HeapStats::get();
    drop(profiler);
    Ok(stats)
}

fn show(path: &Path, sources: &Sources) -> Result<(), Box<dyn Error>> {
    let report = tempfile::NamedTempFile::new()?;
    let stats = count(path, Some(report.path()))?;
    let messages = path.counted_messages() as f64;
    println!(
        "{:<30} {:>8.3} allocations and {:>8.1} bytes a message   ({})",
        path.name,
        stats.total_blocks as f64 / messages,
        stats.total_bytes as f64 / messages,
        path.about,
    );
    let report: Report = serde_json::from_str(&fs::read_to_string(report.path())?)?;
    for place in report.places(sources).iter().take(PLACES_MAX) {
        println!(
            "    {:>8.3} {:>8.1} B  {}",
            place.blocks as f64 / messages,
            place.bytes as f64 / messages,
            place.name,
        );
    }
    Ok(())
}

/// What DHAT's file says, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Report {
    #[serde(rename = "pps")]
    points: Vec<Point>,
    #[serde(rename = "ftbl")]
    frames: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Point {
    #[serde(rename = "tb")]
    bytes: u64,
    #[serde(rename = "tbk")]
    blocks: u64,
    /// Innermost first.
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

#[derive(Debug, Default)]
struct Place {
    name: String,
    blocks: u64,
    bytes: u64,
}

impl Report {
    /// The places that allocate, those with the most blocks first.
    fn places(&self, sources: &Sources) -> Vec<Place> {
        let mut places: HashMap<String, Place> = HashMap::new();
        for point in &self.points {
            let frames = point.frames.iter().filter_map(|&at| self.frames.get(at));
            let name = sources.name(frames.map(String::as_str));
            let place = places.entry(name.clone()).or_insert_with(|| Place {
                name,
                ..Place::default()
            });
            place.blocks += point.blocks;
            place.bytes += point.bytes;
        }
        let mut places: Vec<Place> = places.into_values().collect();
        places.sort_by(|a, b| (b.blocks, &a.name).cmp(&(a.blocks, &b.name)));
        places
    }
}

/// The project's own files, by the last three parts of their paths: DHAT tells no more.
struct Sources(HashMap<String, String>);

impl Sources {
    fn find() -> io::Result<Self> {
        let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found = HashMap::new();
        for room in ["engine/src", "broker/src", "proto/src", "frontends/remoting/src"] {
            let mut folders = vec![root.join(room)];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(&folder)? {
                    let path = entry?.path();
                    if path.is_dir() {
                        folders.push(path);
                    } else if let Ok(inside) = path.strip_prefix(&root) {
                        let inside = inside.to_string_lossy().into_owned();
                        let parts: Vec<&str> = inside.rsplitn(4, '/').take(3).collect();
                        let end: Vec<&str> = parts.into_iter().rev().collect();
                        found.insert(end.join("/"), inside);
                    }
                }
            }
        }
        Ok(Self(found))
    }

    /// The innermost three lines of ours on this stack; if there is none, the innermost six of anybody.
    fn name<'a>(&self, stack: impl Iterator<Item = &'a str>) -> String {
        let lines: Vec<Line<'_>> = stack.filter_map(Line::parse).collect();
        let ours = lines.iter().filter_map(|line| {
            let file = self.0.get(line.file)?;
            Some(format!("{} {file}:{}", line.function, line.number))
        });
        let ours: Vec<String> = ours.take(3).collect();
        if ours.is_empty() {
            let all = lines.iter().take(6);
            let all = all.map(|line| format!("{} {}:{}", line.function, line.file, line.number));
            all.collect::<Vec<_>>().join(" < ")
        } else {
            ours.join(" < ")
        }
    }
}

/// One line of a stack: `0x0123: function<of, types> (last/three/parts.rs:line:column)`.
struct Line<'a> {
    function: &'a str,
    file: &'a str,
    number: &'a str,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once(": ")?;
        let (name, place) = rest.rsplit_once(" (")?;
        let mut place = place.trim_end_matches(')').split(':');
        let file = place.next()?;
        // The frames of allocators and growing buffers lie above the one that asked.
        let above = [
            "dhat",
            "backtrace",
            "alloc/src",
            "raw_vec/",
            "src/vec/",
            "bin/allocations.rs",
        ];
        (!above.iter().any(|part| file.contains(part))).then(|| Self {
            function: name.split_once('<').map_or(name, |(name, _)| name),
            file,
            number: place.next().unwrap_or("?"),
        })
    }
}
