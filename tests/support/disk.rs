//! A disk that fails or loses its power, for a broker's store.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kourou_faultfs::{Mounted, is_available};

use super::say;

/// Whether there can be such a disk here. Where the system has FUSE and every test is required, it is an error if they cannot.
pub(crate) fn can_fail() -> Result<bool> {
    let available = is_available();
    if !available {
        let required = std::env::var("KOUROU_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
        ensure!(
            !required || !Path::new("/dev/fuse").exists(),
            "/dev/fuse is there and cannot be used, and KOUROU_REQUIRE_CLIENTS=1 asks for every test"
        );
        say(
            "SKIPPED: no disk can fail here without /dev/fuse and root (tests/README.md says what these tests need)",
        );
    }
    Ok(available)
}

/// Mounts one where `Kourou::start` puts the store. Declare it before the folder, so that it is unmounted
/// before that is removed.
pub(crate) fn mount(folder: &Path) -> Result<Mounted> {
    let (backing, store) = (folder.join("disk"), folder.join("store"));
    fs::create_dir(&backing)?;
    fs::create_dir(&store)?;
    Mounted::new(&backing, &store).context("mounting the disk that fails")
}
