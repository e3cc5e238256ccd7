//! Starting and stopping what is compared.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Programs, and where stores go.
pub(crate) struct Paths {
    pub(crate) kourou: PathBuf,
    pub(crate) apache: PathBuf,
    pub(crate) work: PathBuf,
}

/// What a round runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Flavour {
    KourouDurable,
    KourouRelaxed,
    ApacheSync,
    ApacheAsync,
    /// Synchronous, with the gRPC proxy in its process.
    ApacheProxy,
    /// Answers and keeps nothing: the generator's own share of every figure.
    Sink,
}

impl Flavour {
    pub(crate) const ALL: [Self; 6] = [
        Self::ApacheAsync,
        Self::KourouDurable,
        Self::ApacheSync,
        Self::KourouRelaxed,
        Self::ApacheProxy,
        Self::Sink,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KourouDurable => "kourou durable",
            Self::KourouRelaxed => "kourou relaxed",
            Self::ApacheSync => "Apache sync",
            Self::ApacheAsync => "Apache async",
            Self::ApacheProxy => "Apache sync and proxy",
            Self::Sink => "sink",
        }
    }
}

/// A running broker in its own network namespace.
pub(crate) struct Broker {
    flavour: Flavour,
    dir: PathBuf,
    /// Set for what was started here; Apache's broker is its script's.
    child: Option<Child>,
    /// The broker's process.
    pid: u32,
}

impl Broker {
    pub(crate) fn start(flavour: Flavour, paths: &Paths) -> Result<Self, Box<dyn Error>> {
        let dir = paths.work.join(match flavour {
            Flavour::ApacheSync | Flavour::ApacheAsync | Flavour::ApacheProxy => "apache",
            _ => "kourou",
        });
        let _ = fs::remove_dir_all(&dir);
        let mut broker = Self {
            flavour,
            dir,
            child: None,
            pid: 0,
        };
        broker.run(paths)?;
        Ok(broker)
    }

    fn run(&mut self, paths: &Paths) -> Result<(), Box<dyn Error>> {
        let kourou = |arguments: &[&str]| -> Result<Child, Box<dyn Error>> {
            let script = r#"ip link set lo up && exec "$@""#;
            Ok(Command::new("unshare")
                .args(["-n", "--", "bash", "-c", script, "kourou"])
                .arg(&paths.kourou)
                .args(arguments)
                .stdout(Stdio::null())
                .spawn()?)
        };
        match self.flavour {
            Flavour::KourouDurable | Flavour::KourouRelaxed => {
                let flush = if self.flavour == Flavour::KourouDurable {
                    "durable"
                } else {
                    "relaxed"
                };
                let dir = self.dir.to_string_lossy();
                let child = kourou(&["--data", &dir, "--flush", flush, "--log", "warn"])?;
                self.pid = child.id();
                self.child = Some(child);
            }
            Flavour::Sink => {
                let child = kourou(&["bench", "sink"])?;
                self.pid = child.id();
                self.child = Some(child);
            }
            Flavour::ApacheSync | Flavour::ApacheAsync | Flavour::ApacheProxy => {
                let kind: &[&str] = match self.flavour {
                    Flavour::ApacheProxy => &["--flush", "sync"],
                    Flavour::ApacheSync => &["--flush", "sync", "--no-proxy"],
                    _ => &["--flush", "async", "--no-proxy"],
                };
                let status = Command::new(&paths.apache)
                    .arg("start")
                    .args(kind)
                    .args(["--isolated", "--heap", "2g", "--dir"])
                    .arg(&self.dir)
                    .stdout(Stdio::null())
                    .status()?;
                if !status.success() {
                    return Err("Apache's broker did not start".into());
                }
                self.pid = fs::read_to_string(self.dir.join("broker.pid"))?.trim().parse()?;
            }
        }
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&self) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let probe = self
                .inside("bash")
                .args(["-c", "exec 3<>/dev/tcp/127.0.0.1/10911"])
                .stderr(Stdio::null())
                .status()?;
            if probe.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{} does not listen", self.flavour.name()).into())
    }

    /// A command in the broker's network namespace.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.pid.to_string(), "-n", "--"])
            .arg(program);
        command
    }

    /// `kourou bench` against this broker; what it prints as JSON.
    pub(crate) fn bench(
        &self,
        paths: &Paths,
        arguments: &[String],
    ) -> Result<serde_json::Value, Box<dyn Error>> {
        let output = self
            .inside(&paths.kourou)
            .arg("bench")
            .args(arguments)
            .args(["--json", "--pid", &self.pid.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            return Err(format!("{}: bench {arguments:?} failed: {said}", self.flavour.name()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What is not counted: a first load, for a virtual machine's compiler and everybody's caches.
    pub(crate) fn warm_up(&self, paths: &Paths) -> Result<(), Box<dyn Error>> {
        let seconds = match self.flavour {
            Flavour::ApacheSync | Flavour::ApacheAsync | Flavour::ApacheProxy => "10",
            _ => "2",
        };
        let send = ["send", "--no-audit", "--warmup", "0", "--seconds", seconds].map(str::to_owned);
        self.bench(paths, &send)?;
        if self.flavour != Flavour::Sink {
            let pull = ["pull", "--fill", "20000", "--passes", "10"].map(str::to_owned);
            self.bench(paths, &pull)?;
        }
        Ok(())
    }

    /// Stops the broker, drops what the system keeps of its files in memory, and starts it over the same store.
    pub(crate) fn restart_cold(&mut self, paths: &Paths) -> Result<(), Box<dyn Error>> {
        self.end(paths)?;
        drop_page_cache()?;
        self.run(paths)
    }

    pub(crate) fn stop(mut self, paths: &Paths) -> Result<(), Box<dyn Error>> {
        self.end(paths)?;
        let _ = fs::remove_dir_all(&self.dir);
        Ok(())
    }

    fn end(&mut self, paths: &Paths) -> Result<(), Box<dyn Error>> {
        match self.child.take() {
            Some(mut child) => {
                Command::new("kill").arg(child.id().to_string()).status()?;
                child.wait()?;
            }
            None => {
                Command::new(&paths.apache)
                    .arg("stop")
                    .arg("--dir")
                    .arg(&self.dir)
                    .stdout(Stdio::null())
                    .status()?;
            }
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        } else if self.dir.join("broker.pid").exists() {
            let _ = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
            if let Ok(pid) = fs::read_to_string(self.dir.join("namesrv.pid")) {
                let _ = Command::new("kill").args(["-9", pid.trim()]).status();
            }
        }
    }
}

/// Needs root.
fn drop_page_cache() -> Result<(), Box<dyn Error>> {
    Command::new("sync").status()?;
    let mut switch = fs::OpenOptions::new()
        .write(true)
        .open(Path::new("/proc/sys/vm/drop_caches"))?;
    switch.write_all(b"3")?;
    Ok(())
}
