//! A consumer that has to live through kills of its broker.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::broker::Kourou;
use super::programs::Program;
use super::{Ports, fresh_folder, wait_until};

/// How often the broker is killed under a consumer.
const KILLS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs one case of a program and kills the broker whenever it has received a few messages more. The case writes a byte for each into
/// `progress` in the folder of its signals, and ends when it finds `enough` there.
pub(crate) fn through_kills(
    program: &Program,
    suffix: &str,
    arguments: impl Fn(Ports) -> Vec<String>,
) -> Result<()> {
    let folder = fresh_folder("survive")?;
    let ports = Ports::free()?;
    let signals = folder.path().join("signals");
    std::fs::create_dir(&signals)?;
    let mut kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    let arguments = arguments(ports);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut running = program.start(&ports.namesrv_addr(), suffix, &arguments, Some(&signals))?;
    for kill in 0..=KILLS {
        let before = received(&signals);
        wait_until("the consumer goes on", PATIENCE, || {
            Ok(running.has_ended()? || received(&signals) >= before + 3)
        })?;
        if running.has_ended()? {
            // It says why.
            running.finish()?;
            bail!("the client program ended early");
        }
        if kill < KILLS {
            kourou.kill()?;
            kourou = Kourou::start_ready(folder.path(), ports, &[])?;
        }
    }
    std::fs::write(signals.join("enough"), "")?;
    running.finish()?;
    kourou.stop()
}

fn received(signals: &Path) -> u64 {
    std::fs::metadata(signals.join("progress")).map_or(0, |progress| progress.len())
}
