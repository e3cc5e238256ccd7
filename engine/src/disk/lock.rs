//! The lock of a store's folder: an exclusive `flock` on a file that holds the owner's process id.

use std::any::Any;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

/// Takes the lock; `None` if another process has it. The kernel releases it when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Some(Box::new(file)))
}

/// Keeps others from taking the lock, and changes nothing; `None` if somebody has it.
pub(super) fn hold(path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Box::new(()))),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(Box::new(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
