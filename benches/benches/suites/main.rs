//! All criterion suites, and the table of their figures beside their limits.
//!
//! One program: to build the broker once for each suite would take longer than to run them. `cargo bench -p kourou-benches -- append`
//! runs those whose names hold that word.

mod append;
mod filter;
mod group_commit;
mod grpc;
mod headers;
mod lookups;
mod reads;
mod record;
mod recovery;
mod sql;

use std::time::SystemTime;

use kourou_benches::{limits, suite};

fn main() {
    let started = SystemTime::now();
    let mut criterion = suite::criterion();
    record::record(&mut criterion);
    headers::headers(&mut criterion);
    filter::entries(&mut criterion);
    filter::pull(&mut criterion);
    sql::evaluations(&mut criterion);
    group_commit::group_commit(&mut criterion);
    grpc::grpc(&mut criterion);
    let in_turn = append::appends(&mut criterion);
    reads::hot(&mut criterion);
    reads::cold(&mut criterion);
    lookups::lookups(&mut criterion);
    recovery::recovery(&mut criterion);
    criterion.final_summary();
    if !in_turn.is_empty() {
        println!("taken in turn with the disk alone: least, median and most that was reached of its rate");
        in_turn.iter().for_each(|line| println!("{line}"));
    }
    match limits::table(started) {
        Ok(table) => print!("{table}"),
        Err(error) => eprintln!("no table of limits: {error}"),
    }
}
