//! Looking for damage before a reader does.

use super::Engine;
use crate::error::ScrubError;
use crate::log::pending::Shut;
use crate::scrub::{Damage, Scrub, Scrubbed};
use crate::shared::Job;

impl Engine {
    /// Reads about `size_bytes_max` bytes of complete segments, from where the last look ended, and checks them. Damage is told in the log,
    /// once for each place, and kept, see [`Engine::damage`]. To be called now and then; whoever does decides how fast that is.
    ///
    /// The work is done by the thread that seals segments, or inside [`Engine::pump`]: this returns at once, and no append waits for it.
    /// `done` is called there.
    pub fn scrub(
        &self,
        size_bytes_max: u64,
        done: impl FnOnce(Result<Scrubbed, ScrubError>) + Send + 'static,
    ) {
        let shared = &self.inner.shared;
        if let Some(Shut::Closed) = shared.pending.why_shut() {
            return done(Err(ScrubError::Closed));
        }
        shared.submit(Job::Scrub(Box::new(Scrub {
            size_bytes_max,
            done: Box::new(done),
        })));
    }

    /// The places of the log that turned out to be damaged since the store was opened, in order; by scrubbing, or when somebody
    /// read what the index speaks of. At most 10,000. A record there is not read: [`crate::ReadError::Corrupt`].
    pub fn damage(&self) -> Vec<Damage> {
        self.inner.shared.places.known()
    }
}
