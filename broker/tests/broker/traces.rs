//! The broker's own traces: what was sent, given out, and what became of it, read as Apache's tools read it.

use kourou_broker::TraceCounts;
use kourou_broker::client::MessageModel;
use kourou_broker::query::QueryRequest;
use kourou_broker::receive::PullRequest;
use kourou_broker::send::{SendRequest, offset_msg_id};
use kourou_broker::transaction::{Decision, EndTransaction};
use kourou_engine::record::RecordView;

use crate::deliveries::pop;
use crate::rig::{
    Channel, Rig, START_MS, heartbeat, message, producer_host, properties, pull, send_back, store_host,
    subscription, text,
};

const TRACES: &str = "RMQ_SYS_TRACE_TOPIC";

/// The fields of one trace record.
type Fields = Vec<String>;

fn tracing() -> Rig {
    Rig::with(|options, _| options.traces = true)
}

fn keyed(topic: &str, id: &str, keys: &str) -> SendRequest<'static> {
    SendRequest {
        properties: properties(&[("UNIQ_KEY", id), ("KEYS", keys), ("TAGS", "red")]),
        ..message(topic, "hello")
    }
}

/// Takes a body apart as Java's `String.split` does, which drops empty fields at the end.
fn records(body: &str) -> Vec<Fields> {
    let fields = |record: &str| {
        let mut fields: Fields = record.split('\u{1}').map(str::to_owned).collect();
        while fields.last().is_some_and(String::is_empty) {
            fields.pop();
        }
        fields
    };
    body.split('\u{2}')
        .filter(|record| !record.is_empty())
        .map(fields)
        .collect()
}

impl Rig {
    /// Lets the broker write its traces.
    fn trace(&self) {
        self.clock.advance(1_000);
        self.broker.tick();
        self.pump();
    }

    /// All records so far.
    fn traced(&self) -> Vec<Fields> {
        self.trace();
        self.bodies(TRACES)
            .iter()
            .flat_map(|body| records(body))
            .collect()
    }

    /// The records of a message that are found by a key, by kind.
    fn traces_of(&self, key: &str, id: &str) -> Vec<Fields> {
        self.trace();
        let found = self.broker.query(&QueryRequest {
            topic: TRACES,
            key,
            unique: false,
            messages_max: 64,
            begin_ms: 0,
            end_ms: i64::MAX,
        });
        let bodies = found
            .records
            .iter()
            .map(|record| text(RecordView::parse(record).unwrap().body()));
        bodies
            .flat_map(|body| records(&body))
            .filter(|fields| fields.iter().any(|field| field == id))
            .collect()
    }

    fn counts(&self) -> TraceCounts {
        self.broker.trace_counts().unwrap()
    }
}

fn kinds(traces: &[Fields]) -> Vec<&str> {
    traces.iter().map(|fields| fields[0].as_str()).collect()
}

#[test]
fn nothing_is_traced_unless_it_is_asked_for() {
    let rig = Rig::new();
    rig.put("orders", "a");
    assert!(rig.traced().is_empty());
    assert_eq!(rig.broker.trace_counts(), None);
}

#[test]
fn a_send_is_found_by_its_id_and_by_each_key_with_all_that_tools_read() {
    let rig = tracing();
    rig.put("orders", "the topic is there");
    let receipt = rig.send(keyed("orders", "ID1", "k1 k2")).unwrap();
    for key in ["ID1", "k1", "k2"] {
        let traces = rig.traces_of(key, "ID1");
        assert_eq!(
            traces,
            [[
                "Pub",
                &START_MS.to_string(),
                "DefaultRegion",
                "producers",
                "orders",
                "ID1",
                "red",
                "k1 k2",
                &store_host().to_string(),
                "5",
                "0",
                "0",
                &offset_msg_id(store_host(), receipt.position),
                "true",
                &producer_host().to_string(),
            ]],
            "{key}"
        );
    }
    assert!(rig.traces_of("k3", "ID1").is_empty());
    // One that had no id is found by the one that its sender was told.
    let receipt = rig.put("orders", "plain");
    assert_eq!(
        kinds(&rig.traces_of(&receipt.transaction_id, &receipt.transaction_id)),
        ["Pub"]
    );
}

#[test]
fn each_message_of_a_batch_has_its_trace() {
    let rig = tracing();
    let one = text(&properties(&[("UNIQ_KEY", "B1"), ("KEYS", "x")]));
    let two = text(&properties(&[("UNIQ_KEY", "B2")]));
    let receipt = rig
        .send(SendRequest {
            is_batch: true,
            body: crate::sends::batch(&[("first", one.as_str()), ("2", two.as_str())]),
            ..message("orders", "")
        })
        .unwrap();
    let traces = [rig.traces_of("B1", "B1"), rig.traces_of("B2", "B2")].concat();
    let what: Vec<_> = traces
        .iter()
        .map(|fields| (fields[9].as_str(), fields[12].clone()))
        .collect();
    let id = |at: usize| offset_msg_id(store_host(), receipt.batch_positions[at]);
    assert_eq!(what, [("5", id(0)), ("1", id(1))]);
}

#[test]
fn a_refused_send_is_traced_as_one() {
    let rig = tracing();
    rig.put("orders", "the topic is there");
    rig.send(SendRequest {
        queue_id: 99,
        ..keyed("orders", "NO", "k")
    })
    .unwrap_err();
    let traces = rig.traces_of("NO", "NO");
    assert_eq!(
        (traces[0][12].as_str(), traces[0][13].as_str()),
        ("null", "false")
    );
}

#[test]
fn what_is_pulled_and_committed_is_traced_to_its_end() {
    let rig = tracing();
    for id in ["P0", "P1", "P2"] {
        rig.send(keyed("orders", id, "k")).unwrap();
    }
    rig.clock.advance(7);
    let request = PullRequest {
        group: "g".into(),
        messages_max: 2,
        ..pull("orders", 0)
    };
    assert_eq!(rig.pull(&request).unwrap().found().records.len(), 2);
    rig.clock.advance(30);
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap();
    let traces = rig.traces_of("P0", "P0");
    assert_eq!(kinds(&traces), ["Pub", "SubBefore", "SubAfter"]);
    let (before, after) = (&traces[1], &traces[2]);
    let request_id = &before[4];
    assert_eq!(
        *before,
        [
            "SubBefore",
            &(START_MS + 7).to_string(),
            "DefaultRegion",
            "g",
            request_id,
            "P0",
            "0",
            "k"
        ]
    );
    let at_ms = (START_MS + 37).to_string();
    assert_eq!(
        *after,
        ["SubAfter", request_id, "P0", "30", "true", "k", "0", &at_ms, "g"]
    );
    assert_eq!(kinds(&rig.traces_of("P1", "P1")), ["Pub", "SubBefore"]);
    assert_eq!(kinds(&rig.traces_of("P2", "P2")), ["Pub"]);

    // The next pull brings the commit with it.
    let next = PullRequest {
        offset: 2,
        commit_offset: Some(2),
        ..request
    };
    rig.pull(&next).unwrap().found();
    assert_eq!(
        kinds(&rig.traces_of("P1", "P1")),
        ["Pub", "SubBefore", "SubAfter"]
    );
    rig.wait(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 3, done)
    })
    .unwrap();
    assert_eq!(
        kinds(&rig.traces_of("P2", "P2")),
        ["Pub", "SubBefore", "SubAfter"]
    );
    let counts = rig.counts();
    assert_eq!((counts.dropped, counts.unfollowed), (0, 0));
    assert_eq!(counts.written, 9);
}

#[test]
fn a_message_that_is_sent_back_has_failed_and_is_not_successful_later() {
    let rig = tracing();
    let sent = rig.send(keyed("orders", "S1", "k")).unwrap();
    let request = PullRequest {
        group: "g".into(),
        ..pull("orders", 0)
    };
    rig.pull(&request).unwrap().found();
    rig.send_back(send_back("g", sent.position)).unwrap();
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap();
    let traces = rig.traces_of("S1", "S1");
    assert_eq!(kinds(&traces), ["Pub", "SubBefore", "SubAfter"]);
    assert_eq!((traces[2][4].as_str(), traces[2][6].as_str()), ("false", "4"));

    // The retry is a delivery of its own, of the same message.
    rig.clock.advance(10_000);
    rig.deliver();
    let retry = PullRequest {
        group: "g".into(),
        ..pull("%RETRY%g", 0)
    };
    rig.pull(&retry).unwrap().found();
    rig.broker
        .commit_offset(&"g".into(), &"%RETRY%g".into(), 0, 1)
        .unwrap();
    let traces = rig.traces_of("S1", "S1");
    assert_eq!(
        kinds(&traces),
        ["Pub", "SubBefore", "SubAfter", "SubBefore", "SubAfter"]
    );
    assert_eq!((traces[3][6].as_str(), traces[4][4].as_str()), ("1", "true"));
    assert_ne!(traces[1][4], traces[3][4]);
}

#[test]
fn a_group_that_broadcasts_says_nothing_of_outcomes() {
    let rig = tracing();
    rig.put("orders", "the topic is there");
    let channel = Channel::new(1);
    let mut data = heartbeat("c", "g", &[subscription("orders", &[], 1)]);
    data.consumers[0].message_model = MessageModel::Broadcasting;
    rig.beat(&channel, &data);
    rig.send(keyed("orders", "C1", "k")).unwrap();
    let request = PullRequest {
        group: "g".into(),
        ..pull("orders", 0)
    };
    rig.pull(&request).unwrap().found();
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 2)
        .unwrap();
    assert_eq!(kinds(&rig.traces_of("C1", "C1")), ["Pub", "SubBefore"]);
}

#[test]
fn what_is_popped_is_traced_to_its_end() {
    let rig = tracing();
    for id in ["A1", "A2"] {
        rig.send(keyed("orders", id, "k")).unwrap();
    }
    let gots = rig.pop(&pop("orders"));
    rig.try_ack(&gots[0].handle).unwrap();
    rig.clock.advance(60_000);
    // The first makes the retry topic.
    for _ in 0..2 {
        rig.broker.redeliver_due();
        rig.pump();
        rig.clock.advance(1);
    }
    let acked = rig.traces_of("A1", "A1");
    assert_eq!(kinds(&acked), ["Pub", "SubBefore", "SubAfter"]);
    assert_eq!((acked[2][4].as_str(), acked[2][6].as_str()), ("true", "0"));
    let late = rig.traces_of("A2", "A2");
    assert_eq!(kinds(&late), ["Pub", "SubBefore", "SubAfter"]);
    assert_eq!((late[2][4].as_str(), late[2][6].as_str()), ("false", "1"));
    assert_eq!(late[1][4], late[2][1], "one request id");
}

#[test]
fn transactions_are_traced_when_they_begin_and_when_they_are_decided() {
    let rig = tracing();
    for (id, decision, state) in [
        ("T1", Decision::Commit, "COMMIT_MESSAGE"),
        ("T2", Decision::Rollback, "ROLLBACK_MESSAGE"),
    ] {
        let half = rig
            .send(SendRequest {
                properties: properties(&[("UNIQ_KEY", id), ("TRAN_MSG", "true"), ("PGROUP", "producers")]),
                ..message("orders", "half")
            })
            .unwrap();
        let end = EndTransaction {
            group: "producers".into(),
            position: half.position as i64,
            queue_offset: half.queue_offset as i64,
            decision,
            from_check: true,
        };
        rig.wait(|done| rig.broker.end_transaction(&end, done)).unwrap();
        let traces = rig.traces_of(id, id);
        assert_eq!(kinds(&traces), ["Pub", "EndTransaction"]);
        assert_eq!((traces[0][11].as_str(), traces[1][4].as_str()), ("1", "orders"));
        assert_eq!(traces[1][10..], [id, state, "true"]);
    }
}

#[test]
fn the_system_is_not_traced_nor_are_traces() {
    let rig = tracing();
    for topic in [
        TRACES,
        "TBW102",
        "BenchmarkTest",
        "kourou",
        "DefaultCluster_REPLY_TOPIC",
        "rmq_sys_x",
    ] {
        let _ = rig.send(keyed(topic, "SYS", "k"));
        let _ = rig.pull(&pull(topic, 0));
    }
    rig.trace();
    assert_eq!(rig.counts(), TraceCounts::default());
}

#[test]
fn more_than_may_wait_is_dropped_and_counted_and_sends_go_on() {
    let rig = Rig::with(|options, _| {
        options.traces = true;
        options.limits.traces_pending_size_bytes_max = 2_000;
    });
    for at in 0..50 {
        rig.send(keyed("orders", &format!("D{at}"), "k")).unwrap();
    }
    let traced = rig.traced();
    let counts = rig.counts();
    assert!(counts.dropped > 0 && !traced.is_empty(), "{counts:?}");
    assert_eq!(counts.dropped + traced.len() as u64, 50);
    assert_eq!(rig.broker.max_offset("orders", 0), 50);
    // There is room again.
    rig.send(keyed("orders", "LAST", "k")).unwrap();
    assert_eq!(kinds(&rig.traces_of("LAST", "LAST")), ["Pub"]);
}

#[test]
fn no_more_are_on_their_way_to_the_log_than_may_be() {
    let rig = Rig::with(|options, _| {
        options.traces = true;
        options.limits.traces_in_flight_size_bytes_max = 1;
    });
    for at in 0..500 {
        // No more than a few of them share a message.
        let keys: Vec<String> = (0..10).map(|key| format!("k{at}.{key}")).collect();
        rig.send(keyed("orders", &format!("F{at}"), &keys.join(" ")))
            .unwrap();
    }
    let before = rig.broker.max_offset(TRACES, 0);
    // Held back until what is on its way is durable, then at once.
    rig.clock.advance(1_000);
    let mut rounds = 0;
    loop {
        let next_ms = rig.broker.tick();
        rig.pump();
        rounds += 1;
        if next_ms > rig.now_ms() + 1 {
            break;
        }
        rig.clock.advance(1);
    }
    assert!(rounds > 2, "{rounds}");
    assert_eq!(before, 0);
    assert_eq!((rig.counts().written, rig.counts().dropped), (500, 0));
}

#[test]
fn traces_that_the_log_does_not_take_are_counted() {
    let rig = Rig::with(|options, engine| {
        options.traces = true;
        engine.pending_size_bytes_max = 2_048;
    });
    rig.send(keyed("orders", "N1", "k")).unwrap();
    // Another message takes all the room there is.
    let done = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let told = done.clone();
    let body = "x".repeat(1_900);
    rig.broker.send(message("orders", &body), move |sent| {
        *told.lock() = Some(sent.is_ok())
    });
    rig.clock.advance(1_000);
    rig.broker.tick();
    rig.pump();
    assert_eq!(*done.lock(), Some(true), "the send is not the one to suffer");
    assert_eq!((rig.counts().written, rig.counts().dropped), (0, 1));
}

#[test]
fn what_waits_is_written_when_the_broker_is_closed() {
    let rig = tracing();
    rig.send(keyed("orders", "Z1", "k")).unwrap();
    let rig = rig.restart();
    assert_eq!(kinds(&rig.traces_of("Z1", "Z1")), ["Pub"]);
    // What was given out before is not remembered.
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap_err();
    let gots = rig.pop(&pop("orders"));
    let rig = rig.restart();
    rig.try_ack(&gots[0].handle).unwrap();
    rig.trace();
    assert_eq!(rig.counts().unfollowed, 1);
}
