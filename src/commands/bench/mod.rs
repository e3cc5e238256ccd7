//! `kourou bench`: runs of load against a broker.

mod print;
mod progress;

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use kourou_bench::{
    BenchError, HeaderCodec, LatencySettings, Length, LoadReport, Payload, PullSettings, SendSettings, Target,
};

use crate::cli::bench::{
    Bench, BenchLatency, BenchPayload, BenchPull, BenchSend, BenchSink, BenchTarget, Codec,
};
use crate::output::{print_json, print_line};

use progress::Bar;

pub(super) fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Send(args) => send(&args),
        Bench::Latency(args) => latency(&args),
        Bench::Pull(args) => pull(&args),
        Bench::Sink(args) => sink(&args),
    }
}

fn send(args: &BenchSend) -> Result<()> {
    let settings = SendSettings {
        grpc: args.grpc.clone(),
        target: target(&args.target),
        payload: payload(&args.payload),
        in_flight: args.in_flight,
        transactional: args.transactions,
        length: args.count.map_or(Length::Time(args.seconds), Length::Messages),
        warmup: args
            .warmup
            .unwrap_or_else(|| std::time::Duration::from_secs(u64::from(args.count.is_none()))),
        audit: !args.payload.no_audit,
        timeline: args.payload.timeline,
    };
    let mut bar = Bar::new();
    let report = kourou_bench::send(&settings, &mut |progress| bar.show(progress));
    bar.clear();
    finish(&report?, args.target.json)
}

fn latency(args: &BenchLatency) -> Result<()> {
    let settings = LatencySettings {
        target: target(&args.target),
        payload: payload(&args.payload),
        rate: args.rate,
        duration: args.seconds,
        warmup: args.warmup,
        end_to_end: args.end_to_end,
        audit: !args.payload.no_audit,
        timeline: args.payload.timeline,
    };
    let mut bar = Bar::new();
    let report = kourou_bench::latency(&settings, &mut |progress| bar.show(progress));
    bar.clear();
    finish(&report?, args.target.json)
}

fn pull(args: &BenchPull) -> Result<()> {
    let settings = PullSettings {
        target: target(&args.target),
        payload: Payload {
            body_bytes: args.body,
            batch: 1,
        },
        fill: args.fill,
        batch: args.batch,
        in_flight: args.in_flight,
        passes: args.passes,
        audit: !args.no_audit,
    };
    let mut bar = Bar::new();
    let report = kourou_bench::pull(&settings, &mut |progress| bar.show(progress));
    bar.clear();
    let report = report?;
    if args.target.json {
        print_json(&report)?;
    } else {
        print::pull(&report)?;
    }
    fail(report.failure())
}

fn sink(args: &BenchSink) -> Result<()> {
    let listener = TcpListener::bind(&args.listen).map_err(|source| BenchError::Listen {
        address: args.listen.clone(),
        source,
    })?;
    print_line(&format!(
        "answering sends on {} and keeping nothing; Ctrl-C ends",
        listener.local_addr()?
    ))?;
    Ok(kourou_bench::sink::serve(&listener, &AtomicBool::new(false))?)
}

/// Prints the report; a bad one is an error besides.
fn finish(report: &LoadReport, json: bool) -> Result<()> {
    if json {
        print_json(report)?;
    } else {
        print::load(report)?;
    }
    fail(report.failure())
}

fn fail(failure: Option<String>) -> Result<()> {
    match failure {
        Some(failure) => bail!("the run failed: {failure}"),
        None => Ok(()),
    }
}

fn target(args: &BenchTarget) -> Target {
    Target {
        broker: args.broker.clone(),
        topic: args.topic.clone(),
        queues: args.queues,
        connections: args.connections,
        threads: args.threads,
        codec: match args.codec {
            Codec::Json => HeaderCodec::Json,
            Codec::Binary => HeaderCodec::Rocketmq,
        },
        pids: args.pid.clone(),
    }
}

const fn payload(args: &BenchPayload) -> Payload {
    Payload {
        body_bytes: args.body,
        batch: args.batch,
    }
}
