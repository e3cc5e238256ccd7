//! REGISTER_BROKER (103): all topics of a broker, as JSON or in a compressed form of its own:
//!
//! ```text
//! zlib {
//!     i32 length | data version, JSON
//!     i32 count  | { i32 length | "name readQueues writeQueues perm filterType {attributes}" } ...
//!     i32 length | filter servers, JSON array
//!     i32 count  | { i32 length | mapping, JSON } ...              from version 5.0.0 on
//! }
//! ```
//!
//! The compressed form loses whether a topic is ordered and its system flags.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use thiserror::Error;

use super::object::json_object;
use super::topic::{DataVersion, TopicConfig, TopicConfigTable};
use crate::json::{self, JsonError, KeyStyle};
use crate::limits::{MAX_INFLATED_BYTES, MAX_INFLATED_PART_BYTES};
use crate::remoting::version;

json_object! {
    /// What a broker registers with a name server.
    pub struct RegisterBrokerBody {
        /// Its filter servers.
        filter_server_list: Vec<String> => "filterServerList",
        /// Its topics.
        topic_config_table: TopicConfigTable => "topicConfigSerializeWrapper",
    }
}

/// A registration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterBodyError {
    /// The JSON, or the JSON inside the compressed form, is malformed.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is no zlib stream, or ends too early.
    #[error("the compressed registration is damaged")]
    Damaged,
    /// It inflates to more than [`MAX_INFLATED_BYTES`].
    #[error("the compressed registration inflates to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// A length or a count is negative or absurd.
    #[error("the compressed registration claims {value} for its {part}")]
    BadLength {
        /// Of what.
        part: &'static str,
        /// The claim.
        value: i32,
    },
    /// The text of a topic is not five words.
    #[error("the compressed registration has a topic {text:?}")]
    BadTopic {
        /// The text, cut to a readable length.
        text: String,
    },
}

impl RegisterBrokerBody {
    /// Reads a registration as it comes from a broker of this version. An empty body has no topics; a zlib stream is
    /// recognised also where the header does not say so, because upstream forgets to.
    ///
    /// # Errors
    /// It is malformed, or beyond a limit.
    pub fn decode_from(bytes: &[u8], compressed: bool, version: i32) -> Result<Self, RegisterBodyError> {
        const ZLIB_MAGIC: u8 = 0x78;
        match bytes.first() {
            None => Ok(Self::default()),
            Some(&first) if compressed || first == ZLIB_MAGIC => {
                decode_compressed(bytes, version, MAX_INFLATED_BYTES)
            }
            Some(_) if version < version::V3_0_11 => {
                let topic_config_table = TopicConfigTable::decode(bytes)?;
                Ok(Self {
                    filter_server_list: Vec::new(),
                    topic_config_table,
                })
            }
            Some(_) => Ok(Self::decode(bytes)?),
        }
    }

    /// Writes the compressed form, as from version 5.0.0 on, without mappings.
    pub fn encode_compressed(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        put_part(&mut plain, &self.topic_config_table.data_version.encode());
        put_count(&mut plain, self.topic_config_table.topic_config_table.len());
        for topic in self.topic_config_table.topic_config_table.values() {
            put_part(&mut plain, topic_text(topic).as_bytes());
        }
        put_part(
            &mut plain,
            &json::to_vec(&self.filter_server_list, KeyStyle::Fastjson),
        );
        put_count(&mut plain, 0);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        // A Vec takes all bytes, so neither of these can fail.
        let _ = encoder.write_all(&plain);
        encoder.finish().unwrap_or_default()
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    put_count(out, part.len());
    out.extend_from_slice(part);
}

fn topic_text(topic: &TopicConfig) -> String {
    let attributes = json::to_vec(&topic.attributes, KeyStyle::Fastjson);
    format!(
        "{} {} {} {} {} {}",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        topic.perm,
        topic.topic_filter_type,
        String::from_utf8_lossy(&attributes)
    )
}

fn decode_compressed(
    bytes: &[u8],
    version: i32,
    limit_bytes: u64,
) -> Result<RegisterBrokerBody, RegisterBodyError> {
    let mut input = Inflated {
        stream: ZlibDecoder::new(bytes).take(limit_bytes),
        limit_bytes,
    };
    let data_version = DataVersion::decode(&input.part("data version")?)?;
    let mut topics = BTreeMap::new();
    for _ in 0..input.length("topic count")? {
        let topic = parse_topic(&input.part("topic")?)?;
        topics.insert(topic.topic_name.clone(), topic);
    }
    let filter_server_list = json::from_slice(&input.part("filter servers")?)?;
    if version >= version::V5_0_0 {
        for _ in 0..input.length("mapping count")? {
            input.part("mapping")?;
        }
    }
    let topic_config_table = TopicConfigTable {
        data_version,
        topic_config_table: topics,
        ..TopicConfigTable::default()
    };
    Ok(RegisterBrokerBody {
        filter_server_list,
        topic_config_table,
    })
}

/// The attributes, if any, are the last word; an unreadable one counts as empty, as upstream has it.
fn parse_topic(bytes: &[u8]) -> Result<TopicConfig, RegisterBodyError> {
    let text = String::from_utf8_lossy(bytes);
    let bad = || RegisterBodyError::BadTopic {
        text: text.chars().take(64).collect(),
    };
    let mut words = text.splitn(6, ' ');
    let mut word = || words.next().ok_or_else(bad);
    let name = word()?.to_owned();
    let number = |word: &str| word.parse().map_err(|_| bad());
    let read_queue_nums = number(word()?)?;
    let write_queue_nums = number(word()?)?;
    let perm = number(word()?)?;
    let topic_filter_type = word()?.to_owned();
    let attributes = words
        .next()
        .map(|attributes| json::from_slice(attributes.as_bytes()));
    Ok(TopicConfig {
        attributes: attributes.and_then(Result::ok).unwrap_or_default(),
        perm,
        read_queue_nums,
        topic_filter_type,
        topic_name: name,
        write_queue_nums,
        ..TopicConfig::default()
    })
}

/// The inflated stream, read part by part and never further than its limit.
struct Inflated<'a> {
    stream: std::io::Take<ZlibDecoder<&'a [u8]>>,
    limit_bytes: u64,
}

impl Inflated<'_> {
    fn length(&mut self, part: &'static str) -> Result<u64, RegisterBodyError> {
        let mut bytes = [0; 4];
        self.stream.read_exact(&mut bytes).map_err(|_| self.failure())?;
        let value = i32::from_be_bytes(bytes);
        u64::try_from(value).map_err(|_| RegisterBodyError::BadLength { part, value })
    }

    fn part(&mut self, part: &'static str) -> Result<Vec<u8>, RegisterBodyError> {
        let length = self.length(part)?;
        if length > MAX_INFLATED_PART_BYTES {
            let value = i32::try_from(length).unwrap_or(i32::MAX);
            return Err(RegisterBodyError::BadLength { part, value });
        }
        let mut bytes = Vec::new();
        let read = (&mut self.stream).take(length).read_to_end(&mut bytes);
        match read {
            Ok(read) if read as u64 == length => Ok(bytes),
            _ => Err(self.failure()),
        }
    }

    fn failure(&self) -> RegisterBodyError {
        if self.stream.limit() == 0 {
            return RegisterBodyError::TooLarge {
                limit_bytes: self.limit_bytes,
            };
        }
        RegisterBodyError::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_inflated() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"\0\0\0\x02{}\x7f\xff\xff\xff").unwrap();
        let topic = format!("T 1 1 6 SINGLE_TAG {{\"a\":\"{}\"}}", "x".repeat(10_000));
        for _ in 0..100 {
            encoder
                .write_all(&u32::try_from(topic.len()).unwrap().to_be_bytes())
                .unwrap();
            encoder.write_all(topic.as_bytes()).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let error = decode_compressed(&bomb, version::CURRENT, 500_000).unwrap_err();
        assert_eq!(error, RegisterBodyError::TooLarge { limit_bytes: 500_000 });
    }
}
