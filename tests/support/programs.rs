//! Builds and runs the client programs under `tests/clients`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::{programs_folder, say};

/// No case takes longer than four minutes; a program that says nothing for longer than this will say nothing more.
const SILENCE_LIMIT: Duration = Duration::from_secs(300);

/// A line of the Java client, and how its cases are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JavaLine {
    /// The newest 5.x.
    Five,
    /// The last of 4.9.x, which many still run.
    FourNine,
}

/// A program with cases to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
}

impl Program {
    /// The same program with one more variable in its environment.
    pub(crate) fn with_variable(&self, name: &str, value: &str) -> Self {
        let mut program = self.clone();
        program.environment.push((name.to_owned(), value.to_owned()));
        program
    }

    /// The same program with one more JVM flag; only meaningful for the Java ones.
    pub(crate) fn with_jvm_flag(&self, name: &str, flag: &str) -> Self {
        let mut program = self.clone();
        program.name = name.to_owned();
        program.command.insert(1, flag.to_owned());
        program
    }

    /// Runs the cases and prints a line for each; an error says which failed.
    pub(crate) fn run(&self, namesrv: &str, suffix: &str, cases: &[&str]) -> Result<()> {
        self.start(namesrv, suffix, cases, None)?.finish()
    }

    /// Starts the cases and returns at once. `signals` is a folder through which a case and its test hear of each other.
    pub(crate) fn start(
        &self,
        namesrv: &str,
        suffix: &str,
        cases: &[&str],
        signals: Option<&Path>,
    ) -> Result<Running> {
        let home = super::fresh_folder("home")?;
        let mut command = Command::new(&self.command[0]);
        if let Some(signals) = signals {
            command.env("CASE_SIGNALS", signals);
        }
        let child = command
            .args(&self.command[1..])
            .args(["--namesrv", namesrv, "--suffix", suffix])
            .args(cases)
            .env("HOME", home.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Client libraries chat there; a case says what went wrong in its own line.
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        Ok(Running {
            name: self.name.clone(),
            child,
            _home: home,
        })
    }
}

/// A program whose cases are under way. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    _home: tempfile::TempDir,
}

impl Running {
    /// Whether the program ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Prints a line for each case as it ends; an error says which failed, or that nothing was heard for too long.
    pub(crate) fn finish(mut self) -> Result<()> {
        let lines = self.lines()?;
        let mut failed = Vec::new();
        let mut passed = 0;
        loop {
            let line = match lines.recv_timeout(SILENCE_LIMIT) {
                Ok(line) => line?,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.show_threads(&lines)?;
                    bail!("{}: silent for {SILENCE_LIMIT:?} after {passed} cases", self.name);
                }
            };
            let Ok(result) = serde_json::from_str::<serde_json::Value>(&line) else {
                say(&format!("{}: {line}", self.name));
                continue;
            };
            let case = result["case"].as_str().unwrap_or("?");
            let verdict = if result["ok"] == true { "ok" } else { "FAILED" };
            say(&format!(
                "{:<12} {case:<30} {verdict:<6} {:>6} ms  {}",
                self.name, result["ms"], result["detail"]
            ));
            if result["ok"] == true {
                passed += 1;
            } else {
                if let Some(trace) = result["trace"].as_str() {
                    say(trace);
                }
                failed.push(case.to_owned());
            }
        }
        let status = self.child.wait()?;
        ensure!(failed.is_empty(), "{}: failed cases {failed:?}", self.name);
        ensure!(
            status.success() && passed > 0,
            "{}: {status} after {passed} cases",
            self.name
        );
        Ok(())
    }

    /// What the program prints, as it comes.
    fn lines(&mut self) -> Result<Receiver<std::io::Result<String>>> {
        let out = self.child.stdout.take().context("no output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                if sender.send(line).is_err() {
                    // Nobody listens any more: the program is about to be killed.
                    return;
                }
            }
        });
        Ok(lines)
    }

    /// Where its threads are, of a program that hangs: a JVM says so when it is sent SIGQUIT.
    fn show_threads(&self, lines: &Receiver<std::io::Result<String>>) -> Result<()> {
        Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status()?;
        while let Ok(line) = lines.recv_timeout(Duration::from_secs(2)) {
            say(&format!("{}: {}", self.name, line?));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Java cases for a client line, or `None` if that cannot be built here and need not be.
pub(crate) fn java(line: JavaLine) -> Result<Option<Program>> {
    if !toolchain("java", &["-version"])? || !toolchain("mvn", &["-version"])? {
        return Ok(None);
    }
    let (name, flags): (_, &[&str]) = match line {
        JavaLine::Five => ("java5", &[]),
        JavaLine::FourNine => ("java4", &["-Drocketmq.version=4.9.8", "-Dapi=v4"]),
    };
    let source = clients_folder().join("java");
    let out = programs_folder().join(name);
    let stamp = out.join("built");
    if !is_newer_than_all(&stamp, &source)? {
        say(&format!(
            "building the {name} cases with Maven (the first time it downloads the client)"
        ));
        // Jars that are no longer asked for would still be on the class path.
        let _ = fs::remove_dir_all(out.join("lib"));
        let status = Command::new("mvn")
            .args(["-q", "-B", "-ntp", "package"])
            .arg(format!("-Dout={}", out.display()))
            .args(flags)
            .current_dir(&source)
            .stdin(Stdio::null())
            .status()
            .context("running mvn")?;
        ensure!(status.success(), "mvn: {status}");
        fs::write(&stamp, "")?;
    }
    let class_path = format!("{0}/classes:{0}/lib/*", out.display());
    let command = [
        "java",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &class_path,
        "cases.Main",
    ];
    Ok(Some(Program {
        name: name.to_owned(),
        command: command.map(str::to_owned).into(),
        environment: Vec::new(),
    }))
}

/// The Go cases, or `None` if they cannot be built here and need not be.
pub(crate) fn go() -> Result<Option<Program>> {
    Ok(go_binary("go", "cases")?.map(|path| Program {
        name: "go".to_owned(),
        command: vec![path.display().to_string()],
        environment: Vec::new(),
    }))
}

/// The cases of the gRPC client for Go, or `None` if they cannot be built here and need not be.
pub(crate) fn go_grpc() -> Result<Option<Program>> {
    Ok(go_binary("go-grpc", ".")?.map(|path| Program {
        name: "go-grpc".to_owned(),
        command: vec![path.display().to_string()],
        environment: Vec::new(),
    }))
}

/// The witness of the kill test, or `None` if it cannot be built here and need not be.
pub(crate) fn ledger() -> Result<Option<PathBuf>> {
    go_binary("go", "ledger")
}

/// Runs the tests that a Go package has of its own, if Go is here.
pub(crate) fn go_test(package: &str) -> Result<()> {
    if toolchain("go", &["version"])? {
        let status = Command::new("go")
            .args(["test", package])
            .current_dir(clients_folder().join("go"))
            .stdin(Stdio::null())
            .status()
            .context("running go test")?;
        ensure!(status.success(), "go test {package}: {status}");
    }
    Ok(())
}

/// Builds the program in the folder `name` of a Go module.
fn go_binary(module: &str, name: &str) -> Result<Option<PathBuf>> {
    if !toolchain("go", &["version"])? {
        return Ok(None);
    }
    let out = programs_folder().join(module);
    fs::create_dir_all(&out)?;
    let binary = out.join(if name == "." { module } else { name });
    if !binary.exists() {
        say(&format!(
            "building the Go program {module}/{name} (the first time it downloads the client)"
        ));
    }
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(format!("./{name}"))
        .current_dir(clients_folder().join(module))
        .stdin(Stdio::null())
        .status()
        .context("running go build")?;
    ensure!(status.success(), "go build: {status}");
    Ok(Some(binary))
}

/// Whether the tool runs. A missing one is an error where all are required, and said aloud elsewhere.
pub(super) fn toolchain(tool: &str, arguments: &[&str]) -> Result<bool> {
    let runs = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !runs {
        let tool = [&[tool], arguments].concat().join(" ");
        if std::env::var("KOUROU_REQUIRE_CLIENTS").is_ok_and(|value| value == "1") {
            bail!("`{tool}` does not run, and KOUROU_REQUIRE_CLIENTS=1 asks for every client");
        }
        say(&format!(
            "SKIPPED: `{tool}` does not run, so these client cases cannot be built (tests/README.md says what they need)"
        ));
    }
    Ok(runs)
}

pub(super) fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Whether the stamp is there and younger than every file in the folder.
fn is_newer_than_all(stamp: &Path, folder: &Path) -> Result<bool> {
    let Ok(stamp) = fs::metadata(stamp) else {
        return Ok(false);
    };
    Ok(stamp.modified()? > newest(folder)?)
}

fn newest(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path)?;
    let mut newest_time = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest_time = newest_time.max(newest(&entry?.path())?);
        }
    }
    Ok(newest_time)
}
