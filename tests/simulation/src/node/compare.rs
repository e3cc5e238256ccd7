//! Comparing what the broker says with what the ledger knows.

use std::path::Path;

use bytes::Bytes;
use kourou_broker::delivery::{AckOutcome, Popped, PoppedQueue};
use kourou_engine::record::RecordView;

use super::saying::{Asker, Brief};
use super::{Node, ROOT, SEGMENT_SIZE_BYTES};
use crate::clients::{PullGroup, batches, keeper, metered, producer};
use crate::ledger::MessageId;
use crate::promise::Promise;
use crate::scene::Scene;
use crate::wire::{Reply, Request};
use crate::{audit, batch, message};

/// What a group has that has none.
const NO_OFFSET: i64 = -1;

/// Whether a record has this body, or a message of it has if it is a batch.
fn holds(record: &[u8], body: &[u8]) -> bool {
    RecordView::parse(record).is_ok_and(|view| {
        view.body() == body
            || view.is_batch()
                && batch::messages(view.body())
                    .iter()
                    .any(|inner| inner.body == body)
    })
}

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
            let is_there = found.as_ref().is_ok_and(|record| holds(record, &expected));
            if !is_there {
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
    pub(super) fn note_arrival(&mut self, scene: &mut Scene, to: Asker, request: &Request) {
        let wall_ms = scene.wall_ms();
        if let Request::Send(message) = request
            && scene.ledger.message(*message).content.topic == metered::TOPIC
        {
            let now_ms = scene.now_ms;
            scene.ledger.quotas.send_arrives(to.id, to.client, now_ms);
        }
        match request {
            Request::CloneOffsets { from, to, .. } => {
                let Some(broker) = self.broker() else { return };
                let offset = |queue_id| {
                    let offset = broker.committed_offset(from, keeper::TOPIC, queue_id, false)?;
                    Some((queue_id, offset))
                };
                let offsets = (0..producer::QUEUES as u32).filter_map(offset).collect();
                scene.ledger.offsets.clone_arrives(to, keeper::TOPIC, offsets);
            }
            Request::CommitDurably {
                group,
                queue_id,
                offset,
            } => scene
                .ledger
                .offsets
                .perhaps(group, keeper::TOPIC, *queue_id, *offset),
            Request::DeleteGroup(group) => {
                for queue_id in scene.ledger.offsets.queues_of(group) {
                    scene
                        .ledger
                        .offsets
                        .perhaps(group, keeper::TOPIC, queue_id, NO_OFFSET);
                }
            }
            Request::Resume { message, position } => scene.ledger.resume_arrives(*message, *position),
            Request::Send(message) => scene.ledger.send_arrives(*message, wall_ms),
            Request::SendBatch { messages, .. } => {
                for message in messages {
                    scene.ledger.send_arrives(*message, wall_ms);
                }
            }
            Request::Sync(sync) => scene.ledger.lites.sync_arrives(sync),
            Request::Bury(handle) => scene.ledger.bury_arrives(handle),
            Request::Ack(handle) => scene.ledger.ack_arrives(handle),
            Request::AckAll(handles) => handles.iter().for_each(|handle| scene.ledger.ack_arrives(handle)),
            Request::Change { handle, invisible_ms }
            | Request::Suspend { handle, invisible_ms }
            | Request::Renew { handle, invisible_ms } => {
                scene
                    .ledger
                    .change_arrives(handle, wall_ms.saturating_add(*invisible_ms));
            }
            Request::End { message, end } => scene.ledger.decision_arrives(*message, end.decision),
            Request::Recall { message, .. } => scene.ledger.recall_arrives(*message),
            _ => {}
        }
    }

    /// Compares what the broker says with what the ledger knows. A pop has found what it brings at `looked_ms`.
    pub(super) fn compare(
        &mut self,
        scene: &mut Scene,
        request: &Request,
        reply: &Reply,
        at_operation: u64,
        looked_ms: i64,
    ) {
        let failed_at = self.process.as_ref().and_then(|process| process.failed_at);
        let says_durable = matches!(
            (request, reply),
            (Request::Send(_) | Request::SendBatch { .. }, Reply::Sent(_))
                | (
                    Request::SendBack(_)
                        | Request::End { .. }
                        | Request::Recall { .. }
                        | Request::Bury(_)
                        | Request::CommitDurably { .. }
                        | Request::Renew { .. },
                    Reply::Done
                )
                | (
                    _,
                    Reply::Popped(_)
                        | Reply::Changed(_)
                        | Reply::AckedAll(1..)
                        | Reply::Resumed { is_now: true }
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
            (Request::Send(message), Reply::Refused { code, text }) => {
                scene.ledger.refused(*message, *code, text);
            }
            (Request::SendBatch { messages, .. }, Reply::Sent(receipt)) => {
                scene.ledger.sent_batch(messages, receipt);
            }
            (Request::SendBatch { messages, .. }, Reply::Refused { code, text }) => {
                scene.ledger.refused(messages[0], *code, text);
            }
            (Request::Sync(sync), Reply::Done) => {
                let count = self.broker().map_or(0, |broker| broker.lite_subscriptions());
                scene.ledger.synced(sync, count);
            }
            (Request::Sync(sync), Reply::Refused { code, text }) => {
                scene.ledger.not_synced(sync, *code, text)
            }
            (Request::CloneOffsets { to, .. }, Reply::Done) => {
                for (queue_id, offset) in scene.ledger.offsets.cloned(to) {
                    self.has_offset(scene, to, queue_id, offset);
                }
            }
            (
                Request::CommitDurably {
                    group,
                    queue_id,
                    offset,
                },
                Reply::Done,
            ) => self.has_offset(scene, group, *queue_id, *offset),
            (Request::DeleteGroup(group), Reply::Done) => {
                for queue_id in scene.ledger.offsets.queues_of(group) {
                    self.has_offset(scene, group, queue_id, NO_OFFSET);
                }
            }
            (Request::Resume { message, position }, Reply::Resumed { is_now }) => {
                scene.ledger.resumed(*message, *position, *is_now);
            }
            (Request::Bury(handle), Reply::Done) => scene.ledger.buried(handle),
            (Request::Ack(handle), Reply::Acked(AckOutcome::Acked)) => scene.ledger.acked(handle),
            (Request::AckAll(handles), Reply::AckedAll(count)) if *count == handles.len() => {
                handles.iter().for_each(|handle| scene.ledger.acked(handle));
            }
            (Request::Change { handle, .. } | Request::Suspend { handle, .. }, Reply::Changed(changed)) => {
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
            (Request::Pop { pop, .. } | Request::LitePop { pop, .. }, Reply::Refused { .. }) => {
                let all = 0..scene.ledger.messages().len() as MessageId;
                scene.ledger.groups.pop_lost(&pop.group, all);
            }
            (Request::Pop { pop, .. }, Reply::Popped(popped)) => {
                self.popped(scene, &pop.group, None, popped, looked_ms);
            }
            (Request::LitePop { pop, client_id, .. }, Reply::Popped(popped)) => {
                self.popped(scene, &pop.group, Some(client_id), popped, looked_ms);
            }
            _ => {}
        }
    }

    /// A group that is kept has this offset now, durably.
    fn has_offset(&mut self, scene: &mut Scene, group: &str, queue_id: u32, offset: i64) {
        let Some(broker) = self.broker() else { return };
        let found = broker.committed_offset(group, keeper::TOPIC, queue_id, false);
        if found.unwrap_or(NO_OFFSET) != offset {
            let what = format!("{group} is to be at {offset} of queue {queue_id}, and is at {found:?}");
            scene.ledger.broken(Promise::OffsetsStay, what);
        }
        scene.ledger.offsets.set(group, keeper::TOPIC, queue_id, offset);
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
        let is_there = found.iter().any(|record| holds(record, &body));
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

    /// A pop, of lite topics if a client is named, has brought this.
    fn popped(
        &mut self,
        scene: &mut Scene,
        group: &str,
        lite_client: Option<&str>,
        popped: &Popped,
        looked_ms: i64,
    ) {
        let given: Vec<MessageId> = popped
            .queues
            .iter()
            .flat_map(|queue| &queue.messages)
            .flat_map(|one| self.given(scene, &one.record))
            .collect();
        for queue in &popped.queues {
            for one in &queue.messages {
                let Some(id) = RecordView::parse(&one.record)
                    .ok()
                    .and_then(|view| message::id_of(view.body()))
                    .filter(|id| given.contains(id))
                else {
                    continue;
                };
                if let Some(client_id) = lite_client {
                    self.lite_popped(
                        scene,
                        (group, client_id, looked_ms),
                        queue,
                        (one.offset, id),
                        &given,
                    );
                }
                let times = if popped.ordered {
                    one.times
                } else {
                    RecordView::parse(&one.record).map_or(0, |view| view.reconsume_times() as u32)
                };
                let due_ms = popped.pop_ms.saturating_add(popped.invisible_ms);
                let wall_ms = popped.pop_ms;
                scene
                    .ledger
                    .popped(group, id, times, wall_ms, due_ms, popped.ordered);
            }
        }
        let least_urgent = popped.queues.iter().filter(|queue| &*queue.topic == "urgent");
        if let Some(queue_id) = least_urgent.map(|queue| queue.queue_id).min()
            && !self.had_flips
        {
            scene.ledger.urgent_popped(group, queue_id, looked_ms);
        }
    }

    fn lite_popped(
        &self,
        scene: &mut Scene,
        (group, client_id, looked_ms): (&str, &str, i64),
        queue: &PoppedQueue,
        (offset, id): (u64, MessageId),
        together: &[MessageId],
    ) {
        let Some(broker) = self.broker() else { return };
        let min = broker.min_offset(&queue.topic, queue.queue_id);
        let before: Vec<MessageId> = scene
            .ledger
            .before(&queue.topic, queue.queue_id, min..offset)
            .map(|(_, id)| id)
            .collect();
        let open = scene
            .ledger
            .lite_popped(group, client_id, id, looked_ms, &before, together);
        if let Some(open) = open.filter(|open| !audit::is_dead(broker, group, *open)) {
            let what = format!(
                "{client_id} of {group} is given message {id} of {}@{}, and {open} before it is not done with",
                queue.topic, queue.queue_id
            );
            scene.ledger.broken(Promise::LiteTopics, what);
        }
    }

    /// Somebody is given a record. Whose messages are in it; none if a promise is broken.
    pub(super) fn given(&mut self, scene: &mut Scene, record: &Bytes) -> Vec<MessageId> {
        let view = match RecordView::parse(record) {
            Ok(view) => view,
            Err(error) => {
                scene.ledger.broken(
                    Promise::NothingWrongIsServed,
                    format!("what is served is no record: {error}"),
                );
                return Vec::new();
            }
        };
        if view.topic() == "RMQ_SYS_TRACE_TOPIC" {
            return Vec::new();
        }
        // What is popped out of a batch is made for that; what is stored is the batch.
        let is_taken_out = view.topic() == batches::INNER_TOPIC && !view.is_batch();
        let stored = is_taken_out.then(|| self.broker()?.engine().read_at(view.position()).ok());
        let stored = stored.flatten();
        let stored = stored.as_ref().unwrap_or(record);
        if self.flips.is_empty() {
            let start = view.position() - view.position() % SEGMENT_SIZE_BYTES;
            let path = Path::new(ROOT).join("log").join(format!("{start:020}"));
            if !self.disk.durably_holds(&path, view.position() - start, stored) {
                scene.ledger.broken(
                    Promise::VisibleIsDurable,
                    format!(
                        "the record at position {} is given out and not durable",
                        view.position()
                    ),
                );
            }
        }
        if view.is_batch() {
            scene.ledger.seen_batch(&view)
        } else {
            scene.ledger.seen(&view).into_iter().collect()
        }
    }
}
