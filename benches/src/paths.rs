//! The paths whose instructions and allocations are counted.

mod codec;
mod engine;
mod port;

use std::{fmt, io};

/// One step of a path; every one does the same.
pub type Round = Box<dyn FnMut() -> io::Result<()>>;

/// A path that is ready to be taken.
pub struct Opened {
    /// To be called again and again.
    pub round: Round,
    /// Bytes that a round is about: of the requests, of the records, of the header.
    pub size_bytes: usize,
}

impl Opened {
    fn new(size_bytes: usize, round: impl FnMut() -> io::Result<()> + 'static) -> Self {
        Self {
            round: Box::new(round),
            size_bytes,
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

/// A path of a message through the broker, or a part of it.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Its name: one word for each choice, with slashes.
    pub name: &'static str,
    /// What happens in a round.
    pub about: &'static str,
    /// Messages in a round; counts are divided by it.
    pub messages: usize,
    open: fn() -> io::Result<Opened>,
}

/// Bytes of every message's body.
const BODY: [u8; 1024] = [7; 1024];

/// Messages before the count: they fill the tail cache and every buffer.
const WARM_MESSAGES: usize = 4_800;
/// Messages that are counted.
const COUNTED_MESSAGES: usize = 2_560;
/// Rounds before the count and in it, at the most: a path that takes 32 messages a round needs no thousands of them.
const ROUNDS_MAX: usize = 1_280;

impl Path {
    /// Everything that a round needs, and is not to be counted.
    ///
    /// # Errors
    /// The system gives no port or no memory.
    pub fn open(&self) -> io::Result<Opened> {
        (self.open)()
    }

    /// Rounds before anything is counted.
    pub fn warm_rounds(&self) -> usize {
        WARM_MESSAGES.div_ceil(self.messages)
    }

    /// Rounds that are counted.
    pub fn counted_rounds(&self) -> usize {
        COUNTED_MESSAGES.div_ceil(self.messages).min(ROUNDS_MAX)
    }

    /// Messages in them.
    pub fn counted_messages(&self) -> usize {
        self.counted_rounds() * self.messages
    }
}

/// All paths.
pub fn all() -> impl Iterator<Item = &'static Path> {
    port::PATHS.iter().chain(&engine::PATHS).chain(&codec::PATHS)
}

/// The path of that name.
pub fn named(name: &str) -> Option<&'static Path> {
    all().find(|path| path.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_can_be_taken_again_and_again() {
        for path in all() {
            let mut opened = path.open().unwrap();
            assert!(opened.size_bytes > 0, "{}", path.name);
            for _ in 0..3 {
                (opened.round)().unwrap();
            }
        }
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = all().map(|path| path.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }
}
