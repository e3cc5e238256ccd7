//! Deliveries: acknowledged once and never again, not acknowledged and always again, and counted.

use kourou_broker::delivery::{
    AckOutcome, Changed, DeliveryError, Handle, PopError, PopRequest, PopStart, PopStep, Popped, Reading,
    RetryKind,
};
use kourou_broker::receive::InlineSubscription;
use kourou_engine::record::RecordView;

use crate::rig::{Rig, START_MS, message, pull, text, views};

pub(crate) const INVISIBLE_MS: i64 = 60_000;

pub(crate) fn pop(topic: &str) -> PopRequest {
    PopRequest {
        group: "g".into(),
        topic: topic.into(),
        queue_id: -1,
        messages_max: 32,
        invisible_ms: INVISIBLE_MS,
        start: PopStart::Min,
        subscription: InlineSubscription::default(),
        ordered: false,
        attempt_id: "".into(),
    }
}

pub(crate) fn in_order(attempt_id: &str) -> PopRequest {
    PopRequest {
        ordered: true,
        attempt_id: attempt_id.into(),
        ..pop("orders")
    }
}

/// A message that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) body: String,
    /// How often it had been handed out before.
    pub(crate) times: i32,
    pub(crate) handle: Handle,
    pub(crate) retry: RetryKind,
}

impl Rig {
    pub(crate) fn try_pop(&self, request: &PopRequest) -> Result<Vec<Got>, PopError> {
        loop {
            match self.broker.begin_pop(request, Reading::Disk)? {
                PopStep::Taken(taken) => {
                    let popped: Popped = self.wait(|done| taken.store(done))?;
                    return Ok(gots(request, &popped));
                }
                PopStep::Empty { again: true, .. } => {}
                PopStep::Empty { .. } => return Ok(Vec::new()),
                PopStep::Cold => panic!("may read the disk"),
            }
        }
    }

    pub(crate) fn pop(&self, request: &PopRequest) -> Vec<Got> {
        self.try_pop(request).unwrap()
    }

    pub(crate) fn popped(&self, topic: &str) -> Vec<(String, i32)> {
        let gots = self.pop(&pop(topic));
        gots.into_iter().map(|got| (got.body, got.times)).collect()
    }

    pub(crate) fn try_ack(&self, handle: &Handle) -> Result<AckOutcome, DeliveryError> {
        self.wait(|done| self.broker.ack(handle, done))
    }

    pub(crate) fn ack(&self, got: &Got) -> AckOutcome {
        self.try_ack(&got.handle).unwrap()
    }

    pub(crate) fn change(&self, handle: &Handle, invisible_ms: i64) -> Result<Changed, DeliveryError> {
        self.wait(|done| self.broker.change_invisible(handle, invisible_ms, done))
    }

    /// Delivers again what is due by now.
    pub(crate) fn redeliver(&self) {
        while self
            .broker
            .next_redelivery_ms()
            .is_some_and(|due_ms| due_ms <= self.now_ms())
        {
            self.broker.redeliver_due();
            self.pump();
            // A topic that had to be made pauses the rest for a millisecond.
            if self.broker.next_redelivery_ms() == Some(self.now_ms() + 1) {
                self.clock.advance(1);
            }
        }
    }

    pub(crate) fn after(&self, ms: i64) {
        self.clock.advance(ms);
        self.redeliver();
    }
}

pub(crate) fn gots(request: &PopRequest, popped: &Popped) -> Vec<Got> {
    let mut all = Vec::new();
    for queue in &popped.queues {
        for one in &queue.messages {
            let view = RecordView::parse(&one.record).unwrap();
            assert_eq!(view.queue_offset(), one.offset);
            let times = if popped.ordered {
                i32::try_from(one.times).unwrap()
            } else {
                view.reconsume_times()
            };
            all.push(Got {
                body: text(view.body()),
                times,
                retry: queue.retry,
                handle: popped.handle(&request.group, queue, one),
            });
        }
    }
    all
}

pub(crate) fn bodies(gots: &[Got]) -> Vec<&str> {
    gots.iter().map(|got| got.body.as_str()).collect()
}

pub(crate) fn pairs(all: &[(&str, i32)]) -> Vec<(String, i32)> {
    all.iter()
        .map(|(body, times)| ((*body).to_owned(), *times))
        .collect()
}

#[test]
fn acknowledged_is_never_delivered_again_and_all_else_is() {
    let rig = Rig::new();
    for body in ["a", "b", "c"] {
        rig.put("orders", body);
    }
    let gots = rig.pop(&pop("orders"));
    assert_eq!(bodies(&gots), ["a", "b", "c"]);
    assert!(rig.popped("orders").is_empty(), "they are out");
    assert_eq!(rig.ack(&gots[1]), AckOutcome::Acked);
    assert_eq!(rig.ack(&gots[1]), AckOutcome::NotOut);
    assert_eq!(
        (
            rig.broker.deliveries(),
            rig.broker.deliveries_out("g", "orders", 0)
        ),
        (2, 2)
    );
    rig.after(INVISIBLE_MS - 1);
    assert!(rig.popped("orders").is_empty(), "never early");
    rig.after(1);
    let again = rig.pop(&pop("orders"));
    assert_eq!(bodies(&again), ["a", "c"]);
    assert!(
        again
            .iter()
            .all(|got| got.times == 1 && got.retry == RetryKind::V1)
    );
    assert_eq!(&*again[0].handle.topic, "%RETRY%g_orders");
    assert_eq!(rig.ack(&gots[0]), AckOutcome::NotOut, "too late");
    let rig = rig.power_cut();
    assert_eq!(rig.ack(&again[0]), AckOutcome::Acked, "handles outlive a crash");
    rig.after(INVISIBLE_MS);
    assert_eq!(rig.popped("orders"), pairs(&[("c", 2)]));
    let rig = rig.restart();
    rig.after(INVISIBLE_MS);
    assert_eq!(rig.popped("orders"), pairs(&[("c", 3)]));
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(3));
}

#[test]
fn what_is_delivered_again_is_the_message_as_clients_know_it() {
    let rig = Rig::with(|options, _| options.retry_topic_v2 = true);
    let sent = rig.put_tagged("orders", "a", "red");
    let first = rig.pop(&pop("orders"));
    rig.after(INVISIBLE_MS);
    let pulled = rig.pull(&pull("%RETRY%g+orders", 0)).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!(
        (view.body(), view.queue_id(), view.reconsume_times()),
        (b"a".as_slice(), 0, 1)
    );
    assert_eq!((view.born_ms(), view.flag()), (START_MS - 5, 7));
    assert_eq!(view.property("TAGS"), Some("red"));
    assert_eq!(view.property("UNIQ_KEY"), Some(sent.transaction_id.as_str()));
    let pop_ms = first[0].handle.pop_ms.to_string();
    assert_eq!(view.property("1ST_POP_TIME"), Some(pop_ms.as_str()));
    assert_eq!(
        view.property("POP_RETRY_OF"),
        Some(format!("g orders 0 0 {pop_ms}").as_str())
    );
    let second = rig.pop(&pop("orders"));
    assert_eq!((second[0].retry, second[0].times), (RetryKind::V2, 1));
    rig.after(INVISIBLE_MS);
    let pulled = rig.pull(&pull("%RETRY%g+orders", 1)).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!(view.property("1ST_POP_TIME"), Some(pop_ms.as_str()));
    let retry_of = format!("g %RETRY%g+orders 0 0 {}", second[0].handle.pop_ms);
    assert_eq!(view.property("POP_RETRY_OF"), Some(retry_of.as_str()));
}

#[test]
fn tried_too_often_it_is_a_dead_letter() {
    let rig = Rig::new();
    let group = kourou_broker::group::GroupConfig {
        retry_times_max: 2,
        ..kourou_broker::group::GroupConfig::new("g")
    };
    rig.wait::<Result<_, _>>(|done| rig.broker.put_group(&group, done))
        .unwrap();
    rig.put("orders", "a");
    for times in 0..3 {
        assert_eq!(rig.popped("orders"), pairs(&[("a", times)]));
        rig.after(INVISIBLE_MS);
    }
    assert!(rig.popped("orders").is_empty());
    let pulled = rig.pull(&pull("%DLQ%g", 0)).unwrap().found();
    let view = views(&pulled)[0];
    assert_eq!((view.body(), view.reconsume_times()), (b"a".as_slice(), 3));
    assert_eq!(view.property("DLQ_ORIGIN_TOPIC"), Some("orders"));
    assert_eq!(view.property("RETRY_TOPIC"), Some("orders"));
    assert_eq!(
        (rig.broker.deliveries(), rig.broker.next_redelivery_ms()),
        (0, None)
    );
}

#[test]
fn a_new_time_is_a_new_handle() {
    let rig = Rig::new();
    rig.put("orders", "a");
    let gots = rig.pop(&pop("orders"));
    let old = &gots[0].handle;
    rig.clock.advance(10);
    let changed = rig.change(old, 500_000).unwrap();
    assert_eq!(
        changed,
        Changed {
            pop_ms: rig.now_ms(),
            invisible_ms: 500_000
        }
    );
    assert_eq!(rig.try_ack(old).unwrap(), AckOutcome::NotOut);
    assert!(matches!(rig.change(old, 1), Err(DeliveryError::NotOut { .. })));
    let new = Handle {
        pop_ms: changed.pop_ms,
        invisible_ms: changed.invisible_ms,
        ..old.clone()
    };
    rig.after(INVISIBLE_MS);
    assert!(rig.popped("orders").is_empty());
    let rig = rig.power_cut();
    let at_once = rig.change(&new, 0).unwrap();
    assert_eq!(at_once.invisible_ms, 0);
    rig.after(1);
    assert_eq!(rig.popped("orders"), pairs(&[("a", 1)]));
    assert!(matches!(
        rig.change(&new, -1),
        Err(DeliveryError::Invisible { .. })
    ));
}

#[test]
fn every_queue_and_the_retries_have_their_turn() {
    let rig = Rig::new();
    for queue_id in [0, 1, 2, 3, 3] {
        rig.send(kourou_broker::send::SendRequest {
            queue_id,
            ..message("orders", &queue_id.to_string())
        })
        .unwrap();
    }
    let one = PopRequest {
        queue_id: 3,
        messages_max: 1,
        ..pop("orders")
    };
    assert_eq!(bodies(&rig.pop(&one)), ["3"]);
    let mut rest = rig.popped("orders");
    rest.sort();
    assert_eq!(rest, pairs(&[("0", 0), ("1", 0), ("2", 0), ("3", 0)]));
    rig.after(INVISIBLE_MS);
    for body in 0..200 {
        rig.send(kourou_broker::send::SendRequest {
            queue_id: 3,
            ..message("orders", &body.to_string())
        })
        .unwrap();
    }
    let few = PopRequest {
        messages_max: 4,
        ..pop("orders")
    };
    let retried: usize = (0..20)
        .map(|_| rig.pop(&few).iter().filter(|got| got.times == 1).count())
        .sum();
    assert_eq!(retried, 5, "though there is more than enough of the others");
}

#[test]
fn filters_pass_over_what_is_not_wanted() {
    let rig = Rig::with(|options, _| options.limits.pull_scan_entries_max = 5);
    for at in 0..40 {
        rig.put_tagged(
            "orders",
            &at.to_string(),
            if at % 13 == 0 { "red" } else { "blue" },
        );
    }
    let red = PopRequest {
        subscription: InlineSubscription {
            expression: "red".into(),
            expression_type: "TAG".into(),
        },
        ..pop("orders")
    };
    let mut found = Vec::new();
    loop {
        let gots = rig.pop(&red);
        if gots.is_empty() {
            break;
        }
        found.extend(gots);
    }
    assert_eq!(bodies(&found), ["0", "13", "26", "39"]);
    rig.after(INVISIBLE_MS);
    // What it was given once a group gets again, whatever it wants by now.
    let other = PopRequest {
        subscription: InlineSubscription {
            expression: "green".into(),
            expression_type: "TAG".into(),
        },
        ..pop("orders")
    };
    assert_eq!(rig.pop(&other).len(), 4);
    let wrong = PopRequest {
        subscription: InlineSubscription {
            expression: "a >".into(),
            expression_type: "SQL92".into(),
        },
        ..pop("orders")
    };
    assert_eq!(rig.try_pop(&wrong).unwrap_err().response_code(), 23);
}

#[test]
fn where_a_new_group_begins() {
    let rig = Rig::with(|options, engine| {
        options.young_log_size_bytes = 0;
        engine.tail_cache_size_bytes = 1 << 20;
    });
    for body in ["a", "b", "c"] {
        rig.put("orders", body);
    }
    assert_eq!(rig.popped("orders").len(), 3);
    let last = PopRequest {
        group: "late".into(),
        start: PopStart::Max,
        ..pop("orders")
    };
    // Young and in memory: from the start.
    assert_eq!(rig.pop(&last).len(), 3);
    let filler = "x".repeat(64 << 10);
    for _ in 0..20 {
        rig.put("filler", &filler);
    }
    let rig = rig.power_cut();
    let later = PopRequest {
        group: "later".into(),
        ..last.clone()
    };
    assert_eq!(bodies(&rig.pop(&later)), ["c"]);
    // Where it begins is remembered, also if nothing is there.
    let empty = PopRequest {
        queue_id: 1,
        group: "first".into(),
        ..last
    };
    assert!(rig.pop(&empty).is_empty());
    for body in ["d", "e"] {
        rig.send(kourou_broker::send::SendRequest {
            queue_id: 1,
            ..message("orders", body)
        })
        .unwrap();
    }
    let rig = rig.power_cut();
    assert_eq!(bodies(&rig.pop(&empty)), ["d", "e"]);
}

#[test]
fn the_offset_can_be_set_and_nothing_that_is_out_is_handed_out_twice() {
    let rig = Rig::new();
    for at in 0..6 {
        rig.put("orders", &at.to_string());
    }
    let three = PopRequest {
        messages_max: 3,
        ..pop("orders")
    };
    let gots = rig.pop(&three);
    rig.ack(&gots[0]);
    let set = |rig: &Rig, offset| {
        rig.wait::<Result<_, _>>(|done| {
            rig.broker
                .commit_offset_durably(&"g".into(), &"orders".into(), 0, offset, done)
        })
        .unwrap();
    };
    set(&rig, 0);
    assert_eq!(bodies(&rig.pop(&pop("orders"))), ["0", "3", "4", "5"]);
    set(&rig, 6);
    assert!(rig.pop(&pop("orders")).is_empty());
    rig.after(INVISIBLE_MS);
    assert_eq!(rig.popped("orders").len(), 6, "what was out comes again");
}

#[test]
fn a_commit_while_a_pop_is_being_written_is_not_undone() {
    let rig = Rig::new();
    rig.put("others", "x");
    rig.pop(&pop("others"));
    for at in 0..4 {
        rig.put("orders", &at.to_string());
    }
    rig.wait::<Result<_, _>>(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 0, done)
    })
    .unwrap();
    let two = PopRequest {
        messages_max: 2,
        ..pop("orders")
    };
    let PopStep::Taken(taken) = rig.broker.begin_pop(&two, Reading::Memory).unwrap() else {
        panic!()
    };
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 3)
        .unwrap();
    let popped: Popped = rig.wait::<Result<_, _>>(|done| taken.store(done)).unwrap();
    assert!(popped.queues.is_empty(), "it has been overtaken");
    assert_eq!(rig.popped("orders"), pairs(&[("3", 0)]));
    assert_eq!(rig.broker.deliveries(), 2);

    rig.put("orders", "4");
    let PopStep::Taken(taken) = rig.broker.begin_pop(&two, Reading::Memory).unwrap() else {
        panic!()
    };
    let told = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let teller = told.clone();
    taken.store(move |popped: Result<Popped, PopError>| *teller.lock() = Some(popped));
    rig.broker
        .commit_offset(&"g".into(), &"orders".into(), 0, 1)
        .unwrap();
    rig.pump();
    assert_eq!(told.lock().take().unwrap().unwrap().queues.len(), 1);
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(1));
}

#[test]
fn two_pops_at_once_get_different_messages() {
    let rig = Rig::new();
    for at in 0..4 {
        rig.put("orders", &at.to_string());
    }
    let PopStep::Taken(first) = rig.broker.begin_pop(&pop("orders"), Reading::Memory).unwrap() else {
        panic!()
    };
    let step = rig.broker.begin_pop(&pop("orders"), Reading::Memory).unwrap();
    assert!(
        matches!(
            step,
            PopStep::Empty {
                rest: 4,
                again: false
            }
        ),
        "{step:?}"
    );
    drop(first);
    assert_eq!(rig.popped("orders").len(), 4, "dropped, they are there as before");
}

#[test]
fn so_much_may_be_out_and_no_more() {
    let rig = Rig::with(|options, _| options.limits.deliveries_per_queue_max = 3);
    for at in 0..6 {
        rig.put("orders", &at.to_string());
    }
    let two = PopRequest {
        messages_max: 2,
        ..pop("orders")
    };
    let gots = [rig.pop(&two), rig.pop(&two)].concat();
    assert_eq!(gots.len(), 4);
    assert!(rig.pop(&two).is_empty());
    rig.ack(&gots[0]);
    rig.ack(&gots[1]);
    assert_eq!(bodies(&rig.pop(&two)), ["4", "5"]);
}

#[test]
fn it_goes_with_its_topic_and_its_group() {
    let rig = Rig::new();
    rig.put("orders", "a");
    rig.pop(&pop("orders"));
    rig.after(INVISIBLE_MS);
    rig.pop(&pop("orders"));
    rig.put("orders", "b");
    rig.pop(&pop("orders"));
    assert_eq!(rig.broker.deliveries(), 2);
    rig.wait::<Result<_, _>>(|done| rig.broker.delete_topic("orders", done))
        .unwrap();
    rig.pump();
    assert_eq!(rig.broker.deliveries(), 0);
    assert!(rig.broker.topic("%RETRY%g_orders").is_none());
    rig.put("others", "c");
    rig.pop(&pop("others"));
    rig.wait::<Result<_, _>>(|done| rig.broker.delete_group("g", true, done))
        .unwrap();
    assert_eq!(
        (rig.broker.deliveries(), rig.broker.next_redelivery_ms()),
        (0, None)
    );
    let rig = rig.power_cut();
    assert_eq!(rig.broker.deliveries(), 0);
}

#[test]
fn retry_topics_of_the_same_name_are_not_confused() {
    let rig = Rig::new();
    // Both have %RETRY%a_b_c.
    rig.put("c", "of a_b");
    rig.put("b_c", "of a");
    let first = PopRequest {
        group: "a_b".into(),
        ..pop("c")
    };
    let second = PopRequest {
        group: "a".into(),
        ..pop("b_c")
    };
    rig.pop(&first);
    rig.pop(&second);
    rig.after(INVISIBLE_MS);
    assert_eq!(bodies(&rig.pop(&second)), ["of a"]);
    assert_eq!(bodies(&rig.pop(&first)), ["of a_b"]);
}

#[test]
fn what_is_said_of_nothing_is_refused_as_the_protocol_says() {
    let rig = Rig::new();
    rig.put("orders", "a");
    let got = rig.pop(&pop("orders")).remove(0);
    let code = |change: &dyn Fn(&mut Handle)| {
        let mut handle = got.handle.clone();
        change(&mut handle);
        (
            rig.try_ack(&handle)
                .map_or_else(|error| error.response_code(), |_| 0),
            rig.change(&handle, 5)
                .map_or_else(|error| error.response_code(), |_| 0),
        )
    };
    assert_eq!(code(&|handle| handle.topic = "none".into()), (17, 17));
    assert_eq!(code(&|handle| handle.queue_id = 9), (13, 13));
    assert_eq!(code(&|handle| handle.queue_id = -1), (13, 13));
    assert_eq!(code(&|handle| handle.offset = 7), (208, 208));
    assert_eq!(code(&|handle| handle.offset = -7), (208, 208));
    assert_eq!(code(&|handle| handle.offset = 1), (0, 208));
    assert_eq!(code(&|handle| handle.pop_ms += 1), (0, 208));
    assert_eq!(code(&|handle| handle.group = "other".into()), (0, 208));
    let code = |request: PopRequest| rig.try_pop(&request).unwrap_err().response_code();
    assert_eq!(
        code(PopRequest {
            messages_max: 33,
            ..pop("orders")
        }),
        29
    );
    assert_eq!(
        code(PopRequest {
            invisible_ms: -1,
            ..pop("orders")
        }),
        29
    );
    assert_eq!(
        code(PopRequest {
            queue_id: 4,
            ..pop("orders")
        }),
        29
    );
    assert_eq!(code(pop("none")), 17);
}

#[test]
fn many_are_acknowledged_by_one_record() {
    let rig = Rig::new();
    for queue_id in [0, 0, 1, 2] {
        rig.send(kourou_broker::send::SendRequest {
            queue_id,
            ..message("orders", "x")
        })
        .unwrap();
    }
    let gots = rig.pop(&pop("orders"));
    let mut handles: Vec<_> = gots.iter().map(|got| got.handle.clone()).collect();
    handles.push(Handle {
        topic: "none".into(),
        ..handles[0].clone()
    });
    handles.push(handles[0].clone());
    let before = rig.broker.engine().watermark();
    let acked: usize = rig
        .wait::<Result<_, _>>(|done| rig.broker.ack_all(&handles, done))
        .unwrap();
    assert_eq!(acked, 5, "one of them twice at the same time");
    assert!(rig.broker.engine().watermark() - before < 600);
    assert_eq!(rig.broker.deliveries(), 0);
    let none: usize = rig
        .wait::<Result<_, _>>(|done| rig.broker.ack_all(&handles, done))
        .unwrap();
    assert_eq!(none, 0);
}

#[test]
fn in_order_one_at_a_time_and_the_same_again() {
    let rig = Rig::new();
    for at in 0..5 {
        rig.put("orders", &at.to_string());
    }
    let request = PopRequest {
        messages_max: 3,
        ..in_order("")
    };
    let first = rig.pop(&request);
    assert_eq!(bodies(&first), ["0", "1", "2"]);
    assert!(rig.pop(&request).is_empty(), "the queue is blocked");
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(0));
    rig.ack(&first[1]);
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(0));
    rig.ack(&first[0]);
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(2));
    let rig = rig.power_cut();
    assert!(rig.pop(&request).is_empty());
    rig.after(INVISIBLE_MS);
    let again = rig.pop(&request);
    assert_eq!(
        again
            .iter()
            .map(|got| (got.body.as_str(), got.times))
            .collect::<Vec<_>>(),
        [("2", 1)]
    );
    assert_eq!(rig.ack(&first[2]), AckOutcome::NotOut);
    let changed = rig.change(&again[0].handle, 5).unwrap();
    assert_eq!(
        (changed.pop_ms, changed.invisible_ms),
        (again[0].handle.pop_ms, 5)
    );
    rig.after(5);
    let rig = rig.restart();
    let third = rig.pop(&request);
    assert_eq!((third[0].body.as_str(), third[0].times), ("2", 2));
    rig.ack(&third[0]);
    let next = rig.pop(&request);
    assert_eq!(
        next.iter()
            .map(|got| (got.body.as_str(), got.times))
            .collect::<Vec<_>>(),
        [("3", 0), ("4", 0)]
    );
    for got in &next {
        rig.ack(got);
    }
    assert_eq!(rig.broker.committed_offset("g", "orders", 0, false), Some(5));
    assert!(matches!(rig.try_ack(&next[0].handle), Ok(AckOutcome::NotOut)));
}

#[test]
fn the_same_attempt_gets_the_same_messages() {
    let rig = Rig::new();
    rig.put("orders", "a");
    let first = rig.pop(&in_order("try"));
    assert!(rig.pop(&in_order("other")).is_empty());
    rig.clock.advance(1);
    let again = rig.pop(&in_order("try"));
    assert_eq!((bodies(&again), again[0].times), (vec!["a"], 0));
    assert_eq!(rig.ack(&first[0]), AckOutcome::NotOut);
    assert_eq!(rig.ack(&again[0]), AckOutcome::Acked);
}

#[test]
fn in_order_messages_that_are_gone_block_nothing() {
    let rig = Rig::new();
    rig.put("orders", "a");
    let first = rig.pop(&in_order(""));
    rig.put("orders", "b");
    rig.wait::<Result<_, _>>(|done| {
        rig.broker
            .commit_offset_durably(&"g".into(), &"orders".into(), 0, 1, done)
    })
    .unwrap();
    // The group was told to go on.
    assert_eq!(bodies(&rig.pop(&in_order(""))), ["b"]);
    assert!(matches!(rig.ack(&first[0]), AckOutcome::NotOut));
}
