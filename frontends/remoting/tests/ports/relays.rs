//! Questions of administrators to clients that are connected.

use std::collections::BTreeMap;

use kourou_proto::body::{ConsumerStatusBody, MessageQueue};
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::remoting::request::{
    ConsumeDirectlyHeader, ConsumerStatusHeader, GetConsumerRunningInfoHeader,
};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderCodec, HeaderFields, RequestCode, ResponseCode};

use crate::peer::Peer;
use crate::support::{TIMEOUT, node, send};

fn running_info(group: &str, client_id: &str) -> Command {
    let header = GetConsumerRunningInfoHeader {
        consumer_group: group,
        client_id,
        jstack: true,
    };
    Command::request(RequestCode::GET_CONSUMER_RUNNING_INFO, 0)
        .with_fields(&header)
        .with_field("somethingOfMine", "kept")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_info_comes_from_the_client_as_it_is() {
    let node = node().await;
    for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
        let mut consumer = Peer::consumer(&node, "c1", "cg", "T").await.speaking(codec);
        let _other = Peer::consumer(&node, "c2", "cg", "T").await;
        let admin = node.link().await;
        let asking =
            tokio::spawn(async move { admin.call(running_info("cg", "c1"), TIMEOUT).await.unwrap() });

        let question = consumer.asked().await;
        assert_eq!(question.code(), RequestCode::GET_CONSUMER_RUNNING_INFO);
        assert!(!question.is_oneway());
        assert_eq!(question.field("jstackEnable"), Some("true"));
        assert_eq!(question.field("somethingOfMine"), Some("kept"));
        let mut answer = question
            .reply(ResponseCode::FLUSH_DISK_TIMEOUT)
            .with_remark("a remark of the client")
            .with_field("f", "v")
            .with_body("{\"mqTable\":{}}");
        answer.header.version = 7;
        consumer.answer(&question, answer).await;
        // A second answer to the same question is nobody's.
        consumer
            .answer(&question, question.reply(ResponseCode::SUCCESS))
            .await;

        let answer = asking.await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::FLUSH_DISK_TIMEOUT);
        assert_eq!(answer.remark(), "a remark of the client");
        assert_eq!(answer.field("f"), Some("v"));
        assert_eq!(&answer.body[..], b"{\"mqTable\":{}}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_here_or_goes_away_is_told_of() {
    let node = node().await;
    let admin = node.link().await;
    let answer = admin.call(running_info("cg", "c1"), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(answer.remark(), "The Consumer <cg> <c1> not online");

    let mut consumer = Peer::consumer(&node, "c1", "cg", "T").await;
    let asking = tokio::spawn(async move {
        let answer = admin.call(running_info("cg", "c1"), TIMEOUT).await.unwrap();
        (admin, answer)
    });
    consumer.asked().await;
    drop(consumer);
    let (_, answer) = asking.await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(
        answer.remark().contains("the connection of the client has ended"),
        "{}",
        answer.remark()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_consumes_one_message_when_asked() {
    let node = node().await;
    let mut consumer = Peer::consumer(&node, "c1", "cg", "T").await;
    let admin = node.link().await;
    let sent = admin.call(send("T", 0, "", b"again"), TIMEOUT).await.unwrap();
    let msg_id = SendMessageResponse::decode(&sent).unwrap().msg_id.to_owned();
    let request = |msg_id: &str| {
        Command::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, 0).with_fields(&ConsumeDirectlyHeader {
            consumer_group: "cg",
            client_id: Some("c1"),
            msg_id: Some(msg_id),
            broker_name: None,
            topic: Some("T"),
            topic_sys_flag: None,
            group_sys_flag: None,
        })
    };
    for (msg_id, remark) in [("nonsense", "is not the offset id"), ("", "is not the offset id")] {
        let answer = admin.call(request(msg_id), TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().contains(remark), "{}", answer.remark());
    }
    let nowhere = OffsetMessageId {
        position: i64::MAX,
        ..OffsetMessageId::parse(&msg_id).unwrap()
    };
    let answer = admin.call(request(&nowhere.to_string()), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(
        answer.remark().contains("there is no message"),
        "{}",
        answer.remark()
    );

    let asking = tokio::spawn(async move { admin.call(request(&msg_id), TIMEOUT).await.unwrap() });
    let question = consumer.asked().await;
    assert_eq!(question.code(), RequestCode::CONSUME_MESSAGE_DIRECTLY);
    let header = ConsumeDirectlyHeader::decode(&question).unwrap();
    assert_eq!(
        (header.broker_name, header.topic_sys_flag, header.group_sys_flag),
        (Some("kourou"), Some(0), Some(0))
    );
    let message = kourou_engine::record::RecordView::parse(&question.body).unwrap();
    assert_eq!((message.topic(), message.body()), ("T", b"again".as_slice()));
    let answer = question
        .reply(ResponseCode::SUCCESS)
        .with_body("{\"consumeResult\":\"CR_SUCCESS\"}");
    consumer.answer(&question, answer).await;
    assert_eq!(
        &asking.await.unwrap().body[..],
        b"{\"consumeResult\":\"CR_SUCCESS\"}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_group_is_gathered_from_its_members() {
    let node = node().await;
    let admin = node.link().await;
    let request = |client_addr| {
        Command::request(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, 0).with_fields(
            &ConsumerStatusHeader {
                topic: "T",
                group: "cg",
                client_addr,
            },
        )
    };
    let answer = admin.call(request(None), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(
        answer.remark(),
        "No Any Consumer online in the consumer group: [cg]"
    );

    let mut members = [
        Peer::consumer(&node, "c1", "cg", "T").await,
        Peer::consumer(&node, "c2", "cg", "T").await,
        Peer::consumer(&node, "c3", "cg", "T").await,
    ];
    let asking = tokio::spawn(async move {
        let answer = admin.call(request(None), TIMEOUT).await.unwrap();
        (admin, answer)
    });
    let queue = |queue_id| MessageQueue {
        broker_name: "kourou".to_owned(),
        queue_id,
        topic: "T".to_owned(),
    };
    for (at, member) in members.iter_mut().enumerate() {
        let question = member.asked().await;
        assert_eq!(question.code(), RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT);
        assert_eq!(
            (question.field("topic"), question.field("group")),
            (Some("T"), Some("cg"))
        );
        let at = i32::try_from(at).unwrap();
        let body = ConsumerStatusBody {
            message_queue_table: BTreeMap::from([(queue(at), i64::from(at) + 10)]),
            ..ConsumerStatusBody::default()
        };
        // One of them is of no use, and no reason to leave out the others.
        let code = if at == 1 {
            ResponseCode::SYSTEM_ERROR
        } else {
            ResponseCode::SUCCESS
        };
        member
            .answer(&question, question.reply(code).with_body(body.encode()))
            .await;
    }
    let (admin, answer) = asking.await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        text.contains(r#""c1":{{"brokerName":"kourou","queueId":0,"topic":"T"}:10}"#),
        "{text}"
    );
    let table = ConsumerStatusBody::decode(&answer.body).unwrap().consumer_table;
    assert_eq!(table.keys().collect::<Vec<_>>(), ["c1", "c3"]);

    let asking = tokio::spawn(async move { admin.call(request(Some("c2")), TIMEOUT).await.unwrap() });
    let question = members[1].asked().await;
    let body = ConsumerStatusBody::default().encode();
    members[1]
        .answer(&question, question.reply(ResponseCode::SUCCESS).with_body(body))
        .await;
    let table = ConsumerStatusBody::decode(&asking.await.unwrap().body)
        .unwrap()
        .consumer_table;
    assert_eq!(table.keys().collect::<Vec<_>>(), ["c2"]);
}
