//! Starting, killing and naming the brokers.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use kourou_faultfs::Mounted;

use crate::Paths;

/// Whose broker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Kourou,
    Apache,
}

/// A broker whose store is on a disk that can fail.
pub(crate) struct Broker {
    kind: Kind,
    /// Set while kourou runs; Apache's broker is its script's.
    child: Option<Child>,
    pub(crate) disk: Mounted,
    dir: PathBuf,
}

impl Broker {
    pub(crate) fn new(kind: Kind, paths: &Paths) -> Result<Self> {
        let dir = paths.work.join(match kind {
            Kind::Kourou => "kourou",
            Kind::Apache => "apache",
        });
        // What an earlier run left.
        let _ = fs::remove_dir_all(&dir);
        let (backing, store) = (dir.join("disk"), dir.join("store"));
        fs::create_dir_all(&backing)?;
        fs::create_dir_all(&store)?;
        Ok(Self {
            kind,
            child: None,
            disk: Mounted::new(&backing, &store).context("mounting the disk that fails")?,
            dir,
        })
    }

    /// Broker, version, and how it keeps messages.
    pub(crate) fn name(&self, paths: &Paths) -> Result<String> {
        match self.kind {
            Kind::Kourou => {
                let output = Command::new(&paths.kourou).arg("--version").output()?;
                let version = String::from_utf8(output.stdout)?;
                Ok(format!("{}, durable", version.trim()))
            }
            Kind::Apache => Ok(format!("Apache RocketMQ {}, SYNC_FLUSH", paths.apache_version)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 10911))
    }

    /// A part of the paths of its commit log's files.
    pub(crate) const fn commit_log(&self) -> &'static str {
        match self.kind {
            Kind::Kourou => "log/",
            Kind::Apache => "commitlog/",
        }
    }

    pub(crate) fn start(&mut self, paths: &Paths) -> Result<()> {
        match self.kind {
            Kind::Kourou => {
                let log = File::options()
                    .create(true)
                    .append(true)
                    .open(self.dir.join("kourou.log"))?;
                let child = Command::new(&paths.kourou)
                    .arg("--data")
                    .arg(self.disk.path())
                    .args(["--flush", "durable", "--http-port", "0", "--quic-port", "0"])
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()
                    .context("starting kourou")?;
                self.child = Some(child);
                Ok(())
            }
            Kind::Apache => self.apache(
                &paths.apache,
                &["start", "--flush", "sync", "--no-proxy", "--heap", "1g"],
            ),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, paths: &Paths) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
        self.apache(&paths.apache, &["kill"])?;
        // The name server keeps nothing; it only stands in the way of the next start.
        self.apache(&paths.apache, &["stop"])
    }

    fn apache(&self, script: &Path, arguments: &[&str]) -> Result<()> {
        let [command, options @ ..] = arguments else {
            return Ok(());
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("apache.log"))?;
        let status = Command::new(script)
            .args([command, "--dir"])
            .arg(&self.dir)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("running {}", script.display()))?;
        ensure!(
            status.success(),
            "apache {command}: {status}, see {}",
            self.dir.display()
        );
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only if it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in ["broker", "namesrv"] {
            if let Ok(pid) = fs::read_to_string(self.dir.join(format!("{name}.pid"))) {
                let _ = Command::new("kill").args(["-9", pid.trim()]).status();
            }
        }
    }
}
