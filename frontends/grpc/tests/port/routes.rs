//! Routes, assignments, and who may ask.

use kourou_grpc::wire::v2::{
    Address, AddressScheme, Code, Endpoints, MessageType, Permission, QueryAssignmentRequest,
    QueryRouteRequest,
};

use crate::support::{code, named, node};

fn ask(topic: &str) -> QueryRouteRequest {
    QueryRouteRequest {
        topic: named(topic),
        endpoints: None,
    }
}

#[tokio::test]
async fn a_route_leads_back_the_way_the_client_came() {
    let node = node().await;
    node.topic("orders", 2, "FIFO").await;
    let mut client = node.client("c").await;
    let outside = Endpoints {
        scheme: AddressScheme::DomainName.into(),
        addresses: vec![Address {
            host: "broker.example".to_owned(),
            port: 18_081,
        }],
    };
    let mut request = ask("orders");
    request.endpoints = Some(outside.clone());
    let route = client.query_route(request).await.unwrap().into_inner();
    assert_eq!(code(&route.status), Code::Ok);
    assert_eq!(route.message_queues.len(), 2);
    for (id, queue) in (0..).zip(&route.message_queues) {
        assert_eq!((queue.id, queue.permission()), (id, Permission::ReadWrite));
        assert_eq!(queue.accept_message_types, [i32::from(MessageType::Fifo)]);
        let broker = queue.broker.as_ref().unwrap();
        assert_eq!((broker.id, broker.endpoints.as_ref()), (0, Some(&outside)));
    }

    let route = client.query_route(ask("orders")).await.unwrap().into_inner();
    let endpoints = route.message_queues[0]
        .broker
        .as_ref()
        .unwrap()
        .endpoints
        .as_ref()
        .unwrap();
    assert_eq!(endpoints.addresses[0].port, i32::from(node.address.port()));
}

#[tokio::test]
async fn what_is_not_there_is_told_by_its_code() {
    let node = node().await;
    let mut client = node.client("c").await;
    for (topic, expected) in [
        ("nowhere", Code::TopicNotFound),
        ("a b", Code::IllegalTopic),
        ("TBW102", Code::IllegalTopic),
    ] {
        let route = client.query_route(ask(topic)).await.unwrap().into_inner();
        assert_eq!(code(&route.status), expected, "{topic}");
    }
    assert!(node.broker.topic("nowhere").is_none(), "asking makes no topic");
    let mut nobody = node.client("").await;
    let route = nobody.query_route(ask("nowhere")).await.unwrap().into_inner();
    assert_eq!(code(&route.status), Code::ClientIdRequired);
}

#[tokio::test]
async fn an_assignment_is_any_queue() {
    let node = node().await;
    node.topic("t", 3, "NORMAL").await;
    let mut client = node.client("c").await;
    let request = QueryAssignmentRequest {
        topic: named("t"),
        group: named("g"),
        endpoints: None,
    };
    let answer = client.query_assignment(request).await.unwrap().into_inner();
    let ids: Vec<i32> = answer
        .assignments
        .iter()
        .map(|one| one.message_queue.as_ref().unwrap().id)
        .collect();
    assert_eq!(ids, [-1]);
}
