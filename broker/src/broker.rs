//! The broker: the engine, the state derived from it, and what is known of the clients.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kourou_engine::clock::Clock;
use kourou_engine::disk::Disk;
use kourou_engine::record::state;
use kourou_engine::{AppendError, CloseError, Engine, OpenError, Options};
use parking_lot::Mutex;

use crate::client::ClientRegistry;
use crate::flow::Flow;
use crate::ids::MessageIds;
use crate::lock::QueueLocks;
use crate::options::BrokerOptions;
use crate::property;
use crate::queue::QueueKey;
use crate::retention::Expiring;
use crate::scrub::Scrubbing;
use crate::state::{Change, State};
use crate::topic::{Creations, Listener};
use crate::trace::Traces;

/// One broker on one store. Everything it does is safe to call from many threads at once.
///
/// Callbacks named `done` run exactly once: on the engine's writer thread, or before the call returns if the request is
/// refused at once. They must be short and must not block.
pub struct Broker {
    pub(crate) options: BrokerOptions,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Arc<State>,
    pub(crate) clients: ClientRegistry,
    pub(crate) locks: QueueLocks,
    pub(crate) creations: Creations,
    pub(crate) ids: MessageIds,
    pub(crate) flow: Flow,
    /// If the broker traces.
    pub(crate) traces: Option<Arc<Traces>>,
    pub(crate) region: Arc<str>,
    /// The properties that every message gets, encoded once.
    pub(crate) stamp: Vec<u8>,
    /// Spreads messages over queues where the client leaves the choice.
    next_queue: AtomicU32,
    /// Tells apart who is popping a queue, and where each begins to look.
    pub(crate) next_pop: AtomicU64,
    /// Held by whoever delivers timers, so that they are appended in the order in which they are due.
    pub(crate) deliveries: Mutex<()>,
    /// Held by whoever delivers again what was not acknowledged.
    pub(crate) redeliveries: Mutex<()>,
    /// Held by whoever asks producers what became of their transactions.
    pub(crate) checks: Mutex<()>,
    pub(crate) expiring: Expiring,
    pub(crate) scrubbing: Scrubbing,
    ticks: Mutex<Ticks>,
}

/// When the periodic work is due.
#[derive(Debug)]
struct Ticks {
    flush_ms: i64,
    scan_ms: i64,
    trace_ms: i64,
    expiry_ms: i64,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name", &self.options.broker_name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the store and everything that is derived from it.
    ///
    /// # Errors
    /// Those of [`Engine::open`].
    pub fn open(
        options: BrokerOptions,
        engine_options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let state = Arc::new(State::new(&options));
        let engine = Engine::open(engine_options, disk, clock.clone(), state.clone())?;
        state.recent.go_live();
        state.lite.go_live(clock.now_ms());

        let mut stamp = Vec::new();
        property::push(&mut stamp, property::MSG_REGION, options.region.as_bytes());
        property::push(
            &mut stamp,
            property::TRACE_ON,
            options.trace_on.to_string().as_bytes(),
        );
        property::push(&mut stamp, property::CLUSTER, options.cluster_name.as_bytes());
        let now_ms = clock.now_ms();
        Ok(Arc::new(Self {
            clients: ClientRegistry::new(),
            locks: QueueLocks::default(),
            creations: Creations::default(),
            ids: MessageIds::new(options.message_id_seed),
            flow: Flow::new(&options),
            traces: options
                .traces
                .then(|| Arc::new(Traces::new(&options, clock.clone(), state.clone()))),
            region: options.region.as_str().into(),
            stamp,
            next_queue: AtomicU32::new(0),
            next_pop: AtomicU64::new(1),
            deliveries: Mutex::default(),
            redeliveries: Mutex::default(),
            checks: Mutex::default(),
            expiring: Expiring::default(),
            scrubbing: Scrubbing::default(),
            ticks: Mutex::new(Ticks {
                flush_ms: now_ms.saturating_add(options.offset_flush_interval_ms),
                scan_ms: now_ms.saturating_add(options.limits.client_scan_interval_ms),
                trace_ms: now_ms,
                // What was too old in the life before is so in this one.
                expiry_ms: now_ms,
            }),
            options,
            engine,
            clock,
            state,
        }))
    }

    /// Flushes offsets, then closes the engine: waits for what is pending and writes a checkpoint. A second call does nothing.
    ///
    /// # Errors
    /// Those of [`Engine::close`].
    pub fn close(&self) -> Result<(), CloseError> {
        self.flush_offsets();
        self.store_groups();
        self.write_last_traces();
        self.engine.close()
    }

    /// Names who hears of changes; only the first call counts.
    pub fn set_listener(&self, listener: Arc<dyn Listener>) {
        if let Some(due_ms) = self.state.deliveries.next_due_ms() {
            listener.timer_due(due_ms);
        }
        if self.state.listener.set(listener).is_ok()
            && let (Some(listener), Some(due_ms)) =
                (self.state.listener.get(), self.state.timers.next_due_ms())
        {
            listener.timer_due(due_ms);
        }
    }

    /// Does the periodic work that is due: flushes offsets, writes traces, forgets clients and locks that have expired, has old segments
    /// removed. Returns when it should be called next.
    pub fn tick(self: &Arc<Self>) -> i64 {
        let now_ms = self.clock.now_ms();
        let limits = &self.options.limits;
        let (flush, scan, next_ms) = {
            let mut ticks = self.ticks.lock();
            let flush = take_due(&mut ticks.flush_ms, now_ms, self.options.offset_flush_interval_ms);
            let scan = take_due(&mut ticks.scan_ms, now_ms, limits.client_scan_interval_ms);
            (flush, scan, ticks.flush_ms.min(ticks.scan_ms))
        };
        if flush {
            self.flush_offsets();
            self.store_groups();
        }
        if scan {
            self.expire_clients(now_ms);
            self.expire_lite(now_ms);
            self.locks.expire(self.clock.elapsed_ms(), limits.lock_lease_ms);
            self.flow.sweep(self.clock.elapsed_ms());
        }
        let next_ms = self
            .tick_expiry(now_ms)
            .map_or(next_ms, |at_ms| next_ms.min(at_ms));
        let next_ms = self
            .tick_scrub()
            .map_or(next_ms, |in_ms| next_ms.min(now_ms.saturating_add(in_ms)));
        match self.tick_traces(now_ms) {
            Some(trace_ms) => next_ms.min(trace_ms),
            None => next_ms,
        }
    }

    /// Has old segments removed. When to look again; `None` if everything is kept.
    fn tick_expiry(self: &Arc<Self>, now_ms: i64) -> Option<i64> {
        let interval_ms = self.expiry_interval_ms()?;
        let (due, at_ms) = {
            let mut ticks = self.ticks.lock();
            let due = take_due(&mut ticks.expiry_ms, now_ms, interval_ms);
            (due, ticks.expiry_ms)
        };
        if due {
            self.expire(now_ms);
        }
        Some(at_ms)
    }

    /// Something was to go and is needed, or more is to go: it is looked again soon.
    pub(crate) fn look_again(&self, now_ms: i64) {
        let at_ms = now_ms.saturating_add(self.options.limits.expiry_again_ms);
        self.ticks.lock().expiry_ms = at_ms;
        if let Some(listener) = self.state.listener.get() {
            listener.timer_due(at_ms);
        }
    }

    /// Writes traces. When more will have come together; `None` if there are none.
    fn tick_traces(&self, now_ms: i64) -> Option<i64> {
        let traces = self.traces.as_ref()?;
        let mut ticks = self.ticks.lock();
        let due = take_due(&mut ticks.trace_ms, now_ms, self.options.limits.trace_interval_ms);
        if (due || traces.has_much()) && self.write_traces() {
            // What is on its way will have arrived.
            ticks.trace_ms = now_ms.saturating_add(1);
        }
        Some(ticks.trace_ms)
    }

    /// The options it was opened with.
    pub fn options(&self) -> &BrokerOptions {
        &self.options
    }

    /// The address that clients reach it at.
    pub fn store_host(&self) -> SocketAddr {
        self.options.store_host
    }

    /// The engine under it, for health and figures.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Takes or renews the locks of `queues` for one consumer of a group; says for each whether the consumer has it now. A
    /// queue that does not exist is never locked, and neither is any for a group that may not be.
    pub fn lock_queues(&self, group: &str, client_id: &str, queues: &[QueueKey<'_>]) -> Vec<bool> {
        if self.group_in_use(group).is_none() {
            return vec![false; queues.len()];
        }
        let exists = |queue: &QueueKey<'_>| {
            self.state
                .topics
                .get(queue.topic)
                .is_some_and(|config| queue.queue_id < config.read_queues)
        };
        let existing: Vec<bool> = queues.iter().map(exists).collect();
        let lockable = queues
            .iter()
            .zip(&existing)
            .filter(|(_, exists)| **exists)
            .map(|(queue, _)| *queue);
        let lease_ms = self.options.limits.lock_lease_ms;
        let mut locked = self
            .locks
            .lock(group, client_id, lockable, self.clock.elapsed_ms(), lease_ms)
            .into_iter();
        existing
            .into_iter()
            .map(|exists| exists && locked.next() == Some(true))
            .collect()
    }

    /// Gives up the locks of `queues` that a consumer holds.
    pub fn unlock_queues(&self, group: &str, client_id: &str, queues: &[QueueKey<'_>]) {
        self.locks.unlock(group, client_id, queues.iter().copied());
    }

    /// Appends a change of state.
    pub(crate) fn append_change(
        &self,
        change: &Change<'_>,
        done: impl FnOnce(Result<(), AppendError>) + Send + 'static,
    ) {
        let (kind, payload) = change.encode();
        self.append_state(kind, &payload, done);
    }

    pub(crate) fn append_state(
        &self,
        kind: u16,
        payload: &[u8],
        done: impl FnOnce(Result<(), AppendError>) + Send + 'static,
    ) {
        let record = state(kind, payload, self.clock.now_ms());
        self.engine.append(record, |appended| done(appended.map(|_| ())));
    }

    /// A queue, where the client leaves the choice.
    pub(crate) fn choose_queue(&self, queues: u32) -> u32 {
        self.next_queue.fetch_add(1, Ordering::Relaxed) % queues.max(1)
    }

    pub(crate) fn topic_stored(&self, topic: &str) {
        if let Some(listener) = self.state.listener.get()
            && let Some(config) = self.state.topics.get(topic)
        {
            listener.topic_stored(&config);
        }
        self.topics_changed();
    }

    pub(crate) fn topics_changed(&self) {
        if let Some(listener) = self.state.listener.get() {
            listener.topics_changed();
        }
    }
}

/// Whether something periodic is due, and sets when it is due next. A clock that was set back does not delay it by more than
/// one interval.
fn take_due(at_ms: &mut i64, now_ms: i64, interval_ms: i64) -> bool {
    let due = now_ms >= *at_ms;
    let next_ms = now_ms.saturating_add(interval_ms);
    if due || *at_ms > next_ms {
        *at_ms = next_ms;
    }
    due
}
