//! Requests: each is given to the broker as a frontend would, held ones included.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_broker::QueueKey;
use kourou_broker::query::QueryRequest;
use kourou_broker::receive::{HoldResult, PullOutcome, PullRequest};
use kourou_broker::send::SendRequest;
use kourou_broker::transaction::Resumed;

use super::pops::Wish;
use super::saying::{Answering, Asker, Brief, Channel, Refusal, Said};
use super::survey;
use super::{Held, HeldWhat, Node, address};
use crate::batch;
use crate::clients::{keeper, metered};
use crate::ledger::{MessageId, MessageKind};
use crate::scene::Scene;
use crate::schedule::Event;
use crate::wire::{BatchHarm, ClientId, Reply, Request, RequestId};

impl Node {
    /// A request arrives.
    pub(crate) fn arrives(
        &mut self,
        scene: &mut Scene,
        client: ClientId,
        connection: u64,
        id: RequestId,
        request: Request,
    ) {
        // What was sent over a connection that has broken may arrive or not; here it does not.
        if scene.links[client].connection != connection {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let to = Asker {
            client,
            connection,
            id,
        };
        scene
            .history
            .note(scene.now_ms, format_args!("{client} asks {id}: {request:?}"));
        process.asked.insert(to, request.clone());
        self.note_arrival(scene, to, &request);
        self.handle(scene, to, request);
        self.speak(scene);
    }

    pub(super) fn handle(&mut self, scene: &mut Scene, to: Asker, request: Request) {
        let Some(process) = &mut self.process else { return };
        let broker = process.broker.clone();
        let answering = Answering {
            to,
            outbox: process.outbox.clone(),
            disk: self.disk.clone(),
        };
        match request {
            Request::Send(message) => {
                let send = send_request(scene, to.client, message);
                self.room_at = (to.id, scene.now_ms);
                self.room_bytes = (
                    broker.engine().in_flight_bytes(),
                    (send.body.len() + send.properties.len()) as u64,
                );
                broker.send(send, answering.with(Reply::Sent));
            }
            Request::Pull { pull, hold_ms } => self.pull(scene, to, pull, Some(hold_ms)),
            Request::SendBatch { messages, harm } => {
                let send = batch_request(scene, to.client, &messages, harm);
                broker.send(send, answering.with(Reply::Sent));
            }
            Request::Pop { pop, hold_ms } => self.pop(scene, to, Wish::Queues(pop), Some(hold_ms)),
            Request::LitePop {
                pop,
                client_id,
                hold_ms,
            } => self.pop(scene, to, Wish::Lites(pop, client_id), Some(hold_ms)),
            Request::Sync(sync) => broker.sync_lite(&sync, answering.with(|()| Reply::Done)),
            Request::Suspend { handle, invisible_ms } => {
                broker.suspend(&handle, invisible_ms, answering.with(Reply::Changed));
            }
            Request::Renew { handle, invisible_ms } => {
                broker.renew(&handle, invisible_ms, answering.with(|()| Reply::Done));
            }
            Request::Bury(handle) => broker.bury(&handle, None, answering.with(|()| Reply::Done)),
            Request::Commit {
                group,
                topic,
                queue_id,
                offset,
            } => answering.with(|()| Reply::Done)(broker.commit_offset(&group, &topic, queue_id, offset)),
            Request::Committed {
                group,
                topic,
                queue_id,
            } => answering.say(Reply::Committed(
                broker.committed_offset(&group, &topic, queue_id, true),
            )),
            Request::SendBack(back) => broker.send_back(back, answering.with(|()| Reply::Done)),
            Request::Ack(handle) => broker.ack(&handle, answering.with(Reply::Acked)),
            Request::AckAll(handles) => broker.ack_all(&handles, answering.with(Reply::AckedAll)),
            Request::Change { handle, invisible_ms } => {
                broker.change_invisible(&handle, invisible_ms, answering.with(Reply::Changed));
            }
            Request::End { end, .. } => broker.end_transaction(&end, answering.with(|()| Reply::Done)),
            Request::Recall { recall, .. } => broker.recall(&recall, answering.with(|_| Reply::Done)),
            Request::Beat(data) => {
                let channel = process.channels.entry(to.connection).or_insert_with(|| {
                    Arc::new(Channel {
                        id: kourou_broker::client::next_channel_id(),
                        client: to.client,
                        connection: to.connection,
                        outbox: process.outbox.clone(),
                        disk: self.disk.clone(),
                    })
                });
                broker.heartbeat(&data, channel);
                answering.say(Reply::Done);
            }
            Request::Lock {
                group,
                client_id,
                queues,
            } => {
                let keys: Vec<QueueKey<'_>> = queues.iter().map(|queue| queue.key()).collect();
                answering.say(Reply::Locked(broker.lock_queues(&group, &client_id, &keys)));
            }
            Request::Unlock {
                group,
                client_id,
                queues,
            } => {
                let keys: Vec<QueueKey<'_>> = queues.iter().map(|queue| queue.key()).collect();
                broker.unlock_queues(&group, &client_id, &keys);
                answering.say(Reply::Done);
            }
            Request::FindByKey(message) => {
                let content = &scene.ledger.message(message).content;
                let found = broker.query(&QueryRequest {
                    topic: content.topic,
                    key: &content.unique_key(),
                    unique: true,
                    messages_max: 32,
                    begin_ms: 0,
                    end_ms: i64::MAX,
                });
                answering.say(Reply::Found(found.records));
            }
            Request::ReadAt(message) => {
                let stored = scene.ledger.message(message).stored.as_ref();
                let position = stored.map_or(0, |stored| stored.position);
                match broker.engine().read_at(position) {
                    Ok(record) => answering.say(Reply::Found(vec![record])),
                    Err(error) => answering.say(Reply::Refused {
                        code: kourou_broker::code::SYSTEM_ERROR,
                        text: error.to_string(),
                    }),
                }
            }
            Request::Survey(number) => survey::survey(&broker, number, &answering),
            Request::CloneOffsets { from, to, is_all } => {
                let topic = (!is_all).then_some(keeper::TOPIC);
                broker.clone_offsets(from, &to, topic, true, answering.with(|()| Reply::Done));
            }
            Request::CommitDurably {
                group,
                queue_id,
                offset,
            } => {
                let (group, topic) = (group.into(), keeper::TOPIC.into());
                let done = answering.with(|()| Reply::Done);
                broker.commit_offset_durably(&group, &topic, queue_id as i32, offset, done);
            }
            Request::DeleteGroup(group) => {
                broker.delete_group(&group, true, answering.with(|()| Reply::Done));
            }
            Request::Resume { position, .. } => {
                let resumed = |resumed| Reply::Resumed {
                    is_now: matches!(resumed, Resumed::Now { .. }),
                };
                broker.resume_transaction(position, answering.with(resumed));
            }
            Request::Reset(reset) => broker.reset_offsets(&reset, answering.with(Reply::Reset)),
            Request::PutTopic(config) => broker.put_topic(config, answering.with(|()| Reply::Done)),
            Request::DeleteTopic(topic) => broker.delete_topic(&topic, answering.with(|()| Reply::Done)),
            Request::PutGroup(config) => broker.put_group(&config, answering.with(|()| Reply::Done)),
        }
    }

    /// Pulls; with `hold_ms` it is a first pass, which may be held.
    pub(super) fn pull(&mut self, scene: &mut Scene, to: Asker, mut pull: PullRequest, hold_ms: Option<i64>) {
        let Some(process) = &mut self.process else { return };
        let answering = Answering {
            to,
            outbox: process.outbox.clone(),
            disk: self.disk.clone(),
        };
        let outcome = match process.broker.pull(&pull) {
            Ok(PullOutcome::Cold(cold)) => cold.load(),
            outcome => outcome,
        };
        let empty = match outcome {
            Ok(PullOutcome::Found(found)) => {
                return answering.say(Reply::Pulled {
                    records: found.records,
                    place: found.place,
                });
            }
            Ok(PullOutcome::Empty(empty)) => empty,
            Ok(PullOutcome::Cold(_)) => {
                return answering.say(Reply::Refused {
                    code: -1,
                    text: "cold again".to_owned(),
                });
            }
            Err(error) => return answering.say(error.refused()),
        };
        let nothing = Reply::Nothing {
            code: empty.code,
            place: empty.place,
        };
        let Some(hold_ms) = hold_ms.filter(|hold_ms| *hold_ms > 0 && empty.may_hold()) else {
            return answering.say(nothing);
        };
        pull.commit_offset = None;
        let number = self.next_hold;
        self.next_hold += 1;
        let outbox = process.outbox.clone();
        let wake = move || outbox.lock().push(Said::Woken(number));
        match process.broker.hold(&pull, empty.place.next_offset, wake) {
            HoldResult::Held(guard) => {
                let what = HeldWhat::Pull(pull, guard);
                process.held.insert(number, Held { to, what });
                scene.after(hold_ms, Event::HoldEnds(number));
            }
            HoldResult::AlreadyArrived => self.pull(scene, to, pull, None),
            HoldResult::Full => answering.say(nothing),
        }
    }

    /// A held request is woken, or has waited long enough.
    pub(crate) fn hold_ends(&mut self, scene: &mut Scene, number: u64) {
        let Some(held) = self
            .process
            .as_mut()
            .and_then(|process| process.held.remove(&number))
        else {
            return;
        };
        match held.what {
            HeldWhat::Pull(pull, guard) => {
                drop(guard);
                self.pull(scene, held.to, pull, None);
            }
            HeldWhat::Pop(wish, guard) => {
                drop(guard);
                self.pop(scene, held.to, wish, None);
            }
        }
        self.speak(scene);
    }

    pub(super) fn replies(&mut self, scene: &mut Scene, to: Asker, reply: Reply, at_operation: u64) {
        let Some(request) = self
            .process
            .as_mut()
            .and_then(|process| process.asked.remove(&to))
        else {
            return;
        };
        scene.history.note(
            scene.now_ms,
            format_args!("{} is answered {}: {}", to.client, to.id, Brief(&reply)),
        );
        let looked_ms = self
            .process
            .as_mut()
            .and_then(|process| process.looked_ms.remove(&to));
        self.compare_flow(scene, to, &request, &reply);
        self.compare(
            scene,
            &request,
            &reply,
            at_operation,
            looked_ms.unwrap_or(scene.now_ms),
        );
        scene.answer(to.client, to.connection, to.id, reply);
    }
}

fn send_request(scene: &Scene, client: ClientId, message: MessageId) -> SendRequest<'static> {
    let content = &scene.ledger.message(message).content;
    let is_half = matches!(content.kind, MessageKind::Half { .. });
    let producer_group = if content.topic == metered::TOPIC {
        metered::GROUP
    } else {
        crate::clients::TRANSACTION_GROUP
    };
    SendRequest {
        producer_group: producer_group.into(),
        topic: content.topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queues: 4,
        queue_id: content.queue_id,
        sys_flag: if is_half { 0x4 } else { 0 },
        born_ms: crate::clock::START_MS,
        born_host: address(client),
        flag: 0,
        properties: content.properties(),
        reconsume_times: 0,
        unit_mode: false,
        reconsume_times_max: None,
        is_batch: false,
        body: content.body(),
    }
}

/// Several messages as one body, under a key of its own; perhaps not as it should be.
fn batch_request(
    scene: &Scene,
    client: ClientId,
    messages: &[MessageId],
    harm: Option<BatchHarm>,
) -> SendRequest<'static> {
    let contents = messages.iter().map(|id| &scene.ledger.message(*id).content);
    let mut body = batch::encode(contents);
    let mut properties = format!("UNIQ_KEY\u{1}BATCH{:08}\u{2}", messages[0]);
    let mut sys_flag = 0;
    match harm {
        None => {}
        Some(BatchHarm::Cut) => body.truncate(body.len() - 1),
        Some(BatchHarm::Empty) => body.clear(),
        Some(BatchHarm::Delayed) => properties.push_str("DELAY\u{1}1\u{2}"),
        Some(BatchHarm::Half) => sys_flag = 0x4,
    }
    SendRequest {
        properties: Cow::Owned(properties.into_bytes()),
        sys_flag,
        is_batch: true,
        body: body.into(),
        ..send_request(scene, client, messages[0])
    }
}
