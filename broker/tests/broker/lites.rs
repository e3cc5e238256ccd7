//! Lite topics: each in order, to who subscribes to it, until nobody sends to it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_broker::client::ClientChannel;
use kourou_broker::delivery::{AckOutcome, DeliveryError, PopError, PopRequest, PopStep, Popped, Reading};
use kourou_broker::group::GroupConfig;
use kourou_broker::lite::{LiteHold, LiteHoldGuard, LiteOffset, SyncAction, SyncError, SyncRequest};
use kourou_broker::offset::ResetRequest;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_broker::topic::TopicConfig;

use crate::deliveries::{Got, INVISIBLE_MS, bodies, gots, pop};
use crate::rig::{Channel, Rig, heartbeat, message, properties};

pub(crate) const PARENT: &str = "sessions";
const MINUTE_MS: i64 = 60_000;

pub(crate) fn parent(attributes: &[(&str, &str)]) -> TopicConfig {
    let mut topic = TopicConfig::new(PARENT, 2);
    for (name, value) in [("message.type", "LITE")].iter().chain(attributes) {
        topic.attributes.insert((*name).to_owned(), (*value).to_owned());
    }
    topic
}

pub(crate) fn bound(group: &str, attributes: &[(&str, &str)]) -> GroupConfig {
    let mut group = GroupConfig::new(group);
    for (name, value) in [("lite.bind.topic", PARENT)].iter().chain(attributes) {
        group.attributes.insert((*name).to_owned(), (*value).to_owned());
    }
    group
}

pub(crate) fn lite_message(lite_topic: &str, body: &str) -> SendRequest<'static> {
    SendRequest {
        properties: properties(&[("__LITE_TOPIC", lite_topic)]),
        ..message(PARENT, body)
    }
}

pub(crate) fn said(client_id: &str, action: SyncAction, lite_topics: &[&str]) -> SyncRequest {
    SyncRequest {
        group: "g".into(),
        topic: PARENT.into(),
        client_id: client_id.into(),
        action,
        lite_topics: lite_topics.iter().map(|name| (*name).to_owned()).collect(),
        offset: LiteOffset::Last,
    }
}

impl Rig {
    pub(crate) fn with_lites(self, topic: &[(&str, &str)], group: &[(&str, &str)]) -> Self {
        self.wait::<Result<_, _>>(|done| self.broker.put_topic(parent(topic), done))
            .unwrap();
        self.wait::<Result<_, _>>(|done| self.broker.put_group(&bound("g", group), done))
            .unwrap();
        self
    }

    pub(crate) fn try_put_lite(&self, lite_topic: &str, body: &str) -> Result<SendReceipt, SendError> {
        self.send(lite_message(lite_topic, body))
    }

    pub(crate) fn put_lite(&self, lite_topic: &str, body: &str) -> SendReceipt {
        self.try_put_lite(lite_topic, body).unwrap()
    }

    pub(crate) fn sync(&self, request: &SyncRequest) -> Result<(), SyncError> {
        self.wait(|done| self.broker.sync_lite(request, done))
    }

    pub(crate) fn subscribe(&self, client_id: &str, lite_topics: &[&str]) {
        self.sync(&said(client_id, SyncAction::Add, lite_topics)).unwrap();
    }

    pub(crate) fn try_receive(&self, request: &PopRequest, client_id: &str) -> Result<Vec<Got>, PopError> {
        loop {
            match self.broker.begin_lite_pop(request, client_id, Reading::Disk)? {
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

    pub(crate) fn receive(&self, client_id: &str) -> Vec<Got> {
        self.try_receive(&pop(PARENT), client_id).unwrap()
    }

    /// Receives, acknowledges, and says what it was.
    fn consume(&self, client_id: &str) -> Vec<String> {
        let gots = self.receive(client_id);
        for got in &gots {
            assert_eq!(self.ack(got), AckOutcome::Acked);
        }
        bodies(&gots).into_iter().map(str::to_owned).collect()
    }

    /// Whether there is nothing, and how often it is woken then.
    fn held(&self, client_id: &str) -> (LiteHoldGuard, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let wake = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let Ok(LiteHold::Held(guard)) = self.broker.hold_lite(&pop(PARENT), client_id, wake) else {
            panic!("not held")
        };
        assert!(self.receive(client_id).is_empty());
        (guard, woken)
    }

    /// Some time later, as the timekeeper has it.
    fn ticked_after(&self, ms: i64) {
        self.clock.advance(ms);
        self.broker.tick();
        self.pump();
    }
}

fn rung(woken: &(LiteHoldGuard, Arc<AtomicUsize>)) -> usize {
    woken.1.load(Ordering::Relaxed)
}

fn lites() -> Rig {
    Rig::new().with_lites(&[], &[])
}

#[test]
fn each_lite_topic_is_a_queue_of_its_own_and_its_messages_keep_their_order() {
    let rig = lites();
    rig.subscribe("c", &["a", "b"]);
    let places: Vec<(u32, u64)> = ["a", "b", "a", "other", "b", "a"]
        .iter()
        .zip(0..)
        .map(|(lite_topic, at)| {
            let receipt = rig.put_lite(lite_topic, &format!("{lite_topic}{at}"));
            (receipt.queue_id, receipt.queue_offset)
        })
        .collect();
    let (a, b) = (places[0].0, places[1].0);
    assert!(a != b && places[3].0 != a && places[3].0 != b);
    assert_eq!(places[2..], [(a, 1), (places[3].0, 0), (b, 1), (a, 2)]);
    assert_eq!(rig.broker.lite_queue(PARENT, "a"), Some(a));
    assert_eq!(
        bodies(&rig.receive("c")),
        ["a0", "a2", "a5", "b1", "b4"],
        "not what it does not subscribe to"
    );
    assert!(rig.receive("c").is_empty());
    assert!(rig.receive("stranger").is_empty());
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (3, 2)
    );
}

#[test]
fn one_batch_of_a_lite_topic_at_a_time_and_the_same_again_when_its_time_is_over() {
    let rig = lites();
    rig.subscribe("c", &["a"]);
    for body in ["0", "1", "2"] {
        rig.put_lite("a", body);
    }
    let two = PopRequest {
        messages_max: 2,
        ..pop(PARENT)
    };
    let first = rig.try_receive(&two, "c").unwrap();
    assert_eq!(bodies(&first), ["0", "1"]);
    assert!(rig.receive("c").is_empty(), "the third waits for the first two");
    rig.ack(&first[0]);
    assert!(rig.receive("c").is_empty());
    rig.after(INVISIBLE_MS);
    let again = rig.receive("c");
    assert_eq!((bodies(&again), again[0].times), (vec!["1"], 1));
    assert_eq!(rig.ack(&first[1]), AckOutcome::NotOut);
    rig.ack(&again[0]);
    let third = rig.receive("c");
    assert_eq!((bodies(&third), third[0].times), (vec!["2"], 0));
    // Not tried, it does not count.
    rig.wait::<Result<_, _>>(|done| rig.broker.suspend(&third[0].handle, 5, done))
        .unwrap();
    rig.after(5);
    let suspended = rig.receive("c");
    assert_eq!((bodies(&suspended), suspended[0].times), (vec!["2"], 0));
    rig.change(&suspended[0].handle, 5).unwrap();
    let rig = rig.power_cut();
    rig.after(5);
    let changed = rig.receive("c");
    assert_eq!((bodies(&changed), changed[0].times), (vec!["2"], 1));
    // Given up.
    rig.wait::<Result<_, _>>(|done| rig.broker.bury(&changed[0].handle, None, done))
        .unwrap();
    assert_eq!(rig.bodies("%DLQ%g"), ["2"]);
    rig.put_lite("a", "3");
    assert_eq!(rig.consume("c"), ["3"]);
}

#[test]
fn those_that_have_something_share_what_is_wanted_each_in_its_turn() {
    let rig = lites();
    let names: Vec<String> = (0..40).map(|at| format!("l{at}")).collect();
    rig.subscribe("c", &names.iter().map(String::as_str).collect::<Vec<_>>());
    for at in 0..100 {
        rig.put_lite("l0", &format!("loud {at}"));
    }
    for name in &names[1..] {
        rig.put_lite(name, name);
    }
    let first = rig.receive("c");
    assert_eq!(first.len(), 32);
    assert_eq!(first.iter().filter(|got| got.body.starts_with("loud")).count(), 1);
    for got in &first {
        rig.ack(got);
    }
    let second = rig.consume("c");
    // The rest, before the loud one comes again.
    assert_eq!(second[..8], names[32..]);
    assert!(second[8..].iter().all(|body| body.starts_with("loud")) && second.len() > 8);
    for _ in 0..2 {
        assert_eq!(rig.consume("c").len(), 32, "alone it has all that is wanted");
    }
}

#[test]
fn who_waits_is_woken_by_what_concerns_it_alone() {
    let rig = lites();
    rig.subscribe("c", &["a"]);
    rig.subscribe("d", &["b"]);
    let (c, d) = (rig.held("c"), rig.held("d"));
    assert_eq!(rig.broker.held_lite(), 2);
    rig.put_lite("other", "x");
    rig.put("orders", "x");
    assert_eq!((rung(&c), rung(&d)), (0, 0));
    rig.put_lite("a", "0");
    assert_eq!((rung(&c), rung(&d)), (1, 0));
    drop(c);
    let got = rig.receive("c").remove(0);
    rig.put_lite("a", "1");
    // What is out keeps the next from coming: it is woken when that ends, not before for long.
    let c = rig.held("c");
    rig.ack(&got);
    assert_eq!(rung(&c), 1);
    drop(c);
    let got = rig.receive("c").remove(0);
    let c = rig.held("c");
    rig.after(INVISIBLE_MS - 1);
    assert_eq!(rung(&c), 0);
    rig.after(1);
    assert_eq!(rung(&c), 1, "its time is over");
    drop(c);
    assert_eq!(rig.receive("c")[0].body, got.body);
    // A subscription wakes, too, if it brings something.
    rig.subscribe("d", &["nothing-yet"]);
    assert_eq!(rung(&d), 0);
    rig.subscribe("d", &["other"]);
    assert_eq!(rung(&d), 1);
    drop(d);
    assert_eq!(rig.broker.held_lite(), 0);
}

#[test]
fn of_two_who_share_a_lite_topic_one_is_woken_and_the_other_if_that_one_does_not_come() {
    let rig = lites();
    rig.subscribe("c", &["a"]);
    rig.subscribe("d", &["a"]);
    let (c, d) = (rig.held("c"), rig.held("d"));
    rig.put_lite("a", "0");
    assert_eq!(rung(&c) + rung(&d), 1);
    let woken = if rung(&c) == 1 { "c" } else { "d" };
    rig.broker.pass_on_lite(&pop(PARENT), woken);
    assert_eq!(rung(&c) + rung(&d), 2);
    // One that was taken and not handed out is there for the other.
    let PopStep::Taken(taken) = rig
        .broker
        .begin_lite_pop(&pop(PARENT), "c", Reading::Disk)
        .unwrap()
    else {
        panic!("there is one")
    };
    assert!(rig.receive("d").is_empty());
    drop(taken);
    assert_eq!(bodies(&rig.receive("d")), ["0"]);
    assert!(rig.receive("c").is_empty());
}

#[test]
fn two_groups_have_each_message_once_each() {
    let rig = lites();
    rig.wait::<Result<_, _>>(|done| rig.broker.put_group(&bound("h", &[]), done))
        .unwrap();
    rig.subscribe("c", &["a"]);
    let of_h = SyncRequest {
        group: "h".into(),
        ..said("c", SyncAction::Add, &["a"])
    };
    rig.sync(&of_h).unwrap();
    rig.put_lite("a", "0");
    assert_eq!(rig.consume("c"), ["0"]);
    let request = PopRequest {
        group: "h".into(),
        ..pop(PARENT)
    };
    assert_eq!(bodies(&rig.try_receive(&request, "c").unwrap()), ["0"]);
}

#[test]
fn all_that_a_client_says_replaces_what_it_said_before() {
    let rig = lites();
    for name in ["a", "b", "c"] {
        rig.put_lite(name, name);
    }
    rig.subscribe("x", &["a", "b"]);
    rig.sync(&said("x", SyncAction::All, &["b", "c"])).unwrap();
    let before = rig.broker.engine().watermark();
    rig.sync(&said("x", SyncAction::All, &["c", "b"])).unwrap();
    assert_eq!(
        rig.broker.engine().watermark(),
        before,
        "nothing changes, nothing is logged"
    );
    assert_eq!(rig.consume("x"), ["b", "c"]);
    rig.sync(&said("x", SyncAction::Remove, &["b", "never"])).unwrap();
    rig.put_lite("b", "b2");
    rig.put_lite("c", "c2");
    assert_eq!(rig.consume("x"), ["c2"]);
    rig.sync(&said("x", SyncAction::None, &[])).unwrap();
    rig.put_lite("c", "c3");
    assert!(rig.receive("x").is_empty());
    assert_eq!(rig.broker.lite_subscriptions(), 0);
    rig.subscribe("x", &["b"]);
    assert_eq!(rig.consume("x"), ["b2"], "the group goes on where it was");
}

#[test]
fn where_a_group_goes_on_may_be_said_with_a_subscription() {
    let rig = lites();
    let mut times = Vec::new();
    for at in 0..10 {
        times.push(rig.now_ms());
        rig.put_lite("a", &at.to_string());
        rig.clock.advance(10);
    }
    let from = |offset| {
        rig.sync(&SyncRequest {
            offset,
            ..said("c", SyncAction::Add, &["a"])
        })
        .unwrap();
        let gots = rig.receive("c");
        gots.first().map(|got| got.body.clone())
    };
    let some = |body: &str| Some(body.to_owned());
    assert_eq!(from(LiteOffset::Last), some("0"));
    assert_eq!(from(LiteOffset::Max), None);
    assert_eq!(from(LiteOffset::Min), some("0"), "what was out is no more");
    assert_eq!(from(LiteOffset::At(7)), some("7"));
    assert_eq!(from(LiteOffset::At(-7)), some("0"));
    assert_eq!(from(LiteOffset::At(99)), None);
    assert_eq!(from(LiteOffset::Tail(2)), some("8"));
    assert_eq!(from(LiteOffset::Tail(99)), some("0"));
    assert_eq!(from(LiteOffset::Time(times[4] - 3)), some("4"));
    let got = rig.receive("c");
    assert!(got.is_empty(), "it is out");
    // Of what is not there yet there is nothing to say.
    rig.sync(&SyncRequest {
        offset: LiteOffset::Max,
        ..said("c", SyncAction::Add, &["new"])
    })
    .unwrap();
    rig.put_lite("new", "first");
    assert_eq!(rig.consume("c"), ["first"]);
}

/// A client that is connected, and hears.
#[derive(Debug)]
struct Hearing {
    channel: Arc<Channel>,
    lost: parking_lot::Mutex<Vec<String>>,
}

impl ClientChannel for Hearing {
    fn id(&self) -> u64 {
        self.channel.id()
    }

    fn remote_addr(&self) -> std::net::SocketAddr {
        self.channel.remote_addr()
    }

    fn notify_consumer_ids_changed(&self, _group: &str) {}

    fn check_transaction(&self, _check: &kourou_broker::transaction::TransactionCheck<'_>) -> bool {
        false
    }

    fn unsubscribe_lite(&self, lite_topic: &str) -> bool {
        self.lost.lock().push(lite_topic.to_owned());
        true
    }
}

fn hearing(rig: &Rig, id: u64, client_id: &str) -> Arc<Hearing> {
    let hearing = Arc::new(Hearing {
        channel: Channel::new(id),
        lost: parking_lot::Mutex::default(),
    });
    let channel: Arc<dyn ClientChannel> = hearing.clone();
    rig.broker.heartbeat(&heartbeat(client_id, "g", &[]), &channel);
    rig.pump();
    hearing
}

fn lost(hearing: &Hearing) -> Vec<String> {
    std::mem::take(&mut hearing.lost.lock())
}

#[test]
fn where_a_lite_topic_is_one_clients_alone_the_last_one_has_it_and_the_other_is_told() {
    let rig = Rig::new().with_lites(&[], &[("lite.sub.model", "Exclusive")]);
    let (old, new) = (hearing(&rig, 1, "old"), hearing(&rig, 2, "new"));
    rig.subscribe("old", &["a", "b"]);
    rig.put_lite("a", "0");
    let got = rig.receive("old").remove(0);
    rig.subscribe("new", &["a"]);
    assert_eq!((lost(&old), lost(&new)), (vec!["a".to_owned()], vec![]));
    assert!(rig.receive("new").is_empty(), "what is out is the old one's");
    assert_eq!(rig.ack(&got), AckOutcome::Acked);
    rig.put_lite("a", "1");
    rig.put_lite("b", "2");
    assert_eq!(rig.consume("new"), ["1"]);
    assert_eq!(rig.consume("old"), ["2"]);
    // Who says all that it has gets back nothing, and is told again, in case that it has not heard.
    let before = rig.broker.engine().watermark();
    rig.sync(&said("old", SyncAction::All, &["a", "b"])).unwrap();
    assert_eq!((lost(&old), lost(&new)), (vec!["a".to_owned()], vec![]));
    assert_eq!(rig.broker.engine().watermark(), before);
    let rig = rig.power_cut();
    rig.put_lite("a", "3");
    assert!(rig.receive("old").is_empty());
    assert_eq!(rig.consume("new"), ["3"]);
    rig.sync(&said("new", SyncAction::None, &[])).unwrap();
    rig.sync(&said("old", SyncAction::All, &["a", "b"])).unwrap();
    rig.put_lite("a", "4");
    assert_eq!(rig.consume("old"), ["4"], "it is free again");
}

#[test]
fn who_takes_or_leaves_one_may_have_the_group_begin_again() {
    let attributes = [
        ("lite.sub.model", "Exclusive"),
        ("lite.sub.reset.offset.exclusive", "true"),
        ("lite.sub.reset.offset.unsubscribe", "true"),
    ];
    let rig = Rig::new().with_lites(&[], &attributes);
    rig.put_lite("a", "0");
    rig.put_lite("a", "1");
    rig.subscribe("old", &["a"]);
    assert_eq!(rig.consume("old"), ["0", "1"]);
    rig.subscribe("new", &["a"]);
    assert_eq!(rig.consume("new"), ["0", "1"]);
    rig.sync(&said("new", SyncAction::Remove, &["a"])).unwrap();
    rig.subscribe("new", &["a"]);
    let rig = rig.power_cut();
    assert_eq!(rig.consume("new"), ["0", "1"]);
    let rig = rig.power_cut();
    assert!(rig.receive("new").is_empty());
}

#[test]
fn there_are_bounds() {
    let rig = Rig::with(|options, _| {
        options.limits.lite_topics_max = 2;
        options.limits.lite_subscriptions_max = 3;
        options.limits.lite_holds_per_client_max = 1;
    })
    .with_lites(
        &[("lite.topic.expiration", "1")],
        &[("lite.sub.client.quota", "2")],
    );
    rig.put_lite("a", "x");
    rig.put_lite("b", "x");
    let full = rig.try_put_lite("c", "x").unwrap_err();
    assert!(
        matches!(full, SendError::TooManyLiteTopics { topics_max: 2 }),
        "{full}"
    );
    rig.put_lite("a", "those that are there take more");
    let over = rig
        .sync(&said("x", SyncAction::Add, &["a", "b", "c"]))
        .unwrap_err();
    assert!(matches!(over, SyncError::ClientQuota { quota: 2, .. }), "{over}");
    rig.subscribe("x", &["a", "b"]);
    for (action, names) in [(SyncAction::Add, ["c", "c"]), (SyncAction::All, ["a", "a"])] {
        let outcome = rig.sync(&said("x", action, &names));
        assert_eq!(outcome.is_err(), action == SyncAction::Add);
    }
    rig.subscribe("x", &["c"]);
    rig.subscribe("y", &["a"]);
    let full = rig.sync(&said("z", SyncAction::Add, &["a"])).unwrap_err();
    assert!(
        matches!(full, SyncError::TooMany { subscriptions_max: 3 }),
        "{full}"
    );
    let held = rig.broker.hold_lite(&pop(PARENT), "z", || {});
    assert!(matches!(held, Ok(LiteHold::Held(_))));
    let second = rig.broker.hold_lite(&pop(PARENT), "z", || {});
    assert!(matches!(second, Ok(LiteHold::Full)));
    drop(held);
    rig.ticked_after(MINUTE_MS + 10_000);
    rig.put_lite("c", "there is room again");
}

#[test]
fn what_cannot_be_is_refused() {
    let rig = lites();
    rig.wait::<Result<_, _>>(|done| rig.broker.put_group(&GroupConfig::new("unbound"), done))
        .unwrap();
    for bad in ["a b", "*", &"x".repeat(65), "\u{e9}"] {
        let refused = rig.try_put_lite(bad, "x").unwrap_err();
        assert!(matches!(refused, SendError::LiteName(_)), "{refused}");
        let refused = rig.sync(&said("c", SyncAction::Add, &["good", bad])).unwrap_err();
        assert!(matches!(refused, SyncError::Name { .. }), "{refused}");
    }
    let plain = rig.send(message(PARENT, "x")).unwrap_err();
    assert!(matches!(plain, SendError::Type(_)), "{plain}");
    rig.put("orders", "x");
    let of = |group: &str, topic: &str| {
        let request = SyncRequest {
            group: group.into(),
            topic: topic.into(),
            ..said("c", SyncAction::Add, &["a"])
        };
        let receive = PopRequest {
            group: group.into(),
            ..pop(topic)
        };
        (
            rig.sync(&request).unwrap_err().response_code(),
            rig.try_receive(&receive, "c").unwrap_err().response_code(),
            rig.broker
                .hold_lite(&receive, "c", || {})
                .unwrap_err()
                .response_code(),
        )
    };
    assert_eq!(of("g", "none"), (17, 17, 17));
    assert_eq!(of("g", "orders"), (29, 29, 29));
    assert_eq!(of("unbound", PARENT), (29, 29, 29));
    assert_eq!(rig.broker.lite_subscriptions(), 0);
}

#[test]
fn a_lite_topic_that_nobody_sends_to_is_gone_with_all_that_is_known_of_it() {
    let rig = Rig::new().with_lites(&[("lite.topic.expiration", "2")], &[]);
    rig.subscribe("c", &["a", "b"]);
    let a = rig.put_lite("a", "old");
    rig.put_lite("b", "b0");
    assert_eq!(rig.consume("c"), ["old", "b0"]);
    rig.put_lite("a", "older than that it is out");
    let out = rig.receive("c").remove(0);
    rig.ticked_after(MINUTE_MS);
    rig.sync(&said("c", SyncAction::All, &["a", "b"])).unwrap();
    rig.put_lite("b", "b1");
    rig.ticked_after(MINUTE_MS + 10_000);
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (1, 1)
    );
    assert_eq!(rig.broker.lite_queue(PARENT, "a"), None);
    assert!(matches!(
        rig.try_ack(&out.handle),
        Err(DeliveryError::OffsetOutside { .. }) | Ok(AckOutcome::NotOut)
    ));
    let rig = rig.power_cut();
    assert_eq!(rig.consume("c"), ["b1"]);
    // Its queue is another one's now, which knows nothing of it.
    let new = rig.put_lite("new", "new");
    assert_eq!((new.queue_id, new.queue_offset), (a.queue_id, 2));
    rig.subscribe("c", &["new", "a"]);
    rig.after(INVISIBLE_MS);
    let got = rig.receive("c");
    assert_eq!((bodies(&got), got[0].times), (vec!["new"], 0));
    let rig = rig.restart();
    rig.put_lite("a", "again");
    assert_eq!(rig.consume("c"), ["again"], "it begins anew");
}

#[test]
fn a_message_that_comes_before_its_end_keeps_a_lite_topic_alive() {
    for before in [true, false] {
        let rig = Rig::new().with_lites(&[("lite.topic.expiration", "1")], &[]);
        rig.put_lite("a", "0");
        rig.subscribe("c", &["a"]);
        assert_eq!(rig.consume("c"), ["0"]);
        rig.clock.advance(MINUTE_MS + 10_000);
        let send = || {
            rig.broker
                .send(lite_message("a", "1"), |sent| assert!(sent.is_ok()));
        };
        if before {
            send();
        }
        // Decided while nothing of either is in the log.
        rig.broker.tick();
        if !before {
            send();
        }
        rig.pump();
        assert_eq!(rig.broker.lite_topics(), 1, "{before}");
        assert_eq!(rig.broker.lite_subscriptions(), usize::from(before));
        let rig = rig.power_cut();
        assert_eq!(rig.broker.lite_subscriptions(), usize::from(before));
        rig.subscribe("c", &["a"]);
        assert_eq!(rig.consume("c"), ["1"], "{before}");
    }
}

#[test]
fn as_many_as_expire_are_gone_at_once() {
    let rig = Rig::new().with_lites(&[("lite.topic.expiration", "1")], &[]);
    for at in 0..2_500 {
        rig.put_lite(&format!("l{at}"), "x");
    }
    rig.subscribe("c", &["l0", "l2499", "new"]);
    rig.ticked_after(MINUTE_MS + 10_000);
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (0, 1)
    );
    let rig = rig.power_cut();
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (0, 1)
    );
    rig.put_lite("new", "x");
    assert_eq!(rig.consume("c"), ["x"]);
}

#[test]
fn what_finds_no_room_in_an_answer_is_in_the_next() {
    let rig = lites();
    rig.subscribe("c", &["a", "b", "c", "d"]);
    let large = "x".repeat(200 << 10);
    for name in ["a", "b", "c", "d"] {
        rig.put_lite(name, &large);
        rig.put_lite(name, name);
    }
    let mut answers = Vec::new();
    loop {
        let got = rig.receive("c");
        if got.is_empty() {
            break;
        }
        answers.push(got.len());
        for one in got {
            assert_eq!(rig.ack(&one), AckOutcome::Acked);
        }
    }
    assert_eq!(answers, [3, 3, 2]);
    // One that is large goes beyond what one answer has room for, and is the last.
}

#[test]
fn without_an_expiration_they_stay() {
    let rig = lites();
    rig.put_lite("a", "0");
    rig.ticked_after(1_000 * 24 * 60 * MINUTE_MS);
    assert_eq!(rig.broker.lite_topics(), 1);
}

#[test]
fn a_client_that_is_not_heard_any_more_subscribes_to_nothing() {
    let rig = lites();
    rig.subscribe("gone", &["a"]);
    rig.subscribe("there", &["a"]);
    rig.subscribe("said-so", &["a"]);
    rig.broker.leave_lite("g", "said-so");
    rig.pump();
    assert_eq!(rig.broker.lite_subscriptions(), 2);
    for _ in 0..4 {
        rig.ticked_after(40_000);
        rig.sync(&said("there", SyncAction::All, &["a"])).unwrap();
    }
    assert_eq!(rig.broker.lite_subscriptions(), 1);
    // After a restart nobody has been heard yet.
    rig.clock.advance(500_000);
    let rig = rig.power_cut();
    rig.ticked_after(100_000);
    assert_eq!(rig.broker.lite_subscriptions(), 1);
    rig.put_lite("a", "0");
    assert_eq!(bodies(&rig.receive("there")), ["0"]);
    rig.ticked_after(200_000);
    assert_eq!(rig.broker.lite_subscriptions(), 0);
}

#[test]
fn all_of_it_outlives_a_power_cut_and_a_restart() {
    let rig = lites();
    for name in ["a", "b", "c"] {
        rig.put_lite(name, &format!("{name}0"));
        rig.put_lite(name, &format!("{name}1"));
    }
    rig.subscribe("x", &["a"]);
    rig.subscribe("y", &["b", "c"]);
    let one = PopRequest {
        messages_max: 1,
        ..pop(PARENT)
    };
    let a0 = rig.try_receive(&one, "x").unwrap().remove(0);
    let mut rig = rig;
    for cut in [true, false] {
        rig = if cut { rig.power_cut() } else { rig.restart() };
        assert_eq!(
            (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
            (3, 3)
        );
        assert!(rig.receive("x").is_empty(), "a0 is out");
    }
    assert_eq!(rig.ack(&a0), AckOutcome::Acked);
    let rig = rig.restart().power_cut();
    assert_eq!(rig.consume("x"), ["a1"]);
    let mut of_y = rig.consume("y");
    of_y.sort();
    assert_eq!(of_y, ["b0", "b1", "c0", "c1"]);
    // Numbers go on where they were.
    let used: Vec<_> = ["a", "b", "c"]
        .map(|name| rig.broker.lite_queue(PARENT, name))
        .into();
    let new = rig.put_lite("d", "d0");
    assert!(!used.contains(&Some(new.queue_id)));
}

#[test]
fn what_goes_with_its_topic_or_group_is_gone() {
    let rig = lites();
    rig.put_lite("a", "old");
    rig.subscribe("c", &["a"]);
    assert_eq!(rig.consume("c"), ["old"]);
    rig.wait::<Result<_, _>>(|done| rig.broker.delete_topic(PARENT, done))
        .unwrap();
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (0, 0)
    );
    let rig = rig.power_cut().with_lites(&[], &[]);
    rig.put_lite("b", "new");
    rig.subscribe("c", &["a", "b"]);
    assert_eq!(rig.consume("c"), ["new"], "and nothing of what was there");
    rig.wait::<Result<_, _>>(|done| rig.broker.delete_group("g", true, done))
        .unwrap();
    assert_eq!(
        (rig.broker.lite_topics(), rig.broker.lite_subscriptions()),
        (1, 0)
    );
}

#[test]
fn administrators_reset_only_what_are_queues_of_the_topic() {
    let rig = lites();
    let queue_id = rig.put_lite("a", "0").queue_id;
    let reset = ResetRequest {
        group: "g".into(),
        topic: PARENT.into(),
        queue_id: Some(queue_id),
        offset: Some(0),
        timestamp_ms: -1,
        force: true,
        as_list: false,
    };
    let refused = rig.wait::<Result<_, _>>(|done| rig.broker.reset_offsets(&reset, done));
    assert!(refused.is_err());
}

#[test]
fn a_retried_send_to_a_lite_topic_is_stored_once() {
    let rig = lites();
    let request = || SendRequest {
        properties: properties(&[("__LITE_TOPIC", "a"), ("UNIQ_KEY", "0102")]),
        ..message(PARENT, "x")
    };
    let first = rig.send(request()).unwrap();
    let again = rig.send(request()).unwrap();
    assert_eq!((first.position, first.queue_id), (again.position, again.queue_id));
    assert_eq!(rig.broker.lite_topics(), 1);
    rig.subscribe("c", &["a"]);
    assert_eq!(rig.consume("c"), ["x"]);
}
