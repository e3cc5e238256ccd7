//! Runs against a broker that is honest, and against ones that are not: a run has to notice.

#![expect(clippy::unwrap_used, reason = "tests")]

mod toy;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kourou_bench::{
    Audit, AuditReport, BenchError, HeaderCodec, LatencySettings, Length, LoadReport, Payload, PullSettings,
    SendSettings, Target,
};
use toy::{Faults, Toy};

fn target(broker: &str) -> Target {
    Target {
        broker: broker.to_owned(),
        topic: None,
        queues: 4,
        connections: 3,
        threads: 2,
        codec: HeaderCodec::Json,
        pids: vec![std::process::id()],
    }
}

fn settings(broker: &str, messages: u64) -> SendSettings {
    SendSettings {
        grpc: None,
        target: target(broker),
        payload: Payload {
            body_bytes: 100,
            batch: 1,
        },
        in_flight: 10,
        transactional: false,
        length: Length::Messages(messages),
        warmup: Duration::ZERO,
        audit: true,
        timeline: false,
    }
}

fn send(faults: Faults, messages: u64) -> LoadReport {
    let toy = Toy::start(faults);
    kourou_bench::send(&settings(&toy.address.to_string(), messages), &mut |_| {}).unwrap()
}

fn audit(report: &LoadReport) -> &Audit {
    match &report.audit {
        AuditReport::Done(audit) => audit,
        other => panic!("no audit: {other:?}"),
    }
}

#[test]
fn an_honest_broker_has_everything() {
    for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
        for (batch, threads) in [(1, 1), (1, 2), (8, 2)] {
            let toy = Toy::start(Faults::default());
            let mut settings = settings(&toy.address.to_string(), 1000);
            settings.payload.batch = batch;
            settings.target.threads = threads;
            settings.target.codec = codec;
            let report = kourou_bench::send(&settings, &mut |_| {}).unwrap();
            assert_eq!(report.failure(), None);
            assert_eq!((report.messages, report.unanswered), (1000, 0));
            assert_eq!(report.latency.unwrap().count, 1000 / batch as u64);
            assert!(report.per_second.unwrap() > 0.0);
            assert!(report.processes[0].cpu_us_per_message.unwrap() > 0.0);
            let audit = audit(&report);
            assert_eq!((audit.acknowledged, audit.found), (1000, 1000));
            assert!(audit.is_clean());
            assert_eq!((audit.strangers, audit.unacknowledged), (0, 0));
        }
    }
}

#[test]
fn a_lost_message_costs_the_throughput() {
    let report = send(
        Faults {
            forget_every: Some(500),
            ..Faults::default()
        },
        1000,
    );
    assert_eq!((audit(&report).acknowledged, audit(&report).lost), (1000, 2));
    assert_eq!(report.per_second, None);
    assert_eq!(report.megabytes_per_second, None);
    let failure = report.failure().unwrap();
    assert!(
        failure.contains("of 1000 acknowledged messages 2 are lost"),
        "{failure}"
    );
}

#[test]
fn records_that_say_they_are_elsewhere_end_the_run() {
    let toy = Toy::start(Faults {
        no_offsets: true,
        ..Faults::default()
    });
    let settings = settings(&toy.address.to_string(), 1000);
    let error = kourou_bench::send(&settings, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("it leads to 1"), "{error}");
}

fn transactions(faults: Faults) -> LoadReport {
    let toy = Toy::start(faults);
    let mut settings = settings(&toy.address.to_string(), 1000);
    settings.transactional = true;
    kourou_bench::send(&settings, &mut |_| {}).unwrap()
}

#[test]
fn each_half_that_is_acknowledged_is_committed() {
    let report = transactions(Faults::default());
    assert_eq!((report.run, report.failure()), ("send in transactions", None));
    assert_eq!((audit(&report).acknowledged, audit(&report).found), (1000, 1000));
}

#[test]
fn a_commit_that_is_not_heeded_is_a_lost_message() {
    let report = transactions(Faults {
        lose_commit_every: Some(250),
        ..Faults::default()
    });
    assert_eq!((audit(&report).acknowledged, audit(&report).lost), (1000, 4));
}

#[test]
fn a_batch_is_no_transaction() {
    let mut settings = settings("127.0.0.1:1", 10);
    settings.transactional = true;
    settings.payload.batch = 2;
    let error = kourou_bench::send(&settings, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "a batch cannot be sent in a transaction");
}

#[test]
fn a_lost_message_of_a_batch_is_missed_too() {
    let toy = Toy::start(Faults {
        forget_every: Some(777),
        ..Faults::default()
    });
    let mut settings = settings(&toy.address.to_string(), 1000);
    settings.payload.batch = 10;
    let report = kourou_bench::send(&settings, &mut |_| {}).unwrap();
    assert_eq!((audit(&report).found, audit(&report).lost), (999, 1));
    assert!(report.failure().is_some());
}

#[test]
fn a_repeated_message_is_no_second_one() {
    let report = send(
        Faults {
            repeat_every: Some(300),
            ..Faults::default()
        },
        1000,
    );
    assert_eq!((audit(&report).found, audit(&report).duplicates), (1000, 3));
    assert!(report.failure().is_some());
}

#[test]
fn a_changed_byte_is_found() {
    let report = send(
        Faults {
            damage_every: Some(400),
            ..Faults::default()
        },
        1000,
    );
    assert_eq!((audit(&report).damaged, audit(&report).lost), (2, 2));
    assert!(report.failure().is_some());
}

#[test]
fn refusals_are_told_and_do_not_count() {
    let report = send(
        Faults {
            refuse_every: Some(10),
            ..Faults::default()
        },
        1000,
    );
    assert_eq!(report.failure(), None);
    assert_eq!(report.messages, 900);
    assert_eq!(report.refused.len(), 1);
    assert_eq!((report.refused[0].code, report.refused[0].requests), (2, 100));
    assert_eq!(report.refused[0].remark, "as told");
    // This broker keeps what it refuses; brokers may.
    assert_eq!(audit(&report).unacknowledged, 100);
    assert_eq!(audit(&report).acknowledged, 900);
}

#[test]
fn a_broker_that_refuses_everything_is_a_failure() {
    let report = send(
        Faults {
            refuse_every: Some(1),
            ..Faults::default()
        },
        10,
    );
    let failure = report.failure().unwrap();
    assert!(failure.contains("as told"), "{failure}");
}

#[test]
fn a_closed_connection_ends_the_run() {
    let toy = Toy::start(Faults {
        close_at: Some(50),
        ..Faults::default()
    });
    let error =
        kourou_bench::send(&settings(&toy.address.to_string(), 1_000_000_000), &mut |_| {}).unwrap_err();
    assert!(matches!(error, BenchError::Closed { .. }), "{error}");
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let error = kourou_bench::send(&settings(&address, 1), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
}

fn latency(broker: &str) -> LatencySettings {
    LatencySettings {
        target: target(broker),
        payload: Payload {
            body_bytes: 100,
            batch: 1,
        },
        rate: 1000.0,
        duration: Duration::from_secs(1),
        warmup: Duration::from_millis(100),
        end_to_end: false,
        audit: true,
        timeline: true,
    }
}

/// A stall of 300 ms at 1000 messages a second is met by 300 messages, each late by what was left of it when it was
/// due. Sent one after another, three would have met it.
#[test]
fn a_stall_shows_in_every_message_that_was_due_during_it() {
    let toy = Toy::start(Faults {
        stall: Some((Duration::from_millis(500), Duration::from_millis(300))),
        ..Faults::default()
    });
    let report = kourou_bench::latency(&latency(&toy.address.to_string()), &mut |_| {}).unwrap();
    assert_eq!(report.failure(), None);
    let latency = report.latency.unwrap();
    assert_eq!(latency.count, 1000);
    // Of 1000 messages 100 waited for more than 200 ms, 200 for more than 100 ms.
    assert!(latency.p90_us > 150_000.0, "{latency:?}");
    assert!(latency.max_us > 250_000.0, "{latency:?}");
    assert!(latency.within_1ms_percent < 75.0, "{latency:?}");
    // The stall began 500 ms after the first message, 400 ms after the warm-up.
    let late: Vec<u64> = report
        .timeline
        .iter()
        .filter(|step| step.max_us > 90_000.0)
        .map(|step| step.begin_ms)
        .collect();
    assert!(late.contains(&400) && late.contains(&500), "{late:?}");
    assert_eq!(report.timeline.iter().map(|step| step.count).sum::<u64>(), 1000);
}

#[test]
fn the_way_to_a_consumer_is_measured() {
    let toy = Toy::start(Faults::default());
    let mut settings = latency(&toy.address.to_string());
    settings.end_to_end = true;
    settings.duration = Duration::from_millis(300);
    let report = kourou_bench::latency(&settings, &mut |_| {}).unwrap();
    assert_eq!(report.failure(), None);
    assert_eq!(report.received, Some(400));
    let (intended, socket) = (report.end_to_end.unwrap(), report.end_to_end_from_socket.unwrap());
    assert_eq!((intended.count, socket.count), (300, 300));
    assert!(intended.p50_us >= socket.p50_us);
}

fn pull(broker: &str, fill: Option<u64>) -> PullSettings {
    PullSettings {
        target: target(broker),
        payload: Payload {
            body_bytes: 100,
            batch: 1,
        },
        fill,
        batch: 32,
        in_flight: 6,
        passes: 3,
        audit: true,
    }
}

#[test]
fn a_topic_is_read_as_often_as_asked() {
    let toy = Toy::start(Faults::default());
    let report = kourou_bench::pull(&pull(&toy.address.to_string(), Some(1000)), &mut |_| {}).unwrap();
    assert_eq!(report.failure(), None);
    // The fill is sent in whole batches of 32.
    assert_eq!((report.messages, report.audit.expected), (3 * 1024, 3 * 1024));
    assert!(report.messages_per_pull > 1.0);
    assert!(matches!(&report.fill, Some(AuditReport::Done(audit)) if audit.found == 1024));
}

#[test]
fn a_gap_costs_the_throughput() {
    let toy = Toy::start(Faults {
        skip_every: Some(100),
        ..Faults::default()
    });
    let mut settings = pull(&toy.address.to_string(), Some(1024));
    settings.passes = 1;
    let report = kourou_bench::pull(&settings, &mut |_| {}).unwrap();
    // Four queues of 256.
    assert_eq!(report.audit.missing, 8);
    assert_eq!(report.per_second, None);
    assert!(report.failure().is_some());
}

#[test]
fn a_pull_needs_something_to_read() {
    let toy = Toy::start(Faults::default());
    let error = kourou_bench::pull(&pull(&toy.address.to_string(), None), &mut |_| {}).unwrap_err();
    assert!(matches!(error, BenchError::Settings(_)), "{error}");
}

#[test]
fn a_sink_answers_and_is_known_to_keep_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let sink = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || kourou_bench::sink::serve(&listener, &stop))
    };
    for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
        for batch in [1, 5] {
            let mut settings = settings(&address, 1000);
            settings.target.codec = codec;
            settings.payload.batch = batch;
            let report = kourou_bench::send(&settings, &mut |_| {}).unwrap();
            assert_eq!(report.failure(), None);
            assert_eq!(report.messages, 1000);
            assert!(
                matches!(report.audit, AuditReport::Skipped { .. }),
                "{:?}",
                report.audit
            );
        }
    }
    // Longer than what a sink reads at once.
    let mut large = settings(&address, 20);
    large.payload.body_bytes = 1 << 20;
    assert_eq!(kourou_bench::send(&large, &mut |_| {}).unwrap().messages, 20);
    let mut settings = latency(&address);
    settings.end_to_end = true;
    settings.duration = Duration::from_millis(100);
    let report = kourou_bench::latency(&settings, &mut |_| {}).unwrap();
    assert_eq!((report.failure(), report.end_to_end.is_some()), (None, false));
    stop.store(true, Ordering::Relaxed);
    sink.join().unwrap().unwrap();
}
