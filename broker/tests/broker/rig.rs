//! A broker to try things on.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::client::{ClientChannel, ConsumerData, HeartbeatData, SubscriptionData};
use kourou_broker::receive::{
    ColdPull, Empty, InlineSubscription, PullError, PullOutcome, PullRequest, Pulled,
};
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_broker::send_back::{SendBackError, SendBackRequest};
use kourou_broker::transaction::TransactionCheck;
use kourou_broker::{Broker, BrokerOptions, Text};
use kourou_engine::clock::{Clock, ManualClock};
use kourou_engine::disk::sim::{SimDisk, Survivors};
use kourou_engine::record::{RecordView, tags_code};
use kourou_engine::{Options, Threads};
use parking_lot::Mutex;

/// The time at which every test begins.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

pub(crate) fn store_host() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 10911))
}

pub(crate) fn producer_host() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 50_000))
}

/// A broker, its disk and its clock.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) broker: Arc<Broker>,
    options: BrokerOptions,
    engine_options: Options,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerOptions, &mut Options)) -> Self {
        let mut options = BrokerOptions::new(store_host());
        let mut engine_options = Options::new(Path::new("/store"));
        engine_options.threads = Threads::Manual;
        // The clock is moved while nobody works.
        options.commit_latency_max_ms = i64::MAX;
        change(&mut options, &mut engine_options);
        Self::open(
            SimDisk::new(),
            Arc::new(ManualClock::new(START_MS)),
            options,
            engine_options,
        )
    }

    fn open(disk: SimDisk, clock: Arc<ManualClock>, options: BrokerOptions, engine_options: Options) -> Self {
        let (shared_disk, shared_clock) = (Arc::new(disk.clone()), clock.clone());
        let broker =
            Broker::open(options.clone(), engine_options.clone(), shared_disk, shared_clock).unwrap();
        Self {
            disk,
            clock,
            broker,
            options,
            engine_options,
        }
    }

    /// Loses power: what was not durable is gone. Comes back on the same clock.
    pub(crate) fn power_cut(self) -> Self {
        let disk = self.disk.after_power_cut(Survivors::None);
        Self::open(disk, self.clock, self.options, self.engine_options)
    }

    /// The broker that comes back on what a power cut left of another's disk.
    pub(crate) fn on_disk_after_power_cut(self, disk: &SimDisk) -> Self {
        let disk = disk.after_power_cut(Survivors::None);
        Self::open(disk, self.clock, self.options, self.engine_options)
    }

    /// Stops in good order and starts again; `None` if the disk fails meanwhile.
    pub(crate) fn restart_if_possible(self) -> Option<Self> {
        self.broker.close().ok()?;
        let Self {
            disk,
            clock,
            broker,
            options,
            engine_options,
        } = self;
        drop(broker);
        let (shared_disk, shared_clock) = (Arc::new(disk.clone()), clock.clone());
        let broker = Broker::open(options.clone(), engine_options.clone(), shared_disk, shared_clock).ok()?;
        Some(Self {
            disk,
            clock,
            broker,
            options,
            engine_options,
        })
    }

    /// Stops in good order and starts again.
    pub(crate) fn restart(self) -> Self {
        self.broker.close().unwrap();
        let Self {
            disk,
            clock,
            broker,
            options,
            engine_options,
        } = self;
        drop(broker);
        Self::open(disk, clock, options, engine_options)
    }

    pub(crate) fn pump(&self) {
        self.broker.engine().pump();
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Starts something with a callback, lets the engine work, and returns what the callback was told.
    pub(crate) fn wait<T: Send + 'static>(&self, start: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = told.clone();
        start(Box::new(move |result| teller.lock().push(result)));
        self.pump();
        let mut told = told.lock();
        assert_eq!(told.len(), 1, "told once");
        told.remove(0)
    }

    pub(crate) fn send(&self, request: SendRequest<'_>) -> Result<SendReceipt, SendError> {
        self.wait(|done| self.broker.send(request, done))
    }

    /// Sends a body to queue 0 of a topic.
    pub(crate) fn put(&self, topic: &str, body: &str) -> SendReceipt {
        self.send(message(topic, body)).unwrap()
    }

    pub(crate) fn put_tagged(&self, topic: &str, body: &str, tag: &str) -> SendReceipt {
        self.send(SendRequest {
            properties: properties(&[("TAGS", tag)]),
            ..message(topic, body)
        })
        .unwrap()
    }

    pub(crate) fn send_back(&self, request: SendBackRequest) -> Result<(), SendBackError> {
        self.wait(|done| self.broker.send_back(request, done))
    }

    pub(crate) fn pull(&self, request: &PullRequest) -> Result<Got, PullError> {
        Ok(match self.broker.pull(request)? {
            PullOutcome::Found(pulled) => Got::Found(pulled),
            PullOutcome::Empty(empty) => Got::Empty(empty),
            PullOutcome::Cold(cold) => Got::Cold(cold),
        })
    }

    /// The bodies that a group without heartbeats finds in queue 0 of a topic.
    pub(crate) fn bodies(&self, topic: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        let mut request = pull(topic, 0);
        loop {
            match self.pull(&request) {
                Ok(Got::Found(pulled)) => {
                    bodies.extend(views(&pulled).iter().map(|view| text(view.body())));
                    request.offset = pulled.place.next_offset as i64;
                }
                Ok(Got::Cold(cold)) => {
                    let PullOutcome::Found(pulled) = cold.load().unwrap() else {
                        panic!("cold and not found")
                    };
                    bodies.extend(views(&pulled).iter().map(|view| text(view.body())));
                    request.offset = pulled.place.next_offset as i64;
                }
                Ok(Got::Empty(_)) => return bodies,
                Err(_) if self.broker.topic(topic).is_none() => return bodies,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Runs the timers up to now.
    pub(crate) fn deliver(&self) {
        while self
            .broker
            .next_timer_ms()
            .is_some_and(|due_ms| due_ms <= self.now_ms())
        {
            self.broker.deliver_due();
            self.pump();
        }
    }
}

/// What a pull came to.
#[derive(Debug)]
pub(crate) enum Got {
    Found(Pulled),
    Empty(Empty),
    Cold(ColdPull),
}

impl Got {
    pub(crate) fn found(self) -> Pulled {
        match self {
            Self::Found(pulled) => pulled,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn empty(self) -> Empty {
        match self {
            Self::Empty(empty) => empty,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn views(pulled: &Pulled) -> Vec<RecordView<'_>> {
    pulled
        .records
        .iter()
        .map(|record| RecordView::parse(record).unwrap())
        .collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Cow<'static, [u8]> {
    let text: String = pairs
        .iter()
        .map(|(name, value)| format!("{name}\x01{value}\x02"))
        .collect();
    Cow::Owned(text.into_bytes())
}

pub(crate) fn message(topic: &str, body: &str) -> SendRequest<'static> {
    SendRequest {
        producer_group: "producers".into(),
        topic: topic.to_owned().into(),
        default_topic: "TBW102".into(),
        default_topic_queues: 4,
        queue_id: 0,
        sys_flag: 0,
        born_ms: START_MS - 5,
        born_host: producer_host(),
        flag: 7,
        properties: Cow::Borrowed(&[]),
        reconsume_times: 0,
        unit_mode: false,
        reconsume_times_max: None,
        is_batch: false,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A pull of queue 0 that brings its own subscription to everything.
pub(crate) fn pull(topic: &str, offset: i64) -> PullRequest {
    PullRequest {
        group: "readers".into(),
        topic: topic.into(),
        queue_id: 0,
        offset,
        messages_max: 32,
        commit_offset: None,
        subscription: Some(InlineSubscription::default()),
        sub_version: 0,
    }
}

pub(crate) fn pull_tagged(topic: &str, offset: i64, expression: &str) -> PullRequest {
    let subscription = InlineSubscription {
        expression: expression.into(),
        expression_type: Text::new(),
    };
    PullRequest {
        subscription: Some(subscription),
        ..pull(topic, offset)
    }
}

pub(crate) fn send_back(group: &str, position: u64) -> SendBackRequest {
    SendBackRequest {
        group: group.into(),
        position: position as i64,
        delay_level: 0,
        reconsume_times_max: None,
        unit_mode: false,
    }
}

pub(crate) fn subscription(topic: &str, tags: &[&str], version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        expression: if tags.is_empty() {
            "*".to_owned()
        } else {
            tags.join("||")
        },
        expression_type: "TAG".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        codes: tags.iter().map(|tag| tags_code(tag) as i32).collect(),
        class_filter_mode: false,
        version,
    }
}

pub(crate) fn heartbeat(client_id: &str, group: &str, subscriptions: &[SubscriptionData]) -> HeartbeatData {
    HeartbeatData {
        client_id: client_id.to_owned(),
        consumers: vec![ConsumerData {
            group: group.to_owned(),
            subscriptions: subscriptions.to_vec(),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    }
}

/// A connection that remembers what it was told.
#[derive(Debug)]
pub(crate) struct Channel {
    id: u64,
    pub(crate) notified: Mutex<Vec<String>>,
    /// Positions of the transactions that it was asked for, and the messages.
    pub(crate) asked: Mutex<Vec<(u64, Bytes)>>,
    /// Whether it takes questions.
    pub(crate) deaf: Mutex<bool>,
    pub(crate) closed: Mutex<bool>,
}

impl Channel {
    pub(crate) fn new(id: u64) -> Arc<Self> {
        Arc::new(Self {
            id,
            notified: Mutex::default(),
            asked: Mutex::default(),
            deaf: Mutex::default(),
            closed: Mutex::default(),
        })
    }

    /// What it was told since the last call.
    pub(crate) fn take_notified(&self) -> Vec<String> {
        std::mem::take(&mut self.notified.lock())
    }
}

impl ClientChannel for Channel {
    fn id(&self) -> u64 {
        self.id
    }

    fn remote_addr(&self) -> SocketAddr {
        producer_host()
    }

    fn notify_consumer_ids_changed(&self, group: &str) {
        self.notified.lock().push(group.to_owned());
    }

    fn check_transaction(&self, check: &TransactionCheck<'_>) -> bool {
        if *self.deaf.lock() {
            return false;
        }
        self.asked.lock().push((check.position, check.message.clone()));
        true
    }

    fn close(&self) {
        *self.closed.lock() = true;
    }
}

impl Rig {
    pub(crate) fn beat(&self, channel: &Arc<Channel>, data: &HeartbeatData) -> bool {
        let channel: Arc<dyn ClientChannel> = channel.clone();
        let receipt = self.broker.heartbeat(data, &channel);
        self.pump();
        receipt.subscriptions_changed
    }
}
