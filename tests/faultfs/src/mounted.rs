//! The layer at its place, and what its controller can do to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use rustix::mount::UnmountFlags;

use crate::faults::{Arrivals, FailedSync, Faults};
use crate::layer::Layer;

/// How long files that a process had open may take to be closed after its end.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(20);

/// Whether this system has FUSE, and this process may mount with it.
pub fn is_available() -> bool {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    opened.is_ok() && rustix::process::geteuid().is_root()
}

/// A backing folder, mounted elsewhere with the layer between. Unmounted when dropped.
#[derive(Debug)]
pub struct Mounted {
    backing: PathBuf,
    at: PathBuf,
    faults: Arc<Faults>,
    /// Taken when it is unmounted.
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// Shows `backing` at `at`; both are folders that exist. Needs root.
    ///
    /// # Errors
    /// Whatever the kernel says of it.
    pub fn new(backing: &Path, at: &Path) -> io::Result<Self> {
        let mut mounted = Self {
            backing: backing.canonicalize()?,
            at: at.canonicalize()?,
            faults: Arc::default(),
            session: None,
        };
        mounted.mount()?;
        Ok(mounted)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Lets a sync fail, once, of a file whose path has `of` in it: the next one, after `after` that still succeed.
    pub fn fail_sync(&self, of: &str, after: u64) {
        self.faults.arm(of, after);
    }

    /// The syncs that were made to fail so far.
    pub fn failed_syncs(&self) -> Vec<FailedSync> {
        self.faults.failed()
    }

    /// What arrived since it was mounted first.
    pub fn arrivals(&self) -> Arrivals {
        self.faults.arrivals()
    }

    /// Takes away all that was not synced. Whoever had files open must have ended: after a real power cut nobody runs on.
    ///
    /// # Errors
    /// If files stay open for long, and whatever the kernel says.
    pub fn power_cut(&mut self) -> io::Result<()> {
        // What the kernel still writes while it unmounts comes too late.
        self.faults.cut_power();
        self.unmount()?;
        self.faults.restore_power();
        self.mount()
    }

    fn mount(&mut self) -> io::Result<()> {
        let layer = Layer::new(self.backing.clone(), Arc::clone(&self.faults))?;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("kourou-faultfs".to_owned()),
            MountOption::NoSuid,
            MountOption::NoDev,
        ];
        self.session = Some(fuser::spawn_mount(layer, &self.at, &config)?);
        Ok(())
    }

    fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let begin = Instant::now();
        loop {
            match rustix::mount::unmount(&self.at, UnmountFlags::empty()) {
                Ok(()) => break,
                // A process that was just killed closes its files a moment later.
                Err(rustix::io::Errno::BUSY) if begin.elapsed() < UNMOUNT_LIMIT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    self.session = Some(session);
                    return Err(io::Error::other(format!(
                        "unmounting {}: {error}",
                        self.at.display()
                    )));
                }
            }
        }
        // It ends because the kernel hangs up, in one of several ways; nothing is served there any more.
        let _ = session.join();
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        // Whoever still has files open keeps them; the place is free again.
        let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
        drop(session);
    }
}
