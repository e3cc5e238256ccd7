//! Where topics live.

use std::collections::BTreeSet;

use kourou_nameserver::{self as names, NameServer};
use kourou_proto::body::{BrokerData, ClusterInfo, QueueData, TopicRouteData};
use kourou_proto::remoting::request::GetRouteInfoHeader;
use kourou_proto::remoting::version;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Made;
use crate::refusal::Refusal;

/// Extension fields of a client that wants only brokers of its own zone.
const ZONE_MODE: &str = "__ZONE_MODE";
const ZONE_NAME: &str = "__ZONE_NAME";

pub(super) fn route(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = GetRouteInfoHeader::decode(request)?;
    let Some(found) = names.route(header.topic) else {
        return Err(Refusal::new(
            ResponseCode::TOPIC_NOT_EXIST,
            format!(
                "No topic route info in name server for the topic: {}",
                header.topic
            ),
        ));
    };
    let mut body = TopicRouteData {
        broker_datas: found.brokers.into_iter().map(broker_body).collect(),
        filter_server_table: found.filter_servers,
        order_topic_conf: found.order_conf,
        queue_datas: found.queues.into_iter().map(queue_body).collect(),
        topic_queue_mapping_by_broker: None,
    };
    if request
        .field(ZONE_MODE)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("true"))
        && let Some(zone) = request.field(ZONE_NAME).filter(|zone| !zone.is_empty())
    {
        keep_zone(&mut body, zone);
    }
    let standard = header.accept_standard_json_only || request.version() >= version::V4_9_4;
    Ok(success.with_body(if standard {
        body.encode_standard()
    } else {
        body.encode()
    }))
}

/// Leaves brokers of one zone, and those without a master, whose zone cannot be told.
fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let is_kept = |broker: &BrokerData| {
        !broker.broker_addrs.contains_key(&names::MASTER_ID)
            || broker
                .zone_name
                .as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(zone))
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut route.broker_datas)
        .into_iter()
        .partition(is_kept);
    route.broker_datas = kept;
    let dropped_names: BTreeSet<&str> = dropped.iter().map(|broker| broker.broker_name.as_str()).collect();
    route
        .queue_datas
        .retain(|queue| !dropped_names.contains(queue.broker_name.as_str()));
    for address in dropped.iter().flat_map(|broker| broker.broker_addrs.values()) {
        route.filter_server_table.remove(address);
    }
}

pub(super) fn cluster_info(names: &NameServer, success: Command) -> Command {
    let info = names.cluster_info();
    let body = ClusterInfo {
        broker_addr_table: info
            .brokers
            .into_iter()
            .map(|(name, broker)| (name, broker_body(broker)))
            .collect(),
        cluster_addr_table: info
            .clusters
            .into_iter()
            .map(|(cluster, brokers)| (cluster, brokers.into_iter().collect()))
            .collect(),
    };
    success.with_body(body.encode())
}

fn broker_body(broker: names::BrokerData) -> BrokerData {
    BrokerData {
        broker_addrs: broker.addresses,
        broker_name: broker.broker_name,
        cluster: broker.cluster,
        enable_acting_master: broker.enable_acting_master,
        zone_name: broker.zone,
    }
}

fn queue_body(queue: names::QueueData) -> QueueData {
    let narrow = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    QueueData {
        broker_name: queue.broker_name,
        perm: queue.perm,
        read_queue_nums: narrow(queue.read_queues),
        topic_sys_flag: queue.sys_flag,
        write_queue_nums: narrow(queue.write_queues),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn broker(name: &str, id: i64, zone: Option<&str>) -> BrokerData {
        BrokerData {
            broker_addrs: BTreeMap::from([(id, format!("{name}:1"))]),
            broker_name: name.to_owned(),
            zone_name: zone.map(str::to_owned),
            ..BrokerData::default()
        }
    }

    #[test]
    fn a_zone_sees_its_own_brokers_and_those_without_master() {
        let queue = |name: &str| QueueData {
            broker_name: name.to_owned(),
            ..QueueData::default()
        };
        let mut route = TopicRouteData {
            broker_datas: vec![
                broker("a", 0, Some("Z1")),
                broker("b", 0, Some("z2")),
                broker("c", 1, None),
                broker("d", 0, None),
            ],
            filter_server_table: BTreeMap::from([
                ("b:1".to_owned(), Vec::new()),
                ("a:1".to_owned(), Vec::new()),
            ]),
            queue_datas: ["a", "b", "c", "d"].map(queue).to_vec(),
            ..TopicRouteData::default()
        };
        keep_zone(&mut route, "z1");
        let left: Vec<_> = route
            .queue_datas
            .iter()
            .map(|queue| queue.broker_name.as_str())
            .collect();
        assert_eq!(left, ["a", "c"]);
        assert_eq!(route.broker_datas.len(), 2);
        assert_eq!(route.filter_server_table.keys().collect::<Vec<_>>(), ["a:1"]);
    }
}
