//! Offsets set from outside: kept until a pull is sent there, whatever is committed meanwhile and wherever the power is cut.

use std::sync::Arc;

use kourou_broker::client::{ClientChannel, ConsumerData, HeartbeatData, OffsetsReset};
use kourou_broker::code;
use kourou_broker::offset::{ResetError, ResetRequest};
use kourou_broker::receive::{HoldResult, PullRequest, PullStatus};
use kourou_broker::send::SendRequest;
use kourou_engine::disk::sim::Tear;
use parking_lot::Mutex;

use crate::rig::{Got, Rig, START_MS, heartbeat, message, producer_host, pull, subscription};

fn reset(timestamp_ms: i64) -> ResetRequest {
    ResetRequest {
        group: "readers".into(),
        topic: "orders".into(),
        queue_id: None,
        offset: None,
        timestamp_ms,
        force: true,
        as_list: false,
    }
}

fn to_offset(offset: i64) -> ResetRequest {
    ResetRequest {
        queue_id: Some(0),
        offset: Some(offset),
        ..reset(0)
    }
}

fn done(rig: &Rig, request: &ResetRequest) -> Result<Vec<(u32, u64)>, ResetError> {
    rig.wait(|done| rig.broker.reset_offsets(request, done))
}

/// Ten messages, a second apart, in queue 0; the group has consumed eight.
fn begun(rig: &Rig) {
    for at in 0..10 {
        rig.put("orders", &at.to_string());
        rig.clock.advance(1_000);
    }
    rig.pull(&pull("orders", 0)).unwrap();
    commit(rig, 8).unwrap();
}

fn commit(rig: &Rig, offset: i64) -> Result<(), String> {
    let (group, topic) = ("readers".into(), "orders".into());
    rig.wait(|done| rig.broker.commit_offset_durably(&group, &topic, 0, offset, done))
        .map_err(|error| error.to_string())
}

fn committed(rig: &Rig) -> Option<i64> {
    rig.broker.committed_offset("readers", "orders", 0, false)
}

/// Where a pull is sent, if it is.
fn sent_to(rig: &Rig, offset: i64) -> Option<u64> {
    let request = PullRequest {
        // As a consumer does that has not heard of it.
        commit_offset: Some(offset),
        ..pull("orders", offset)
    };
    let got = rig.pull(&request).unwrap();
    rig.pump();
    match got {
        Got::Empty(empty) if empty.status == PullStatus::OffsetReset => {
            assert_eq!(empty.code, code::PULL_OFFSET_MOVED);
            assert_eq!((empty.place.min_offset, empty.place.max_offset), (0, 10));
            Some(empty.place.next_offset)
        }
        _ => None,
    }
}

#[test]
fn a_reset_waits_for_the_next_pull_and_commits_do_not_count_meanwhile() {
    for restart in 0..3 {
        let mut rig = Rig::new();
        begun(&rig);
        assert_eq!(done(&rig, &to_offset(3)).unwrap(), [(0, 3)]);
        rig = match restart {
            0 => rig,
            1 => rig.power_cut(),
            _ => rig.restart(),
        };
        assert_eq!(committed(&rig), Some(3));
        assert!(rig.broker.reset_waits("readers", "orders", 0));
        commit(&rig, 9).unwrap();
        rig.broker
            .commit_offset(&"readers".into(), &"orders".into(), 0, 9)
            .unwrap();
        assert_eq!(committed(&rig), Some(3));
        let mut other = pull("orders", 9);
        other.group = "others".into();
        let theirs = rig.pull(&other).unwrap();
        assert!(
            matches!(theirs, Got::Found(_) | Got::Cold(_)),
            "it is not theirs: {theirs:?}"
        );

        assert_eq!(sent_to(&rig, 9), Some(3));
        assert_eq!(committed(&rig), Some(3));
        assert_eq!(sent_to(&rig, 3), None, "once");
        commit(&rig, 5).unwrap();
        rig = match restart {
            0 => rig,
            1 => rig.power_cut(),
            _ => rig.restart(),
        };
        assert_eq!(committed(&rig), Some(5));
        assert_eq!(sent_to(&rig, 5), None);
    }
}

#[test]
fn where_a_reset_goes() {
    let rig = Rig::new();
    begun(&rig);
    let all = |offsets: &[(u32, u64)]| offsets.iter().map(|(_, offset)| *offset).collect::<Vec<_>>();
    assert_eq!(all(&done(&rig, &reset(-1)).unwrap()), [10, 0, 0, 0]);
    assert_eq!(all(&done(&rig, &reset(0)).unwrap()), [0, 0, 0, 0]);
    assert_eq!(all(&done(&rig, &reset(START_MS + 3_500)).unwrap()), [4, 0, 0, 0]);
    assert_eq!(
        all(&done(&rig, &reset(START_MS + 99_000)).unwrap()),
        [10, 0, 0, 0]
    );
    let one = ResetRequest {
        queue_id: Some(0),
        ..reset(START_MS + 1_000)
    };
    assert_eq!(done(&rig, &one).unwrap(), [(0, 1)]);
    for offset in [0, 10, 11] {
        assert_eq!(done(&rig, &to_offset(offset)).unwrap(), [(0, offset as u64)]);
    }
    let code = |request: ResetRequest| done(&rig, &request).unwrap_err().response_code();
    assert_eq!(code(to_offset(12)), code::SYSTEM_ERROR);
    assert_eq!(code(to_offset(-2)), code::SYSTEM_ERROR);
    let other = |group: &str, topic: &str, queue_id| ResetRequest {
        group: group.into(),
        topic: topic.into(),
        queue_id,
        ..reset(0)
    };
    assert_eq!(code(other("readers", "nothing", None)), code::TOPIC_NOT_EXIST);
    assert_eq!(
        code(other("nobody", "orders", None)),
        code::SUBSCRIPTION_GROUP_NOT_EXIST
    );
    assert_eq!(code(other("readers", "orders", Some(4))), code::SYSTEM_ERROR);
}

#[test]
fn a_held_pull_hears_of_it_at_once() {
    let rig = Rig::new();
    begun(&rig);
    let woken = Arc::new(Mutex::new(0));
    let counted = woken.clone();
    let held = rig
        .broker
        .hold(&pull("orders", 10), 10, move || *counted.lock() += 1);
    assert!(matches!(held, HoldResult::Held(_)));
    done(&rig, &to_offset(2)).unwrap();
    assert_eq!(*woken.lock(), 1);
    assert_eq!(rig.broker.held_pulls(), 0);
    let late = rig.broker.hold(&pull("orders", 10), 10, || ());
    assert!(matches!(late, HoldResult::AlreadyArrived));
    assert_eq!(sent_to(&rig, 10), Some(2));
    let held = rig.broker.hold(&pull("orders", 10), 10, || ());
    assert!(matches!(held, HoldResult::Held(_)));
}

#[test]
fn a_reset_goes_with_its_topic_and_its_group() {
    for with_group in [false, true] {
        let rig = Rig::new();
        begun(&rig);
        done(&rig, &to_offset(2)).unwrap();
        if with_group {
            rig.wait(|done| rig.broker.delete_group("readers", false, done))
                .unwrap();
        } else {
            rig.wait(|done| rig.broker.delete_topic("orders", done)).unwrap();
        }
        assert!(!rig.broker.reset_waits("readers", "orders", 0));
        assert!(!rig.power_cut().broker.reset_waits("readers", "orders", 0));
    }
}

#[test]
fn a_groups_offsets_are_cloned() {
    let rig = Rig::new();
    begun(&rig);
    rig.put("other", "x");
    rig.wait(|done| {
        rig.broker
            .commit_offset_durably(&"readers".into(), &"other".into(), 0, 1, done)
    })
    .unwrap();
    let clone = |from: &'static str, to: &'static str, topic, offline| {
        rig.wait(|done| rig.broker.clone_offsets(from, to, topic, offline, done))
    };
    let of = |group: &str, topic: &str| rig.broker.committed_offset(group, topic, 0, false);
    clone("readers", "one", Some("orders"), true).unwrap();
    assert_eq!((of("one", "orders"), of("one", "other")), (Some(8), None));
    clone("readers", "both", None, true).unwrap();
    assert_eq!((of("both", "orders"), of("both", "other")), (Some(8), Some(1)));
    clone("nobody", "none", None, true).unwrap();
    clone("readers", "none", Some("nothing"), true).unwrap();

    // Connected members subscribe to one topic only.
    let channel = crate::rig::Channel::new(1);
    rig.beat(
        &channel,
        &heartbeat("c", "readers", &[subscription("other", &[], 1)]),
    );
    clone("readers", "online", None, false).unwrap();
    assert_eq!((of("online", "orders"), of("online", "other")), (None, Some(1)));

    // What an administrator says last counts.
    let to_both = ResetRequest {
        group: "both".into(),
        ..to_offset(2)
    };
    done(&rig, &to_both).unwrap();
    clone("readers", "both", Some("orders"), true).unwrap();
    assert!(!rig.broker.reset_waits("both", "orders", 0));
    let rig = rig.power_cut();
    assert_eq!(rig.broker.committed_offset("both", "orders", 0, false), Some(8));
}

/// A consumer that is told to reset.
#[derive(Debug)]
struct Told {
    id: u64,
    resets: Mutex<Vec<Heard>>,
}

/// The offsets, and whether they came as a list.
type Heard = (Vec<(u32, u64)>, bool);

impl ClientChannel for Told {
    fn id(&self) -> u64 {
        self.id
    }

    fn remote_addr(&self) -> std::net::SocketAddr {
        producer_host()
    }

    fn notify_consumer_ids_changed(&self, _: &str) {}

    fn check_transaction(&self, _: &kourou_broker::transaction::TransactionCheck<'_>) -> bool {
        false
    }

    fn reset_offsets(&self, reset: &OffsetsReset<'_>) -> bool {
        assert_eq!((reset.group, reset.topic), ("readers", "orders"));
        self.resets.lock().push((reset.offsets.to_vec(), reset.as_list));
        true
    }
}

#[test]
fn connected_members_are_told_where_resets_are_not_done_here() {
    let rig = Rig::with(|options, _| options.reset_offsets_here = false);
    for queue_id in 0..4 {
        for at in 0..10 {
            rig.send(SendRequest {
                queue_id,
                ..message("orders", &at.to_string())
            })
            .unwrap();
            rig.clock.advance(1_000);
        }
    }
    rig.pull(&pull("orders", 0)).unwrap();
    let error = done(&rig, &reset(0)).unwrap_err();
    assert_eq!(
        (error.response_code(), error.to_string().contains("readers")),
        (code::SYSTEM_ERROR, true)
    );
    for queue_id in 0..4 {
        rig.wait(|done| {
            rig.broker
                .commit_offset_durably(&"readers".into(), &"orders".into(), queue_id, 5, done)
        })
        .unwrap();
    }
    assert_eq!(
        done(&rig, &reset(0)).unwrap_err().response_code(),
        code::CONSUMER_NOT_ONLINE
    );

    let member = |id| {
        let told = Arc::new(Told {
            id,
            resets: Mutex::default(),
        });
        let channel: Arc<dyn ClientChannel> = told.clone();
        let data = HeartbeatData {
            client_id: id.to_string(),
            version: 400,
            consumers: vec![ConsumerData {
                group: "readers".to_owned(),
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        rig.broker.heartbeat(&data, &channel);
        rig.pump();
        told
    };
    let members = [member(1), member(2)];
    // Not forward, unless it is forced.
    let careful = ResetRequest {
        force: false,
        ..reset(-1)
    };
    let offsets = done(&rig, &careful).unwrap();
    assert_eq!(offsets, [(0, 5), (1, 5), (2, 5), (3, 5)]);
    let forced = ResetRequest {
        as_list: true,
        ..reset(-1)
    };
    assert_eq!(done(&rig, &forced).unwrap()[0], (0, 10));
    for told in &members {
        let resets = told.resets.lock();
        assert_eq!((resets[0].0[0], resets[0].1), ((0, 5), false));
        assert_eq!((resets[1].0[0], resets[1].1), ((0, 10), true));
    }
    assert_eq!(committed(&rig), Some(5), "they do it themselves");
    let old = Arc::new(Told {
        id: 3,
        resets: Mutex::default(),
    });
    let channel: Arc<dyn ClientChannel> = old;
    rig.broker.heartbeat(&heartbeat("3", "readers", &[]), &channel);
    assert_eq!(
        done(&rig, &reset(0)).unwrap_err().response_code(),
        code::SYSTEM_ERROR
    );
}

/// A group's offset, and whether a reset waits.
type Place = (Option<i64>, bool);

/// Runs one step; whether its success was told.
fn told(rig: &Rig, start: impl FnOnce(Box<dyn FnOnce(bool) + Send>)) -> bool {
    let told = Arc::new(Mutex::new(false));
    let teller = told.clone();
    start(Box::new(move |success| *teller.lock() = success));
    rig.pump();
    *told.lock()
}

/// Sends, commits, resets and pulls until something is not told to have succeeded. The places where the group may be after that.
fn history(rig: &Rig) -> Vec<Place> {
    let mut places: Vec<Place> = vec![(None, false)];
    // What was told is so; what was not may be so.
    let step = |places: &mut Vec<Place>, success: bool, next: Place| {
        if success {
            places.clear();
        }
        places.push(next);
        success
    };
    let commit = |offset: i64| {
        told(rig, |tell| {
            let (group, topic) = ("readers".into(), "orders".into());
            rig.broker
                .commit_offset_durably(&group, &topic, 0, offset, |done| tell(done.is_ok()));
        })
    };
    for at in 0..4 {
        for body in 0..3 {
            if !told(rig, |tell| {
                rig.broker
                    .send(message("orders", &body.to_string()), |sent| tell(sent.is_ok()))
            }) {
                return places;
            }
        }
        // Makes the group.
        let _ = rig.broker.pull(&pull("orders", 0));
        if !told(rig, |tell| {
            rig.broker
                .send(message("orders", "made"), |sent| tell(sent.is_ok()))
        }) {
            return places;
        }
        let ahead = 4 * at + 3;
        if !step(&mut places, commit(ahead), (Some(ahead), false)) {
            return places;
        }
        let reset = told(rig, |tell| {
            rig.broker
                .reset_offsets(&to_offset(at), |done| tell(done.is_ok()));
        });
        if !step(&mut places, reset, (Some(at), true)) {
            return places;
        }
        // Ignored, so it needs no disk and says nothing of it.
        assert!(commit(ahead));
        assert!(rig.broker.pull(&pull("orders", ahead)).is_ok());
        rig.pump();
        places.push((Some(at), false));
        if rig.broker.reset_waits("readers", "orders", 0) {
            // That it was taken is not in the log, so the next pull is sent there again, and commits do not count until then.
            return places;
        }
        if !step(&mut places, commit(at + 1), (Some(at + 1), false)) {
            return places;
        }
        if at == 1 {
            // Fills a segment, so that a checkpoint is written in the midst of it.
            for _ in 0..2 {
                rig.broker.send(message("filler", &"x".repeat(40_000)), |_| {});
                rig.pump();
            }
        }
    }
    places
}

#[test]
fn a_crash_at_every_disk_operation_keeps_what_was_told() {
    let small = || Rig::with(|_, engine| engine.segment_size_bytes = 64 << 10);
    let quiet = small();
    let before = quiet.disk.operations();
    assert_eq!(history(&quiet), [(Some(4), false)]);
    let operations = quiet.disk.operations();
    assert!(operations > before + 20);
    for op in before..operations {
        let rig = small();
        rig.disk.crash_at(op, Tear::None);
        let places = history(&rig);
        let rig = rig.power_cut();
        let now = (committed(&rig), rig.broker.reset_waits("readers", "orders", 0));
        assert!(
            places.contains(&now),
            "crash at operation {op}: {now:?} is none of {places:?}"
        );
        // A pull is sent to a reset that waits, once.
        if now.1 {
            let got = rig.pull(&pull("orders", 1)).unwrap().empty();
            assert_eq!(got.status, PullStatus::OffsetReset);
            assert_eq!(i64::try_from(got.place.next_offset).ok(), now.0);
            rig.pump();
        }
        let rig = rig.power_cut();
        assert!(
            !rig.broker.reset_waits("readers", "orders", 0),
            "crash at operation {op}"
        );
        assert_eq!(committed(&rig), now.0, "crash at operation {op}");
    }
}
