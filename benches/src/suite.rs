//! What the criterion suites have in common.
//!
//! A group that has a function whose name begins with [`LIMIT`] holds its other functions against it: what the machine can do at
//! best with as many bytes, measured in the same run. [`crate::limits`] makes the table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;

/// How the name of a limit begins.
pub const LIMIT: &str = "limit: ";

/// Settings of all suites: their figures are held against a limit from the same minute, not against last week's.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .output_directory(&estimates())
        .configure_from_args()
}

/// Where criterion leaves its estimates: in the target folder, two above the folder of this program.
pub fn estimates() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.ancestors().nth(3).unwrap_or_else(|| Path::new("target"));
    target.join("criterion")
}

/// A folder on the disk that the project is built on, gone when dropped.
///
/// # Panics
/// The folder cannot be made.
pub fn folder(target: &str) -> tempfile::TempDir {
    tempfile::tempdir_in(target).expect("a folder under target")
}
