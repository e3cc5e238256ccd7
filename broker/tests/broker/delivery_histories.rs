//! Random histories of pops, acknowledgements and new times between power cuts and jumps of the clock: nothing acknowledged is
//! handed out again, all else is, never early, and counted. And power cuts at every operation of the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_broker::delivery::{AckOutcome, DeliveryError, Handle, PopRequest, PopStep, Reading};
use kourou_broker::group::GroupConfig;
use kourou_broker::send::SendRequest;
use kourou_engine::disk::sim::Tear;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::deliveries::{Got, gots, pop};
use crate::rig::{Rig, message};

/// How often a message is tried again before it is a dead letter.
const RETRIES_MAX: i32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Send {
        queue_id: u8,
    },
    Pop {
        queue_id: i8,
        max: u8,
        invisible_ms: u16,
    },
    /// Acknowledges under one of the handles that there are or were; perhaps twice at the same time.
    Ack {
        which: u8,
        twice: bool,
    },
    AckAll {
        from: u8,
        count: u8,
    },
    Change {
        which: u8,
        invisible_ms: u16,
    },
    /// The clock goes on, or back.
    Pass {
        ms: i16,
    },
    Redeliver,
    PowerCut,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..2).prop_map(|queue_id| Step::Send { queue_id }),
        8 => (-1_i8..2, 1_u8..5, 0_u16..4_000)
            .prop_map(|(queue_id, max, invisible_ms)| Step::Pop { queue_id, max, invisible_ms }),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(which, twice)| Step::Ack { which, twice }),
        2 => (any::<u8>(), 0_u8..6).prop_map(|(from, count)| Step::AckAll { from, count }),
        4 => (any::<u8>(), 0_u16..4_000).prop_map(|(which, invisible_ms)| Step::Change { which, invisible_ms }),
        5 => (-500_i16..4_000).prop_map(|ms| Step::Pass { ms }),
        5 => Just(Step::Redeliver),
        1 => Just(Step::PowerCut),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// To be handed out.
    Ready,
    /// With somebody, under this handle.
    Out(Handle),
    Acked,
    Dead,
}

/// What should be there: each message's place, and how often it has been handed out.
#[derive(Default)]
struct Model {
    messages: BTreeMap<String, (Place, i32)>,
    /// Every handle that there was, and whose.
    handles: Vec<(Handle, String)>,
}

impl Model {
    fn popped(&mut self, gots: &[Got]) {
        for got in gots {
            let (place, times) = self.messages.get_mut(&got.body).expect("one that was sent");
            assert_eq!(*place, Place::Ready, "{} is handed out", got.body);
            assert_eq!(got.times, *times, "how often {} was handed out before", got.body);
            *place = Place::Out(got.handle.clone());
            *times += 1;
            self.handles.push((got.handle.clone(), got.body.clone()));
        }
    }

    /// Whether the message is out under this handle.
    fn is_out(&self, handle: &Handle, body: &str) -> bool {
        matches!(&self.messages[body].0, Place::Out(now) if now == handle)
    }

    fn redelivered(&mut self, now_ms: i64) {
        for (place, times) in self.messages.values_mut() {
            if matches!(place, Place::Out(handle) if handle.due_ms() <= now_ms) {
                *place = if *times > RETRIES_MAX {
                    Place::Dead
                } else {
                    Place::Ready
                };
            }
        }
    }

    fn count(&self, wanted: impl Fn(&Place) -> bool) -> usize {
        self.messages.values().filter(|(place, _)| wanted(place)).count()
    }
}

fn rig_with_group() -> Rig {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = 128 << 10);
    let group = GroupConfig {
        retry_times_max: RETRIES_MAX,
        ..GroupConfig::new("g")
    };
    rig.wait::<Result<_, _>>(|done| rig.broker.put_group(&group, done))
        .unwrap();
    rig.put("orders", "first");
    rig
}

/// Everything that can be had, in as many pops as it takes.
fn drain(rig: &Rig, model: &mut Model, invisible_ms: i64) {
    loop {
        let gots = rig.pop(&PopRequest {
            invisible_ms,
            ..pop("orders")
        });
        model.popped(&gots);
        if gots.is_empty() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn deliveries_are_what_a_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut rig = rig_with_group();
        let mut model = Model::default();
        model.messages.insert("first".to_owned(), (Place::Ready, 0));
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send { queue_id } => {
                    let body = format!("m{number}");
                    rig.send(SendRequest { queue_id: queue_id.into(), ..message("orders", &body) }).unwrap();
                    model.messages.insert(body, (Place::Ready, 0));
                }
                Step::Pop { queue_id, max, invisible_ms } => {
                    let request = PopRequest {
                        queue_id: queue_id.into(),
                        messages_max: max.into(),
                        invisible_ms: invisible_ms.into(),
                        ..pop("orders")
                    };
                    let gots = rig.pop(&request);
                    prop_assert!(gots.len() <= max.into());
                    model.popped(&gots);
                }
                Step::Ack { which, twice } if !model.handles.is_empty() => {
                    let (handle, body) = model.handles[usize::from(which) % model.handles.len()].clone();
                    let expected = if model.is_out(&handle, &body) { AckOutcome::Acked } else { AckOutcome::NotOut };
                    let told: Arc<Mutex<Vec<AckOutcome>>> = Arc::default();
                    for _ in 0..=usize::from(twice) {
                        let told = told.clone();
                        rig.broker.ack(&handle, move |acked| told.lock().push(acked.unwrap()));
                    }
                    rig.pump();
                    prop_assert_eq!(&*told.lock(), &vec![expected; 1 + usize::from(twice)]);
                    if expected == AckOutcome::Acked {
                        model.messages.get_mut(&body).unwrap().0 = Place::Acked;
                    }
                }
                Step::AckAll { from, count } if !model.handles.is_empty() => {
                    let mut handles = Vec::new();
                    for at in 0..usize::from(count) {
                        let (handle, body) = model.handles[(usize::from(from) + at) % model.handles.len()].clone();
                        if model.is_out(&handle, &body) {
                            handles.push((handle, body));
                        }
                    }
                    let all: Vec<_> = handles.iter().map(|(handle, _)| handle.clone()).collect();
                    let acked: Result<usize, DeliveryError> = rig.wait(|done| rig.broker.ack_all(&all, done));
                    prop_assert_eq!(acked.unwrap(), all.len());
                    for (_, body) in handles {
                        model.messages.get_mut(&body).unwrap().0 = Place::Acked;
                    }
                }
                Step::Change { which, invisible_ms } if !model.handles.is_empty() => {
                    let (handle, body) = model.handles[usize::from(which) % model.handles.len()].clone();
                    match rig.change(&handle, invisible_ms.into()) {
                        Ok(changed) => {
                            prop_assert!(model.is_out(&handle, &body));
                            let new = Handle { pop_ms: changed.pop_ms, invisible_ms: changed.invisible_ms, ..handle };
                            model.messages.get_mut(&body).unwrap().0 = Place::Out(new.clone());
                            model.handles.push((new, body));
                        }
                        Err(DeliveryError::NotOut { .. }) => prop_assert!(!model.is_out(&handle, &body)),
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::Ack { .. } | Step::AckAll { .. } | Step::Change { .. } => {}
                Step::Pass { ms } => rig.clock.set(rig.now_ms() + i64::from(ms)),
                Step::Redeliver => {
                    rig.redeliver();
                    model.redelivered(rig.now_ms());
                }
                Step::PowerCut => rig = rig.power_cut(),
                Step::Restart => rig = rig.restart(),
            }
            prop_assert_eq!(rig.broker.deliveries(), model.count(|place| matches!(place, Place::Out(_))));
        }
        // In the end everything is acknowledged, or was tried too often.
        for _ in 0..=RETRIES_MAX + 1 {
            drain(&rig, &mut model, 10);
            rig.clock.advance(10_000);
            rig.redeliver();
            model.redelivered(rig.now_ms());
            prop_assert_eq!(rig.broker.deliveries(), 0);
        }
        prop_assert_eq!(model.count(|place| matches!(place, Place::Ready | Place::Out(_))), 0);
        let mut dead = rig.bodies("%DLQ%g");
        dead.sort();
        let expected: Vec<_> = model
            .messages
            .iter()
            .filter(|(_, (place, _))| *place == Place::Dead)
            .map(|(body, _)| body.clone())
            .collect();
        prop_assert_eq!(dead, expected);
    }
}

/// What clients were told before the power went.
#[derive(Default)]
struct Told {
    sent: Vec<String>,
    acked: Vec<String>,
    /// Acknowledged, but nobody heard whether.
    perhaps: Vec<String>,
    /// How often each was handed out, as far as anybody heard.
    times: BTreeMap<String, i32>,
}

fn try_pop(rig: &Rig, told: &mut Told) -> Vec<Got> {
    let request = PopRequest {
        messages_max: 3,
        invisible_ms: 1_000,
        ..pop("orders")
    };
    let Ok(PopStep::Taken(taken)) = rig.broker.begin_pop(&request, Reading::Disk) else {
        return Vec::new();
    };
    let popped = Arc::new(Mutex::new(None));
    let teller = popped.clone();
    taken.store(move |stored| *teller.lock() = stored.ok());
    rig.pump();
    let popped = popped.lock().take();
    let gots = popped.map(|popped| gots(&request, &popped)).unwrap_or_default();
    for got in &gots {
        *told.times.entry(got.body.clone()).or_default() += 1;
    }
    gots
}

fn history(rig: &Rig) -> Told {
    let mut told = Told::default();
    for round in 0..6 {
        for number in 0..3 {
            let body = format!("m{round}{number}");
            let sent = Arc::new(Mutex::new(false));
            let teller = sent.clone();
            rig.broker.send(message("orders", &body), move |outcome| {
                *teller.lock() = outcome.is_ok()
            });
            rig.pump();
            if *sent.lock() {
                told.sent.push(body);
            }
        }
        if round == 3 {
            for _ in 0..2 {
                rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
            }
            rig.pump();
        }
        let gots = try_pop(rig, &mut told);
        for (at, got) in gots.iter().enumerate() {
            let outcome = Arc::new(Mutex::new(None));
            let teller = outcome.clone();
            match at {
                0 => rig
                    .broker
                    .ack(&got.handle, move |acked| *teller.lock() = Some(acked.is_ok())),
                1 => {
                    rig.broker.change_invisible(&got.handle, 2_000, |_| {});
                    continue;
                }
                _ => continue,
            }
            rig.pump();
            match outcome.lock().take() {
                Some(true) => told.acked.push(got.body.clone()),
                _ => told.perhaps.push(got.body.clone()),
            }
        }
        rig.pump();
        rig.clock.advance(1_200);
        rig.broker.redeliver_due();
        rig.pump();
        rig.broker.redeliver_due();
        rig.pump();
    }
    told
}

#[test]
fn a_crash_at_every_disk_operation_loses_no_message_and_hands_out_none_that_was_acknowledged() {
    let small = || {
        Rig::with(|_, engine| {
            engine.segment_size_bytes = 64 << 10;
            engine.ahead_size_bytes = 64 << 10;
        })
    };
    let quiet = small();
    let before = quiet.disk.operations();
    let told = history(&quiet);
    assert!(told.acked.len() >= 5 && told.perhaps.is_empty());
    let operations = quiet.disk.operations();
    assert!(operations > before + 20);
    for op in before..operations {
        let rig = small();
        rig.disk.crash_at(op, Tear::None);
        let told = history(&rig);
        let mut rig = rig.power_cut();
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for round in 0..6 {
            loop {
                let gots = rig
                    .try_pop(&PopRequest {
                        invisible_ms: 100,
                        ..pop("orders")
                    })
                    .unwrap_or_default();
                if gots.is_empty() {
                    break;
                }
                for got in gots {
                    let heard = told.times.get(&got.body).copied().unwrap_or(0);
                    assert!(
                        (heard..=heard + 1).contains(&got.times),
                        "crash at {op}: {} was heard of {heard} times, and says {}",
                        got.body,
                        got.times
                    );
                    assert_eq!(rig.try_ack(&got.handle).unwrap(), AckOutcome::Acked);
                    *found.entry(got.body).or_default() += 1;
                }
            }
            rig.clock.advance(1_500);
            rig.redeliver();
            if round == 2 {
                rig = rig.restart();
            }
        }
        for body in &told.sent {
            let times = found.get(body).copied().unwrap_or(0);
            if told.acked.contains(body) {
                assert_eq!(times, 0, "crash at {op}: {body} was acknowledged");
            } else if told.perhaps.contains(body) {
                assert!(times <= 1, "crash at {op}: {body}");
            } else {
                assert_eq!(times, 1, "crash at {op}: {body}");
            }
        }
        assert_eq!(rig.broker.deliveries(), 0, "crash at {op}");
    }
}
