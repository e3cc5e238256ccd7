//! `kourou store import`.

use std::time::Instant;

use kourou_migration::ImportOptions;

use super::carrying::Bar;
use super::report;
use crate::cli::migrate::Import;
use crate::output::print_json;

pub(super) fn run(import: &Import) -> anyhow::Result<()> {
    let options = ImportOptions {
        source: import.source.clone(),
        commit_log: import.commit_log.clone(),
        target: import.data.clone(),
        rebuild_queues: import.rebuild_queues,
        until_damage: import.until_damage,
        accept_loss: import.accept_loss,
    };
    let begun = Instant::now();
    let mut bar = Bar::new();
    let outcome = kourou_migration::import(&options, &mut bar);
    bar.clear();
    let done = outcome?;
    if import.json {
        return print_json(&done);
    }
    let to = format!("{} is a store now:", options.target.display());
    report::print(&done, &to, begun.elapsed())
}
