//! What brokers tell the name server, and what is asked of them.

use kourou_nameserver::{ConnectionId, DataVersion, NameServer, Registration, TopicSpec};
use kourou_proto::body::{self, BrokerMemberGroup, BrokerMemberGroupBody, KvTable, RegisterBrokerBody};
use kourou_proto::remoting::request::{
    BrokerHeartbeatHeader, BrokerIdentityHeader, GetBrokerMemberGroupHeader, RegisterBrokerHeader,
    WritePermHeader,
};
use kourou_proto::remoting::response::{
    AddWritePermResponse, QueryDataVersionResponse, RegisterBrokerResponse, WipeWritePermResponse,
};
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Made;
use crate::connection::Connection;
use crate::refusal::Refusal;

/// The bits of a CRC-32 that travel: Java's integers have a sign.
const CRC_MASK: u32 = 0x7fff_ffff;

pub(super) fn register(
    names: &NameServer,
    connection: &Connection,
    request: &Command,
    success: Command,
    now_ms: i64,
) -> Made {
    let header = RegisterBrokerHeader::decode(request)?;
    let failed = |remark: String| Refusal::new(ResponseCode::SYSTEM_ERROR, remark);
    let crc32 = crc32fast::hash(&request.body) & CRC_MASK;
    if header.body_crc32 != 0 && u32::try_from(header.body_crc32) != Ok(crc32) {
        return Err(failed("crc32 not match".to_owned()));
    }
    let body = RegisterBrokerBody::decode_from(&request.body, header.compressed, request.version())
        .map_err(|error| failed(format!("the registration cannot be read: {error}")))?;
    let registration = Registration {
        cluster: header.cluster_name.to_owned(),
        broker_name: header.broker_name.to_owned(),
        broker_id: header.broker_id,
        address: header.broker_addr.to_owned(),
        ha_address: header.ha_server_addr.to_owned(),
        zone: header.zone_name.map(str::to_owned),
        heartbeat_timeout_ms: header.heartbeat_timeout_ms,
        enable_acting_master: header.enable_acting_master,
        data_version: version_of(&body.topic_config_table.data_version),
        topics: body
            .topic_config_table
            .topic_config_table
            .into_iter()
            .map(topic_spec)
            .collect(),
        filter_servers: body.filter_server_list,
        connection: Some(ConnectionId(connection.id())),
    };
    let registered = names.register(&registration, now_ms).map_err(|error| {
        tracing::warn!(peer = %connection.peer(), %error, "a broker was not registered");
        failed(error.to_string())
    })?;
    let answer = success.with_fields(&RegisterBrokerResponse {
        ha_server_addr: registered.ha_address.as_deref(),
        master_addr: registered.master_address.as_deref(),
    });
    Ok(match registered.order_conf {
        Some(table) => answer.with_body(KvTable { table }.encode()),
        None => answer,
    })
}

fn topic_spec((name, topic): (String, body::TopicConfig)) -> TopicSpec {
    let count = |queues: i32| u32::try_from(queues).unwrap_or(0);
    TopicSpec {
        name,
        read_queues: count(topic.read_queue_nums),
        write_queues: count(topic.write_queue_nums),
        perm: topic.perm,
        sys_flag: topic.topic_sys_flag,
    }
}

fn version_of(version: &body::DataVersion) -> DataVersion {
    DataVersion {
        state_version: version.state_version,
        timestamp_ms: version.timestamp_ms,
        counter: version.counter,
    }
}

pub(super) fn unregister(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = BrokerIdentityHeader::decode(request)?;
    names.unregister(header.cluster_name, header.broker_name, header.broker_addr);
    Ok(success)
}

pub(super) fn data_version(names: &NameServer, request: &Command, success: Command, now_ms: i64) -> Made {
    let header = BrokerIdentityHeader::decode(request)?;
    let theirs = version_of(&body::DataVersion::decode(&request.body)?);
    let ours = names.data_version(header.cluster_name, header.broker_addr, now_ms);
    let answer = success.with_fields(&QueryDataVersionResponse {
        changed: ours != Some(theirs),
    });
    Ok(match ours {
        Some(ours) => answer.with_body(
            body::DataVersion {
                counter: ours.counter,
                state_version: ours.state_version,
                timestamp_ms: ours.timestamp_ms,
            }
            .encode(),
        ),
        None => answer,
    })
}

pub(super) fn heartbeat(names: &NameServer, request: &Command, success: Command, now_ms: i64) -> Made {
    let header = BrokerHeartbeatHeader::decode(request)?;
    names.heartbeat(header.cluster_name, header.broker_addr, now_ms);
    Ok(success)
}

pub(super) fn members(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = GetBrokerMemberGroupHeader::decode(request)?;
    let members = names.members(header.cluster_name, header.broker_name);
    let body = BrokerMemberGroupBody {
        broker_member_group: BrokerMemberGroup {
            broker_addrs: members.addresses,
            broker_name: members.broker_name,
            cluster: members.cluster,
        },
    };
    Ok(success.with_body(body.encode()))
}

pub(super) fn wipe_write_perm(names: &NameServer, request: &Command, success: Command) -> Made {
    let count = names.wipe_write_perm(WritePermHeader::decode(request)?.broker_name);
    let wipe_topic_count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(success.with_fields(&WipeWritePermResponse { wipe_topic_count }))
}

pub(super) fn add_write_perm(names: &NameServer, request: &Command, success: Command) -> Made {
    let count = names.add_write_perm(WritePermHeader::decode(request)?.broker_name);
    let add_topic_count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(success.with_fields(&AddWritePermResponse { add_topic_count }))
}
