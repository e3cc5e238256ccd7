//! Pulling: every outcome that a consumer can be told.

use kourou_broker::client::{ConsumerData, HeartbeatData, MessageModel};
use kourou_broker::code;
use kourou_broker::group::GroupConfig;
use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest, PullStatus};
use kourou_broker::topic::{TopicConfig, perm};

use crate::rig::{Channel, Got, Rig, heartbeat, pull, pull_tagged, subscription, text, views};

fn code_of(rig: &Rig, request: &PullRequest) -> (i32, Option<i32>) {
    let error = rig.pull(request).unwrap_err();
    (error.response_code(), error.forbidden_type())
}

#[test]
fn every_status_of_the_table() {
    let rig = Rig::new();
    rig.wait(|done| rig.broker.put_topic(TopicConfig::new("orders", 2), done))
        .unwrap();
    let status = |queue_id: i32, offset: i64| {
        let empty = rig
            .pull(&PullRequest {
                queue_id,
                ..pull("orders", offset)
            })
            .unwrap()
            .empty();
        let place = empty.place;
        (
            empty.status,
            empty.code,
            place.next_offset,
            (place.min_offset, place.max_offset),
            empty.may_hold(),
        )
    };
    // Never written.
    assert_eq!(
        status(0, 0),
        (PullStatus::NoMatchedLogicQueue, 19, 0, (0, 0), true)
    );
    assert_eq!(
        status(0, 5),
        (PullStatus::NoMatchedLogicQueue, 21, 0, (0, 0), false)
    );
    for body in ["a", "b", "c"] {
        rig.put("orders", body);
    }
    assert_eq!(
        status(1, 0),
        (PullStatus::NoMatchedLogicQueue, 19, 0, (0, 0), true),
        "the other queue"
    );
    assert_eq!(status(0, 3), (PullStatus::OffsetOverflowOne, 19, 3, (0, 3), true));
    assert_eq!(
        status(0, 4),
        (PullStatus::OffsetOverflowBadly, 21, 3, (0, 3), false)
    );
    assert_eq!(status(0, -1), (PullStatus::OffsetTooSmall, 21, 0, (0, 3), false));

    let pulled = rig.pull(&pull("orders", 1)).unwrap().found();
    assert_eq!(
        views(&pulled)
            .iter()
            .map(|view| text(view.body()))
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    let place = pulled.place;
    assert_eq!(
        (
            place.next_offset,
            place.min_offset,
            place.max_offset,
            place.suggest_broker_id
        ),
        (3, 0, 3, 0)
    );
    assert_eq!(
        pulled.size_bytes,
        pulled.records.iter().map(bytes::Bytes::len).sum::<usize>()
    );
}

#[test]
fn an_answer_is_bounded() {
    let rig = Rig::new();
    for at in 0..40 {
        rig.put("small", &at.to_string());
    }
    let count = |topic: &str, messages_max: i32| {
        let pulled = rig
            .pull(&PullRequest {
                messages_max,
                ..pull(topic, 0)
            })
            .unwrap()
            .found();
        assert_eq!(pulled.place.next_offset, pulled.records.len() as u64);
        pulled.records.len()
    };
    assert_eq!(count("small", 10), 10);
    assert_eq!(count("small", 1_000), 32);
    assert_eq!(count("small", 0), 1);
    let body = "x".repeat(100 << 10);
    for _ in 0..4 {
        rig.put("large", &body);
    }
    assert_eq!(count("large", 32), 2, "256 KiB");
    rig.put("huge", &"x".repeat(1 << 20));
    assert_eq!(count("huge", 32), 1, "the first is always allowed");
}

#[test]
fn tags_are_filtered_and_the_scan_is_bounded() {
    let rig = Rig::with(|options, _| options.limits.pull_scan_entries_max = 100);
    for at in 0..150 {
        rig.put_tagged(
            "orders",
            &at.to_string(),
            if at % 50 == 49 { "red" } else { "blue" },
        );
    }
    let bodies = |offset: i64, expression: &str| {
        let pulled = rig
            .pull(&pull_tagged("orders", offset, expression))
            .unwrap()
            .found();
        (
            views(&pulled)
                .iter()
                .map(|view| text(view.body()))
                .collect::<Vec<_>>(),
            pulled.place.next_offset,
        )
    };
    assert_eq!(bodies(0, "red"), (vec!["49".to_owned(), "99".to_owned()], 100));
    assert_eq!(bodies(100, "green || red"), (vec!["149".to_owned()], 150));
    assert_eq!(bodies(0, "*").0.len(), 32);
    let empty = rig.pull(&pull_tagged("orders", 0, "green")).unwrap().empty();
    assert_eq!(
        (empty.status, empty.code, empty.place.next_offset),
        (PullStatus::NoMatchedMessage, 20, 100)
    );
    let empty = rig.pull(&pull_tagged("orders", 100, "green")).unwrap().empty();
    assert_eq!(
        (empty.code, empty.place.next_offset),
        (20, 150),
        "the end of the queue"
    );
}

#[test]
fn checks_answer_with_the_protocols_codes() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    let closed = TopicConfig {
        perm: perm::WRITE,
        ..TopicConfig::new("closed", 1)
    };
    rig.wait(|done| rig.broker.put_topic(closed, done)).unwrap();
    let idle = GroupConfig {
        consume_enable: false,
        ..GroupConfig::new("idle")
    };
    rig.wait(|done| rig.broker.put_group(&idle, done)).unwrap();

    let with_group = |group: &str| PullRequest {
        group: group.into(),
        ..pull("orders", 0)
    };
    assert_eq!(code_of(&rig, &with_group("idle")), (code::NO_PERMISSION, Some(2)));
    assert_eq!(
        code_of(&rig, &with_group("a b")),
        (code::SUBSCRIPTION_GROUP_NOT_EXIST, None)
    );
    assert_eq!(code_of(&rig, &pull("nothing", 0)), (code::TOPIC_NOT_EXIST, None));
    assert_eq!(code_of(&rig, &pull("closed", 0)), (code::NO_PERMISSION, Some(3)));
    for queue_id in [-1, 4] {
        let request = PullRequest {
            queue_id,
            ..pull("orders", 0)
        };
        assert_eq!(code_of(&rig, &request), (code::INVALID_PARAMETER, None));
    }
    let inline = |expression: &str, expression_type: &str| PullRequest {
        subscription: Some(InlineSubscription {
            expression: expression.into(),
            expression_type: expression_type.into(),
        }),
        ..pull("orders", 0)
    };
    assert_eq!(
        code_of(&rig, &inline("||", "TAG")),
        (code::SUBSCRIPTION_PARSE_FAILED, None)
    );
    assert_eq!(
        code_of(&rig, &inline("", "SQL92")),
        (code::SUBSCRIPTION_PARSE_FAILED, None)
    );
    let error = rig.pull(&inline("a", "XPATH")).unwrap_err();
    assert_eq!(error.response_code(), code::SYSTEM_ERROR);
    assert_eq!(
        error.to_string(),
        "The broker does not support consumer to filter message by XPATH"
    );

    let deaf = Rig::with(|options, _| options.perm = perm::WRITE);
    assert_eq!(code_of(&deaf, &pull("orders", 0)), (code::NO_PERMISSION, Some(1)));
    let strict = Rig::with(|options, _| options.auto_create_group = false);
    assert_eq!(
        code_of(&strict, &pull("orders", 0)).0,
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
}

#[test]
fn a_pull_without_a_subscription_needs_the_heartbeats() {
    let rig = Rig::new();
    rig.put_tagged("orders", "red one", "red");
    rig.put_tagged("orders", "blue one", "blue");
    let request = PullRequest {
        subscription: None,
        sub_version: 10,
        ..pull("orders", 0)
    };
    assert_eq!(code_of(&rig, &request).0, code::SUBSCRIPTION_NOT_EXIST);
    let channel = Channel::new(1);
    rig.beat(
        &channel,
        &heartbeat("c", "readers", &[subscription("other", &[], 1)]),
    );
    assert_eq!(
        code_of(&rig, &request).0,
        code::SUBSCRIPTION_NOT_EXIST,
        "another topic"
    );
    rig.beat(
        &channel,
        &heartbeat("c", "readers", &[subscription("orders", &["red"], 9)]),
    );
    assert_eq!(code_of(&rig, &request).0, code::SUBSCRIPTION_NOT_LATEST);
    rig.beat(
        &channel,
        &heartbeat("c", "readers", &[subscription("orders", &["red"], 10)]),
    );
    let pulled = rig.pull(&request).unwrap().found();
    assert_eq!(
        views(&pulled)
            .iter()
            .map(|view| text(view.body()))
            .collect::<Vec<_>>(),
        ["red one"]
    );
    assert_eq!(pulled.place.next_offset, 2);
}

#[test]
fn broadcasting_can_be_forbidden() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    let config = GroupConfig {
        consume_broadcast_enable: false,
        ..GroupConfig::new("readers")
    };
    rig.wait(|done| rig.broker.put_group(&config, done)).unwrap();
    let data = HeartbeatData {
        client_id: "c".into(),
        consumers: vec![ConsumerData {
            group: "readers".into(),
            message_model: MessageModel::Broadcasting,
            subscriptions: vec![subscription("orders", &[], 1)],
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    rig.beat(&Channel::new(1), &data);
    let request = PullRequest {
        subscription: None,
        ..pull("orders", 0)
    };
    assert_eq!(code_of(&rig, &request), (code::NO_PERMISSION, Some(4)));
}

#[test]
fn a_commit_rides_on_a_pull() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    rig.pull(&PullRequest {
        commit_offset: Some(1),
        ..pull("orders", 1)
    })
    .unwrap();
    assert_eq!(
        rig.broker.committed_offset("readers", "orders", 0, false),
        Some(1)
    );
    rig.pull(&pull("orders", 1)).unwrap();
    assert_eq!(
        rig.broker.committed_offset("readers", "orders", 0, false),
        Some(1)
    );
}

#[test]
fn what_is_not_in_memory_is_read_from_the_disk() {
    let rig = Rig::with(|options, _| options.limits.pull_cold_messages_max = 8);
    for at in 0..20 {
        rig.put_tagged(
            "orders",
            &format!("{at:020}"),
            if at % 2 == 0 { "even" } else { "odd" },
        );
    }
    let rig = rig.restart();
    let Got::Cold(cold) = rig.pull(&pull_tagged("orders", 1, "even")).unwrap() else {
        panic!("not cold")
    };
    let PullOutcome::Found(pulled) = cold.load().unwrap() else {
        panic!("not found")
    };
    assert_eq!(pulled.records.len(), 8, "fewer from the disk");
    assert_eq!(text(views(&pulled)[0].body()), format!("{:020}", 2));
    assert_eq!(pulled.place.next_offset, 17);

    // Old ones are read, new ones are still in memory.
    rig.put_tagged("orders", "new", "even");
    let pulled = rig.pull(&pull_tagged("orders", 20, "even")).unwrap().found();
    assert_eq!(text(views(&pulled)[0].body()), "new");
    assert_eq!(rig.bodies("orders").len(), 21);
}
