//! The store of an Apache broker, which is read and never changed.

pub(crate) mod config;
mod json;
pub(crate) mod log;
pub(crate) mod queues;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::error::MigrationError;
use config::Config;
use log::Log;
use queues::QueueEnds;

/// An open one. As long as there is this, no broker takes the store.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) root: PathBuf,
    pub(crate) log: Log,
    pub(crate) config: Config,
    /// Whether the broker ended without saying so: its end may be torn, and what it wrote down now and then may be old.
    pub(crate) was_killed: bool,
    /// The queues are known by the log alone.
    rebuild_queues: bool,
    _lock: Option<File>,
}

impl Source {
    /// Opens the store below `root`; the commit log may be elsewhere.
    pub(crate) fn open(
        root: &Path,
        commit_log: &[PathBuf],
        rebuild_queues: bool,
    ) -> Result<Self, MigrationError> {
        refuse_other_forms(root, rebuild_queues)?;
        let dirs = if commit_log.is_empty() {
            vec![root.join("commitlog")]
        } else {
            commit_log.to_vec()
        };
        if let Some(missing) = dirs.iter().find(|dir| !dir.is_dir()) {
            return Err(MigrationError::NotApache {
                dir: root.to_owned(),
                why: format!("there is no {}", missing.display()),
            });
        }
        let lock = lock(root)?;
        Ok(Self {
            root: root.to_owned(),
            log: Log::open(&dirs)?,
            config: Config::read(root)?,
            was_killed: root.join("abort").exists(),
            rebuild_queues,
            _lock: lock,
        })
    }

    /// Where the queues end, as the broker wrote it down.
    pub(crate) fn queue_ends(&self, log_end: u64) -> Result<QueueEnds, MigrationError> {
        if self.rebuild_queues {
            return Ok(QueueEnds::default());
        }
        QueueEnds::read(&self.root, log_end)
    }
}

/// Keeps the broker from starting; an error if it runs. Java locks the first byte of the file for itself alone, by `fcntl`.
fn lock(root: &Path) -> Result<Option<File>, MigrationError> {
    let path = root.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        // It never ran, or its folder was copied without.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(MigrationError::io("open", &path)(error)),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
            Err(MigrationError::InUse { dir: root.to_owned() })
        }
        Err(error) => Err(MigrationError::io("lock", &path)(error.into())),
    }
}

/// Forms of a store that this does not read, before anything of it is.
fn refuse_other_forms(root: &Path, rebuild_queues: bool) -> Result<(), MigrationError> {
    let refuse = |path: PathBuf, what, todo| Err(MigrationError::NotRead { path, what, todo });
    let entries = fs::read_dir(root).map_err(MigrationError::io("list", root))?;
    for entry in entries {
        let entry = entry.map_err(MigrationError::io("list", root))?;
        if entry.file_name().to_string_lossy().starts_with("dledger-") {
            return refuse(
                entry.path(),
                "the commit log is a DLedger one, whose entries are wrapped",
                "let a broker without DLedger copy it first, as its slave",
            );
        }
    }
    let config = root.join("config");
    if !config.join("topics.json").exists() && !config.join("topics.json.bak").exists() {
        for folder in ["topics", "rdb", "metadata"] {
            let path = config.join(folder);
            if path.join("CURRENT").exists() {
                return refuse(
                    path,
                    "the configuration is in RocksDB",
                    "write it as config/*.json first, with Apache's own tool (mqadmin rocksDBConfigToJson)",
                );
            }
        }
    }
    let queues = root.join("consumequeue");
    if !rebuild_queues && queues.join("CURRENT").exists() {
        return refuse(
            queues,
            "the consume queues are in RocksDB",
            "with --rebuild-queues they are made from the commit log, as far as that goes back",
        );
    }
    Ok(())
}

/// Whether a folder looks like the store of an Apache broker.
pub(crate) fn is_apache_store(dir: &Path) -> bool {
    !dir.join("identity").exists() && dir.join("commitlog").is_dir() && dir.join("config").is_dir()
}
