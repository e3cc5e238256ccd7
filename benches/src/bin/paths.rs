//! Takes one path many times, for a tool that counts: `paths NAME`. Without a name it lists the paths.
//!
//! What is to be counted happens inside of [`counted`], which is a function of its own so that a tool can be told to count there
//! and nowhere else. `benches/instructions` runs this under callgrind.

use std::error::Error;
use std::hint::black_box;

use kourou_benches::paths::{self, Round};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(name) = std::env::args().nth(1) else {
        for path in paths::all() {
            println!("{}\t{}\t{}", path.name, path.counted_messages(), path.about);
        }
        return Ok(());
    };
    let path = paths::named(&name).ok_or_else(|| format!("no path is called '{name}'"))?;
    let mut round = path.open()?.round;
    for _ in 0..path.warm_rounds() {
        round()?;
    }
    counted(&mut round, path.counted_rounds())?;
    Ok(())
}

/// All that counts.
#[inline(never)]
fn counted(round: &mut Round, rounds: usize) -> std::io::Result<()> {
    for _ in 0..black_box(rounds) {
        round()?;
    }
    Ok(())
}
