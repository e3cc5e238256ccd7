//! What the simulation found, each by itself.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::delivery::{Handle, PopRequest, PopStart, PopStep, Popped, Reading};
use kourou_broker::receive::InlineSubscription;
use kourou_broker::send::SendRequest;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions, QueueKey};
use kourou_engine::disk::sim::{Harm, Op, SimDisk, Survivors};
use kourou_engine::record::RecordView;
use kourou_engine::{OpenError, Options, Threads};
use kourou_simulation::clock::SimClock;
use parking_lot::Mutex;

/// As an engine has it by itself.
const SEGMENT_SIZE_BYTES: u64 = 256 << 20;

/// Opens the store on a disk, with segments of this size.
fn open(disk: &SimDisk, clock: &Arc<SimClock>, segment_size_bytes: u64) -> Result<Arc<Broker>, OpenError> {
    let mut options = Options::new("/store");
    options.threads = Threads::Manual;
    options.segment_size_bytes = segment_size_bytes;
    let host = "10.0.0.1:10911".parse().unwrap();
    Broker::open(
        BrokerOptions::new(host),
        options,
        Arc::new(disk.clone()),
        clock.clone(),
    )
}

fn broker() -> (Arc<Broker>, Arc<SimClock>) {
    let clock = Arc::new(SimClock::default());
    let broker = open(&SimDisk::new(), &clock, SEGMENT_SIZE_BYTES).unwrap();
    broker.put_topic(TopicConfig::new("orders", 1), |made| made.unwrap());
    broker.engine().pump();
    (broker, clock)
}

/// Sends a message, and sees it stored.
fn send(broker: &Arc<Broker>, topic: &'static str, body: &[u8]) {
    broker.send(request(topic, body), |sent| drop(sent.unwrap()));
    broker.engine().pump();
}

/// What the callback was told.
fn wait<T: Send + 'static>(broker: &Arc<Broker>, start: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let told = Arc::new(Mutex::new(None));
    let teller = told.clone();
    start(Box::new(move |outcome| *teller.lock() = Some(outcome)));
    broker.engine().pump();
    let told = told.lock().take();
    told.unwrap()
}

fn pop_in_order(broker: &Arc<Broker>, attempt_id: &str) -> Vec<Handle> {
    let pop = PopRequest {
        group: "g".into(),
        topic: "orders".into(),
        queue_id: 0,
        messages_max: 32,
        invisible_ms: 1_000,
        start: PopStart::Min,
        subscription: InlineSubscription::default(),
        ordered: true,
        attempt_id: attempt_id.into(),
    };
    let PopStep::Taken(taken) = broker.begin_pop(&pop, Reading::Disk).unwrap() else {
        return Vec::new();
    };
    let popped: Popped = wait(broker, |done: Box<dyn FnOnce(Result<_, _>) + Send>| {
        taken.store(done)
    })
    .unwrap();
    popped.handles(&"g".into()).collect()
}

#[test]
fn a_clock_that_is_set_forward_gives_no_second_consumer_the_queue() {
    let (broker, clock) = broker();
    let queue = [QueueKey {
        topic: "orders",
        queue_id: 0,
    }];
    assert_eq!(broker.lock_queues("g", "one", &queue), [true]);
    clock.set_by(3_600_000);
    assert_eq!(broker.lock_queues("g", "other", &queue), [false]);
    clock.set_by(-7_200_000);
    assert_eq!(broker.lock_queues("g", "other", &queue), [false]);
    clock.pass_to(60_001);
    assert_eq!(
        broker.lock_queues("g", "other", &queue),
        [true],
        "its lease is over"
    );
}

#[test]
fn acknowledgements_in_order_that_came_too_late_are_not_counted() {
    let (broker, clock) = broker();
    for body in ["a", "b"] {
        send(&broker, "orders", body.as_bytes());
    }
    let first = pop_in_order(&broker, "one");
    assert_eq!(first.len(), 2);
    clock.pass_to(1_001);
    let second = pop_in_order(&broker, "other");
    assert_eq!(second.len(), 2, "the time of the first is over");
    let acked: Result<usize, _> = wait(&broker, |done: Box<dyn FnOnce(Result<_, _>) + Send>| {
        broker.ack_all(&first, done);
    });
    assert_eq!(acked.unwrap(), 0, "they are somebody else's now");
    let acked: Result<usize, _> = wait(&broker, |done: Box<dyn FnOnce(Result<_, _>) + Send>| {
        broker.ack_all(&second, done);
    });
    assert_eq!(acked.unwrap(), 2);
}

#[test]
fn syncs_that_fail_while_the_store_is_opened_cost_no_checkpoint() {
    const SMALL_SEGMENT_SIZE_BYTES: u64 = 64 << 10;
    let clock = Arc::new(SimClock::default());
    let open = |disk: &SimDisk| open(disk, &clock, SMALL_SEGMENT_SIZE_BYTES);
    let mut disk = SimDisk::new();
    let broker = open(&disk).unwrap();
    for _ in 0..400 {
        send(&broker, "filler", &[b'x'; 1_000]);
    }
    broker.close().unwrap();
    drop(broker);
    // Each start's sync fails once, and the next one would succeed with nothing to do.
    for _ in 0..2 {
        disk = disk.after_kill();
        let is_of_checkpoint =
            |op: &Op| matches!(op, Op::Sync { path } if path.to_string_lossy().contains("checkpoint"));
        disk.harm_next(0, is_of_checkpoint, Harm::Drop);
        assert!(open(&disk).is_err());
    }
    disk = disk.after_kill();
    let broker = open(&disk).unwrap();
    let replayed_bytes = broker.engine().recovery().replayed_bytes;
    assert!(
        replayed_bytes <= 2 * SMALL_SEGMENT_SIZE_BYTES,
        "{replayed_bytes} bytes were read again"
    );
    drop(broker);
    let broker = open(&disk.after_power_cut(Survivors::None)).unwrap();
    assert_eq!(broker.max_offset("filler", 0), 400);
}

#[test]
fn a_write_that_fails_during_the_close_makes_it_no_clean_one() {
    let clock = Arc::new(SimClock::default());
    let open = |disk: &SimDisk| open(disk, &clock, SEGMENT_SIZE_BYTES).unwrap();
    let disk = SimDisk::new();
    let broker = open(&disk);
    send(&broker, "orders", b"kept");
    // It waits for the close, whose write fails.
    let refused = Arc::new(Mutex::new(false));
    let teller = refused.clone();
    broker.send(request("orders", b"refused"), move |sent| {
        *teller.lock() = sent.is_err()
    });
    disk.harm_next(0, |op| matches!(op, Op::Group { .. }), Harm::Drop);
    assert!(broker.close().is_err());
    assert!(*refused.lock());
    drop(broker);
    // Nothing lies behind a hole, then.
    let disk = disk.after_kill();
    let broker = open(&disk);
    send(&broker, "orders", b"later");
    let end = broker.max_offset("orders", 0);
    drop(broker);
    let broker = open(&disk.after_power_cut(Survivors::None));
    assert_eq!(broker.max_offset("orders", 0), end);
    assert!(broker.engine().recovery().replayed_records > 0);
}

#[test]
fn a_message_of_a_batch_that_is_given_up_is_the_only_one_among_the_dead_letters() {
    let (broker, _clock) = broker();
    let mut config = TopicConfig::new("whole", 1);
    config
        .attributes
        .insert("queue.type".to_owned(), "BatchCQ".to_owned());
    wait::<Result<_, _>>(&broker, |done| broker.put_topic(config, done)).unwrap();
    let mut body = Vec::new();
    for number in 0..3_u8 {
        // Sizes, magic, checksum and flag; the body of one byte; no properties.
        body.extend_from_slice(&[
            0,
            0,
            0,
            23,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            1,
            b'0' + number,
            0,
            0,
        ]);
    }
    let batch = SendRequest {
        is_batch: true,
        properties: b"UNIQ_KEY\x01batch\x02".as_slice().into(),
        body: body.into(),
        ..request("whole", b"")
    };
    wait::<Result<_, _>>(&broker, |done| broker.send(batch, done)).unwrap();
    let pop = PopRequest {
        group: "g".into(),
        topic: "whole".into(),
        queue_id: 0,
        messages_max: 32,
        invisible_ms: 1_000,
        start: PopStart::Min,
        subscription: InlineSubscription::default(),
        ordered: false,
        attempt_id: "".into(),
    };
    let PopStep::Taken(taken) = broker.begin_pop(&pop, Reading::Disk).unwrap() else {
        panic!("there are three")
    };
    let popped: Popped = wait::<Result<_, _>>(&broker, |done| taken.store(done)).unwrap();
    let second = Handle {
        group: "g".into(),
        topic: "whole".into(),
        queue_id: 0,
        offset: popped.queues[0].messages[1].offset as i64,
        pop_ms: popped.pop_ms,
        invisible_ms: popped.invisible_ms,
        ordered: false,
    };
    // Once to make the topic of the dead letters.
    let buried = Arc::new(Mutex::new(None));
    let teller = buried.clone();
    broker.bury(&second, None, move |outcome| *teller.lock() = Some(outcome));
    while broker.engine().in_flight_bytes() > 0 {
        broker.engine().pump();
    }
    buried.lock().take().unwrap().unwrap();
    assert_eq!(broker.max_offset("%DLQ%g", 0), 1);
    let mut entries = Vec::new();
    broker.engine().entries("%DLQ%g", 0, 0, 8, &mut entries);
    let dead = broker
        .engine()
        .read(entries[0].position, entries[0].size_bytes)
        .unwrap();
    let dead = RecordView::parse(&dead).unwrap();
    assert!(!dead.is_batch());
    assert_eq!(dead.body(), b"1");
}

fn request(topic: &'static str, body: &[u8]) -> SendRequest<'static> {
    SendRequest {
        producer_group: "producers".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queues: 1,
        queue_id: 0,
        sys_flag: 0,
        born_ms: 0,
        born_host: "10.0.0.2:1".parse().unwrap(),
        flag: 0,
        properties: Default::default(),
        reconsume_times: 0,
        unit_mode: false,
        reconsume_times_max: None,
        is_batch: false,
        body: Bytes::copy_from_slice(body),
    }
}
