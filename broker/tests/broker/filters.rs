//! SQL92 filters: pulls, holds, heartbeats, restarts, refusals.

use kourou_broker::client::SubscriptionData;
use kourou_broker::code;
use kourou_broker::receive::{HoldResult, InlineSubscription, PullOutcome, PullRequest, Pulled};
use kourou_broker::send::SendRequest;

use crate::bell::Bell;
use crate::rig::{
    Channel, Got, Rig, heartbeat, message, properties, pull, pull_tagged, subscription, text, views,
};

fn sql(expression: &str) -> Option<InlineSubscription> {
    Some(InlineSubscription {
        expression: expression.into(),
        expression_type: "SQL92".into(),
    })
}

fn pull_sql(topic: &str, offset: u64, expression: &str) -> PullRequest {
    PullRequest {
        subscription: sql(expression),
        ..pull(topic, offset as i64)
    }
}

fn subscription_sql(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        expression: expression.to_owned(),
        expression_type: "SQL92".to_owned(),
        ..subscription(topic, &[], version)
    }
}

/// A message in queue 0 whose property `a` is this.
fn put(rig: &Rig, a: usize) {
    rig.send(SendRequest {
        properties: properties(&[("KEYS", "k"), ("a", &a.to_string()), ("TAGS", "red")]),
        ..message("orders", &a.to_string())
    })
    .unwrap();
}

fn bodies(pulled: &Pulled) -> Vec<String> {
    views(pulled).iter().map(|view| text(view.body())).collect()
}

fn loaded(got: Got) -> PullOutcome {
    match got {
        Got::Cold(cold) => cold.load().unwrap(),
        other => panic!("not cold: {other:?}"),
    }
}

/// Every body that a filter lets pass, and how many pulls that took.
fn drained(rig: &Rig, request: &PullRequest) -> (Vec<String>, usize) {
    let mut request = request.clone();
    let mut all = Vec::new();
    for pulls in 1.. {
        let outcome = match rig.pull(&request).unwrap() {
            Got::Found(pulled) => PullOutcome::Found(pulled),
            Got::Empty(empty) => PullOutcome::Empty(empty),
            Got::Cold(cold) => cold.load().unwrap(),
        };
        let place = match outcome {
            PullOutcome::Found(pulled) => {
                all.extend(bodies(&pulled));
                pulled.place
            }
            PullOutcome::Empty(empty) if empty.may_hold() => return (all, pulls),
            PullOutcome::Empty(empty) => empty.place,
            PullOutcome::Cold(_) => panic!("cold twice"),
        };
        assert!(place.next_offset as i64 > request.offset, "no progress");
        request.offset = place.next_offset as i64;
    }
    unreachable!()
}

#[test]
fn a_pull_finds_what_its_filter_wants_and_passes_over_the_rest() {
    let rig = Rig::new();
    for a in 0..40 {
        put(&rig, a);
    }
    let pulled = rig.pull(&pull_sql("orders", 0, "a BETWEEN 10 AND 12")).unwrap();
    let pulled = pulled.found();
    assert_eq!(bodies(&pulled), ["10", "11", "12"]);
    assert_eq!(pulled.place.next_offset, 40, "past all that was looked at");

    let few = PullRequest {
        messages_max: 2,
        ..pull_sql("orders", 0, "a >= 10 AND TAGS IN ('red', 'blue')")
    };
    let pulled = rig.pull(&few).unwrap().found();
    assert_eq!(
        (bodies(&pulled), pulled.place.next_offset),
        (vec!["10".into(), "11".into()], 12)
    );

    let empty = rig
        .pull(&pull_sql("orders", 5, "a > 99 OR b = 'x'"))
        .unwrap()
        .empty();
    assert_eq!(
        (empty.code, empty.place.next_offset),
        (code::PULL_RETRY_IMMEDIATELY, 40)
    );
    let empty = rig.pull(&pull_sql("orders", 40, "a > 99")).unwrap().empty();
    assert_eq!((empty.code, empty.place.next_offset), (code::PULL_NOT_FOUND, 40));
    // What the broker adds to a message is a property as well.
    assert_eq!(
        drained(&rig, &pull_sql("orders", 30, "CLUSTER IS NOT NULL"))
            .0
            .len(),
        10
    );
}

#[test]
fn a_pull_looks_at_so_many_records_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.pull_scan_entries_max = 50);
    for a in 0..220 {
        put(&rig, a);
    }
    let request = pull_sql("orders", 0, "a = 219");
    let empty = rig.pull(&request).unwrap().empty();
    assert_eq!(
        (empty.code, empty.place.next_offset),
        (code::PULL_RETRY_IMMEDIATELY, 50)
    );
    assert_eq!(drained(&rig, &request), (vec!["219".to_owned()], 6));
}

#[test]
fn a_pull_of_records_on_the_disk_reads_on_until_it_finds() {
    let rig = Rig::new();
    for a in 0..500 {
        put(&rig, a);
    }
    let rig = rig.restart();
    let request = pull_sql("orders", 0, "a IN ('3', '250', '499')");
    let PullOutcome::Found(pulled) = loaded(rig.pull(&request).unwrap()) else {
        panic!("not found")
    };
    assert_eq!(bodies(&pulled), ["3", "250", "499"]);
    assert_eq!(pulled.place.next_offset, 500);

    let two = PullRequest {
        messages_max: 2,
        ..pull_sql("orders", 0, "a > 97")
    };
    let PullOutcome::Found(pulled) = loaded(rig.pull(&two).unwrap()) else {
        panic!("not found")
    };
    assert_eq!(
        (bodies(&pulled), pulled.place.next_offset),
        (vec!["98".into(), "99".into()], 100)
    );
    let PullOutcome::Empty(empty) = loaded(rig.pull(&pull_sql("orders", 1, "a = 'none'")).unwrap()) else {
        panic!("found")
    };
    assert_eq!(
        (empty.code, empty.place.next_offset),
        (code::PULL_RETRY_IMMEDIATELY, 500)
    );

    // From the disk into memory.
    put(&rig, 500);
    assert_eq!(
        drained(&rig, &pull_sql("orders", 0, "a >= 498")).0,
        ["498", "499", "500"]
    );
}

#[test]
fn what_is_read_from_the_disk_to_look_at_is_bounded() {
    let rig = Rig::with(|options, _| {
        options.limits.pull_scan_entries_max = 100;
        options.limits.pull_cold_messages_max = 10;
    });
    for a in 0..300 {
        put(&rig, a);
    }
    let rig = rig.restart();
    let request = pull_sql("orders", 0, "a >= 295");
    let next = |rig: &Rig| match loaded(rig.pull(&request).unwrap()) {
        PullOutcome::Empty(empty) => empty.place.next_offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&rig), 100, "by entries");
    assert_eq!(drained(&rig, &request).0, ["295", "296", "297", "298", "299"]);

    let rig = Rig::with(|options, _| {
        options.limits.pull_scan_size_bytes_max = 1;
        options.limits.pull_cold_messages_max = 10;
    });
    for a in 0..30 {
        put(&rig, a);
    }
    let rig = rig.restart();
    assert_eq!(next(&rig), 10, "by bytes, but for one step");
}

#[test]
fn a_heartbeats_filter_outlives_the_connection_and_a_restart() {
    let rig = Rig::new();
    for a in 0..10 {
        put(&rig, a);
    }
    let request = PullRequest {
        subscription: None,
        sub_version: 7,
        ..pull("orders", 0)
    };
    let channel = Channel::new(1);
    let subscribed = |expression: &str, version| {
        heartbeat("c", "readers", &[subscription_sql("orders", expression, version)])
    };
    rig.beat(&channel, &subscribed("a > 7", 6));
    assert_eq!(
        rig.pull(&request).unwrap_err().response_code(),
        code::SUBSCRIPTION_NOT_LATEST
    );
    rig.beat(&channel, &subscribed("a > 8", 7));
    assert_eq!(drained(&rig, &request).0, ["9"]);
    rig.beat(&channel, &subscribed("a > 6", 6));
    assert_eq!(drained(&rig, &request).0, ["9"], "an older one changes nothing");
    rig.broker.channel_closed(1);
    assert_eq!(drained(&rig, &request).0, ["9"]);
    let rig = rig.restart();
    assert_eq!(drained(&rig, &request).0, ["9"], "without a heartbeat");
    let rig = rig.power_cut();
    assert_eq!(drained(&rig, &request).0, ["9"]);
    rig.beat(&Channel::new(2), &subscribed("a > 6", 8));
    assert_eq!(drained(&rig, &request).0, ["7", "8", "9"]);
}

#[test]
fn only_the_arrival_that_its_filter_wants_wakes_a_hold() {
    let rig = Rig::new();
    put(&rig, 0);
    let (above, none, red) = (Bell::default(), Bell::default(), Bell::default());
    let _guards = (
        above.held(&rig, &pull_sql("orders", 1, "a > 5")),
        none.held(&rig, &pull_sql("orders", 1, "a IS NULL")),
        red.held(&rig, &pull_tagged("orders", 1, "blue")),
    );
    put(&rig, 5);
    rig.send(message("orders", "no number, and more than its hold looks at"))
        .unwrap();
    assert_eq!((above.rung(), none.rung(), red.rung()), (0, 1, 0));
    put(&rig, 6);
    put(&rig, 7);
    assert_eq!(
        (above.rung(), none.rung(), red.rung()),
        (1, 1, 0),
        "each wakes once"
    );
    assert_eq!(drained(&rig, &pull_sql("orders", 1, "a > 5")).0, ["6", "7"]);
}

#[test]
fn what_arrived_before_the_hold_is_looked_at() {
    let rig = Rig::new();
    put(&rig, 0);
    put(&rig, 1);
    let bell = Bell::default();
    assert!(matches!(
        bell.hold(&rig, &pull_sql("orders", 1, "a = 1")),
        HoldResult::AlreadyArrived
    ));
    let _guard = bell.held(&rig, &pull_sql("orders", 1, "a = 2"));
    put(&rig, 2);
    assert_eq!(bell.rung(), 1);
    // What is on the disk is for the pull to look at.
    let rig = rig.restart();
    assert!(matches!(
        bell.hold(&rig, &pull_sql("orders", 1, "a = 9")),
        HoldResult::AlreadyArrived
    ));
}

#[test]
fn a_filter_that_does_not_compile_is_refused_with_the_reason() {
    let rig = Rig::new();
    put(&rig, 0);
    rig.put("payments", "hi");
    let error = rig.pull(&pull_sql("orders", 0, "a > 'x'")).unwrap_err();
    assert_eq!(error.response_code(), code::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(
        error.to_string(),
        "parse the consumer's subscription failed: only numbers and properties can be compared by <, <=, >, >= and \
         BETWEEN; NOT binds tighter: write NOT (a > 1), at character 5"
    );
    let error = rig.pull(&pull_sql("orders", 0, "")).unwrap_err();
    assert_eq!(error.response_code(), code::SUBSCRIPTION_PARSE_FAILED);

    // A heartbeat is served all the same; the pulls are told.
    let channel = Channel::new(1);
    let both = [
        subscription_sql("orders", "a >", 1),
        subscription("payments", &[], 1),
    ];
    rig.beat(&channel, &heartbeat("c", "readers", &both));
    assert_eq!(rig.broker.consumer_ids("readers").len(), 1);
    let by_heartbeat = |topic: &str| PullRequest {
        subscription: None,
        sub_version: 1,
        ..pull(topic, 0)
    };
    assert_eq!(
        rig.pull(&by_heartbeat("payments")).unwrap().found().records.len(),
        1
    );
    let refused = |rig: &Rig| {
        let error = rig.pull(&by_heartbeat("orders")).unwrap_err();
        assert_eq!(error.response_code(), code::FILTER_DATA_NOT_EXIST);
        assert_eq!(
            error.to_string(),
            "the consumer's filter does not compile: found the end where a property, a string, a number or a \
             parenthesis should be, at character 4"
        );
    };
    refused(&rig);
    let rig = rig.restart();
    refused(&rig);
    rig.beat(
        &channel,
        &heartbeat("c", "readers", &[subscription_sql("orders", "a > -1", 2)]),
    );
    assert_eq!(drained(&rig, &by_heartbeat("orders")).0, ["0"]);

    let mut other = subscription_sql("orders", "a", 3);
    other.expression_type = "XPATH".to_owned();
    rig.beat(&channel, &heartbeat("c", "readers", &[other]));
    let error = rig.pull(&by_heartbeat("orders")).unwrap_err();
    assert_eq!(error.response_code(), code::SYSTEM_ERROR);
    assert_eq!(
        error.to_string(),
        "The broker does not support consumer to filter message by XPATH"
    );
}

#[test]
fn each_group_by_its_own_language() {
    let rig = Rig::new();
    for a in 0..4 {
        put(&rig, a);
    }
    let request = |group: &str| PullRequest {
        group: group.into(),
        subscription: None,
        ..pull("orders", 0)
    };
    let channel = Channel::new(1);
    rig.beat(
        &channel,
        &heartbeat("c", "sql", &[subscription_sql("orders", "a <> 2", 1)]),
    );
    rig.beat(
        &channel,
        &heartbeat("c", "tags", &[subscription("orders", &["red"], 1)]),
    );
    let class = SubscriptionData {
        class_filter_mode: true,
        ..subscription_sql("orders", "a = 1", 1)
    };
    rig.beat(&channel, &heartbeat("c", "class", &[class]));
    assert_eq!(drained(&rig, &request("sql")).0, ["0", "1", "3"]);
    assert_eq!(drained(&rig, &request("tags")).0.len(), 4);
    assert_eq!(drained(&rig, &request("class")).0.len(), 4);
}
