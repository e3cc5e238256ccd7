//! Short histories of lite topics with a crash at every operation of the disk: what is acknowledged is not handed out again, all else
//! is, in order; and random ones against a model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kourou_broker::delivery::{AckOutcome, PopRequest, PopStep, Reading};
use kourou_broker::lite::SyncAction;
use kourou_engine::disk::sim::Tear;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::deliveries::{Got, gots, pop};
use crate::lites::{PARENT, lite_message, said};
use crate::rig::Rig;

const LITES: [&str; 3] = ["a", "b", "c"];
const EXPIRES: &[(&str, &str)] = &[("lite.topic.expiration", "10")];

/// What somebody outside knows after a history.
#[derive(Debug, Default)]
struct Told {
    sent: Vec<String>,
    acked: BTreeSet<String>,
    /// The acknowledgement was not answered.
    perhaps: BTreeSet<String>,
    subscribed: bool,
}

fn small() -> Rig {
    Rig::with(|_, engine| {
        engine.segment_size_bytes = 64 << 10;
        engine.ahead_size_bytes = 64 << 10;
    })
    .with_lites(EXPIRES, &[])
}

fn told<T: Send + 'static>(rig: &Rig, start: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> Option<T> {
    let heard = Arc::new(Mutex::new(None));
    let teller = heard.clone();
    start(Box::new(move |outcome| *teller.lock() = Some(outcome)));
    rig.pump();
    heard.lock().take()
}

fn receive(rig: &Rig, client_id: &str, request: &PopRequest) -> Vec<Got> {
    let Ok(PopStep::Taken(taken)) = rig.broker.begin_lite_pop(request, client_id, Reading::Disk) else {
        return Vec::new();
    };
    match told(rig, |done| taken.store(done)) {
        Some(Ok(popped)) => gots(request, &popped),
        _ => Vec::new(),
    }
}

fn history(rig: &Rig) -> Told {
    let mut known = Told::default();
    let request = PopRequest {
        messages_max: 4,
        invisible_ms: 1_000,
        ..pop(PARENT)
    };
    for round in 0..5 {
        for lite_topic in LITES {
            let body = format!("{lite_topic}{round}");
            let sent = told(rig, |done| rig.broker.send(lite_message(lite_topic, &body), done));
            if sent.is_some_and(|sent| sent.is_ok()) {
                known.sent.push(body);
            }
        }
        if round == 1 {
            let said = said("x", SyncAction::Add, &LITES);
            known.subscribed =
                told(rig, |done| rig.broker.sync_lite(&said, done)).is_some_and(|said| said.is_ok());
        }
        if round == 3 {
            for _ in 0..2 {
                rig.broker
                    .send(crate::rig::message("filler", &"x".repeat(40_000)), |_| {});
            }
            rig.pump();
        }
        for (at, got) in receive(rig, "x", &request).iter().enumerate() {
            if at % 3 == 2 {
                rig.broker.change_invisible(&got.handle, 500, |_| {});
                rig.pump();
                continue;
            }
            match told(rig, |done| rig.broker.ack(&got.handle, done)) {
                Some(Ok(AckOutcome::Acked)) => known.acked.insert(got.body.clone()),
                _ => known.perhaps.insert(got.body.clone()),
            };
        }
        rig.clock.advance(1_200);
        rig.broker.redeliver_due();
        rig.broker.tick();
        rig.pump();
    }
    known
}

/// All that there is, in the order of each lite topic, acknowledged.
fn drained(rig: &Rig, client_id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..4 {
        loop {
            let got = receive(rig, client_id, &pop(PARENT));
            if got.is_empty() {
                break;
            }
            for one in got {
                assert_eq!(rig.ack(&one), AckOutcome::Acked);
                found.push(one.body);
            }
        }
        rig.after(1_500);
    }
    found
}

#[test]
fn a_crash_at_every_disk_operation_loses_nothing_and_repeats_nothing_that_was_acknowledged() {
    let quiet = small();
    let before = quiet.disk.operations();
    let known = history(&quiet);
    assert!(known.subscribed && known.acked.len() >= 5 && known.perhaps.is_empty());
    let operations = quiet.disk.operations();
    assert!(operations > before + 20);
    for op in before..operations {
        let rig = small();
        rig.disk.crash_at(op, Tear::None);
        let known = history(&rig);
        let rig = rig.power_cut();
        assert!(
            !known.subscribed || rig.broker.lite_subscriptions() == 3,
            "crash at {op}"
        );
        rig.subscribe("x", &LITES);
        rig.after(1_500);
        let found = drained(&rig.restart(), "x");
        for lite_topic in LITES {
            let of_topic: Vec<&String> = found.iter().filter(|body| body.starts_with(lite_topic)).collect();
            assert!(of_topic.is_sorted(), "crash at {op}: {of_topic:?}");
        }
        for body in &known.sent {
            let times = found.iter().filter(|found| *found == body).count();
            if known.acked.contains(body) {
                assert_eq!(times, 0, "crash at {op}: {body} was acknowledged");
            } else if known.perhaps.contains(body) {
                assert!(times <= 1, "crash at {op}: {body}");
            } else {
                assert_eq!(times, 1, "crash at {op}: {body}");
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        lite: u8,
    },
    Subscribe {
        client: u8,
        lite: u8,
    },
    Unsubscribe {
        client: u8,
        lite: u8,
    },
    All {
        client: u8,
        lites: u8,
    },
    Receive {
        client: u8,
        max: u8,
    },
    Ack {
        which: u8,
    },
    Pass {
        ms: u16,
    },
    /// Longer than a lite topic lives without messages.
    Long,
    PowerCut,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..5).prop_map(|lite| Step::Send { lite }),
        3 => (0_u8..3, 0_u8..5).prop_map(|(client, lite)| Step::Subscribe { client, lite }),
        1 => (0_u8..3, 0_u8..5).prop_map(|(client, lite)| Step::Unsubscribe { client, lite }),
        1 => (0_u8..3, 0_u8..32).prop_map(|(client, lites)| Step::All { client, lites }),
        8 => (0_u8..3, 1_u8..6).prop_map(|(client, max)| Step::Receive { client, max }),
        8 => any::<u8>().prop_map(|which| Step::Ack { which }),
        4 => (0_u16..3_000).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Long),
        1 => Just(Step::PowerCut),
        1 => Just(Step::Restart),
    ]
}

/// What a lite topic and its one group should be.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Bodies that are not acknowledged, in order.
    left: Vec<String>,
    last_ms: i64,
    subscribers: BTreeSet<u8>,
}

fn clients(lite: &str, models: &BTreeMap<String, Model>) -> BTreeSet<u8> {
    models
        .get(lite)
        .map(|model| model.subscribers.clone())
        .unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_histories(steps in proptest::collection::vec(step(), 1..80)) {
        let mut rig = Rig::new().with_lites(EXPIRES, &[]);
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        let mut out: Vec<Got> = Vec::new();
        let mut sent = 0;
        let name = |lite: u8| format!("l{lite}");
        let client = |client: u8| format!("c{client}");
        for step in steps {
            match step {
                Step::Send { lite } => {
                    let body = format!("{}-{sent:04}", name(lite));
                    sent += 1;
                    rig.put_lite(&name(lite), &body);
                    let model = models.entry(name(lite)).or_default();
                    model.left.push(body);
                    model.last_ms = rig.now_ms();
                }
                Step::Subscribe { client: who, lite } => {
                    rig.subscribe(&client(who), &[&name(lite)]);
                    models.entry(name(lite)).or_default().subscribers.insert(who);
                }
                Step::Unsubscribe { client: who, lite } => {
                    rig.sync(&said(&client(who), SyncAction::Remove, &[&name(lite)])).unwrap();
                    models.entry(name(lite)).or_default().subscribers.remove(&who);
                }
                Step::All { client: who, lites } => {
                    let names: Vec<String> = (0..5).filter(|at| lites >> at & 1 == 1).map(name).collect();
                    let said = said(&client(who), SyncAction::All, &names.iter().map(String::as_str).collect::<Vec<_>>());
                    rig.sync(&said).unwrap();
                    for lite in (0..5).map(name) {
                        let model = models.entry(lite.clone()).or_default();
                        if names.contains(&lite) {
                            model.subscribers.insert(who);
                        } else {
                            model.subscribers.remove(&who);
                        }
                    }
                }
                Step::Receive { client: who, max } => {
                    let request = PopRequest { messages_max: max.into(), invisible_ms: 1_000, ..pop(PARENT) };
                    let gots = rig.try_receive(&request, &client(who)).unwrap();
                    prop_assert!(gots.len() <= usize::from(max));
                    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
                    for got in &gots {
                        let (lite, _) = got.body.split_once('-').unwrap();
                        of.entry(lite.to_owned()).or_default().push(got.body.clone());
                    }
                    for (lite, bodies) in of {
                        prop_assert!(clients(&lite, &models).contains(&who), "{} is not its", lite);
                        // The first that are left, or those of them that were out before.
                        prop_assert!(bodies.is_sorted());
                        let left = &models[&lite].left;
                        prop_assert!(left.starts_with(&bodies[..1]), "{:?} before {:?}", bodies, left);
                        prop_assert!(bodies.iter().all(|body| left.contains(body)));
                    }
                    out.extend(gots);
                }
                Step::Ack { which } => {
                    if out.is_empty() {
                        continue;
                    }
                    let got = out.remove(usize::from(which) % out.len());
                    let (lite, _) = got.body.split_once('-').unwrap();
                    if matches!(rig.try_ack(&got.handle), Ok(AckOutcome::Acked)) {
                        let model = models.get_mut(lite).unwrap();
                        let at = model.left.iter().position(|body| *body == got.body);
                        prop_assert!(at.is_some(), "{} was acknowledged twice, or is gone", got.body);
                        model.left.remove(at.unwrap());
                    }
                }
                Step::Pass { ms } => rig.after(ms.into()),
                Step::Long => {
                    // Those who are there say so.
                    for _ in 0..11 {
                        rig.after(60_000);
                        for who in 0..3 {
                            let mine = models.iter().filter(|(_, model)| model.subscribers.contains(&who));
                            let names: Vec<&str> = mine.map(|(lite, _)| lite.as_str()).collect();
                            rig.sync(&said(&client(who), SyncAction::All, &names)).unwrap();
                        }
                    }
                    rig.broker.tick();
                    rig.pump();
                    let before_ms = rig.now_ms() - 600_000;
                    models.retain(|_, model| model.last_ms == 0 || model.last_ms >= before_ms);
                }
                Step::PowerCut => rig = rig.power_cut(),
                Step::Restart => rig = rig.restart(),
            }
            let alive = models.values().filter(|model| model.last_ms > 0).count();
            prop_assert_eq!(rig.broker.lite_topics(), alive);
            let subscriptions: usize = models.values().map(|model| model.subscribers.len()).sum();
            prop_assert_eq!(rig.broker.lite_subscriptions(), subscriptions);
        }
        // All that is left comes to who subscribes to it, in order, and what nobody does to who does so now.
        rig.after(2_000);
        let mut found = Vec::new();
        for who in 0..3 {
            found.extend(drained(&rig, &client(who)));
        }
        for (lite, model) in &models {
            let expected: &[String] = if model.subscribers.is_empty() { &[] } else { &model.left };
            prop_assert_eq!(of_lite(&found, lite), expected.iter().collect::<Vec<_>>());
        }
        for lite in (0..5).map(name) {
            rig.subscribe("last", &[&lite]);
        }
        found.extend(drained(&rig, "last"));
        for (lite, model) in &models {
            prop_assert_eq!(of_lite(&found, lite), model.left.iter().collect::<Vec<_>>());
        }
    }
}

fn of_lite<'a>(found: &'a [String], lite: &str) -> Vec<&'a String> {
    let mine = format!("{lite}-");
    found.iter().filter(|body| body.starts_with(&mine)).collect()
}
