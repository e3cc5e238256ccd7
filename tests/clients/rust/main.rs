//! The gRPC client for Rust against a broker; prints a line of JSON for each case:
//!
//!     grpc-cases --grpc HOST:PORT --suffix NAME CASE...
//!
//! The topics must be there. It exits with 1 if a case failed.

mod consuming;
mod content;
mod producing;
mod run;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use run::Run;

const CASE_LIMIT: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let (run, cases) = arguments()?;
    let mut failed = 0;
    for case in cases {
        if !one(&case, run.clone()).await {
            failed += 1;
        }
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn arguments() -> Result<(Run, Vec<String>)> {
    let mut run = Run {
        grpc: "127.0.0.1:8081".to_owned(),
        suffix: String::new(),
    };
    let mut cases = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            // Not needed.
            "--namesrv" => drop(value()?),
            "--grpc" => run.grpc = value()?,
            "--suffix" => run.suffix = value()?,
            _ => cases.push(word),
        }
    }
    Ok((run, cases))
}

async fn one(case: &str, run: Run) -> bool {
    let start = Instant::now();
    let name = case.to_owned();
    // The client panics where others return an error: that is the case's failure, not the program's.
    let mut task = tokio::spawn(async move { body(&name, &run).await });
    let outcome = match tokio::time::timeout(CASE_LIMIT, &mut task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panicked)) => Err(anyhow!("{panicked}")),
        Err(_) => {
            task.abort();
            Err(anyhow!("did not end within {CASE_LIMIT:?}"))
        }
    };
    let ms = start.elapsed().as_millis();
    let line = match &outcome {
        Ok(detail) => json!({"case": case, "ok": true, "ms": ms, "detail": detail}),
        Err(failure) => json!({
            "case": case, "ok": false, "ms": ms, "detail": format!("{failure:#}"), "trace": format!("{failure:?}"),
        }),
    };
    println!("{line}");
    outcome.is_ok()
}

async fn body(case: &str, run: &Run) -> Result<Value> {
    match case {
        "grpc-send" => producing::send(run).await,
        "grpc-fifo" => producing::fifo(run).await,
        "grpc-delay" => producing::delay(run).await,
        "grpc-transactions" => producing::transactions(run).await,
        "grpc-refused" => producing::refused(run).await,
        "grpc-simple" => consuming::simple(run).await,
        "grpc-ordered" => consuming::ordered(run).await,
        "matrix-send" => consuming::matrix_send(run).await,
        _ => match case.strip_prefix("matrix-receive-") {
            Some(sender) => consuming::matrix_receive(run, sender).await,
            None => bail!("unknown case"),
        },
    }
}
