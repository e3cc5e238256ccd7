//! `kourou store import` and `export`: what there is to type.

use std::path::PathBuf;

use clap::Args;

/// Make a store that goes on where an Apache broker's ended; the source is only read
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the source is damaged; 4 something could not be carried over \
    and nothing was done. After any but 0 there is no store, or one that says that it is half of an import and does not open: \
    the same command begins anew."
)]
pub(crate) struct Import {
    /// The store of an Apache broker that does not run: its storePathRootDir
    pub(crate) source: PathBuf,
    /// Where the new store is made
    #[arg(long, value_name = "DIR", default_value = "./kourou-data")]
    pub(crate) data: PathBuf,
    /// Where the commit log is, if not in the source: its storePathCommitLog; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) commit_log: Vec<PathBuf>,
    /// Take the queues from the commit log alone: if the consume queues are damaged, or in RocksDB
    #[arg(long)]
    pub(crate) rebuild_queues: bool,
    /// If a record is damaged, carry over what is before it, as Apache's broker would
    #[arg(long)]
    pub(crate) until_damage: bool,
    /// Go on although something cannot be carried over
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make a store that Apache's broker opens and that goes on where this one ended
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed, and what there is of the target is to be removed; 2 wrong usage; 4 something could not be \
    carried over and nothing was done."
)]
pub(crate) struct Export {
    /// Where the new store is made: a folder that is empty or not there
    pub(crate) target: PathBuf,
    /// The store, which no broker has open
    #[arg(long, value_name = "DIR", default_value = "./kourou-data")]
    pub(crate) data: PathBuf,
    /// How long the files of the commit log are: the broker's mappedFileSizeCommitLog
    #[arg(long, value_name = "BYTES", default_value_t = kourou_migration::FILE_SIZE_BYTES, value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 30))]
    pub(crate) file_size: u64,
    /// Go on although something cannot be carried over
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
