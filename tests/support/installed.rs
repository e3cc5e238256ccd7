//! The programs whose client is installed from a lock file and runs as it is, and the one in Rust, which has a lock file of its own.
//! What was installed for a lock file is kept for as long as that stays the same.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::programs::{Program, clients_folder, toolchain};
use super::{programs_folder, say};

/// The cases of the gRPC client for Python, or `None` if it cannot be installed here and need not be.
pub(crate) fn python() -> Result<Option<Program>> {
    // Debian keeps the second one in a package of its own: python3-venv.
    if !toolchain("python3", &["--version"])? || !toolchain("python3", &["-m", "ensurepip", "--version"])? {
        return Ok(None);
    }
    let source = clients_folder().join("python");
    let out = programs_folder().join("python");
    let venv = out.join("venv");
    let locked = source.join("requirements.txt");
    install("Python", &out, &[&locked], || {
        // What is there may be of another Python, or half of an installation.
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = venv.join("bin/pip");
        run(Command::new(pip)
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
            ])
            .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(&locked))
    })?;
    Ok(Some(Program {
        name: "python".to_owned(),
        command: vec![
            venv.join("bin/python").display().to_string(),
            source.join("main.py").display().to_string(),
        ],
        environment: vec![(
            "PYTHONPYCACHEPREFIX".to_owned(),
            out.join("cache").display().to_string(),
        )],
    }))
}

/// The cases of the gRPC client for Node.js, or `None` if it cannot be installed here and need not be.
pub(crate) fn node() -> Result<Option<Program>> {
    if !toolchain("node", &["--version"])? || !toolchain("npm", &["--version"])? {
        return Ok(None);
    }
    let source = clients_folder().join("node");
    let out = programs_folder().join("node");
    let locked = ["package.json", "package-lock.json"].map(|name| source.join(name));
    install("Node.js", &out, &[&locked[0], &locked[1]], || {
        for file in &locked {
            fs::copy(file, out.join(file.file_name().context("a file has a name")?))?;
        }
        run(Command::new("npm")
            .args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&out))
    })?;
    Ok(Some(Program {
        name: "node".to_owned(),
        command: vec!["node".to_owned(), source.join("main.js").display().to_string()],
        environment: vec![(
            "NODE_PATH".to_owned(),
            out.join("node_modules").display().to_string(),
        )],
    }))
}

/// The cases of the gRPC client for Rust. Whoever runs these tests has a toolchain for it.
pub(crate) fn rust() -> Result<Program> {
    let out = programs_folder().join("rust");
    let binary = out.join("debug/grpc-cases");
    if !binary.exists() {
        say("building the Rust cases (the first time it downloads the client)");
    }
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // What cargo says of the package under test is not true of this one, and a change of it would build some dependencies anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    run(cargo
        .args(["build", "--quiet", "--locked"])
        .current_dir(clients_folder().join("rust"))
        .env("CARGO_TARGET_DIR", &out)
        .env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
    Ok(Program {
        name: "rust".to_owned(),
        command: vec![binary.display().to_string()],
        environment: Vec::new(),
    })
}

/// Installs into the folder, unless that was done for these very lock files.
fn install(what: &str, out: &Path, locked: &[&Path], install: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut wanted = String::new();
    for file in locked {
        wanted += &fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    }
    let installed = out.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    say(&format!("installing the client for {what}"));
    fs::create_dir_all(out)?;
    install().with_context(|| format!("installing the client for {what}"))?;
    fs::write(&installed, wanted)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(status.success(), "{}: {status}", command.get_program().display());
    Ok(())
}
