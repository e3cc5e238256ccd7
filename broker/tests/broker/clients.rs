//! Clients: membership, notifications, expiry, locks.

use kourou_broker::client::{ConsumerData, HeartbeatData, MessageModel};
use kourou_broker::group::GroupConfig;
use kourou_broker::receive::{PullError, PullOutcome, PullRequest};
use kourou_broker::{QueueKey, QueueName};

use crate::rig::{Channel, Got, Rig, heartbeat, pull, subscription, text, views};

fn ids(rig: &Rig) -> Vec<String> {
    rig.broker
        .consumer_ids("g")
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn members_hear_of_each_other() {
    let rig = Rig::new();
    let (first, second) = (Channel::new(1), Channel::new(2));
    let orders = [subscription("orders", &[], 1)];
    rig.beat(&first, &heartbeat("a", "g", &orders));
    assert_eq!(first.take_notified(), ["g"]);
    rig.beat(&first, &heartbeat("a", "g", &orders));
    assert!(first.take_notified().is_empty(), "nothing new");
    rig.beat(&second, &heartbeat("b", "g", &orders));
    assert_eq!(
        (first.take_notified().len(), second.take_notified().len()),
        (1, 1)
    );
    assert_eq!(ids(&rig), ["a", "b"]);

    rig.beat(
        &second,
        &heartbeat("b", "g", &[subscription("orders", &["red"], 2)]),
    );
    assert!(first.take_notified().is_empty(), "a newer filter moves no queue");
    assert_eq!(rig.broker.subscription("g", "orders").unwrap().version, 2);
    rig.beat(&first, &heartbeat("a", "g", &orders));
    assert_eq!(
        rig.broker.subscription("g", "orders").unwrap().version,
        2,
        "and an older one undoes nothing"
    );
    let more = [orders[0].clone(), subscription("more", &[], 3)];
    rig.beat(&second, &heartbeat("b", "g", &more));
    assert_eq!(
        (first.take_notified().len(), second.take_notified().len()),
        (1, 1)
    );

    rig.broker.unregister(1, None, Some("g"));
    assert_eq!(
        (first.take_notified().len(), second.take_notified().len()),
        (0, 1)
    );
    assert_eq!(ids(&rig), ["b"]);
    rig.broker.channel_closed(2);
    assert!(ids(&rig).is_empty() && rig.broker.consumer_connections("g").is_none());
    assert!(second.take_notified().is_empty());
}

#[test]
fn groups_that_want_no_notices_get_none() {
    let rig = Rig::new();
    let quiet = GroupConfig {
        notify_consumer_ids_changed_enable: false,
        ..GroupConfig::new("g")
    };
    rig.wait(|done| rig.broker.put_group(&quiet, done)).unwrap();
    let (first, second) = (Channel::new(1), Channel::new(2));
    rig.beat(&first, &heartbeat("a", "g", &[]));
    let broadcast = HeartbeatData {
        client_id: "b".into(),
        consumers: vec![ConsumerData {
            group: "all".into(),
            message_model: MessageModel::Broadcasting,
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    rig.beat(&second, &broadcast);
    assert!(first.take_notified().is_empty() && second.take_notified().is_empty());
    assert!(rig.broker.is_broadcasting("all") && !rig.broker.is_broadcasting("g"));
}

#[test]
fn a_heartbeat_makes_its_group_and_retry_topic() {
    let rig = Rig::new();
    rig.beat(&Channel::new(1), &heartbeat("a", "g", &[]));
    assert_eq!(rig.broker.topic("%RETRY%g").unwrap().read_queues, 1);
    let rig = rig.power_cut();
    assert!(rig.broker.group("g").is_some() && rig.broker.topic("%RETRY%g").is_some());

    let strict = Rig::with(|options, _| options.auto_create_group = false);
    strict.beat(&Channel::new(1), &heartbeat("a", "g", &[]));
    assert!(strict.broker.consumer_ids("g").is_empty(), "passed over");
    assert!(strict.broker.topic("%RETRY%g").is_none());
}

#[test]
fn the_silent_are_removed_closed_and_missed() {
    let rig = Rig::new();
    let (first, second) = (Channel::new(1), Channel::new(2));
    rig.beat(&first, &heartbeat("a", "g", &[]));
    rig.beat(
        &second,
        &HeartbeatData {
            producer_groups: vec!["p".into()],
            ..heartbeat("b", "g", &[])
        },
    );
    first.take_notified();
    let mut elapsed_ms = 0;
    while elapsed_ms < 130_000 {
        rig.clock.advance(10_000);
        elapsed_ms += 10_000;
        rig.beat(&first, &heartbeat("a", "g", &[]));
        rig.broker.tick();
        assert_eq!(
            *second.closed.lock(),
            elapsed_ms > 120_000,
            "after {elapsed_ms} ms"
        );
    }
    assert_eq!(ids(&rig), ["a"]);
    assert_eq!(first.take_notified(), ["g"]);
    assert!(rig.broker.producer_connections("p").is_empty());
    assert!(!*first.closed.lock());
}

#[test]
fn a_client_that_reconnects_counts_once() {
    let rig = Rig::new();
    rig.beat(&Channel::new(1), &heartbeat("a", "g", &[]));
    rig.beat(&Channel::new(2), &heartbeat("a", "g", &[]));
    assert_eq!(ids(&rig), ["a"]);
    assert_eq!(rig.broker.consumer_connections("g").unwrap().clients.len(), 2);
    rig.broker.channel_closed(1);
    assert_eq!(ids(&rig), ["a"]);
}

#[test]
fn fingerprints_spare_the_subscriptions() {
    let rig = Rig::new();
    let channel = Channel::new(1);
    let full = HeartbeatData {
        fingerprint: 7,
        ..heartbeat("a", "g", &[subscription("orders", &[], 1)])
    };
    let short = HeartbeatData {
        without_subscriptions: true,
        ..full.clone()
    };
    assert!(rig.beat(&channel, &short), "not known yet");
    assert!(rig.beat(&channel, &full));
    assert!(!rig.beat(&channel, &full) && !rig.beat(&channel, &short));
    assert!(rig.broker.subscription("g", "orders").is_some());
    assert!(rig.beat(
        &channel,
        &HeartbeatData {
            fingerprint: 8,
            ..short
        }
    ));
    assert!(
        rig.beat(
            &channel,
            &HeartbeatData {
                fingerprint: 0,
                ..full
            }
        ),
        "older clients are always told to"
    );
}

#[test]
fn a_client_that_reconnects_with_a_short_heartbeat_is_a_member() {
    let rig = Rig::new();
    let full = HeartbeatData {
        fingerprint: 7,
        ..heartbeat("a", "g", &[subscription("orders", &[], 1)])
    };
    let short = HeartbeatData {
        without_subscriptions: true,
        ..full.clone()
    };
    let other = Channel::new(9);
    rig.beat(&other, &heartbeat("b", "g", &[subscription("orders", &[], 1)]));
    rig.beat(&Channel::new(1), &full);
    rig.broker.channel_closed(1);
    assert_eq!(ids(&rig), ["b"]);
    other.take_notified();

    assert!(!rig.beat(&Channel::new(2), &short), "the group is known as it is");
    assert_eq!(ids(&rig), ["a", "b"]);
    assert_eq!(other.take_notified(), ["g"]);
    assert!(rig.broker.subscription("g", "orders").is_some());

    // After a restart nobody is known: a member all the same, and told to tell everything.
    let rig = Rig::new();
    assert!(rig.beat(&Channel::new(3), &short));
    assert_eq!(ids(&rig), ["a"]);
    assert!(rig.beat(&Channel::new(3), &full) && !rig.beat(&Channel::new(3), &short));
}

#[test]
fn a_client_names_so_many_producer_groups_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.producer_groups_max = 2);
    let data = HeartbeatData {
        producer_groups: ["p1", "p2", "p3"].map(str::to_owned).to_vec(),
        ..HeartbeatData::default()
    };
    for _ in 0..2 {
        rig.beat(&Channel::new(1), &data);
    }
    let known = ["p1", "p2", "p3"].map(|group| rig.broker.producer_connections(group).len());
    assert_eq!(known, [1, 1, 0]);
}

#[test]
fn producers_are_known_by_group() {
    let rig = Rig::new();
    let data = HeartbeatData {
        client_id: "p1".into(),
        version: 475,
        producer_groups: vec!["p".into(), "CLIENT_INNER_PRODUCER".into()],
        ..HeartbeatData::default()
    };
    rig.beat(&Channel::new(1), &data);
    let connected = rig.broker.producer_connections("p");
    assert_eq!(
        (connected.len(), &*connected[0].client_id, connected[0].version),
        (1, "p1", 475)
    );
    rig.broker.unregister(1, Some("p"), None);
    assert!(rig.broker.producer_connections("p").is_empty());
    assert_eq!(rig.broker.producer_connections("CLIENT_INNER_PRODUCER").len(), 1);
}

#[test]
fn locks_are_for_queues_that_exist() {
    let rig = Rig::new();
    rig.put("orders", "hi");
    let queues =
        [("orders", 0), ("orders", 9), ("nothing", 0), ("orders", 3)].map(|(topic, queue_id)| QueueName {
            topic: topic.into(),
            queue_id,
        });
    let keys: Vec<QueueKey<'_>> = queues.iter().map(QueueName::key).collect();
    assert_eq!(
        rig.broker.lock_queues("g", "a", &keys),
        [true, false, false, true]
    );
    assert_eq!(rig.broker.lock_queues("g", "b", &keys), [false; 4]);
    assert_eq!(
        rig.broker.lock_queues("other", "b", &keys),
        [true, false, false, true]
    );
    rig.broker.unlock_queues("g", "a", &keys[..1]);
    assert_eq!(
        rig.broker.lock_queues("g", "b", &keys),
        [true, false, false, false]
    );
    // Locks outlive the connection, until the lease ends.
    rig.broker.channel_closed(1);
    rig.clock.advance(60_001);
    assert_eq!(
        rig.broker.lock_queues("g", "b", &keys),
        [true, false, false, true]
    );
}

/// Heartbeats come every half minute. A consumer that lost its broker, or its connection, must not wait for the next one.
#[test]
fn a_subscription_outlives_the_connection_and_the_broker() {
    let rig = Rig::new();
    rig.put_tagged("orders", "one", "a");
    rig.put_tagged("orders", "two", "b");
    let by_heartbeat = |version| PullRequest {
        subscription: None,
        sub_version: version,
        ..pull("orders", 0)
    };
    let group = by_heartbeat(0).group;
    assert_eq!(
        rig.pull(&by_heartbeat(7)).unwrap_err().response_code(),
        24,
        "nobody has subscribed"
    );

    let channel = Channel::new(1);
    rig.beat(
        &channel,
        &heartbeat("c1", &group, &[subscription("orders", &["b"], 7)]),
    );
    rig.pump();
    rig.broker.channel_closed(1);
    let bodies = |rig: &Rig, version| {
        let found = match rig.pull(&by_heartbeat(version))? {
            Got::Cold(cold) => match cold.load()? {
                PullOutcome::Found(found) => found,
                other => panic!("{other:?}"),
            },
            got => got.found(),
        };
        let bodies = views(&found).iter().map(|record| text(record.body())).collect();
        Ok::<Vec<String>, PullError>(bodies)
    };
    assert_eq!(bodies(&rig, 7).unwrap(), ["two"]);
    let rig = rig.power_cut();
    assert_eq!(bodies(&rig, 7).unwrap(), ["two"]);
    assert_eq!(
        bodies(&rig, 8).unwrap_err().response_code(),
        24,
        "a newer one is not known yet"
    );
    let rig = rig.restart();
    assert_eq!(bodies(&rig, 6).unwrap(), ["two"]);
}
