//! Transactions: decided by whoever sent them, or asked for on the Telemetry stream.

use kourou_grpc::wire::v2::{
    Code, EndTransactionRequest, MessageType, SendMessageRequest, TransactionResolution, TransactionSource,
    telemetry_command::Command,
};

use crate::support::{Node, Telemetry, code, message, named, node, publishing};

async fn half(node: &Node) -> String {
    let mut half = message("t", "id", "x");
    half.system_properties
        .as_mut()
        .unwrap()
        .set_message_type(MessageType::Transaction);
    let mut client = node.client("c").await;
    let request = SendMessageRequest { messages: vec![half] };
    let answer = client.send_message(request).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    answer.entries[0].transaction_id.clone()
}

async fn end(
    node: &Node,
    topic: &str,
    id: &str,
    resolution: TransactionResolution,
    source: TransactionSource,
) -> Code {
    let request = EndTransactionRequest {
        topic: named(topic),
        message_id: "id".to_owned(),
        transaction_id: id.to_owned(),
        resolution: resolution.into(),
        source: source.into(),
        trace_context: String::new(),
    };
    let mut client = node.client("c").await;
    code(&client.end_transaction(request).await.unwrap().into_inner().status)
}

#[tokio::test]
async fn a_decision_is_taken_once() {
    use TransactionResolution::{Commit, Rollback, Unspecified};
    let node = node().await;
    node.topic("t", 1, "TRANSACTION").await;
    node.topic("u", 1, "TRANSACTION").await;
    let source = TransactionSource::SourceClient;
    let id = half(&node).await;
    assert_eq!(node.broker.max_offset("t", 0), 0);
    assert_eq!(end(&node, "t", &id, Unspecified, source).await, Code::Ok);
    for wrong in [
        "",
        "id",
        "00000000000000000000000000000000",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    ] {
        assert_eq!(
            end(&node, "t", wrong, Commit, source).await,
            Code::InvalidTransactionId,
            "{wrong}"
        );
    }
    assert_eq!(
        end(&node, "u", &id, Commit, source).await,
        Code::InvalidTransactionId
    );
    assert_eq!(end(&node, "t", &id, Commit, source).await, Code::Ok);
    assert_eq!(end(&node, "t", &id, Commit, source).await, Code::Ok);
    assert_eq!(
        end(&node, "t", &id, Rollback, source).await,
        Code::InvalidTransactionId
    );
    assert_eq!(node.broker.max_offset("t", 0), 1);
}

#[tokio::test]
async fn an_orphan_is_asked_for_by_the_newest_stream() {
    let node = node().await;
    node.topic("t", 1, "TRANSACTION").await;
    let mut client = node.client("producer").await;
    let mut old = Telemetry::open(&mut client).await;
    old.settle(publishing(&["t"])).await.unwrap();
    let mut new = Telemetry::open(&mut client).await;
    new.settle(publishing(&["t"])).await.unwrap();
    let id = half(&node).await;
    let broker = node.broker.clone();
    tokio::task::spawn_blocking(move || {
        while broker.check_transactions().is_some() && broker.transactions_pending() > 0 {
            if broker
                .next_transaction_check_ms()
                .is_some_and(|next_ms| next_ms > broker.now_ms() + 1_000)
            {
                break;
            }
        }
    })
    .await
    .unwrap();
    let Some(Command::RecoverOrphanedTransactionCommand(command)) = new.hear().await.unwrap().command else {
        panic!("another command");
    };
    assert_eq!(command.transaction_id, id);
    let asked = command.message.unwrap();
    assert_eq!((asked.topic, &asked.body[..]), (named("t"), &b"x"[..]));
    let source = TransactionSource::SourceServerCheck;
    assert_eq!(
        end(&node, "t", &id, TransactionResolution::Commit, source).await,
        Code::Ok
    );
    assert_eq!(node.broker.max_offset("t", 0), 1);
}
