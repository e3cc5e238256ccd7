//! Comparing what the broker says with what the ledger knows.

use std::path::Path;

use bytes::Bytes;
use kourou_broker::delivery::AckOutcome;
use kourou_engine::record::RecordView;

use super::saying::Brief;
use super::{Node, ROOT, SEGMENT_SIZE_BYTES};
use crate::clients::PullGroup;
use crate::ledger::MessageId;
use crate::promise::Promise;
use crate::scene::Scene;
use crate::wire::{Reply, Request};

impl Node {
    /// What was acknowledged is there, and what was committed is not forgotten.
    pub(super) fn compare_with_ledger(&mut self, scene: &mut Scene) {
        let Some(process) = &self.process else { return };
        let broker = &process.broker;
        let queues: Vec<_> = scene
            .ledger
            .offsets
            .all()
            .map(|(queue, committed)| (queue.clone(), committed.clone()))
            .collect();
        for (queue, committed) in queues {
            let (group, topic, queue_id) = &queue;
            let found = broker
                .committed_offset(group, topic, *queue_id, false)
                .unwrap_or(-1);
            if found < committed.durable || found > committed.highest {
                scene.ledger.broken(
                    Promise::OffsetsStay,
                    format!(
                        "after a start the offset of {group} in {topic}@{queue_id} is {found}; {} was durable, {} the highest",
                        committed.durable, committed.highest
                    ),
                );
            }
            scene.ledger.offsets.starts_at(&queue, found);
        }
        if !self.flips.is_empty() {
            return;
        }
        let acknowledged: Vec<(MessageId, u64)> = scene
            .ledger
            .messages()
            .iter()
            .filter_map(|known| Some((known.content.id, known.stored.as_ref()?.position)))
            .filter(|(_, position)| *position >= scene.ledger.expired_below)
            .collect();
        for (id, position) in acknowledged {
            let broker = &process.broker;
            let expected = scene.ledger.message(id).content.body();
            let found = broker.engine().read_at(position);
            let holds = found
                .as_ref()
                .is_ok_and(|bytes| RecordView::parse(bytes).is_ok_and(|view| view.body() == expected));
            if !holds {
                let why = found.map_or_else(
                    |error| error.to_string(),
                    |_| "another record is there".to_owned(),
                );
                scene.ledger.broken(
                    Promise::AcknowledgedIsDurable,
                    format!("message {id} was acknowledged at position {position}, and after a start it is not there: {why}"),
                );
                return;
            }
        }
    }

    /// What the ledger must know of a request whatever becomes of it.
    pub(super) fn note_arrival(&mut self, scene: &mut Scene, request: &Request) {
        let wall_ms = scene.wall_ms();
        match request {
            Request::Send(message) => scene.ledger.send_arrives(*message, wall_ms),
            Request::Ack(handle) => scene.ledger.ack_arrives(handle),
            Request::AckAll(handles) => handles.iter().for_each(|handle| scene.ledger.ack_arrives(handle)),
            Request::Change { handle, invisible_ms } => {
                scene
                    .ledger
                    .change_arrives(handle, wall_ms.saturating_add(*invisible_ms));
            }
            Request::End { message, end } => scene.ledger.decision_arrives(*message, end.decision),
            Request::Recall { message, .. } => scene.ledger.recall_arrives(*message),
            _ => {}
        }
    }

    /// Compares what the broker says with what the ledger knows.
    pub(super) fn compare(&mut self, scene: &mut Scene, request: &Request, reply: &Reply, at_operation: u64) {
        let failed_at = self.process.as_ref().and_then(|process| process.failed_at);
        let says_durable = matches!(
            (request, reply),
            (Request::Send(_), Reply::Sent(_))
                | (
                    Request::SendBack(_) | Request::End { .. } | Request::Recall { .. },
                    Reply::Done
                )
                | (
                    _,
                    Reply::Popped(_)
                        | Reply::Changed(_)
                        | Reply::AckedAll(1..)
                        | Reply::Reset(_)
                        | Reply::Acked(AckOutcome::Acked)
                )
        );
        if let (true, Some(failed_at)) = (says_durable, failed_at)
            && at_operation > failed_at
            && !matches!(reply, Reply::Popped(popped) if popped.queues.is_empty())
        {
            scene.ledger.broken(
                Promise::NothingAfterAFailedWrite,
                format!(
                    "the disk failed operation {failed_at}, {:?}, and after operation {at_operation} the answer is {}",
                    self.disk.operation(failed_at),
                    Brief(reply)
                ),
            );
        }
        match (request, reply) {
            (Request::Send(message), Reply::Sent(receipt)) => scene.ledger.sent(*message, receipt),
            (Request::Ack(handle), Reply::Acked(AckOutcome::Acked)) => scene.ledger.acked(handle),
            (Request::AckAll(handles), Reply::AckedAll(count)) if *count == handles.len() => {
                handles.iter().for_each(|handle| scene.ledger.acked(handle));
            }
            (Request::Change { handle, .. }, Reply::Changed(changed)) => {
                scene
                    .ledger
                    .changed(handle, changed.pop_ms.saturating_add(changed.invisible_ms));
            }
            (Request::End { message, end }, Reply::Done) => scene.ledger.ended(*message, end.decision),
            (Request::Recall { message, .. }, Reply::Done) => scene.ledger.recalled(*message),
            (
                Request::Commit {
                    group,
                    topic,
                    queue_id,
                    offset,
                },
                Reply::Done,
            ) if **group != *PullGroup::Reset.name() => {
                let now_ms = scene.now_ms;
                scene
                    .ledger
                    .offsets
                    .committed(group, topic, *queue_id as u32, *offset, now_ms);
            }
            (
                Request::Lock {
                    group,
                    client_id,
                    queues,
                },
                Reply::Locked(locked),
            ) => {
                for (queue, _) in queues.iter().zip(locked).filter(|(_, locked)| **locked) {
                    let lease_ms = self.options.limits.lock_lease_ms;
                    scene
                        .ledger
                        .locked(group, &queue.topic, queue.queue_id, client_id, lease_ms);
                }
            }
            (
                Request::Unlock {
                    group,
                    client_id,
                    queues,
                },
                _,
            ) => {
                for queue in queues {
                    scene
                        .ledger
                        .locks
                        .released(group, &queue.topic, queue.queue_id, client_id);
                }
            }
            (Request::FindByKey(message) | Request::ReadAt(message), reply) => {
                self.looked_up(scene, *message, request, reply);
            }
            (_, Reply::Pulled { records, .. } | Reply::Found(records)) => {
                for record in records {
                    self.given(scene, record);
                }
            }
            // What the disk did of it is found out by the next start.
            (Request::Pop { pop, .. }, Reply::Refused { .. }) => {
                let all = 0..scene.ledger.messages().len() as MessageId;
                scene.ledger.groups.pop_lost(&pop.group, all);
            }
            (Request::Pop { pop, .. }, Reply::Popped(popped)) => {
                for queue in &popped.queues {
                    for one in &queue.messages {
                        let Some(id) = self.given(scene, &one.record) else {
                            continue;
                        };
                        let times = if popped.ordered {
                            one.times
                        } else {
                            RecordView::parse(&one.record).map_or(0, |view| view.reconsume_times() as u32)
                        };
                        let due_ms = popped.pop_ms.saturating_add(popped.invisible_ms);
                        let wall_ms = popped.pop_ms;
                        scene
                            .ledger
                            .popped(&pop.group, id, times, wall_ms, due_ms, popped.ordered);
                    }
                }
            }
            _ => {}
        }
    }

    /// What was acknowledged is found.
    pub(super) fn looked_up(
        &mut self,
        scene: &mut Scene,
        message: MessageId,
        request: &Request,
        reply: &Reply,
    ) {
        let body = scene.ledger.message(message).content.body();
        let found: &[Bytes] = match reply {
            Reply::Found(records) => records,
            _ => &[],
        };
        let is_there = found
            .iter()
            .any(|record| RecordView::parse(record).is_ok_and(|view| view.body() == body));
        // It may have expired since somebody asked.
        let first_position = self.broker().map_or(0, |broker| broker.engine().first_position());
        let stored = scene.ledger.message(message).stored.as_ref();
        let is_kept = stored.is_some_and(|stored| stored.position >= first_position);
        // Where a bit was flipped, what was mapped meanwhile stays so until the next start.
        if !is_there && is_kept && !self.had_flips {
            scene.ledger.broken(
                Promise::AcknowledgedIsDurable,
                format!(
                    "message {message} was acknowledged, and {request:?} is answered {}",
                    Brief(reply)
                ),
            );
        }
    }

    /// Somebody is given a record.
    pub(super) fn given(&mut self, scene: &mut Scene, record: &Bytes) -> Option<MessageId> {
        let view = match RecordView::parse(record) {
            Ok(view) => view,
            Err(error) => {
                scene.ledger.broken(
                    Promise::NothingWrongIsServed,
                    format!("what is served is no record: {error}"),
                );
                return None;
            }
        };
        if view.topic() == "RMQ_SYS_TRACE_TOPIC" {
            return None;
        }
        if self.flips.is_empty() {
            let start = view.position() - view.position() % SEGMENT_SIZE_BYTES;
            let path = Path::new(ROOT).join("log").join(format!("{start:020}"));
            if !self.disk.durably_holds(&path, view.position() - start, record) {
                scene.ledger.broken(
                    Promise::VisibleIsDurable,
                    format!(
                        "the record at position {} is given out and not durable",
                        view.position()
                    ),
                );
            }
        }
        scene.ledger.seen(&view)
    }
}
