//! `kourou store export`.

use std::time::Instant;

use kourou_migration::ExportOptions;

use super::carrying::Bar;
use super::report;
use crate::cli::migrate::Export;
use crate::output::print_json;

pub(super) fn run(export: &Export) -> anyhow::Result<()> {
    let options = ExportOptions {
        source: export.data.clone(),
        target: export.target.clone(),
        file_size_bytes: export.file_size,
        accept_loss: export.accept_loss,
    };
    let begun = Instant::now();
    let mut bar = Bar::new();
    let outcome = kourou_migration::export(&options, &mut bar);
    bar.clear();
    let done = outcome?;
    if export.json {
        return print_json(&done);
    }
    let to = format!("{} is a store of Apache's broker now:", options.target.display());
    report::print(&done, &to, begun.elapsed())
}
