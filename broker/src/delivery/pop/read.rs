//! The messages themselves: those behind the group's offset, or those of a block once more.

use bytes::Bytes;
use kourou_engine::record::RecordView;

use super::Reading;
use super::admit::Admitted;
use super::candidate::Candidate;
use super::take::Look;
use crate::broker::Broker;
use crate::delivery::record::PoppedFrom;
use crate::delivery::retry::{RETRY_OF, is_retry_for};
use crate::delivery::{PopError, PopRequest, PoppedMessage};
use crate::filter::Filter;
use crate::receive::{Room, Scan, Visit};

impl Broker {
    /// The messages of a block that are to be handed out again. One that is gone from the log is left out, and in the way of
    /// nothing once the others are acknowledged.
    pub(super) fn of_block(
        &self,
        candidate: &Candidate,
        wanted: &[(u64, u32)],
        room: &Room,
        reading: Reading,
        look: &mut Look,
    ) -> Result<Vec<PoppedMessage>, PopError> {
        let mut messages: Vec<PoppedMessage> = Vec::new();
        let mut size_bytes = 0;
        for (offset, times) in wanted {
            let Some(entry) = self.entry(&candidate.topic, candidate.queue_id, *offset) else {
                continue;
            };
            if !room.fits(messages.len(), size_bytes, entry.size_bytes) {
                break;
            }
            let Some(record) = self.read_pop(&entry, reading)? else {
                look.is_cold = messages.is_empty();
                break;
            };
            size_bytes += record.len();
            messages.push(PoppedMessage {
                offset: *offset,
                times: *times,
                record,
            });
        }
        Ok(messages)
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
        let mut messages: Vec<PoppedMessage> = Vec::new();
        let mut size_bytes = 0;
        let mut failed = None;
        let scan = Scan {
            engine: &self.engine,
            topic: &candidate.topic,
            queue_id: candidate.queue_id,
            filter,
            entries_max: self.options.limits.pull_scan_entries_max,
            wanted: room.messages_max,
        };
        from.next = scan.run(from.next, |entry| {
            if !room.fits(messages.len(), size_bytes, entry.size_bytes) {
                return Visit::Left;
            }
            // The offset was set back; these are with somebody already.
            if out.binary_search(&entry.queue_offset).is_ok() {
                return Visit::Taken;
            }
            let record = match self.read_pop(entry, reading) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    look.is_cold = messages.is_empty();
                    return Visit::Left;
                }
                Err(error) => {
                    if messages.is_empty() {
                        failed = Some(error);
                    }
                    return Visit::Left;
                }
            };
            let is_wanted = if is_retry {
                let retry_of = RecordView::parse(&record)
                    .ok()
                    .and_then(|view| view.property(RETRY_OF));
                is_retry_for(&request.group, retry_of)
            } else {
                filter.matches_record(&record)
            };
            if !is_wanted {
                return Visit::Taken;
            }
            size_bytes += record.len();
            messages.push(PoppedMessage {
                offset: entry.queue_offset,
                times: 0,
                record,
            });
            if messages.len() < room.messages_max {
                Visit::Taken
            } else {
                Visit::TakenLast
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(messages),
        }
    }

    /// A record, or `None` if it is on the disk and that is not to be waited for.
    fn read_pop(
        &self,
        entry: &kourou_engine::IndexEntry,
        reading: Reading,
    ) -> Result<Option<Bytes>, PopError> {
        match self.engine.read_hot(entry.position, entry.size_bytes) {
            Some(record) => Ok(Some(record)),
            None if reading == Reading::Memory => Ok(None),
            None => Ok(Some(self.engine.read(entry.position, entry.size_bytes)?)),
        }
    }
}
