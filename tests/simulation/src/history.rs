//! What happened, as a hash: two runs of one seed must agree in it. Told in full if somebody wants to read it.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// The events of one run.
#[derive(Debug)]
pub struct History {
    hasher: DefaultHasher,
    events: u64,
    tells: bool,
    text: String,
}

impl History {
    /// Begins one; if it `tells`, every event is printed.
    pub fn new(tells: bool) -> Self {
        Self {
            // Of the default keys: the same in every run.
            hasher: DefaultHasher::new(),
            events: 0,
            tells,
            text: String::new(),
        }
    }

    /// Something happened.
    pub fn note(&mut self, at_ms: i64, event: fmt::Arguments<'_>) {
        self.events += 1;
        self.text.clear();
        // Writing to a text does not fail.
        let _ = fmt::write(&mut self.text, format_args!("{at_ms} {event}"));
        self.hasher.write(self.text.as_bytes());
        self.hasher.write_u8(0xFF);
        if self.tells {
            println!("{}", self.text);
        }
    }

    /// How much happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
