//! A bar on the terminal while a store is read. Nothing of it reaches a pipe.

use std::io::{IsTerminal, Write, stderr};

use kourou_engine::verify::Progress;

use crate::output::{colour_wanted, size};

const CELLS: usize = 30;
/// How often it is drawn in all.
const STEPS: u64 = 200;

#[derive(Debug)]
pub(super) struct Bar {
    on: bool,
    step: u64,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self {
            on: stderr().is_terminal() && colour_wanted(),
            step: 0,
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let step = progress.looked_bytes.saturating_mul(STEPS) / progress.total_bytes.max(1);
        if self.on && step != self.step {
            self.step = step;
            // A terminal that is gone needs no bar.
            let _ = write!(stderr(), "\r\x1b[2K{}", line(progress));
        }
    }

    pub(super) fn clear(&mut self) {
        if self.on {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

fn line(progress: Progress) -> String {
    let share = progress.looked_bytes as f64 / progress.total_bytes.max(1) as f64;
    // From 0 to 30.
    let full = (share.clamp(0.0, 1.0) * CELLS as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(CELLS - full));
    format!(
        "reading [{bar}] {} of {}",
        size(progress.looked_bytes),
        size(progress.total_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_of_how_much() {
        let progress = |looked_bytes, total_bytes| Progress {
            looked_bytes,
            total_bytes,
        };
        assert_eq!(
            line(progress(512, 1024)),
            format!("reading [{}{}] 512 B of 1.0 KiB", "#".repeat(15), ".".repeat(15))
        );
        assert!(line(progress(0, 0)).contains(&".".repeat(30)));
    }
}
