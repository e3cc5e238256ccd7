//! Rules of pops that come from topics and groups: priorities and quotas.

use kourou_broker::delivery::{PopError, PopRequest};
use kourou_broker::flow::FlowRefusal;
use kourou_broker::send::SendRequest;

use crate::deliveries::{INVISIBLE_MS, bodies, pop};
use crate::flow::{set, set_group};
use crate::rig::{Rig, message, properties};
use crate::shapes::make;

fn urgent(rig: &Rig, priority: u32, body: &str) {
    let request = SendRequest {
        properties: properties(&[("_SYS_MSG_PRIORITY_", &priority.to_string())]),
        ..message("urgent", body)
    };
    rig.send(request).unwrap();
}

fn one(topic: &str) -> PopRequest {
    PopRequest {
        messages_max: 1,
        ..pop(topic)
    }
}

#[test]
fn a_topic_for_priorities_is_popped_from_its_highest_queue_down_and_retries_come_last() {
    let rig = Rig::new();
    make(&rig, "urgent", 4, "+message.type=PRIORITY");
    for (priority, body) in [(0, "low"), (3, "high 1"), (1, "middle"), (3, "high 2")] {
        urgent(&rig, priority, body);
    }
    let all = rig.pop(&pop("urgent"));
    assert_eq!(bodies(&all), ["high 1", "high 2", "middle", "low"]);
    // They come again, and whatever is new is more urgent than they are. More pops than would begin with a retry otherwise.
    rig.after(INVISIBLE_MS);
    for round in 0..20 {
        urgent(&rig, round % 4, "new");
        assert_eq!(bodies(&rig.pop(&one("urgent"))), ["new"], "round {round}");
    }
    assert_eq!(rig.pop(&pop("urgent")).len(), 4, "the retries");
}

#[test]
fn a_group_may_have_fewer_pops_go_by_priority() {
    let rig = Rig::new();
    make(&rig, "urgent", 4, "+message.type=PRIORITY");
    set_group(&rig, "g", &[("priority.factor", "0")]);
    for _ in 0..40 {
        urgent(&rig, 0, "low");
        urgent(&rig, 3, "high");
    }
    let first = rig.pop(&PopRequest {
        messages_max: 2,
        ..pop("urgent")
    });
    let popped: Vec<_> = (0..20)
        .map(|_| bodies(&rig.pop(&one("urgent"))) == ["high"])
        .collect();
    assert_eq!(first.len(), 2);
    assert!(
        popped.contains(&true) && popped.contains(&false),
        "queues take turns: {popped:?}"
    );
}

#[test]
fn pops_count_towards_the_quotas_of_topic_and_group() {
    let rig = Rig::new();
    set(&rig, "orders", "+quota.pull.messages=10");
    for _ in 0..30 {
        rig.put("orders", "x");
    }
    assert_eq!(
        rig.pop(&pop("orders")).len(),
        30,
        "what is wanted may exceed what is left"
    );
    let refused = |topic: &str| match rig.try_pop(&pop(topic)) {
        Err(PopError::Flow(refusal @ FlowRefusal::Quota { .. })) => refusal,
        other => panic!("{other:?}"),
    };
    let refusal = refused("orders");
    assert!(
        refusal.to_string().contains("topic[orders]") && refusal.to_string().contains("10 messages a second"),
        "{refusal}"
    );
    rig.clock.advance(refusal.retry_after_ms().try_into().unwrap());
    assert!(rig.pop(&pop("orders")).is_empty(), "and there is nothing more");
    set(&rig, "orders", "-quota.pull.messages");
    set_group(&rig, "g", &[("quota.pull.messages", "1")]);
    rig.put("orders", "y");
    rig.put("orders", "y");
    assert_eq!(rig.pop(&one("orders")).len(), 1);
    assert!(refused("orders").to_string().contains("group[g]"));
    assert_eq!(rig.broker.flow_stats().pulls_refused_quota, 2);
}
