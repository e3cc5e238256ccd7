//! Clients that are there, and those that leave.

use crate::caller::Caller;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{Code, HeartbeatRequest, HeartbeatResponse, NotifyClientTerminationResponse};

fn unknown() -> Refusal {
    Refusal::new(
        Code::UnrecognizedClientType,
        "the client has sent no settings by Telemetry, or was silent for too long",
    )
}

/// What the client is was said by its settings; the request only says that it is there.
pub(super) fn heartbeat(
    port: &Port,
    caller: &Caller,
    request: &HeartbeatRequest,
) -> Result<HeartbeatResponse, Refusal> {
    let client = port.clients.find(caller).ok_or_else(unknown)?;
    if client.role().is_some_and(|role| role.group.is_some()) {
        names::group(request.group.as_ref())?;
    }
    if !client.beat(port) {
        return Err(unknown());
    }
    Ok(HeartbeatResponse { status: Some(ok()) })
}

pub(super) fn terminate(port: &Port, caller: &Caller) -> Result<NotifyClientTerminationResponse, Refusal> {
    port.clients.ends(&caller.client_id);
    let client = port.clients.find(caller).ok_or_else(unknown)?;
    port.clients.leave(&client, &port.broker);
    port.renewals.abandon(port, &caller.client_id);
    if let Some(group) = client.role().as_ref().and_then(|role| role.group.as_deref()) {
        port.broker.leave_lite(group, &caller.client_id);
    }
    Ok(NotifyClientTerminationResponse { status: Some(ok()) })
}
