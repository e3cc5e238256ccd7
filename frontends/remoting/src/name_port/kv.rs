//! Key-value configuration, and the name server's own.

use std::fmt::Write as _;

use kourou_nameserver::{NameServer, SettingError};
use kourou_proto::body::KvTable;
use kourou_proto::remoting::request::{KvKeyHeader, KvNamespaceHeader, PutKvConfigHeader};
use kourou_proto::remoting::response::GetKvConfigResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Made;
use crate::refusal::Refusal;

pub(super) fn put(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = PutKvConfigHeader::decode(request)?;
    names
        .put_kv(header.namespace, header.key, header.value)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    Ok(success)
}

pub(super) fn get(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = KvKeyHeader::decode(request)?;
    let value = names.kv(header.namespace, header.key).ok_or_else(|| {
        Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            format!(
                "No config item, Namespace: {} Key: {}",
                header.namespace, header.key
            ),
        )
    })?;
    Ok(success.with_fields(&GetKvConfigResponse { value: Some(&value) }))
}

pub(super) fn delete(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = KvKeyHeader::decode(request)?;
    names.delete_kv(header.namespace, header.key);
    Ok(success)
}

pub(super) fn list(names: &NameServer, request: &Command, success: Command) -> Made {
    let namespace = KvNamespaceHeader::decode(request)?.namespace;
    let table = names.kv_list(namespace).ok_or_else(|| {
        Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            format!("No config item, Namespace: {namespace}"),
        )
    })?;
    Ok(success.with_body(KvTable { table }.encode()))
}

/// The body is a Java properties file.
pub(super) fn set_options(names: &NameServer, request: &Command, success: Command) -> Made {
    let text = std::str::from_utf8(&request.body)
        .map_err(|_| Refusal::new(ResponseCode::SYSTEM_ERROR, "the properties are not UTF-8"))?;
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let settings = lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()));
    names.set_options(settings).map_err(|error| {
        let code = match error {
            SettingError::Forbidden { .. } => ResponseCode::NO_PERMISSION,
            _ => ResponseCode::SYSTEM_ERROR,
        };
        Refusal::new(code, error.to_string())
    })?;
    Ok(success)
}

pub(super) fn options(names: &NameServer, success: Command) -> Command {
    let mut text = String::new();
    for (name, value) in names.options().settings() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    success.with_body(text)
}
