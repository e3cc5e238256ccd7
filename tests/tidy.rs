//! The house rules that no lint knows, as tests. Each names every place that breaks it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// A longer file holds more than one idea.
const LINES_MAX: usize = 800;

/// The only files that may be unsafe, each block with its proof.
const UNSAFE: [&str; 2] = ["engine/src/disk/uring.rs", "engine/src/segment/map.rs"];

/// Library crates without any unsafe code.
const SAFE_CRATES: [&str; 11] = [
    "bench",
    "migration",
    "broker",
    "nameserver",
    "proto",
    "frontends/remoting",
    "frontends/grpc",
    "frontends/tls",
    "frontends/quic",
    "tests/faultfs",
    "tests/simulation",
];

/// Crates whose time is an argument, and the one file that reads the clock for them.
const TIMELESS: [&str; 4] = ["engine/src", "broker/src", "nameserver/src", "proto/src"];
const CLOCK: &str = "engine/src/clock.rs";

struct Source {
    /// From the root of the repository, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The lines before the tests at the end of the file, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let tests = self.text.lines().position(|line| line.trim() == "#[cfg(test)]");
        let end = if is_test { 0 } else { tests.unwrap_or(usize::MAX) };
        (1..).zip(self.text.lines()).take(end)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    assert!(
        found.len() > 10,
        "the walk over the sources found {}",
        found.len()
    );
    found
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn sources_are_ascii() {
    let broken: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let lines = (1..)
                .zip(source.text.lines())
                .filter(|(_, line)| !line.is_ascii());
            lines
                .map(|(number, _)| format!("{}:{number}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_none("only ASCII in sources (escapes in strings)", &broken);
}

#[test]
fn files_are_short() {
    let broken: Vec<String> = sources()
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect();
    assert_none("no file over 800 lines", &broken);
}

#[test]
fn nothing_is_left_undone() {
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("FIX", "ME"),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in (1..).zip(source.text.lines()) {
            broken.extend(
                words
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", source.path)),
            );
        }
    }
    assert_none("no unfinished code", &broken);
}

#[test]
fn unsafe_code_stays_in_two_files() {
    // With its space, so that the names of lints and attributes are not meant.
    let word = concat!("unsafe", " ");
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !UNSAFE.contains(&source.path.as_str()))
    {
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let starts = [
                format!("{word}{{"),
                format!("{word}fn"),
                format!("{word}impl"),
                format!("{word}trait"),
            ];
            if starts.iter().any(|start| code.contains(start.as_str())) {
                broken.push(format!("{}:{number}", source.path));
            }
        }
    }
    for name in SAFE_CRATES {
        let path = format!("{name}/src/lib.rs");
        if !fs::read_to_string(root().join(&path))
            .unwrap()
            .contains("#![forbid(unsafe_code)]")
        {
            broken.push(format!("{path} does not forbid it"));
        }
    }
    assert_none(
        "unsafe code only where docs/design/memory.md argues for it",
        &broken,
    );
}

#[test]
fn below_the_frontends_time_is_an_argument() {
    let words = [
        concat!("SystemTime", "::now"),
        concat!("Instant", "::now"),
        concat!("thread", "::sleep"),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        if source.path == CLOCK || !TIMELESS.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in source.code() {
            broken.extend(
                words
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", source.path)),
            );
        }
    }
    assert_none("time comes from the clock seam", &broken);
}

#[test]
fn libraries_do_not_print() {
    let words = [concat!("println", "!("), concat!("print", "!(")];
    let mut broken = Vec::new();
    for source in sources() {
        // What is run by hand prints.
        let is_tool = ["benches/", "tests/simulation/"]
            .iter()
            .any(|tool| source.path.starts_with(tool));
        let library = source.path.contains("/src/") && !is_tool;
        if !library {
            continue;
        }
        for (number, line) in source.code() {
            let code = line.trim_start();
            if !code.starts_with("//") && words.iter().any(|word| code.contains(word)) {
                broken.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("libraries log, only the binary prints", &broken);
}
