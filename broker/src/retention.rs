//! Retention: old segments go, and what they hold that is still pending stays.
//!
//! ```text
//!   tick --> engine: is a segment too old, too much, in the way? --> what of it is pending is asked here, on the engine's thread
//!                                                                      timers           appended anew, due when they were
//!     <-- nothing of it is: it goes                                    half messages    appended anew; too old: given up
//!     <-- some of it is: it stays, and is asked for again soon         deliveries out   waited for a while, then delivered again
//! ```
//!
//! Whatever is pending is moved by one append that names what it takes the place of, so a crash leaves it once. Only so much is
//! appended at a time. What nobody waits for but a consumer that has not come yet expires: that is what retention means.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use kourou_engine::limits::{SEGMENTS_EXPIRED_AT_ONCE_MAX, STATE_RESERVE_BYTES};
use kourou_engine::record::EncodedRecords;
use kourou_engine::{AppendError, Appended, ExpireError, Expired, Expiry, Going, Health, Retention, Why};
use parking_lot::Mutex;

use crate::broker::Broker;

/// On a full disk, what is pending in a segment is appended anew only if it is no more than this: half of what is kept for state.
const RESERVE_SIZE_BYTES_MAX: u64 = STATE_RESERVE_BYTES / 2;

/// What expired in this life of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExpiryCounts {
    /// Segments that went.
    pub segments: u64,
    /// How long they were.
    pub size_bytes: u64,
    /// Timers, half messages and deliveries that were appended anew because their records were about to expire.
    pub carried: u64,
}

/// What there is to know between two looks.
#[derive(Debug, Default)]
pub(crate) struct Expiring {
    is_running: AtomicBool,
    hold: Mutex<Hold>,
    segments: AtomicU64,
    size_bytes: AtomicU64,
    carried: AtomicU64,
}

/// How long the oldest segment has been needed beyond its time.
#[derive(Debug, Default)]
struct Hold {
    first_position: u64,
    since_ms: Option<i64>,
}

/// What may be appended anew in one go, and why.
#[derive(Debug)]
pub(crate) struct Carry {
    pub(crate) going: Going,
    /// Whether the segment may wait for what ends by itself, or gets well.
    pub(crate) is_patient: bool,
    now_ms: i64,
    age_ms_max: Option<i64>,
    messages_left: usize,
    size_bytes_left: u64,
    reserve_left: u64,
    carried: u64,
}

impl Carry {
    pub(crate) fn is_spent(&self) -> bool {
        self.messages_left == 0 || self.size_bytes_left == 0
    }

    pub(crate) fn left_messages(&self) -> usize {
        self.messages_left
    }

    pub(crate) fn spend(&mut self, messages: usize, size_bytes: u64) {
        self.messages_left = self.messages_left.saturating_sub(messages);
        self.size_bytes_left = self.size_bytes_left.saturating_sub(size_bytes);
        self.carried += messages as u64;
    }

    /// Whether all of these may be appended anew: on a full disk only if they are little, or nothing would be left for state.
    pub(crate) fn may_use_reserve(&mut self, sizes: impl ExactSizeIterator<Item = u32>) -> bool {
        if !self.going.is_full {
            return true;
        }
        // As many as were asked for may not be all there are.
        let are_all = sizes.len() < self.messages_left;
        let size_bytes = sizes.map(u64::from).sum();
        let left = self.reserve_left.checked_sub(size_bytes).filter(|_| are_all);
        self.reserve_left = left.unwrap_or(self.reserve_left);
        left.is_some()
    }

    /// Whether what was stored then is older than messages are kept.
    pub(crate) fn is_kept_no_longer(&self, stored_ms: i64) -> bool {
        self.age_ms_max
            .is_some_and(|age_ms| self.now_ms.saturating_sub(stored_ms) >= age_ms)
    }
}

/// One look at what is to go.
struct Look {
    /// It must not keep the broker, whose engine may keep it for ever: one that nobody pumps.
    broker: Weak<Broker>,
    now_ms: i64,
    /// Whether something was appended anew, so that it is worth while to look again soon.
    has_carried: bool,
}

impl Expiry for Look {
    fn may_go(&mut self, going: &Going) -> u64 {
        let Some(broker) = self.broker.upgrade() else {
            return 0;
        };
        let limits = &broker.options.limits;
        let mut carry = Carry {
            going: *going,
            is_patient: broker.is_patient(going, self.now_ms),
            now_ms: self.now_ms,
            age_ms_max: broker.options.retention.age_ms_max,
            messages_left: limits.carried_max.max(1),
            size_bytes_left: limits.carried_size_bytes_max.max(1),
            reserve_left: RESERVE_SIZE_BYTES_MAX,
            carried: 0,
        };
        let needed = [
            broker.carry_timers(&mut carry),
            broker.carry_halves(&mut carry),
            broker.let_deliveries_go(&mut carry),
        ];
        self.has_carried = carry.carried > 0;
        broker
            .expiring
            .carried
            .fetch_add(carry.carried, Ordering::Relaxed);
        needed.into_iter().flatten().fold(going.below, u64::min)
    }

    fn done(self: Box<Self>, outcome: Result<Expired, ExpireError>) {
        let Some(broker) = self.broker.upgrade() else {
            return;
        };
        let is_due_soon = match outcome {
            Ok(expired) => {
                broker.count_expired(&expired);
                expired.segments == SEGMENTS_EXPIRED_AT_ONCE_MAX || expired.held && self.has_carried
            }
            Err(ExpireError::Closed | ExpireError::Stopped(_)) => false,
            Err(error) => {
                tracing::warn!(%error, "old segments cannot be removed; it is tried again");
                false
            }
        };
        broker.expiring.is_running.store(false, Ordering::Release);
        if is_due_soon {
            broker.look_again(self.now_ms);
        }
    }
}

impl Broker {
    /// What expired in this life.
    pub fn expiry(&self) -> ExpiryCounts {
        let Expiring {
            segments,
            size_bytes,
            carried,
            ..
        } = &self.expiring;
        ExpiryCounts {
            segments: segments.load(Ordering::Relaxed),
            size_bytes: size_bytes.load(Ordering::Relaxed),
            carried: carried.load(Ordering::Relaxed),
        }
    }

    /// How often it is looked what is to go; `None` if everything is kept.
    pub(crate) fn expiry_interval_ms(&self) -> Option<i64> {
        let limits = &self.options.limits;
        if self.options.retention == Retention::default() {
            return None;
        }
        // Senders wait for the room.
        let is_full = matches!(self.engine.health(), Health::Full);
        Some(if is_full {
            limits.expiry_interval_ms.min(limits.expiry_again_ms)
        } else {
            limits.expiry_interval_ms
        })
    }

    /// Has the engine look what is to go.
    pub(crate) fn expire(self: &Arc<Self>, now_ms: i64) {
        if !self.expiring.is_running.swap(true, Ordering::Acquire) {
            let look = Look {
                broker: Arc::downgrade(self),
                now_ms,
                has_carried: false,
            };
            self.engine.expire(self.options.retention, now_ms, look);
        }
    }

    /// Whether what is needed may be waited for: not beside a disk that fills, and not for ever.
    fn is_patient(&self, going: &Going, now_ms: i64) -> bool {
        let first_position = self.engine.first_position();
        let mut hold = self.expiring.hold.lock();
        if hold.first_position != first_position || hold.since_ms.is_none() {
            *hold = Hold {
                first_position,
                since_ms: Some(now_ms),
            };
        }
        let held_ms = now_ms.saturating_sub(hold.since_ms.unwrap_or(now_ms));
        let is_urgent = going.why == Why::Disk
            || going.is_full
            || going
                .disk_percent
                .is_some_and(|percent| percent >= self.options.disk_percent_urgent);
        !is_urgent && held_ms < self.options.retention_hold_ms
    }

    /// Counts what went, and says so.
    fn count_expired(&self, expired: &Expired) {
        if let (1.., Some(going)) = (expired.segments, expired.going) {
            self.expiring
                .segments
                .fetch_add(expired.segments as u64, Ordering::Relaxed);
            self.expiring
                .size_bytes
                .fetch_add(expired.size_bytes, Ordering::Relaxed);
            let why = match going.why {
                Why::Age => "they are older than is kept",
                Why::Size => "the log is longer than is kept",
                _ => "the disk is fuller than it may be",
            };
            tracing::info!(
                segments = expired.segments,
                size_bytes = expired.size_bytes,
                first_position = expired.first_position,
                disk_percent = going.disk_percent,
                "old segments were removed: {why}"
            );
        }
    }

    /// Appends records in the place of others that are about to expire.
    pub(crate) fn append_in_place(
        &self,
        carry: &Carry,
        records: EncodedRecords,
        done: impl FnOnce(Result<Vec<Appended>, AppendError>) + Send + 'static,
    ) {
        if carry.going.is_full {
            self.engine.append_reserved(records, done);
        } else {
            self.engine.append_batch(records, done);
        }
    }
}
