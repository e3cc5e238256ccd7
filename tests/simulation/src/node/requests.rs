//! Requests: each is given to the broker as a frontend would, held ones included.

use std::sync::Arc;

use kourou_broker::QueueKey;
use kourou_broker::delivery::{PopHold, PopRequest, PopStep, Reading, Waiter};
use kourou_broker::query::QueryRequest;
use kourou_broker::receive::{HoldResult, PullOutcome, PullRequest};
use kourou_broker::send::SendRequest;

use super::saying::{Answering, Asker, Brief, Channel, Refusal, Said};
use super::survey;
use super::{Held, HeldWhat, Node, address};
use crate::ledger::{MessageId, MessageKind};
use crate::scene::Scene;
use crate::schedule::Event;
use crate::wire::{ClientId, Reply, Request, RequestId};

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
        self.note_arrival(scene, &request);
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
                broker.send(send, answering.with(Reply::Sent));
            }
            Request::Pull { pull, hold_ms } => self.pull(scene, to, pull, Some(hold_ms)),
            Request::Pop { pop, hold_ms } => self.pop(scene, to, pop, Some(hold_ms)),
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

    pub(super) fn pop(&mut self, scene: &mut Scene, to: Asker, pop: PopRequest, hold_ms: Option<i64>) {
        let Some(process) = &mut self.process else { return };
        let answering = Answering {
            to,
            outbox: process.outbox.clone(),
            disk: self.disk.clone(),
        };
        let mut number = None;
        // Once to look; if nothing is there, once more when it is held.
        loop {
            match process.broker.begin_pop(&pop, Reading::Disk) {
                Ok(PopStep::Taken(taken)) => {
                    process.held.remove(&number.unwrap_or(u64::MAX));
                    return taken.store(answering.with(Reply::Popped));
                }
                Ok(PopStep::Empty { again: true, .. }) => continue,
                Ok(PopStep::Empty { .. } | PopStep::Cold) => {}
                Err(error) => return answering.say(error.refused()),
            }
            let Some(hold_ms) = hold_ms.filter(|hold_ms| *hold_ms > 0) else {
                return answering.say(nothing_popped(&pop));
            };
            if number.is_some() {
                return;
            }
            let outbox = process.outbox.clone();
            let hold = self.next_hold;
            self.next_hold += 1;
            let wake = move || outbox.lock().push(Said::Woken(hold));
            match process.broker.hold_pop(&pop, Waiter::Pop, wake) {
                Ok(PopHold::Held(guard)) => {
                    let what = HeldWhat::Pop(pop.clone(), guard);
                    process.held.insert(hold, Held { to, what });
                    scene.after(hold_ms, Event::HoldEnds(hold));
                    number = Some(hold);
                }
                Ok(PopHold::Full) => return answering.say(nothing_popped(&pop)),
                Err(error) => return answering.say(error.refused()),
            }
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
            HeldWhat::Pop(pop, guard) => {
                drop(guard);
                self.pop(scene, held.to, pop, None);
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
        self.compare(scene, &request, &reply, at_operation);
        scene.answer(to.client, to.connection, to.id, reply);
    }
}

fn nothing_popped(pop: &PopRequest) -> Reply {
    Reply::Popped(kourou_broker::delivery::Popped {
        pop_ms: 0,
        invisible_ms: pop.invisible_ms,
        ordered: pop.ordered,
        rest: 0,
        queues: Vec::new(),
    })
}

fn send_request(scene: &Scene, client: ClientId, message: MessageId) -> SendRequest<'static> {
    let content = &scene.ledger.message(message).content;
    let is_half = matches!(content.kind, MessageKind::Half { .. });
    SendRequest {
        producer_group: crate::clients::TRANSACTION_GROUP.into(),
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
