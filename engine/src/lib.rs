//! (written below)

pub mod clock;
pub mod disk;
pub mod record;
mod segment;
