//! The closed loop over gRPC: a fixed number of calls in flight; each answer makes room for the next.

mod call;
mod request;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::closed::{Outcome, Window};
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::ledger::Ledger;
use crate::stage::PATIENCE;
use crate::template::Request;
use crate::timeline::Timeline;

use call::{Answered, Channel};
use request::{Answer, OK};

pub(crate) use request::Template;

/// How often somebody looks whether a run is to be given up.
const TICK: Duration = Duration::from_millis(100);
/// Between two questions for a topic that is not known yet.
const ROUTE_PAUSE: Duration = Duration::from_millis(50);

/// What one connection is to do.
#[derive(Debug)]
pub(crate) struct LaneSpec {
    /// Its number.
    pub(crate) index: usize,
    pub(crate) template: Template,
    pub(crate) in_flight: usize,
    /// Requests to send at most.
    pub(crate) quota: u64,
}

/// What the calls of one thread share.
#[derive(Debug)]
struct Shared<'a> {
    window: Window,
    latencies: Latencies,
    timeline: Timeline,
    /// Messages acknowledged so far, for whoever watches.
    acknowledged: &'a AtomicU64,
    acknowledged_messages: u64,
    last_answer_ns: u64,
}

#[derive(Debug)]
struct Lane {
    index: usize,
    in_flight: usize,
    template: Template,
    open: RefCell<Open>,
}

/// What changes about a lane.
#[derive(Debug)]
struct Open {
    ledger: Ledger,
    quota: u64,
}

/// Waits until a topic that was just made is known where gRPC is served: a proxy learns of it by and by.
pub(crate) fn await_topic(address: &str, topic: &str) -> Result<(), BenchError> {
    let begin = Instant::now();
    runtime()?.block_on(LocalSet::new().run_until(async {
        let mut channel = Channel::connect(address, "kourou-bench".to_owned(), 0).await?;
        loop {
            let refusal = match refusal(channel.call("QueryRoute", request::route(topic)).await?)? {
                None => return Ok(()),
                Some((code, text)) => format!("{code}: {text}"),
            };
            if begin.elapsed() > PATIENCE {
                return Err(BenchError::BadAnswer {
                    what: "find the topic by gRPC",
                    problem: refusal,
                });
            }
            tokio::time::sleep(ROUTE_PAUSE).await;
        }
    }))
}

/// Runs the calls of some connections on this thread until all are done, or `abort` is set.
pub(crate) fn drive(
    address: &str,
    specs: Vec<LaneSpec>,
    window: Window,
    timeline: Timeline,
    acknowledged: &AtomicU64,
    clock: &Clock,
    abort: &AtomicBool,
) -> Result<Outcome, BenchError> {
    let shared = RefCell::new(Shared {
        window,
        latencies: Latencies::new()?,
        timeline,
        acknowledged,
        acknowledged_messages: 0,
        last_answer_ns: window.begin_ns,
    });
    let lanes: Vec<Lane> = specs.into_iter().map(Lane::from).collect();
    let calls = async {
        let mut all = Vec::new();
        for lane in &lanes {
            let client_id = format!("kourou-bench@{}", lane.index);
            let channel = Channel::connect(address, client_id, lane.index).await?;
            all.extend((0..lane.in_flight).map(|_| slot(lane, &shared, channel.clone(), clock)));
        }
        futures_util::future::try_join_all(all).await.map(drop)
    };
    let given_up = async {
        loop {
            tokio::time::sleep(TICK).await;
            let silent_ns = clock.now_ns().saturating_sub(shared.borrow().last_answer_ns);
            if abort.load(Ordering::Relaxed) || silent_ns >= window.patience_ns {
                return;
            }
        }
    };
    runtime()?.block_on(LocalSet::new().run_until(async {
        tokio::select! {
            ended = calls => ended,
            () = given_up => Ok(()),
        }
    }))?;
    let shared = shared.into_inner();
    Ok(Outcome {
        ledgers: lanes
            .into_iter()
            .map(|lane| lane.open.into_inner().ledger)
            .collect(),
        latencies: shared.latencies,
        timeline: shared.timeline,
    })
}

impl From<LaneSpec> for Lane {
    fn from(spec: LaneSpec) -> Self {
        Self {
            index: spec.index,
            in_flight: spec.in_flight,
            template: spec.template,
            open: RefCell::new(Open {
                ledger: Ledger::default(),
                quota: spec.quota,
            }),
        }
    }
}

/// One call after the other.
async fn slot(
    lane: &Lane,
    shared: &RefCell<Shared<'_>>,
    mut channel: Channel,
    clock: &Clock,
) -> Result<(), BenchError> {
    let window = shared.borrow().window;
    loop {
        let sent_ns = clock.now_ns();
        let number = {
            let mut open = lane.open.borrow_mut();
            if open.quota == 0 || sent_ns >= window.end_ns {
                return Ok(());
            }
            open.quota -= 1;
            open.ledger.next_request()
        };
        let request = lane.template.request(&Request {
            opaque: 0,
            number,
            born_unix_ms: 0,
            intended_ns: sent_ns,
            sent_ns,
        });
        let answered = channel.call("SendMessage", request).await?;
        shared.borrow_mut().answered(
            &mut lane.open.borrow_mut(),
            number,
            sent_ns,
            clock.now_ns(),
            answered,
        )?;
    }
}

impl Shared<'_> {
    fn answered(
        &mut self,
        open: &mut Open,
        number: u64,
        sent_ns: u64,
        now_ns: u64,
        answered: Answered,
    ) -> Result<(), BenchError> {
        self.last_answer_ns = now_ns;
        let measured = self.window.measures(sent_ns);
        if let Some((code, text)) = refusal(answered)? {
            open.ledger.refuse(code, || text);
            if measured {
                self.latencies.miss();
            }
            return Ok(());
        }
        open.ledger.acknowledge(number);
        self.acknowledged_messages += 1;
        self.acknowledged
            .store(self.acknowledged_messages, Ordering::Relaxed);
        if measured {
            let latency_ns = now_ns - sent_ns;
            self.latencies.record(latency_ns);
            self.timeline.record(sent_ns, latency_ns);
        }
        Ok(())
    }
}

/// The code and text of an answer that is not a success.
fn refusal(answered: Answered) -> Result<Option<(i32, String)>, BenchError> {
    let message = match answered {
        Answered::Status(code, text) => return Ok(Some((code, text))),
        Answered::Message(message) => message,
    };
    let answer = Answer::decode(message).map_err(|error| BenchError::BadAnswer {
        what: "send by gRPC",
        problem: error.to_string(),
    })?;
    let status = answer.status.unwrap_or_default();
    Ok((status.code != OK).then_some((status.code, status.message)))
}

fn runtime() -> Result<Runtime, BenchError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::Wait)
}
