//! What every broker is taken through.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::brokers::{Broker, Flavour, Paths};

use Flavour::{ApacheAsync, ApacheProxy, ApacheSync, KourouDurable, KourouRelaxed, Sink};

/// One run of `kourou bench`.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) of: &'static [Flavour],
    pub(crate) shows: &'static [Figure],
    what: What,
}

enum What {
    Send {
        in_flight: u32,
        connections: u32,
        batch: u32,
    },
    /// By gRPC.
    SendGrpc {
        in_flight: u32,
        connections: u32,
    },
    Latency {
        rate: u32,
        end_to_end: bool,
    },
    /// Reads what the broker has in memory.
    PullHot,
    /// Reads what it has not, and neither has the system.
    PullCold,
}

/// A number that a run gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Figure {
    PerSecond,
    CpuUsPerMessage,
    P50Us,
    P99Us,
    Within1MsPercent,
}

impl Figure {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::PerSecond => "messages/s",
            Self::CpuUsPerMessage => "broker CPU us/message",
            Self::P50Us => "p50 us",
            Self::P99Us => "p99 us",
            Self::Within1MsPercent => "within 1 ms, %",
        }
    }
}

const ALL: &[Flavour] = &[KourouDurable, KourouRelaxed, ApacheSync, ApacheAsync];
const OPEN_LOOP: &[Flavour] = &[KourouDurable, KourouRelaxed, ApacheSync, ApacheAsync, Sink];
const RATE: &[Figure] = &[
    Figure::PerSecond,
    Figure::CpuUsPerMessage,
    Figure::P50Us,
    Figure::P99Us,
];
const LATENCY: &[Figure] = &[Figure::Within1MsPercent, Figure::P50Us, Figure::P99Us];

pub(crate) const RUNS: &[Run] = &[
    Run {
        name: "send-64",
        title: "sends, 64 in flight over 4 connections",
        of: ALL,
        shows: RATE,
        what: What::Send {
            in_flight: 64,
            connections: 4,
            batch: 1,
        },
    },
    Run {
        name: "send-512",
        title: "sends, 512 in flight over 8 connections",
        of: ALL,
        shows: RATE,
        what: What::Send {
            in_flight: 512,
            connections: 8,
            batch: 1,
        },
    },
    Run {
        name: "send-1",
        title: "sends, 1 in flight",
        of: ALL,
        shows: RATE,
        what: What::Send {
            in_flight: 1,
            connections: 1,
            batch: 1,
        },
    },
    Run {
        name: "batch-32",
        title: "batches of 32, 64 in flight over 4 connections",
        of: ALL,
        shows: RATE,
        what: What::Send {
            in_flight: 64,
            connections: 4,
            batch: 32,
        },
    },
    Run {
        name: "grpc-64",
        title: "sends by gRPC, 64 in flight over 4 connections",
        of: &[KourouDurable, ApacheProxy],
        shows: RATE,
        what: What::SendGrpc {
            in_flight: 64,
            connections: 4,
        },
    },
    Run {
        name: "open-5k",
        title: "open loop, 5,000 sends/s",
        of: OPEN_LOOP,
        shows: LATENCY,
        what: What::Latency {
            rate: 5_000,
            end_to_end: false,
        },
    },
    Run {
        name: "open-20k",
        title: "open loop, 20,000 sends/s",
        of: OPEN_LOOP,
        shows: LATENCY,
        what: What::Latency {
            rate: 20_000,
            end_to_end: false,
        },
    },
    Run {
        name: "end-to-end",
        title: "send to long-polling consumer, 5,000/s",
        of: ALL,
        shows: LATENCY,
        what: What::Latency {
            rate: 5_000,
            end_to_end: true,
        },
    },
    Run {
        name: "pull-hot",
        title: "pulls of 32 from memory",
        of: &[KourouDurable, ApacheAsync],
        shows: &[Figure::PerSecond, Figure::CpuUsPerMessage],
        what: What::PullHot,
    },
    Run {
        name: "pull-cold",
        title: "pulls of 32, page cache dropped",
        of: &[KourouDurable, ApacheAsync],
        shows: &[Figure::PerSecond, Figure::CpuUsPerMessage],
        what: What::PullCold,
    },
];

/// Messages of 1 KiB that stay in memory everywhere.
const HOT_MESSAGES: u32 = 16_000;
/// About 600 MB.
const COLD_MESSAGES: u32 = 500_000;

impl Run {
    pub(crate) fn take(
        &self,
        broker: &mut Broker,
        paths: &Paths,
        seconds: u32,
    ) -> Result<Sample, Box<dyn Error>> {
        let line = |text: String| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let told = match self.what {
            What::Send { in_flight, connections, batch } => broker.bench(
                paths,
                &line(format!(
                    "send --in-flight {in_flight} --connections {connections} --batch {batch} --seconds {seconds}"
                )),
            )?,
            // A virtual machine's compiler has not seen this path before.
            What::SendGrpc { in_flight, connections } => broker.bench(
                paths,
                &line(format!(
                    "send --grpc 127.0.0.1:8081 --in-flight {in_flight} --connections {connections} --warmup 10 --seconds {seconds}"
                )),
            )?,
            What::Latency { rate, end_to_end } => {
                let consumer = if end_to_end { "--end-to-end" } else { "" };
                broker.bench(paths, &line(format!("latency --rate {rate} --seconds {} {consumer}", 2 * seconds)))?
            }
            What::PullHot => broker.bench(
                paths,
                &line(format!("pull --fill {HOT_MESSAGES} --passes {} --batch 32", 20 * seconds)),
            )?,
            What::PullCold => {
                let topic = "cold";
                broker.bench(
                    paths,
                    &line(format!("send --topic {topic} --in-flight 512 --count {COLD_MESSAGES} --no-audit")),
                )?;
                broker.restart_cold(paths)?;
                broker.bench(paths, &line(format!("pull --topic {topic} --batch 32 --in-flight 16")))?
            }
        };
        Ok(Sample(
            self.shows
                .iter()
                .filter_map(|figure| Some((*figure, self.figure(*figure, &told)?)))
                .collect(),
        ))
    }

    fn figure(&self, figure: Figure, told: &Value) -> Option<f64> {
        let end_to_end = matches!(self.what, What::Latency { end_to_end: true, .. });
        let latency = told.get(if end_to_end { "end_to_end" } else { "latency" });
        let of_latency = |name: &str| latency?.get(name)?.as_f64();
        match figure {
            Figure::PerSecond => told.get("per_second")?.as_f64(),
            Figure::CpuUsPerMessage => told.get("processes")?.get(0)?.get("cpu_us_per_message")?.as_f64(),
            Figure::P50Us => of_latency("p50_us"),
            Figure::P99Us => of_latency("p99_us"),
            Figure::Within1MsPercent => of_latency("within_1ms_percent"),
        }
    }
}

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample(BTreeMap<Figure, f64>);

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (figure, value) in &self.0 {
            write!(f, " {value:.2} {};", figure.title())?;
        }
        Ok(())
    }
}

/// All of them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Samples(BTreeMap<String, BTreeMap<Flavour, Vec<Sample>>>);

impl Samples {
    pub(crate) fn add(&mut self, run: &str, flavour: Flavour, sample: Sample) {
        let of_run = self.0.entry(run.to_owned()).or_default();
        of_run.entry(flavour).or_default().push(sample);
    }

    /// Every round's value of a figure, in order of size.
    pub(crate) fn sorted(&self, run: &str, flavour: Flavour, figure: Figure) -> Vec<f64> {
        let samples = self.0.get(run).and_then(|of_run| of_run.get(&flavour));
        let mut values: Vec<f64> = samples
            .into_iter()
            .flatten()
            .filter_map(|sample| sample.0.get(&figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }
}
