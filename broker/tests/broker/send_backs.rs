//! Sending back: retries with their delays, and dead letters in the end.

use kourou_broker::code;
use kourou_broker::group::GroupConfig;
use kourou_broker::send::offset_msg_id;
use kourou_broker::send_back::SendBackRequest;
use kourou_broker::topic::{TopicConfig, perm};

use crate::rig::{Rig, pull, send_back, store_host, text, views};

#[test]
fn a_message_is_retried_with_growing_delays_and_then_dead() {
    let rig = Rig::new();
    let config = GroupConfig {
        retry_times_max: 3,
        ..GroupConfig::new("g")
    };
    rig.wait(|done| rig.broker.put_group(&config, done)).unwrap();
    let first = rig.put_tagged("orders", "hi", "red");
    let origin = offset_msg_id(store_host(), first.position);
    let mut position = first.position;
    for (times, delay_ms) in [(1, 10_000), (2, 30_000), (3, 60_000)] {
        rig.send_back(send_back("g", position)).unwrap();
        rig.clock.advance(delay_ms - 1);
        rig.deliver();
        assert_eq!(
            rig.broker.max_offset("%RETRY%g", 0),
            times - 1,
            "not before {delay_ms} ms"
        );
        rig.clock.advance(1);
        rig.deliver();
        let pulled = rig.pull(&pull("%RETRY%g", times as i64 - 1)).unwrap().found();
        let view = views(&pulled)[0];
        assert_eq!(
            (text(view.body()).as_str(), view.reconsume_times()),
            ("hi", times as i32)
        );
        assert_eq!(view.property("RETRY_TOPIC"), Some("orders"));
        assert_eq!(view.property("ORIGIN_MESSAGE_ID"), Some(origin.as_str()));
        assert_eq!(view.property("UNIQ_KEY"), Some(first.transaction_id.as_str()));
        assert_eq!(
            (view.property("TAGS"), view.property("REAL_TOPIC")),
            (Some("red"), Some("%RETRY%g"))
        );
        position = view.position();
    }
    rig.send_back(send_back("g", position)).unwrap();
    assert_eq!(rig.broker.timers_pending(), 0);
    let pulled = rig.pull(&pull("%DLQ%g", 0)).unwrap().found();
    let dead = views(&pulled)[0];
    assert_eq!((dead.reconsume_times(), dead.property("DELAY")), (4, Some("0")));
    assert_eq!(
        (dead.property("RETRY_TOPIC"), dead.property("REAL_TOPIC")),
        (Some("orders"), None)
    );
    assert_eq!(dead.property("ORIGIN_MESSAGE_ID"), Some(origin.as_str()));
    let config = rig.broker.topic("%DLQ%g").unwrap();
    assert_eq!((config.write_queues, config.perm), (1, 6));
}

#[test]
fn the_consumer_chooses() {
    let rig = Rig::new();
    let position = rig.put("orders", "hi").position;
    rig.send_back(SendBackRequest {
        delay_level: 1,
        ..send_back("g", position)
    })
    .unwrap();
    assert_eq!(rig.broker.next_timer_ms(), Some(rig.now_ms() + 1_000));
    rig.send_back(SendBackRequest {
        delay_level: -1,
        ..send_back("g", position)
    })
    .unwrap();
    assert_eq!(rig.bodies("%DLQ%g").len(), 1, "given up");
    rig.send_back(SendBackRequest {
        reconsume_times_max: Some(0),
        ..send_back("g", position)
    })
    .unwrap();
    assert_eq!(rig.bodies("%DLQ%g").len(), 2, "never again");
    rig.send_back(SendBackRequest {
        delay_level: 99,
        ..send_back("g", position)
    })
    .unwrap();
    assert_eq!(
        rig.broker.max_offset("SCHEDULE_TOPIC_XXXX", 17),
        1,
        "the highest level"
    );
}

#[test]
fn refusals() {
    let rig = Rig::with(|options, _| options.auto_create_group = false);
    let position = rig.put("orders", "hi").position;
    let code_of = |request| rig.send_back(request).unwrap_err().response_code();
    assert_eq!(
        code_of(send_back("g", position)),
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
    rig.wait(|done| rig.broker.put_group(&GroupConfig::new("g"), done))
        .unwrap();
    assert_eq!(code_of(send_back("g", position + 1)), code::SYSTEM_ERROR);
    assert_eq!(
        code_of(SendBackRequest {
            position: -1,
            ..send_back("g", 0)
        }),
        code::SYSTEM_ERROR
    );
    let closed = TopicConfig {
        perm: perm::READ,
        ..TopicConfig::new("%RETRY%g", 1)
    };
    rig.wait(|done| rig.broker.put_topic(closed, done)).unwrap();
    assert_eq!(code_of(send_back("g", position)), code::NO_PERMISSION);

    let drops = GroupConfig {
        retry_queues: 0,
        ..GroupConfig::new("drops")
    };
    rig.wait(|done| rig.broker.put_group(&drops, done)).unwrap();
    rig.send_back(send_back("drops", position)).unwrap();
    assert!(rig.broker.topic("%RETRY%drops").is_none());

    let deaf = Rig::with(|options, _| options.perm = perm::READ);
    let position = deaf.put("orders", "hi").position;
    assert_eq!(
        deaf.send_back(send_back("g", position))
            .unwrap_err()
            .response_code(),
        code::NO_PERMISSION
    );
}

#[test]
fn a_retry_survives_a_power_cut() {
    let rig = Rig::new();
    let position = rig.put("orders", "hi").position;
    rig.send_back(send_back("g", position)).unwrap();
    let rig = rig.power_cut();
    rig.clock.advance(10_000);
    rig.deliver();
    assert_eq!(rig.bodies("%RETRY%g"), ["hi"]);
}
