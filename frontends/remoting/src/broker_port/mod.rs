//! stub
#[derive(Debug)]
pub(crate) struct Sent;
impl Sent { pub(crate) fn into_command(self) -> kourou_proto::Command { kourou_proto::Command::request(kourou_proto::RequestCode::HEART_BEAT, 0) } }
