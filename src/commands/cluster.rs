//! The running cluster as the commands see it: name servers that know routes, and brokers to call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use kourou_proto::body::{ClusterInfo, QueueData, TopicRouteData};
use kourou_proto::remoting::request::GetRouteInfoHeader;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Client;
use tokio::sync::Notify;

use crate::cli::Target;
use crate::config::address::HostPort;

/// The bit of a queue's permission that lets it be written.
pub(super) const PERM_WRITE: i32 = 2;
/// The bit that lets it be read.
pub(super) const PERM_READ: i32 = 4;

/// How long an answer may take. A held pull waits longer, see [`Cluster::call_within`].
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The id of a broker that is not a replica.
const MASTER: i64 = 0;

#[derive(Debug)]
pub(super) struct Cluster {
    name_servers: Vec<HostPort>,
    client: Client,
}

/// One queue of a topic, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queue {
    pub(super) broker: String,
    pub(super) id: i32,
    pub(super) address: String,
}

/// A request with its fields; the client numbers it.
pub(super) fn request<'a>(code: RequestCode, fields: &impl HeaderFields<'a>) -> Command {
    Command::request(code, 0).with_fields(fields)
}

impl Cluster {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            name_servers: target.namesrv.0.clone(),
            client: Client::new(),
        }
    }

    /// The same for a consumer, which is told when its group changes.
    pub(super) fn with_changes(target: &Target, changed: Arc<Notify>) -> Self {
        let client = Client::with_push(move |_, push| {
            if push.code() == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED {
                changed.notify_one();
            }
        });
        Self {
            name_servers: target.namesrv.0.clone(),
            client,
        }
    }

    /// Calls a broker; an answer other than success is an error with the broker's words.
    pub(super) async fn call(&self, address: &str, request: Command) -> Result<Command> {
        self.call_within(CALL_TIMEOUT, address, request)
            .await
            .and_then(|answer| succeeded(address, answer))
    }

    /// Calls a broker; `None` when it answers with one of `absent`.
    pub(super) async fn call_unless(
        &self,
        address: &str,
        request: Command,
        absent: &[ResponseCode],
    ) -> Result<Option<Command>> {
        let answer = self.call_within(CALL_TIMEOUT, address, request).await?;
        if absent.contains(&answer.response_code()) {
            return Ok(None);
        }
        succeeded(address, answer).map(Some)
    }

    /// Calls a broker and hands out whatever it answers.
    pub(super) async fn call_within(
        &self,
        timeout: Duration,
        address: &str,
        request: Command,
    ) -> Result<Command> {
        // The error names the address.
        Ok(self.client.call(address, request, timeout).await?)
    }

    /// Asks the name servers, one after another until one answers.
    async fn ask(&self, request: Command) -> Result<Command> {
        let mut failures = Vec::new();
        for server in &self.name_servers {
            match self
                .client
                .call(&server.to_string(), request.clone(), CALL_TIMEOUT)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => failures.push(error.to_string()),
            }
        }
        bail!(
            "{}; is kourou running there? -n HOST:PORT asks elsewhere",
            failures.join(", ")
        )
    }

    /// All topics that the name server knows.
    pub(super) async fn topic_list(&self) -> Result<Command> {
        let answer = self
            .ask(Command::request(
                RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
                0,
            ))
            .await?;
        succeeded("name server", answer)
    }

    /// Brokers and clusters.
    pub(super) async fn info(&self) -> Result<ClusterInfo> {
        let answer = self
            .ask(Command::request(RequestCode::GET_BROKER_CLUSTER_INFO, 0))
            .await?;
        Ok(ClusterInfo::decode(&succeeded("name server", answer)?.body)?)
    }

    /// Where a topic lives; `None` when the name server does not know it.
    pub(super) async fn route(&self, topic: &str) -> Result<Option<TopicRouteData>> {
        let header = GetRouteInfoHeader {
            topic,
            accept_standard_json_only: true,
        };
        let answer = self
            .ask(request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header))
            .await?;
        if answer.response_code() == ResponseCode::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        Ok(Some(TopicRouteData::decode(
            &succeeded("name server", answer)?.body,
        )?))
    }
}

fn succeeded(who: &str, answer: Command) -> Result<Command> {
    if answer.response_code() == ResponseCode::SUCCESS {
        return Ok(answer);
    }
    bail!("{who} answered {}: {}", answer.response_code(), answer.remark())
}

/// Name and address of every broker that is not a replica.
pub(super) fn masters(info: &ClusterInfo) -> Result<Vec<(&str, &str)>> {
    let masters: Vec<(&str, &str)> = info
        .broker_addr_table
        .iter()
        .filter_map(|(name, broker)| Some((name.as_str(), broker.broker_addrs.get(&MASTER)?.as_str())))
        .collect();
    if masters.is_empty() {
        bail!("no broker is registered with the name server");
    }
    Ok(masters)
}

/// The queues of a route that carry a permission, in the order that every member of a group agrees on.
pub(super) fn queues(route: &TopicRouteData, perm: i32, count: impl Fn(&QueueData) -> i32) -> Vec<Queue> {
    let mut queues = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & perm != 0) {
        let broker = route
            .broker_datas
            .iter()
            .find(|broker| broker.broker_name == data.broker_name);
        let Some(address) = broker.and_then(|broker| broker.broker_addrs.get(&MASTER)) else {
            continue;
        };
        queues.extend((0..count(data)).map(|id| Queue {
            broker: data.broker_name.clone(),
            id,
            address: address.clone(),
        }));
    }
    queues.sort_unstable();
    queues
}
