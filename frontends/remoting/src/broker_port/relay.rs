//! What administrators ask of clients that are connected here: asked on the client's connection, its answer handed back as it
//! came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kourou_broker::client::{Answer, AskError, Client, Question, QuestionKind};
use kourou_proto::body::{ConsumerStatusBody, MessageQueue};
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::remoting::request::{
    ConsumeDirectlyHeader, ConsumerStatusHeader, GetConsumerRunningInfoHeader,
};
use kourou_proto::remoting::version;
use kourou_proto::{Command, HeaderFields, ResponseCode};
use parking_lot::Mutex;

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// How long a client may take for what is asked of one client.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How long each client may take for what is asked of a whole group.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// GET_CONSUMER_RUNNING_INFO (307).
pub(super) fn running_info(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let header = match GetConsumerRunningInfoHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    match consumer(port, header.consumer_group, header.client_id) {
        Ok(client) => {
            let question = question(QuestionKind::RunningInfo, request, request.body.clone());
            ask(&client, header.consumer_group, question, reply);
        }
        Err(refusal) => refusal.send(reply),
    }
}

/// CONSUME_MESSAGE_DIRECTLY (309): the message goes with the question, as it is stored.
pub(super) fn consume_directly(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let (group, client, position) = match directly(port, request) {
        Ok(found) => found,
        Err(refusal) => return refusal.send(reply),
    };
    let mut question = question(QuestionKind::ConsumeDirectly, request, Bytes::new());
    let mut add = |name: &str, value: String| question.fields.push((name.to_owned(), value));
    add("brokerName", port.broker.options().broker_name.clone());
    if let Some(topic) = request.field("topic").and_then(|topic| port.broker.topic(topic)) {
        add("topicSysFlag", topic.sys_flag.to_string());
    }
    if let Some(config) = port.broker.group(&group) {
        add("groupSysFlag", config.sys_flag.to_string());
    }
    let broker = Arc::clone(&port.broker);
    // The message may have left the memory.
    port.cold_reads
        .run(reply, move |reply| match broker.record_at(position) {
            Ok(message) => {
                question.body = message;
                ask(&client, &group, question, reply);
            }
            Err(error) => Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("there is no message at {position}: {error}"),
            )
            .send(reply),
        });
}

fn directly(port: &Port, request: &Command) -> Result<(String, Client, u64), Refusal> {
    let header = ConsumeDirectlyHeader::decode(request)?;
    let msg_id = header.msg_id.unwrap_or_default();
    let position = OffsetMessageId::parse(msg_id)
        .ok()
        .and_then(|id| u64::try_from(id.position).ok())
        .ok_or_else(|| {
            Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!(
                    "msgId {msg_id:?} is not the offset id of a message: it has 32 or 56 hexadecimal digits"
                ),
            )
        })?;
    let client = consumer(port, header.consumer_group, header.client_id.unwrap_or_default())?;
    Ok((header.consumer_group.to_owned(), client, position))
}

/// The member of a group that is asked, if it is here and can answer.
fn consumer(port: &Port, group: &str, client_id: &str) -> Result<Client, Refusal> {
    let Some(client) = port.broker.consumer(group, client_id) else {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("The Consumer <{group}> <{client_id}> not online"),
        ));
    };
    if client.version < version::V3_1_8_SNAPSHOT {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!(
                "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
                client.version
            ),
        ));
    }
    Ok(client)
}

/// A question with the fields that an administrator has sent.
fn question(kind: QuestionKind, request: &Command, body: Bytes) -> Question {
    let fields = request.header.fields.iter();
    Question {
        kind,
        fields: fields
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        body,
        patience: ANSWER_PATIENCE,
    }
}

fn ask(client: &Client, group: &str, question: Question, reply: ReplyTo) {
    let (group, client_id) = (group.to_owned(), client.client_id.clone());
    let done = move |answer| hand_back(answer, &group, &client_id, reply);
    client.channel.ask(question, Box::new(done));
}

/// The client's code, remark, fields and body, under the number of whoever asked.
fn hand_back(answer: Result<Answer, AskError>, group: &str, client_id: &str, reply: ReplyTo) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ AskError::Timeout { .. }) => {
            let remark = format!("consumer <{group}> <{client_id}> Timeout: {error}");
            return Refusal::new(ResponseCode::CONSUME_MSG_TIMEOUT, remark).send(reply);
        }
        Err(error) => {
            let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
            return Refusal::new(ResponseCode::SYSTEM_ERROR, remark).send(reply);
        }
    };
    let mut command = reply
        .command(ResponseCode::new(answer.code))
        .with_body(answer.body);
    command.header.remark = answer.remark.map(Into::into);
    for (key, value) in &answer.fields {
        command.header.fields.push(key, value);
    }
    reply.send(command);
}

/// How far each member of a group is, by its client's id.
type Statuses = BTreeMap<String, BTreeMap<MessageQueue, i64>>;

/// What is gathered from the members of a group, answered when the last has answered or is given up.
struct Gathering {
    found: Mutex<Statuses>,
    reply: Mutex<Option<ReplyTo>>,
}

impl Gathering {
    fn add(&self, client_id: &str, answer: Result<Answer, AskError>) {
        match answer {
            Ok(answer) if answer.code == ResponseCode::SUCCESS.value() => {
                match ConsumerStatusBody::decode(&answer.body) {
                    Ok(body) => {
                        self.found
                            .lock()
                            .insert(client_id.to_owned(), body.message_queue_table);
                    }
                    Err(error) => tracing::info!(client_id, %error, "a client's status cannot be read"),
                }
            }
            Ok(answer) => tracing::info!(client_id, code = answer.code, "a client does not tell its status"),
            Err(error) => tracing::info!(client_id, %error, "a client does not tell its status"),
        }
    }
}

impl Drop for Gathering {
    /// Nobody has anything to add.
    fn drop(&mut self) {
        if let Some(reply) = self.reply.get_mut().take() {
            let body = ConsumerStatusBody {
                consumer_table: std::mem::take(self.found.get_mut()),
                ..ConsumerStatusBody::default()
            };
            let answer = reply.command(ResponseCode::SUCCESS).with_body(body.encode());
            reply.send(answer);
        }
    }
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): all members of the group are asked at once, or one.
pub(super) fn consumer_status(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let (members, fields) = match members(port, request) {
        Ok(found) => found,
        Err(refusal) => return refusal.send(reply),
    };
    let gathering = Arc::new(Gathering {
        found: Mutex::default(),
        reply: Mutex::new(Some(reply)),
    });
    for client in members {
        let gathering = Arc::clone(&gathering);
        let client_id = client.client_id.clone();
        let question = Question {
            kind: QuestionKind::ConsumerStatus,
            fields: fields.clone(),
            body: Bytes::new(),
            patience: STATUS_PATIENCE,
        };
        client.channel.ask(
            question,
            Box::new(move |answer| gathering.add(&client_id, answer)),
        );
    }
}

type Fields = Vec<(String, String)>;

fn members(port: &Port, request: &Command) -> Result<(Vec<Client>, Fields), Refusal> {
    let header = ConsumerStatusHeader::decode(request)?;
    let refused = |remark: String| Refusal::new(ResponseCode::SYSTEM_ERROR, remark);
    let Some(connections) = port.broker.consumer_connections(header.group) else {
        return Err(refused(format!(
            "No Any Consumer online in the consumer group: [{}]",
            header.group
        )));
    };
    let wanted = header
        .client_addr
        .filter(|client_id| !client_id.trim().is_empty());
    let mut members = connections.clients;
    if let Some(old) = members
        .iter()
        .find(|client| client.version < version::V3_0_7_SNAPSHOT)
    {
        return Err(refused(format!(
            "the client does not support this feature. version={}",
            old.version
        )));
    }
    members.retain(|client| wanted.is_none_or(|wanted| *client.client_id == *wanted));
    let fields = vec![
        ("topic".to_owned(), header.topic.to_owned()),
        ("group".to_owned(), header.group.to_owned()),
    ];
    Ok((members, fields))
}
