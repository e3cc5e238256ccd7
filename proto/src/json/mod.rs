//! The JSON that RocketMQ speaks, which is not always JSON.
//!
//! Java's side writes with fastjson: integer keys of a map come without quotes (`{0:"10.0.0.1:10911"}`) and keys
//! that are beans come as nested objects (`{{"brokerName":"b","queueId":0,"topic":"T"}:9}`). No strict parser reads
//! that, and Java readers accept nothing else for bean keys, so [`Reader`] takes both shapes and [`Writer`] makes
//! whichever is asked for.
//!
//! Types take part through [`FromJson`] and [`ToJson`]; map keys through [`JsonKey`].

mod error;
mod reader;
mod scan;
mod traits;
mod writer;

pub(crate) use scan::before_quote;

pub use error::{JsonError, JsonErrorKind};
pub use reader::{JsonLimits, Kind, Reader};
pub use traits::{FromJson, JsonKey, ToJson, from_slice, to_vec};
pub use writer::{KeyStyle, Writer};
