//! One queue of one topic on one broker.

use super::object::json_object;
use crate::json::{FromJson, JsonError, JsonKey, Reader, ToJson, Writer};

json_object! {
    /// A queue, named. As the key of a map it is written as a nested object, which only fastjson does.
    #[derive(Eq, Hash)]
    pub struct MessageQueue {
        /// The broker.
        broker_name: String => "brokerName",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The topic.
        topic: String => "topic",
    }
}

/// By topic, broker, queue: the order clients sort by when they share queues out.
impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.topic, &self.broker_name, self.queue_id).cmp(&(
            &other.topic,
            &other.broker_name,
            other.queue_id,
        ))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl JsonKey for MessageQueue {
    fn read_key(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let key = Self::from_json(reader)?;
        reader.colon()?;
        Ok(key)
    }

    fn write_key(&self, writer: &mut Writer<'_>) {
        self.to_json(writer);
        writer.colon();
    }
}
