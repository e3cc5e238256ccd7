//! Topics and groups by administrators' calls, and over restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_broker::code;
use kourou_broker::group::GroupConfig;
use kourou_broker::topic::{AttributeChanges, Listener, TopicConfig, perm};

use crate::rig::{Rig, message, pull};

#[derive(Default)]
struct Counter(AtomicUsize);

impl Listener for Counter {
    fn topics_changed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn topics_are_made_changed_and_deleted() {
    let rig = Rig::new();
    let counter = Arc::new(Counter::default());
    rig.broker.set_listener(counter.clone());
    let config = TopicConfig {
        perm: perm::READ,
        ..TopicConfig::new("orders", 3)
    };
    rig.wait(|done| rig.broker.put_topic(config.clone(), done))
        .unwrap();
    assert_eq!(*rig.broker.topic("orders").unwrap(), config);
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    rig.wait(|done| rig.broker.put_topic(config.clone(), done))
        .unwrap();
    assert_eq!(counter.0.load(Ordering::SeqCst), 1, "nothing has changed");

    let changes = AttributeChanges::parse("+message.type=FIFO").unwrap();
    let wider = TopicConfig::new("orders", 5);
    rig.wait(|done| rig.broker.put_topic_with(wider, &changes, done))
        .unwrap();
    let now = rig.broker.topic("orders").unwrap();
    assert_eq!(
        (now.read_queues, now.perm, now.attributes["message.type"].as_str()),
        (5, 6, "FIFO")
    );

    let version = rig.broker.topics_version();
    let rig = rig.power_cut();
    assert_eq!(rig.broker.topics_version(), version);
    assert_eq!(*rig.broker.topic("orders").unwrap(), *now);

    rig.wait(|done| rig.broker.delete_topic("orders", done)).unwrap();
    assert!(rig.broker.topic("orders").is_none());
    assert!(rig.restart().broker.topic("orders").is_none());
}

#[test]
fn a_new_topic_does_not_show_what_an_old_one_of_its_name_held() {
    let rig = Rig::new();
    for body in ["old one", "old two"] {
        rig.put("orders", body);
    }
    rig.wait(|done| rig.broker.delete_topic("orders", done)).unwrap();
    rig.wait(|done| rig.broker.put_topic(TopicConfig::new("orders", 4), done))
        .unwrap();
    let check = |rig: &Rig| {
        assert_eq!(
            (
                rig.broker.min_offset("orders", 0),
                rig.broker.max_offset("orders", 0)
            ),
            (2, 2)
        );
        assert_eq!(rig.broker.committed_offset("readers", "orders", 0, true), None);
        assert_eq!(rig.broker.earliest_store_ms("orders", 0), None);
        let moved = rig.pull(&pull("orders", 0)).unwrap().empty();
        assert_eq!(
            (moved.code, moved.place.next_offset),
            (code::PULL_OFFSET_MOVED, 2)
        );
    };
    check(&rig);
    let rig = rig.power_cut();
    check(&rig);
    let rig = rig.restart();
    check(&rig);
    rig.put("orders", "new");
    assert_eq!(rig.broker.committed_offset("readers", "orders", 0, true), Some(2));
    let pulled = rig.pull(&pull("orders", 2)).unwrap().found();
    assert_eq!((pulled.records.len(), pulled.place.min_offset), (1, 2));
}

#[test]
fn topics_that_may_not_be_changed() {
    let rig = Rig::with(|options, _| options.limits.queues_per_topic_max = 10);
    let code_of = |config| {
        rig.wait(|done| rig.broker.put_topic(config, done))
            .unwrap_err()
            .response_code()
    };
    assert_eq!(code_of(TopicConfig::new("TBW102", 1)), code::INVALID_PARAMETER);
    assert_eq!(
        code_of(TopicConfig::new("DefaultCluster", 1)),
        code::INVALID_PARAMETER
    );
    assert_eq!(code_of(TopicConfig::new("a b", 1)), code::INVALID_PARAMETER);
    assert_eq!(code_of(TopicConfig::new("wide", 11)), code::INVALID_PARAMETER);
    let delete = |topic: &str| {
        rig.wait(|done| rig.broker.delete_topic(topic, done))
            .unwrap_err()
            .response_code()
    };
    assert_eq!(delete("SELF_TEST_TOPIC"), code::INVALID_PARAMETER);
    assert_eq!(delete("orders"), code::TOPIC_NOT_EXIST);
}

#[test]
fn the_listener_hears_before_the_producer() {
    let rig = Rig::new();
    let counter = Arc::new(Counter::default());
    rig.broker.set_listener(counter.clone());
    let heard = rig.wait(|done| {
        rig.broker.send(message("orders", "hi"), move |sent| {
            sent.unwrap();
            done(counter.0.load(Ordering::SeqCst));
        });
    });
    assert_eq!(heard, 1);
}

#[test]
fn groups_are_made_changed_and_deleted() {
    let rig = Rig::new();
    let config = GroupConfig {
        retry_times_max: 2,
        ..GroupConfig::new("g")
    };
    rig.wait(|done| rig.broker.put_group(&config, done)).unwrap();
    let rig = rig.power_cut();
    assert_eq!(*rig.broker.group("g").unwrap(), config);
    assert!(
        rig.broker
            .groups()
            .0
            .iter()
            .any(|group| &*group.name == "TOOLS_CONSUMER")
    );
    let bad = GroupConfig::new("a b");
    assert_eq!(
        rig.wait(|done| rig.broker.put_group(&bad, done))
            .unwrap_err()
            .response_code(),
        code::INVALID_PARAMETER
    );
    rig.wait(|done| rig.broker.delete_group("g", true, done)).unwrap();
    assert!(rig.broker.group("g").is_none());
    assert_eq!(
        rig.wait(|done| rig.broker.delete_group("g", true, done))
            .unwrap_err()
            .response_code(),
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
}

#[test]
fn a_group_made_by_use_is_stored() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    rig.bodies("orders");
    rig.pump();
    assert!(rig.power_cut().broker.group("readers").is_some());
}

#[test]
fn a_checkpoint_carries_topics_and_groups() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    rig.bodies("orders");
    rig.pump();
    let rig = rig.restart();
    assert_eq!(
        rig.broker.engine().recovery().replayed_records,
        0,
        "all comes from the checkpoint"
    );
    assert!(rig.broker.topic("orders").is_some() && rig.broker.group("readers").is_some());
}
