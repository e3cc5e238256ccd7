//! What administrators ask of consumers, asked on their Telemetry stream.

use std::time::Duration;

use bytes::Bytes;
use kourou_broker::client::{Answer, AskError, Question, QuestionKind};
use kourou_grpc::Limits;
use kourou_grpc::wire::v2::{
    Code, FilterType, Status, TelemetryCommand, ThreadStackTrace, VerifyMessageResult,
    telemetry_command::Command,
};
use tokio::sync::oneshot::{self, Receiver};

use crate::clients::subscribing;
use crate::receives::send;
use crate::support::{Node, Telemetry, named, node, node_with};

type Answering = Receiver<Result<Answer, AskError>>;

fn ask(node: &Node, kind: QuestionKind, body: Bytes, patience: Duration) -> Answering {
    let client = node.broker.consumer("g", "c").unwrap();
    let (told, answer) = oneshot::channel();
    let question = Question {
        kind,
        fields: Vec::new(),
        body,
        patience,
    };
    client
        .channel
        .ask(question, Box::new(|answer| drop(told.send(answer))));
    answer
}

async fn consumer(node: &Node) -> Telemetry {
    let mut client = node.client("c").await;
    let mut telemetry = Telemetry::open(&mut client).await;
    telemetry.settle(subscribing("*", FilterType::Tag)).await.unwrap();
    telemetry
}

fn said(code: Code, command: Command) -> TelemetryCommand {
    let message = "so it went".to_owned();
    TelemetryCommand {
        status: Some(Status {
            code: code.into(),
            message,
        }),
        command: Some(command),
    }
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn threads_and_messages() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    send(&node, "t", &["a"]).await;
    let mut telemetry = consumer(&node).await;
    let answer = ask(&node, QuestionKind::RunningInfo, Bytes::new(), PATIENCE);
    let Some(Command::PrintThreadStackTraceCommand(command)) = telemetry.hear().await.unwrap().command else {
        panic!("another command");
    };
    let trace = |nonce: &str| {
        Command::ThreadStackTrace(ThreadStackTrace {
            nonce: nonce.to_owned(),
            thread_stack_trace: Some("main\n".to_owned()),
        })
    };
    // Nobody asked that.
    telemetry.say.send(said(Code::Ok, trace("77"))).await.unwrap();
    telemetry
        .say
        .send(said(Code::Ok, trace(&command.nonce)))
        .await
        .unwrap();
    let answer = answer.await.unwrap().unwrap();
    assert_eq!((answer.code, &json(&answer)["jstack"]), (0, &"main\n".into()));

    let record = node.broker.record_at(position(&node)).unwrap();
    for (code, expected) in [
        (Code::Ok, "CR_SUCCESS"),
        (Code::FailedToConsumeMessage, "CR_LATER"),
        (Code::MessageCorrupted, "CR_RETURN_NULL"),
        (Code::NotImplemented, "CR_THROW_EXCEPTION"),
    ] {
        let answer = ask(&node, QuestionKind::ConsumeDirectly, record.clone(), PATIENCE);
        let Some(Command::VerifyMessageCommand(command)) = telemetry.hear().await.unwrap().command else {
            panic!("another command");
        };
        let message = command.message.unwrap();
        assert_eq!((message.topic, &message.body[..]), (named("t"), &b"a"[..]));
        let result = Command::VerifyMessageResult(VerifyMessageResult { nonce: command.nonce });
        telemetry.say.send(said(code, result)).await.unwrap();
        let answer = answer.await.unwrap().unwrap();
        let body = json(&answer);
        assert_eq!(
            (&body["consumeResult"], &body["remark"]),
            (&expected.into(), &"so it went".into())
        );
    }
}

fn position(node: &Node) -> u64 {
    let mut entries = Vec::new();
    node.broker.engine().entries("t", 0, 0, 1, &mut entries);
    entries[0].position
}

#[tokio::test]
async fn whoever_does_not_answer_is_given_up() {
    let mut limits = Limits::default();
    limits.questions_max = 1;
    let node = node_with(limits, |_| {}).await;
    let telemetry = consumer(&node).await;
    let soon = Duration::from_millis(10);
    let late = ask(&node, QuestionKind::RunningInfo, Bytes::new(), soon);
    assert!(matches!(late.await.unwrap(), Err(AskError::Timeout { .. })));
    let open = ask(&node, QuestionKind::RunningInfo, Bytes::new(), PATIENCE);
    let busy = ask(&node, QuestionKind::RunningInfo, Bytes::new(), PATIENCE);
    assert!(matches!(busy.await.unwrap(), Err(AskError::Busy { open: 1 })));
    let unknown = ask(&node, QuestionKind::ConsumerStatus, Bytes::new(), PATIENCE);
    assert!(matches!(unknown.await.unwrap(), Err(AskError::NotSupported)));
    drop(telemetry);
    assert!(matches!(open.await.unwrap(), Err(AskError::Gone)));
}
