//! The messages themselves: those behind the group's offset, or those of a block once more.

use bytes::Bytes;
use kourou_engine::record::RecordView;
use kourou_engine::{IndexEntry, ReadError};

use super::Reading;
use super::admit::Admitted;
use super::candidate::Candidate;
use super::take::Look;
use crate::broker::Broker;
use crate::delivery::inner::{self, Inner};
use crate::delivery::record::PoppedFrom;
use crate::delivery::retry::{RETRY_OF, is_retry_for};
use crate::delivery::{PopError, PopRequest, PoppedMessage};
use crate::filter::Filter;
use crate::receive::{Room, Scan, Visit};

/// What a pop takes from one queue.
#[derive(Default)]
struct Basket {
    messages: Vec<PoppedMessage>,
    size_bytes: usize,
}

impl Basket {
    /// Whether what an entry stands for may fit. How long a message of a batch is is known when it is taken out.
    fn has_room(&self, room: &Room, entry: &IndexEntry) -> bool {
        let at_least = if entry.spans { 0 } else { entry.size_bytes };
        room.fits(self.messages.len(), self.size_bytes, at_least)
    }

    fn takes(&self, room: &Room, record: &Bytes) -> bool {
        // A record is shorter than 2 GiB.
        room.fits(self.messages.len(), self.size_bytes, record.len() as u32)
    }

    fn put(&mut self, offset: u64, times: u32, record: Bytes) {
        self.size_bytes += record.len();
        self.messages.push(PoppedMessage {
            offset,
            times,
            record,
        });
    }

    fn visited(&self, room: &Room) -> Visit {
        if self.messages.len() < room.messages_max {
            Visit::Taken
        } else {
            Visit::TakenLast
        }
    }
}

impl Broker {
    /// The messages of a block that are to be handed out again. One that is gone from the log, or damaged there, is left out, and in the
    /// way of nothing once the others are acknowledged.
    pub(super) fn of_block(
        &self,
        candidate: &Candidate,
        wanted: &[(u64, u32)],
        room: &Room,
        reading: Reading,
        look: &mut Look,
    ) -> Result<Vec<PoppedMessage>, PopError> {
        let mut basket = Basket::default();
        for (offset, times) in wanted {
            let Some(entry) = self.entry(&candidate.topic, candidate.queue_id, *offset) else {
                continue;
            };
            if !basket.has_room(room, &entry) {
                break;
            }
            let record = match self.read_pop(&entry, reading) {
                Err(PopError::Read(ReadError::Corrupt { .. })) if self.options.pass_over_damage => continue,
                read => read?,
            };
            let Some(record) = record else {
                look.is_cold = basket.messages.is_empty();
                break;
            };
            let record = inner::at(record, *offset);
            if !basket.takes(room, &record) {
                break;
            }
            basket.put(*offset, *times, record);
        }
        Ok(basket.messages)
    }

    #[expect(clippy::too_many_arguments, reason = "one look at one queue, in one place")]
    pub(super) fn scan_pop(
        &self,
        from: &mut PoppedFrom,
        candidate: &Candidate,
        admitted: &Admitted,
        request: &PopRequest,
        out: &[u64],
        room: &Room,
        reading: Reading,
        look: &mut Look,
    ) -> Result<Vec<PoppedMessage>, PopError> {
        // Whatever a group was given once it gets again, whatever it wants by now.
        let is_retry = candidate.topic != admitted.topic.name;
        let filter = if is_retry { &Filter::All } else { &admitted.filter };
        let is_wanted = |offset: u64, record: &[u8]| {
            // The offset was set back; these are with somebody already.
            if out.binary_search(&offset).is_ok() {
                return false;
            }
            let Ok(view) = RecordView::parse(record) else {
                return false;
            };
            if is_retry {
                is_retry_for(&request.group, view.property(RETRY_OF))
            } else {
                filter.may_match(view.tags_code()) && filter.matches_record(record)
            }
        };
        let mut basket = Basket::default();
        let mut failed = None;
        // In the middle of a batch.
        let mut stopped_at = None;
        let scan = Scan {
            engine: &self.engine,
            topic: &candidate.topic,
            queue_id: candidate.queue_id,
            filter,
            entries_max: self.options.limits.pull_scan_entries_max,
            wanted: room.messages_max,
        };
        let next = scan.run(from.next, |entry| {
            if !basket.has_room(room, entry) {
                return Visit::Left;
            }
            if !entry.spans && out.binary_search(&entry.queue_offset).is_ok() {
                return Visit::Taken;
            }
            let record = match self.read_pop(entry, reading) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    look.is_cold = basket.messages.is_empty();
                    return Visit::Left;
                }
                // It can never be delivered; the engine has told it.
                Err(PopError::Read(ReadError::Corrupt { .. })) if self.options.pass_over_damage => {
                    return Visit::Taken;
                }
                Err(error) => {
                    if basket.messages.is_empty() {
                        failed = Some(error);
                    }
                    return Visit::Left;
                }
            };
            let inner = if entry.spans {
                inner::messages(&record, entry.queue_offset)
            } else {
                None
            };
            let Some(inner) = inner else {
                if is_wanted(entry.queue_offset, &record) {
                    basket.put(entry.queue_offset, 0, record.clone());
                }
                return basket.visited(room);
            };
            for Inner { offset, record } in inner {
                if !is_wanted(offset, &record) {
                    continue;
                }
                if !basket.takes(room, &record) {
                    stopped_at = Some(offset);
                    return Visit::Left;
                }
                basket.put(offset, 0, record);
            }
            basket.visited(room)
        });
        from.next = stopped_at.unwrap_or(next);
        match failed {
            Some(error) => Err(error),
            None => Ok(basket.messages),
        }
    }

    /// A record, or `None` if it is on the disk and that is not to be waited for.
    fn read_pop(&self, entry: &IndexEntry, reading: Reading) -> Result<Option<Bytes>, PopError> {
        match self.engine.read_hot(entry.position, entry.size_bytes) {
            Some(record) => Ok(Some(record)),
            None if reading == Reading::Memory => Ok(None),
            None => Ok(Some(self.engine.read(entry.position, entry.size_bytes)?)),
        }
    }
}
