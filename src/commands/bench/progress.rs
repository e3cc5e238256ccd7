//! A bar on the terminal while a run goes on. Nothing of it reaches a pipe.

use std::io::{IsTerminal, Write, stderr};

use kourou_bench::{Phase, Progress};

use crate::output::{colour_wanted, counted};

const CELLS: usize = 30;

#[derive(Debug)]
pub(super) struct Bar {
    on: bool,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self {
            on: stderr().is_terminal() && colour_wanted(),
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        if self.on {
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
    let phase = match progress.phase {
        Phase::WarmUp => "warming up",
        Phase::Audit => "reading back",
        Phase::Fill => "filling",
        Phase::Pull => "reading",
        _ => "measuring",
    };
    // From 0 to 30.
    let full = (progress.share.clamp(0.0, 1.0) * CELLS as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(CELLS - full));
    format!("{phase:12} [{bar}] {}", counted(progress.messages, "message"))
}
