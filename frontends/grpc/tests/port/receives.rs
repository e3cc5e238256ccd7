//! Receives: messages handed out for a time, and what becomes of them.

use std::collections::BTreeSet;
use std::time::Duration;

use kourou_broker::group::GroupConfig;
use kourou_grpc::wire::v2::{
    AckMessageEntry, AckMessageRequest, ChangeInvisibleDurationRequest, Code, FilterExpression, FilterType,
    Message, MessageQueue, ReceiveMessageRequest, ReceiveMessageResponse, SendMessageRequest,
    receive_message_response::Content,
};
use tonic::{Request, Streaming};

use crate::support::{Client, Node, TIMEOUT, code, message, named, node, node_with};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub(crate) fn ask(topic: &str) -> ReceiveMessageRequest {
    ReceiveMessageRequest {
        group: named("g"),
        message_queue: Some(MessageQueue {
            topic: named(topic),
            id: 3,
            ..MessageQueue::default()
        }),
        filter_expression: None,
        batch_size: 32,
        invisible_duration: seconds(60),
        auto_renew: false,
        long_polling_timeout: seconds(20),
        attempt_id: None,
    }
}

/// All of an answer: its code, its messages; the time of delivery is its last part.
pub(crate) async fn whole(mut parts: Streaming<ReceiveMessageResponse>) -> (Code, Vec<Message>) {
    let mut contents = Vec::new();
    loop {
        let part = tokio::time::timeout(TIMEOUT * 3, parts.message()).await.unwrap();
        match part.unwrap() {
            Some(part) => contents.push(part.content.unwrap()),
            None => break,
        }
    }
    let mut contents = contents.into_iter();
    let Some(Content::Status(status)) = contents.next() else {
        panic!("the status is first");
    };
    assert!(matches!(contents.next_back(), Some(Content::DeliveryTimestamp(time)) if time.seconds > 0));
    let messages = contents.map(|content| match content {
        Content::Message(message) => message,
        other => panic!("{other:?}"),
    });
    (status.code(), messages.collect())
}

pub(crate) async fn receive(
    client: &mut Client,
    request: impl tonic::IntoRequest<ReceiveMessageRequest>,
) -> (Code, Vec<Message>) {
    whole(client.receive_message(request).await.unwrap().into_inner()).await
}

/// What is found at once.
pub(crate) async fn found(client: &mut Client, topic: &str) -> Vec<Message> {
    let (code, messages) = receive(client, ask(topic)).await;
    assert_eq!(code, Code::Ok);
    messages
}

pub(crate) fn handle(message: &Message) -> String {
    let system = message.system_properties.as_ref().unwrap();
    system.receipt_handle.clone().unwrap()
}

pub(crate) fn attempt(message: &Message) -> i32 {
    message
        .system_properties
        .as_ref()
        .unwrap()
        .delivery_attempt
        .unwrap()
}

pub(crate) fn bodies(messages: &[Message]) -> Vec<String> {
    let bodies = messages.iter().map(|message| message.body.to_vec());
    bodies.map(|body| String::from_utf8(body).unwrap()).collect()
}

pub(crate) async fn ack(client: &mut Client, topic: &str, handles: &[&str]) -> Vec<Code> {
    ack_as(client, "g", topic, handles).await
}

async fn ack_as(client: &mut Client, group: &str, topic: &str, handles: &[&str]) -> Vec<Code> {
    let entries = handles.iter().zip(0..).map(|(handle, at)| AckMessageEntry {
        message_id: format!("id {at}"),
        receipt_handle: (*handle).to_owned(),
        lite_topic: None,
    });
    let request = AckMessageRequest {
        group: named(group),
        topic: named(topic),
        entries: entries.collect(),
    };
    let answer = client.ack_message(request).await.unwrap().into_inner();
    let mut codes = vec![code(&answer.status)];
    for ((entry, handle), at) in answer.entries.iter().zip(handles).zip(0..) {
        assert_eq!(
            (&*entry.message_id, &*entry.receipt_handle),
            (&*format!("id {at}"), *handle)
        );
        codes.push(code(&entry.status));
    }
    codes
}

async fn change(client: &mut Client, topic: &str, handle: &str, seconds_from_now: i64) -> (Code, String) {
    let request = ChangeInvisibleDurationRequest {
        group: named("g"),
        topic: named(topic),
        receipt_handle: handle.to_owned(),
        invisible_duration: seconds(seconds_from_now),
        ..ChangeInvisibleDurationRequest::default()
    };
    let answer = client
        .change_invisible_duration(request)
        .await
        .unwrap()
        .into_inner();
    (code(&answer.status), answer.receipt_handle)
}

pub(crate) async fn send(node: &Node, topic: &str, bodies: &[&str]) {
    let messages = bodies.iter().zip(0..).map(|(body, at)| {
        let id = format!("{at} of {} in {}", bodies.len(), body.len());
        message(topic, &id, body)
    });
    let messages = messages.collect();
    let mut client = node.client("p").await;
    let answer = client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
}

/// Delivers again what is due, until it is dropped.
pub(crate) struct Redelivering(tokio::task::JoinHandle<()>);

impl Redelivering {
    pub(crate) fn on(node: &Node) -> Self {
        let broker = node.broker.clone();
        Self(tokio::spawn(async move {
            loop {
                let broker = broker.clone();
                tokio::task::spawn_blocking(move || broker.redeliver_due())
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    }
}

impl Drop for Redelivering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has what is due delivered again, until a receive finds something.
pub(crate) async fn found_again(node: &Node, client: &mut Client, topic: &str) -> Vec<Message> {
    let _redelivering = Redelivering::on(node);
    found(client, topic).await
}

#[tokio::test]
async fn a_receive_waits_for_the_message_and_an_acknowledgement_ends_it() {
    let node = node().await;
    node.topic("t", 2, "NORMAL").await;
    let mut client = node.client("c").await;
    let mut other = client.clone();
    let waiting = tokio::spawn(async move { receive(&mut other, ask("t")).await });
    while node.broker.held_pops() == 0 {
        tokio::task::yield_now().await;
    }
    let mut sent = message("t", "id-1", "hello");
    sent.user_properties.insert("colour".to_owned(), "red".to_owned());
    let system = sent.system_properties.as_mut().unwrap();
    system.tag = Some("tag".to_owned());
    system.keys = vec!["k1".to_owned(), "k2".to_owned()];
    let messages = vec![sent.clone()];
    client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap();
    let (status, messages) = waiting.await.unwrap();
    let [got] = messages.as_slice() else {
        panic!("{messages:?}");
    };
    assert_eq!(
        (status, &got.topic, &got.body),
        (Code::Ok, &sent.topic, &sent.body)
    );
    assert_eq!(got.user_properties, sent.user_properties);
    let (system, sent) = (
        got.system_properties.as_ref().unwrap(),
        sent.system_properties.as_ref().unwrap(),
    );
    assert_eq!((&system.tag, &system.keys), (&sent.tag, &sent.keys));
    assert_eq!(
        (system.message_id.as_str(), system.delivery_attempt),
        ("id-1", Some(1))
    );
    assert_eq!(
        system.body_digest.as_ref().unwrap().checksum,
        "5D41402ABC4B2A76B9719D911017C592"
    );

    let handle = handle(got);
    assert_eq!(node.broker.deliveries(), 1);
    assert_eq!(ack(&mut client, "t", &[&handle]).await, [Code::Ok; 2]);
    assert_eq!(node.broker.deliveries(), 0);
    assert_eq!(
        ack(&mut client, "t", &[&handle]).await,
        [Code::InvalidReceiptHandle; 2]
    );
    assert_eq!(
        change(&mut client, "t", &handle, 10).await.0,
        Code::InvalidReceiptHandle
    );
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_with_one_attempt_more() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    send(&node, "t", &["a", "b", "c"]).await;
    let first = found(&mut client, "t").await;
    // Acknowledged in one request, each as it may be.
    let (a, b) = (handle(&first[0]), handle(&first[1]));
    assert_eq!(
        ack(&mut client, "t", &[&a, "nothing"]).await,
        [Code::MultipleResults, Code::Ok, Code::InvalidReceiptHandle]
    );
    // A new time is a new handle, and the old one is void.
    let (changed, newer) = change(&mut client, "t", &b, 0).await;
    assert!(changed == Code::Ok && newer != b);
    assert_eq!(
        ack(&mut client, "t", &[&b]).await,
        [Code::InvalidReceiptHandle; 2]
    );
    let again = found_again(&node, &mut client, "t").await;
    assert_eq!(bodies(&again), ["b"]);
    assert_eq!((attempt(&again[0]), &again[0].topic), (2, &named("t")));
    assert!(
        again[0].user_properties.is_empty(),
        "{:?}",
        again[0].user_properties
    );
    assert_eq!(
        ack(&mut client, "t", &[&newer]).await,
        [Code::InvalidReceiptHandle; 2]
    );
    // Out of the retry topic it is acknowledged as one of the topic that was asked for.
    let handles = [handle(&again[0]), handle(&first[2])];
    assert_eq!(
        ack(&mut client, "t", &[&handles[0], &handles[1]]).await,
        [Code::Ok; 3]
    );
    assert_eq!(node.broker.deliveries(), 0);
}

#[tokio::test]
async fn no_handle_but_the_one_that_was_given_does_anything() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    node.topic("u", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    send(&node, "t", &["a"]).await;
    let handle = handle(&found(&mut client, "t").await[0]);
    let mut wrong: BTreeSet<String> = BTreeSet::new();
    for at in 0..handle.len() {
        wrong.insert(handle[..at].to_owned());
        wrong.insert(handle[at..].to_owned() + " ");
        for other in [
            "0",
            "9",
            "-",
            " ",
            "",
            "\u{0}",
            "\u{10ffff}",
            "99999999999999999999",
        ] {
            wrong.insert(format!("{}{other}{}", &handle[..at], &handle[at + 1..]));
        }
    }
    let fields: Vec<&str> = handle.split(' ').collect();
    for (one, _) in fields.iter().enumerate() {
        for (other, _) in fields.iter().enumerate() {
            let mut swapped = fields.clone();
            swapped.swap(one, other);
            wrong.insert(swapped.join(" "));
        }
    }
    wrong.insert("9 ".repeat(10_000));
    wrong.remove(&handle);
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    assert!(wrong.len() > 500);
    for some in wrong.chunks(1_000) {
        let codes = ack(&mut client, "t", some).await;
        assert!(codes.iter().all(|code| *code == Code::InvalidReceiptHandle));
    }
    for one in wrong.iter().step_by(7) {
        assert_eq!(
            change(&mut client, "t", one, 10).await.0,
            Code::InvalidReceiptHandle,
            "{one}"
        );
    }
    // It is the group's and the topic's.
    for (group, topic, expected) in [
        ("h", "t", Code::InvalidReceiptHandle),
        ("g", "u", Code::InvalidReceiptHandle),
        ("g", "nowhere", Code::InvalidReceiptHandle),
        ("", "t", Code::IllegalConsumerGroup),
        ("g", "a b", Code::IllegalTopic),
    ] {
        let codes = ack_as(&mut client, group, topic, &[&handle]).await;
        assert!(codes.iter().all(|code| *code == expected), "{group} {topic}");
    }
    assert_eq!(ack(&mut client, "t", &[]).await, [Code::BadRequest]);
    let many = vec![handle.as_str(); 1_025];
    assert_eq!(ack(&mut client, "t", &many).await, [Code::BadRequest]);
    assert_eq!(
        change(&mut client, "t", &handle, 12 * 3_600 + 1).await.0,
        Code::IllegalInvisibleTime
    );
    assert_eq!(
        change(&mut client, "t", &handle, -1).await.0,
        Code::IllegalInvisibleTime
    );
    // After all that it is as it was.
    assert_eq!(ack(&mut client, "t", &[&handle]).await, [Code::Ok; 2]);
}

#[tokio::test]
async fn what_cannot_be_received_is_told_by_its_code() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let sql = |expression: &str| {
        Some(FilterExpression {
            r#type: FilterType::Sql.into(),
            expression: expression.to_owned(),
        })
    };
    type Change = Box<dyn Fn(&mut ReceiveMessageRequest)>;
    let faults: Vec<(Code, Change)> = vec![
        (
            Code::IllegalConsumerGroup,
            Box::new(|request| request.group = named("a b")),
        ),
        (
            Code::IllegalTopic,
            Box::new(|request| request.message_queue = None),
        ),
        (
            Code::TopicNotFound,
            Box::new(|request| request.message_queue.as_mut().unwrap().topic = named("nowhere")),
        ),
        (
            Code::IllegalInvisibleTime,
            Box::new(|request| request.invisible_duration = seconds(9)),
        ),
        (
            Code::IllegalFilterExpression,
            Box::new(move |request| request.filter_expression = sql("")),
        ),
        (
            Code::IllegalFilterExpression,
            Box::new(move |request| request.filter_expression = sql("a > ")),
        ),
    ];
    for (expected, fault) in faults {
        let mut request = ask("t");
        fault(&mut request);
        let (code, messages) = receive(&mut client, request).await;
        assert_eq!((code, messages.len()), (expected, 0));
    }
    let mut hurried = Request::new(ask("t"));
    hurried.set_timeout(Duration::from_secs(3));
    hurried
        .metadata_mut()
        .insert("x-mq-client-version", "5.0.7".parse().unwrap());
    assert_eq!(receive(&mut client, hurried).await.0, Code::IllegalPollingTime);
    let mut nobody = node.client("").await;
    assert_eq!(receive(&mut nobody, ask("t")).await.0, Code::ClientIdRequired);
    assert_eq!(node.broker.held_pops(), 0);
}

#[tokio::test]
async fn only_what_the_filter_wants() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let tagged = |tag: &str, number: usize| {
        let mut message = message("t", &number.to_string(), &number.to_string());
        message.system_properties.as_mut().unwrap().tag = Some(tag.to_owned());
        message
            .user_properties
            .insert("number".to_owned(), number.to_string());
        message
    };
    let tags = ["a", "b", "c"].into_iter().cycle();
    let messages = tags.zip(0..9).map(|(tag, number)| tagged(tag, number)).collect();
    client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap();
    for (group, kind, expression, expected) in [
        (
            "tags",
            FilterType::Tag,
            "a || c",
            &["0", "2", "3", "5", "6", "8"][..],
        ),
        ("sql", FilterType::Sql, "number > 4 AND TAGS <> 'c'", &["6", "7"]),
        ("none", FilterType::Unspecified, "b", &["1", "4", "7"]),
    ] {
        let mut request = ask("t");
        request.group = named(group);
        request.filter_expression = Some(FilterExpression {
            r#type: kind.into(),
            expression: expression.to_owned(),
        });
        let (code, messages) = receive(&mut client, request).await;
        assert_eq!(
            (code, bodies(&messages)),
            (Code::Ok, expected.iter().map(|body| (*body).to_owned()).collect())
        );
    }
}

#[tokio::test]
async fn what_does_not_reach_its_consumer_comes_again() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    // More than may be on its way to a client that takes nothing.
    let large = "x".repeat(1 << 20);
    send(&node, "t", &[&large]).await;
    let mut gone = Client::new(node.slow_wire("gone").await);
    let mut parts = gone.receive_message(ask("t")).await.unwrap().into_inner();
    let first = parts.message().await.unwrap().unwrap();
    assert!(matches!(first.content, Some(Content::Status(status)) if status.code() == Code::Ok));
    assert_eq!(node.broker.deliveries(), 1);
    drop((parts, gone));
    let mut client = node.client("c").await;
    let again = found_again(&node, &mut client, "t").await;
    assert_eq!((again[0].body.len(), attempt(&again[0])), (1 << 20, 2));
}

#[tokio::test]
async fn whoever_goes_while_it_waits_leaves_the_message_to_others() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let mut gone = client.clone();
    let first = gone.receive_message(ask("t")).await.unwrap();
    while node.broker.held_pops() < 1 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(async move { receive(&mut client, ask("t")).await });
    while node.broker.held_pops() < 2 {
        tokio::task::yield_now().await;
    }
    drop(first);
    send(&node, "t", &["a"]).await;
    let (code, messages) = second.await.unwrap();
    assert_eq!((code, bodies(&messages)), (Code::Ok, vec!["a".to_owned()]));
    assert_eq!(attempt(&messages[0]), 1);
}

#[tokio::test]
async fn as_many_wait_as_may() {
    let node = node_with(kourou_grpc::Limits::default(), |options| {
        options.limits.pop_holds_per_queue_max = 1;
    })
    .await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let _waiting = client.receive_message(ask("t")).await.unwrap();
    while node.broker.held_pops() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(receive(&mut client, ask("t")).await.0, Code::TooManyRequests);
    // With the port the wait ends.
    let ending = tokio::spawn(async move { whole(_waiting.into_inner()).await });
    node.shutdown.cancel();
    assert_eq!(ending.await.unwrap().0, Code::MessageNotFound);
}

#[tokio::test]
async fn a_group_in_order_gets_one_batch_at_a_time() {
    let node = node().await;
    node.topic("t", 1, "FIFO").await;
    let mut client = node.client("c").await;
    node.group(GroupConfig {
        consume_message_orderly: true,
        ..GroupConfig::new("g")
    })
    .await;
    let messages = ["a", "b", "c"].map(|body| {
        let mut message = message("t", body, body);
        message.system_properties.as_mut().unwrap().message_group = Some("same".to_owned());
        message
    });
    let messages = messages.to_vec();
    client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap();
    let in_order = |attempt: &str, batch_size| ReceiveMessageRequest {
        attempt_id: Some(attempt.to_owned()),
        batch_size,
        ..ask("t")
    };
    let (_, first) = receive(&mut client, in_order("x", 2)).await;
    assert_eq!(bodies(&first), ["a", "b"]);
    // Whoever has not heard the answer asks again, and nothing is counted.
    let (_, same) = receive(&mut client, in_order("x", 2)).await;
    assert_eq!(bodies(&same), ["a", "b"]);
    assert_eq!((attempt(&same[0]), attempt(&same[1])), (1, 1));
    let mut other = client.clone();
    let blocked = tokio::spawn(async move { receive(&mut other, in_order("y", 2)).await });
    while node.broker.held_pops() == 0 {
        tokio::task::yield_now().await;
    }
    let handles = [handle(&same[0]), handle(&same[1])];
    assert_eq!(ack(&mut client, "t", &[&handles[0]]).await, [Code::Ok; 2]);
    // It keeps its handle in order; the rest of the block is out until then.
    let (changed, newer) = change(&mut client, "t", &handles[1], 0).await;
    assert_eq!(changed, Code::Ok);
    let redelivering = Redelivering::on(&node);
    let (_, again) = blocked.await.unwrap();
    drop(redelivering);
    assert_eq!((bodies(&again), attempt(&again[0])), (vec!["b".to_owned()], 2));
    assert_eq!(
        ack(&mut client, "t", &[&newer]).await,
        [Code::InvalidReceiptHandle; 2]
    );
    assert_eq!(ack(&mut client, "t", &[&handle(&again[0])]).await, [Code::Ok; 2]);
    let (_, last) = receive(&mut client, in_order("z", 2)).await;
    assert_eq!(bodies(&last), ["c"]);
}
