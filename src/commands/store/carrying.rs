//! A bar on the terminal while a store is carried over. Nothing of it reaches a pipe.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use kourou_migration::Progress;

use crate::output::{colour_wanted, size};

const CELLS: usize = 30;
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Bar {
    on: bool,
    step: &'static str,
    begun: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self {
            on: stderr().is_terminal() && colour_wanted(),
            step: "",
            begun: Instant::now(),
            shown: None,
        }
    }

    pub(super) fn clear(&self) {
        if self.on {
            // A terminal that is gone needs no bar.
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

impl Progress for Bar {
    fn at(&mut self, step: &'static str, done_bytes: u64, all_bytes: u64) {
        if !self.on {
            return;
        }
        let now = Instant::now();
        if step != self.step {
            self.step = step;
            self.begun = now;
        } else if self.shown.is_some_and(|shown| now - shown < INTERVAL) {
            return;
        }
        self.shown = Some(now);
        let share = done_bytes as f64 / all_bytes.max(1) as f64;
        let full = ((share.clamp(0.0, 1.0) * CELLS as f64) as usize).min(CELLS);
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(CELLS - full));
        let seconds = (now - self.begun).as_secs_f64().max(0.001);
        // Bytes a second fit.
        let rate = size((done_bytes as f64 / seconds) as u64);
        let _ = write!(
            stderr(),
            "\r\x1b[2K{step:10} [{bar}] {} of {}, {rate}/s",
            size(done_bytes),
            size(all_bytes)
        );
    }
}
