use std::time::Duration;

use kourou_proto::body::{CheckClientConfig, SubscriptionData};
use kourou_proto::remoting::request::PullMessageHeader;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};

use crate::support::{TIMEOUT, bodies, node, place, pull, sent};

fn pull_sql(offset: i64, expression: &str, hold_ms: i64) -> Command {
    let plain = pull("T", 0, offset, expression, hold_ms);
    let mut header = PullMessageHeader::decode(&plain).unwrap();
    header.expression_type = Some("SQL92");
    Command::request(RequestCode::PULL_MESSAGE, 0).with_fields(&header)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_and_holds_go_by_properties() {
    let node = node().await;
    let (consumer, producer) = (node.link().await, node.link().await);
    for a in 0..4 {
        sent(&producer, "T", 0, &format!("a\u{1}{a}\u{2}"), &[b'0' + a]).await;
    }
    let answer = consumer
        .call(pull_sql(0, "a IN ('1', '2')", 0), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(bodies(&answer), [b"1".to_vec(), b"2".to_vec()]);
    assert_eq!(place(&answer).next_begin_offset, 4);
    let answer = consumer.call(pull_sql(0, "a > 9", 5_000), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    assert_eq!(place(&answer).next_begin_offset, 4);

    let held = tokio::spawn(async move {
        consumer
            .call(pull_sql(4, "a > 8", 10_000), TIMEOUT)
            .await
            .unwrap()
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    sent(&producer, "T", 0, "a\u{1}8\u{2}", b"8").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!held.is_finished());
    sent(&producer, "T", 0, "a\u{1}9\u{2}", b"9").await;
    assert_eq!(bodies(&held.await.unwrap()), [b"9".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_compile_is_refused_when_asked_and_when_pulled() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let check = |expression_type: &str, expression: &str| {
        let body = CheckClientConfig {
            client_id: "c".to_owned(),
            group: "cg".to_owned(),
            subscription_data: SubscriptionData {
                topic: "T".to_owned(),
                expression_type: expression_type.to_owned(),
                sub_string: expression.to_owned(),
                ..SubscriptionData::default()
            },
            ..CheckClientConfig::default()
        };
        Command::request(RequestCode::CHECK_CLIENT_CONFIG, 0).with_body(body.encode())
    };
    for (expression_type, expression, code, remark) in [
        ("SQL92", "a > 5 AND b IN ('x','y')", ResponseCode::SUCCESS, ""),
        ("TAG", "a || b", ResponseCode::SUCCESS, ""),
        ("", "*", ResponseCode::SUCCESS, ""),
        (
            "SQL92",
            "a = 1;",
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            "';' is not part of the language, at character 6",
        ),
        (
            "SQL92",
            "",
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            "the expression is empty",
        ),
        (
            "XPATH",
            "a",
            ResponseCode::SYSTEM_ERROR,
            "The broker does not support consumer to filter message by XPATH",
        ),
    ] {
        let answer = link
            .call(check(expression_type, expression), TIMEOUT)
            .await
            .unwrap();
        assert_eq!(
            (answer.response_code(), answer.remark()),
            (code, remark),
            "{expression}"
        );
    }
    let answer = link.call(pull_sql(0, "a = 1;", 0), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(
        answer.remark(),
        "parse the consumer's subscription failed: ';' is not part of the language, at character 6"
    );
}
