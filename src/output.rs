//! What the commands print: tables for people, one JSON object a line for programs; colours only on a terminal.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;

/// `NO_COLOR` is the convention; a dumb terminal cannot.
pub(crate) fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Escape codes, or nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Plain text.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { on: false };

    /// Colours if stdout is a terminal that wants them.
    pub(crate) fn stdout() -> Self {
        Self {
            on: io::stdout().is_terminal() && colour_wanted(),
        }
    }

    #[cfg(test)]
    pub(crate) const ALWAYS: Self = Self { on: true };

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows under a header; numbers to the right.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// Titles that start with `>` are of columns of numbers.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, right: true },
            None => Column { title, right: false },
        };
        Self {
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn render(&self, paint: Paint) -> String {
        let width = |index: usize, column: &Column| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(index))
                .map(|cell| cell.chars().count());
            cells.chain([column.title.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| width(index, column))
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut out = String::new();
            for ((cell, column), width) in cells.zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if column.right {
                    (pad.as_str(), "")
                } else {
                    ("", pad.as_str())
                };
                out.extend([before, cell, after, "  "]);
            }
            out.truncate(out.trim_end().len());
            out
        };
        let mut out = paint.dim(&line(&mut self.columns.iter().map(|column| column.title)));
        for row in &self.rows {
            out.push('\n');
            out.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        out.push('\n');
        out
    }
}

/// Prints a table, or what stands for an empty one.
pub(crate) fn print_table(table: &Table, empty: &str) -> Result<()> {
    if table.is_empty() {
        return print_line(empty);
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(table.render(Paint::stdout()).as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints one line.
pub(crate) fn print_line(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Prints one JSON object on one line.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_string(value)?)
}

/// Whether an error is only that nobody reads on: `kourou consume ... | head`.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes. Some errors say their cause themselves; it is not said twice.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The same of what the protocol calls signed.
pub(crate) fn number(value: i64) -> String {
    u64::try_from(value).map_or_else(|_| value.to_string(), grouped)
}

/// A size with a unit: `512 B`, `1.5 KiB`, `3.0 GiB`.
pub(crate) fn size(size_bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size_bytes < 1024 {
        return format!("{size_bytes} B");
    }
    let mut value = size_bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 topic`, `2 topics`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_leave_no_trailing_space() {
        let mut table = Table::new(&["topic", ">messages", "note"]);
        table.row(["a".to_owned(), "1,000".to_owned(), String::new()]);
        table.row(["longer-name".to_owned(), "2".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.render(Paint::PLAIN),
            "topic        messages  note\na               1,000\nlonger-name         2  x\n"
        );
        assert!(table.render(Paint::ALWAYS).starts_with("\x1b[2mtopic"));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 1023, 1536, 3 << 30].map(size),
            ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
        );
        assert_eq!(counted(1, "topic"), "1 topic");
        assert_eq!(counted(0, "topic"), "0 topics");
    }
}
