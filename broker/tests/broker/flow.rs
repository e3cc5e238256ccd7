//! Flow control: who is refused when, and what he is told.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use kourou_broker::code;
use kourou_broker::flow::{FlowRefusal, QuotaOf, Rates, Unit};
use kourou_broker::group::GroupConfig;
use kourou_broker::receive::PullError;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_broker::topic::{AttributeChanges, TopicConfig};
use kourou_engine::Threads;

use crate::rig::{Got, Rig, message, pull, views};

/// Nothing here takes long; a test that hangs should say so.
const PATIENCE: Duration = Duration::from_secs(30);

fn refusal<T: std::fmt::Debug>(outcome: Result<T, SendError>) -> FlowRefusal {
    match outcome.unwrap_err() {
        SendError::Flow(refusal) => refusal,
        other => panic!("{other}"),
    }
}

type Answer = Receiver<Result<SendReceipt, SendError>>;

fn begin(rig: &Rig, request: SendRequest<'_>) -> Answer {
    let (tell, told) = channel();
    rig.broker.send(request, move |outcome| {
        let _ = tell.send(outcome);
    });
    told
}

fn big(topic: &str, size_bytes: usize) -> SendRequest<'static> {
    SendRequest {
        body: vec![b'x'; size_bytes].into(),
        ..message(topic, "")
    }
}

pub(crate) fn set(rig: &Rig, topic: &str, changes: &str) {
    let changes = AttributeChanges::parse(changes).unwrap();
    let config = TopicConfig::new(topic, 4);
    rig.wait(|done| rig.broker.put_topic_with(config, &changes, done))
        .unwrap();
}

pub(crate) fn set_group(rig: &Rig, group: &str, attributes: &[(&str, &str)]) {
    let mut config = GroupConfig::new(group);
    for (name, value) in attributes {
        config.attributes.insert((*name).to_owned(), (*value).to_owned());
    }
    rig.wait(|done| rig.broker.put_group(&config, done)).unwrap();
}

#[test]
fn a_disk_that_stalls_refuses_with_what_was_measured_and_takes_again_when_it_goes_on() {
    let rig = Rig::with(|options, engine| {
        options.commit_latency_max_ms = 2_000;
        engine.threads = Threads::Background;
    });
    let first = begin(&rig, message("orders", "before"));
    first.recv_timeout(PATIENCE).unwrap().unwrap();

    rig.disk.stall();
    let waits = begin(&rig, message("orders", "waits"));
    rig.clock.advance(2_000);
    let waits_too = begin(&rig, message("orders", "waits too"));
    rig.clock.advance(1);
    let refused = refusal(
        begin(&rig, message("orders", "refused"))
            .recv_timeout(PATIENCE)
            .unwrap(),
    );
    assert_eq!(refused.response_code(), code::SYSTEM_BUSY);
    assert!(
        matches!(
            refused,
            FlowRefusal::CommitLatency {
                commit_ms: 2_001,
                max_ms: 2_000,
                retry_after_ms: 10,
                ..
            }
        ),
        "{refused}"
    );

    rig.disk.resume();
    waits.recv_timeout(PATIENCE).unwrap().unwrap();
    waits_too.recv_timeout(PATIENCE).unwrap().unwrap();
    // However slow that was: nothing is in flight, so nothing is refused.
    begin(&rig, message("orders", "after"))
        .recv_timeout(PATIENCE)
        .unwrap()
        .unwrap();
    assert_eq!(rig.bodies("orders"), ["before", "waits", "waits too", "after"]);
    assert_eq!(rig.broker.flow_stats().sends_refused_commit_latency, 1);
    rig.broker.close().unwrap();
}

#[test]
fn bytes_in_flight_are_bounded() {
    let rig = Rig::with(|options, _| options.in_flight_size_bytes_max = 3 << 20);
    rig.put("orders", "makes the topic");
    let first = begin(&rig, big("orders", 2 << 20));
    let refused = refusal(begin(&rig, big("orders", 1 << 20)).try_recv().unwrap());
    assert!(
        matches!(refused, FlowRefusal::InFlight { max_bytes, .. } if max_bytes == 3 << 20),
        "{refused}"
    );
    // Something smaller fits, and so does everything when nothing is in flight.
    let second = begin(&rig, big("orders", 1 << 19));
    rig.pump();
    for answer in [first, second] {
        answer.try_recv().unwrap().unwrap();
    }
    rig.send(big("orders", 4 << 20)).unwrap();
}

#[test]
fn a_disk_that_is_slow_all_the_time_is_not_given_more_than_it_takes_at_once() {
    let rig = Rig::with(|options, _| options.commit_latency_max_ms = 500);
    rig.put("orders", "makes the topic");
    let commit = |took_ms| {
        let answer = begin(&rig, message("orders", "measured"));
        rig.clock.advance(took_ms);
        rig.pump();
        answer.try_recv().unwrap().unwrap();
    };
    for _ in 0..160 {
        commit(900);
    }
    assert_eq!(rig.broker.flow_stats().pressure.commit_ms, 900);
    // What one write takes is not refused; what would wait behind it is.
    let first = begin(&rig, big("orders", 1 << 20));
    let refused = refusal(begin(&rig, message("orders", "behind")).try_recv().unwrap());
    assert_eq!(
        refused.to_string(),
        format!(
            "[COMMIT_LATENCY]broker busy: the disk takes 900 ms to make a message durable, 500 ms are allowed, {} \
             bytes wait for it; retry after 400 ms",
            rig.broker.engine().in_flight_bytes()
        )
    );
    rig.pump();
    first.try_recv().unwrap().unwrap();
    // Fast again, it takes all there is.
    for _ in 0..160 {
        commit(1);
    }
    let all: Vec<_> = (0..4).map(|_| begin(&rig, big("orders", 1 << 20))).collect();
    rig.pump();
    for answer in all {
        answer.try_recv().unwrap().unwrap();
    }
}

#[test]
fn a_topics_quota_is_an_attribute_that_outlives_a_power_cut_and_changes_while_it_works() {
    let rig = Rig::new();
    set(&rig, "orders", "+quota.send.messages=3");
    let rig = rig.power_cut();
    for _ in 0..3 {
        rig.put("orders", "taken");
    }
    rig.put("others", "another topic's");
    let refused = refusal(rig.send(message("orders", "refused")));
    assert_eq!(refused.response_code(), code::FLOW_CONTROL);
    assert_eq!(
        refused.to_string(),
        "[QUOTA]flow control: topic[orders] was asked for 4 messages in a second, its quota is 3 messages a second; \
         retry after 334 ms"
    );
    rig.clock.advance(333);
    refusal(rig.send(message("orders", "too early")));
    rig.clock.advance(1);
    rig.put("orders", "taken");

    set(&rig, "orders", "+quota.send.messages=1000");
    for _ in 0..100 {
        rig.put("orders", "taken");
    }
    set(&rig, "orders", "-quota.send.messages,+quota.send.bytes=1000");
    rig.send(big("orders", 900)).unwrap();
    let refused = refusal(rig.send(big("orders", 200)));
    assert!(
        matches!(
            &refused,
            FlowRefusal::Quota { of: QuotaOf::Topic(topic), unit: Unit::Bytes, .. } if &**topic == "orders"
        ),
        "{refused}"
    );
    set(&rig, "orders", "-quota.send.bytes");
    for _ in 0..10 {
        rig.send(big("orders", 900)).unwrap();
    }
    assert_eq!(rig.broker.flow_stats().sends_refused_quota, 3);
}

#[test]
fn each_client_has_its_own_quota_and_a_group_may_have_another() {
    let rig = Rig::with(|options, _| {
        options.client_send_quota = Rates {
            messages_per_s: std::num::NonZeroU64::new(2),
            bytes_per_s: None,
        };
    });
    rig.put("orders", "makes the topic");
    rig.clock.advance(1_000);
    let from = |port: u16, group: &'static str| SendRequest {
        born_host: ([10, 0, 0, 9], port).into(),
        producer_group: group.into(),
        ..message("orders", "x")
    };
    for port in [1, 2] {
        for _ in 0..2 {
            rig.send(from(port, "producers")).unwrap();
        }
        let refused = refusal(rig.send(from(port, "producers")));
        assert!(
            matches!(&refused, FlowRefusal::Quota { of: QuotaOf::Client { address, .. }, limit_per_s: 2, .. }
                if address.port() == port),
            "{refused}"
        );
    }
    set_group(&rig, "favoured", &[("quota.send.messages", "50")]);
    for _ in 0..50 {
        rig.send(from(3, "favoured")).unwrap();
    }
    let refused = refusal(rig.send(from(3, "favoured")));
    assert!(
        refused
            .to_string()
            .contains("client[10.0.0.9:3] of group[favoured]"),
        "{refused}"
    );
    let rig = rig.power_cut();
    for _ in 0..50 {
        rig.send(from(3, "favoured")).unwrap();
    }
    refusal(rig.send(from(3, "favoured")));
    // Sending for another group in between gives nothing back.
    rig.send(from(3, "producers")).unwrap();
    refusal(rig.send(from(3, "favoured")));

    let mut bad = GroupConfig::new("favoured");
    bad.attributes
        .insert("quota.send.messages".to_owned(), "lots".to_owned());
    let error = rig.wait(|done| rig.broker.put_group(&bad, done)).unwrap_err();
    assert_eq!(error.response_code(), code::INVALID_PARAMETER);
}

#[test]
fn pulls_have_quotas_of_topic_and_group_and_commits_go_on() {
    let rig = Rig::new();
    set(&rig, "orders", "+quota.pull.messages=10");
    for at in 0..40 {
        rig.put("orders", &at.to_string());
    }
    let got = |offset: i64| {
        let request = kourou_broker::receive::PullRequest {
            messages_max: 16,
            commit_offset: Some(offset),
            ..pull("orders", offset)
        };
        rig.pull(&request)
    };
    // What is found is given, and paid for afterwards.
    let Ok(Got::Found(found)) = got(0) else {
        panic!("nothing")
    };
    assert_eq!(views(&found).len(), 16);
    let Err(PullError::Flow(refused)) = got(16) else {
        panic!("not refused")
    };
    assert_eq!(
        (refused.response_code(), refused.retry_after_ms()),
        (code::FLOW_CONTROL, 700)
    );
    assert_eq!(
        rig.broker.committed_offset("readers", "orders", 0, false),
        Some(16)
    );
    rig.clock.advance(700);
    assert!(matches!(got(16), Ok(Got::Found(_))));

    set(&rig, "orders", "-quota.pull.messages");
    set_group(&rig, "readers", &[("quota.pull.bytes", "1")]);
    assert!(matches!(got(0), Ok(Got::Found(_))));
    let Err(PullError::Flow(refused)) = got(0) else {
        panic!("not refused")
    };
    assert!(refused.to_string().contains("group[readers]"), "{refused}");
    assert_eq!(rig.broker.flow_stats().pulls_refused_quota, 2);
    let idle = kourou_broker::receive::PullRequest {
        group: "others".into(),
        ..pull("orders", 0)
    };
    assert!(matches!(rig.pull(&idle), Ok(Got::Found(_))));
}
