//! The table of counts that is kept in the repository, and how a new count is held against it.
//!
//! ```text
//! path <TAB> instructions a message <TAB> allocations a message <TAB> why it is so
//! ```
//!
//! Lines that begin with `#` are for people.

use std::fmt::Write;

/// A count may be so much larger than the kept one, as a share of it.
pub const GROWTH_MAX: f64 = 0.05;
/// Allocations that are less than this are rare ones, e.g. of a table that doubles: they may come and go.
const ALLOCATIONS_NOISE: f64 = 0.01;
/// A change below this share is not worth a new line.
const SAME: f64 = 0.01;

/// What one path costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The path's name.
    pub path: String,
    /// Instructions a message.
    pub instructions: f64,
    /// Allocations a message.
    pub allocations: f64,
}

/// A count and the reason that it was accepted with.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The count.
    pub count: Count,
    /// Why it is so.
    pub why: String,
}

/// How a count stands to the kept one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the bounds.
    Same,
    /// Larger than allowed.
    Grown,
    /// So much smaller that the table should say so.
    Shrunk,
    /// The table does not have it.
    New,
}

/// The kept counts, in the order of the paths.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The lines for people at the top.
    comments: Vec<String>,
    kept: Vec<Kept>,
}

impl Table {
    /// Reads the file. `Err` is the line that is none.
    ///
    /// # Errors
    /// A line has not its four parts.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                table.comments.push(line.to_owned());
            } else {
                table.kept.push(parse_line(line).ok_or_else(|| line.to_owned())?);
            }
        }
        Ok(table)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = self.comments.join("\n");
        for Kept { count, why } in &self.kept {
            let Count {
                path,
                instructions,
                allocations,
            } = count;
            // Writing into a string does not fail.
            let _ = write!(text, "\n{path}\t{instructions:.0}\t{allocations:.3}\t{why}");
        }
        text.push('\n');
        text
    }

    /// What is kept of a path.
    pub fn get(&self, path: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.count.path == path)
    }

    /// Holds a count against the kept one.
    pub fn judge(&self, count: &Count) -> Verdict {
        let Some(Kept { count: kept, .. }) = self.get(&count.path) else {
            return Verdict::New;
        };
        let grown = |now: f64, then: f64, noise: f64| now > then * (1.0 + GROWTH_MAX) + noise;
        if grown(count.instructions, kept.instructions, 0.0)
            || grown(count.allocations, kept.allocations, ALLOCATIONS_NOISE)
        {
            Verdict::Grown
        } else if grown(kept.instructions, count.instructions, 0.0)
            || grown(kept.allocations, count.allocations, ALLOCATIONS_NOISE)
        {
            Verdict::Shrunk
        } else {
            Verdict::Same
        }
    }

    /// Takes these counts over, with the reason for those that have changed, and forgets paths that `exists` does not know.
    pub fn accept(&mut self, counts: &[Count], why: &str, exists: impl Fn(&str) -> bool) {
        self.kept.retain(|kept| exists(&kept.count.path));
        for count in counts {
            let new = || Kept {
                count: count.clone(),
                why: why.replace(['\t', '\n'], " "),
            };
            match self.kept.iter_mut().find(|kept| kept.count.path == count.path) {
                Some(kept) if is_same(&kept.count, count) => {}
                Some(kept) => *kept = new(),
                None => self.kept.push(new()),
            }
        }
    }
}

fn is_same(kept: &Count, count: &Count) -> bool {
    (kept.instructions - count.instructions).abs() <= kept.instructions * SAME
        && (kept.allocations - count.allocations).abs() <= kept.allocations * SAME + ALLOCATIONS_NOISE
}

fn parse_line(line: &str) -> Option<Kept> {
    let mut parts = line.splitn(4, '\t');
    let count = Count {
        path: parts.next()?.to_owned(),
        instructions: parts.next()?.parse().ok()?,
        allocations: parts.next()?.parse().ok()?,
    };
    let why = parts.next()?.to_owned();
    Some(Kept { count, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, instructions: f64, allocations: f64) -> Count {
        Count {
            path: path.to_owned(),
            instructions,
            allocations,
        }
    }

    fn table() -> Table {
        Table::parse("# for people\nsend\t1000\t2.000\tfirst\npull\t100\t0.000\tfirst\n").unwrap()
    }

    #[test]
    fn what_is_read_is_written() {
        assert_eq!(
            table().text(),
            "# for people\nsend\t1000\t2.000\tfirst\npull\t100\t0.000\tfirst\n"
        );
        assert_eq!(Table::parse("send\t1000"), Err("send\t1000".to_owned()));
    }

    #[test]
    fn five_percent_more_are_too_many() {
        let table = table();
        assert_eq!(table.judge(&count("send", 1049.0, 2.0)), Verdict::Same);
        assert_eq!(table.judge(&count("send", 1051.0, 2.0)), Verdict::Grown);
        assert_eq!(table.judge(&count("send", 500.0, 3.0)), Verdict::Grown);
        assert_eq!(table.judge(&count("send", 900.0, 2.0)), Verdict::Shrunk);
        assert_eq!(table.judge(&count("pull", 100.0, 0.005)), Verdict::Same);
        assert_eq!(table.judge(&count("pull", 100.0, 0.031)), Verdict::Grown);
        assert_eq!(table.judge(&count("hold", 1.0, 0.0)), Verdict::New);
    }

    #[test]
    fn a_reason_goes_to_what_has_changed() {
        let mut table = table();
        let counts = [
            count("send", 1005.0, 2.0),
            count("pull", 200.0, 0.0),
            count("hold", 1.0, 0.0),
        ];
        table.accept(&counts, "reads\ttwice", |_| true);
        assert_eq!(
            table.text(),
            "# for people\nsend\t1000\t2.000\tfirst\npull\t200\t0.000\treads twice\nhold\t1\t0.000\treads twice\n"
        );
        table.accept(&[], "", |path| path != "hold");
        assert_eq!(table.get("hold"), None);
    }
}
