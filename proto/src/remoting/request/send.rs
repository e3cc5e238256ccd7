//! Sending: SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320).

use crate::remoting::fields::{ExtFields, FieldError, FieldValue, HeaderFields};

/// The header of every kind of send.
///
/// Two wire forms exist: long names (code 10) and one letter each (codes 310 and 320). Either is read, told apart
/// by the presence of the letter `b`; written is the one that [`SendMessageHeader::names`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessageHeader<'a> {
    /// Which wire form to write.
    pub names: SendNames,
    /// The producer's group.
    pub producer_group: &'a str,
    /// Where to.
    pub topic: &'a str,
    /// The topic whose settings a new one takes over.
    pub default_topic: &'a str,
    /// How many queues a new topic should have.
    pub default_topic_queue_nums: i32,
    /// Which queue; negative leaves the choice to the broker.
    pub queue_id: i32,
    /// Message system flags, see [`crate::message::sysflag`].
    pub sys_flag: i32,
    /// When the producer made the message, in milliseconds.
    pub born_timestamp_ms: i64,
    /// The user's flag.
    pub flag: i32,
    /// The property string, see [`crate::message::properties`]; empty if absent.
    pub properties: &'a str,
    /// How often the message has been consumed in vain.
    pub reconsume_times: i32,
    /// Whether the producer lives in a unit.
    pub unit_mode: bool,
    /// The limit of reconsume times; only consumers that send back as producers set it.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body holds batch records, see [`crate::message::batch`].
    pub batch: bool,
    /// The broker the producer means, for static topics.
    pub broker_name: Option<&'a str>,
}

/// The two wire forms of a send header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendNames {
    /// Names of one letter.
    #[default]
    Short,
    /// Names in full.
    Long,
}

/// The names of all fields in one form, in the order of the letters.
struct Names([&'static str; 14]);

const SHORT: Names = Names([
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
]);
const LONG: Names = Names([
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
    "bname",
]);

/// Where a short name stands in the order of the letters.
fn short_index(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'a'..=b'n'] => Some(usize::from(letter - b'a')),
        _ => None,
    }
}

fn long_index(name: &str) -> Option<usize> {
    LONG.0.iter().position(|&long| long == name)
}

impl<'a> HeaderFields<'a> for SendMessageHeader<'a> {
    fn from_fields(fields: &'a ExtFields) -> Result<Self, FieldError> {
        let mut short = [None; 14];
        for (name, value) in fields.iter() {
            if let Some(index) = short_index(name) {
                short[index] = Some(value);
            }
        }
        if short[1].is_some() {
            return read(SendNames::Short, &SHORT, &short);
        }
        let mut long = [None; 14];
        for (name, value) in fields.iter() {
            if let Some(index) = long_index(name) {
                long[index] = Some(value);
            }
        }
        read(SendNames::Long, &LONG, &long)
    }

    fn write_fields(&self, fields: &mut ExtFields) {
        let names = match self.names {
            SendNames::Short => &SHORT.0,
            SendNames::Long => &LONG.0,
        };
        self.producer_group.write(names[0], fields);
        self.topic.write(names[1], fields);
        self.default_topic.write(names[2], fields);
        self.default_topic_queue_nums.write(names[3], fields);
        self.queue_id.write(names[4], fields);
        self.sys_flag.write(names[5], fields);
        self.born_timestamp_ms.write(names[6], fields);
        self.flag.write(names[7], fields);
        self.properties.write(names[8], fields);
        self.reconsume_times.write(names[9], fields);
        self.unit_mode.write(names[10], fields);
        self.max_reconsume_times.write(names[11], fields);
        self.batch.write(names[12], fields);
        self.broker_name.write(names[13], fields);
    }
}

fn read<'a>(
    form: SendNames,
    names: &Names,
    values: &[Option<&'a str>; 14],
) -> Result<SendMessageHeader<'a>, FieldError> {
    fn field<'a, T: FieldValue<'a>>(
        names: &Names,
        values: &[Option<&'a str>; 14],
        index: usize,
    ) -> Result<T, FieldError> {
        T::read(names.0[index], values[index])
    }
    fn or<'a, T>(
        names: &Names,
        values: &[Option<&'a str>; 14],
        index: usize,
        default: T,
    ) -> Result<T, FieldError>
    where
        Option<T>: FieldValue<'a>,
    {
        Ok(field::<Option<T>>(names, values, index)?.unwrap_or(default))
    }
    Ok(SendMessageHeader {
        names: form,
        producer_group: field(names, values, 0)?,
        topic: field(names, values, 1)?,
        default_topic: or(names, values, 2, "")?,
        default_topic_queue_nums: or(names, values, 3, 0)?,
        queue_id: field(names, values, 4)?,
        sys_flag: or(names, values, 5, 0)?,
        born_timestamp_ms: or(names, values, 6, 0)?,
        flag: or(names, values, 7, 0)?,
        properties: or(names, values, 8, "")?,
        reconsume_times: or(names, values, 9, 0)?,
        unit_mode: or(names, values, 10, false)?,
        max_reconsume_times: field(names, values, 11)?,
        batch: or(names, values, 12, false)?,
        broker_name: field(names, values, 13)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut header = SendMessageHeader {
            names: SendNames::Short,
            producer_group: "pg",
            topic: "T",
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: -1,
            sys_flag: 1,
            born_timestamp_ms: 1_700_000_000_000,
            flag: 9,
            properties: "KEYS\u{1}k\u{2}",
            reconsume_times: 2,
            unit_mode: true,
            max_reconsume_times: Some(16),
            batch: true,
            broker_name: Some("b"),
        };
        for names in [SendNames::Short, SendNames::Long] {
            header.names = names;
            let mut fields = ExtFields::new();
            header.write_fields(&mut fields);
            assert_eq!(SendMessageHeader::from_fields(&fields).unwrap(), header);
            assert_eq!(fields.get("b").is_some(), names == SendNames::Short);
        }
    }

    #[test]
    fn the_least_a_send_needs() {
        let fields = ExtFields::from_iter([("a", "pg"), ("b", "T"), ("e", "0"), ("z", "?")]);
        let header = SendMessageHeader::from_fields(&fields).unwrap();
        assert_eq!(
            (header.properties, header.max_reconsume_times, header.batch),
            ("", None, false)
        );
        let fields = ExtFields::from_iter([("a", "pg"), ("b", "T")]);
        let error = SendMessageHeader::from_fields(&fields).unwrap_err();
        assert_eq!(error, FieldError::Missing { name: "e" });
        let fields = ExtFields::from_iter([("producerGroup", "pg"), ("queueId", "0")]);
        let error = SendMessageHeader::from_fields(&fields).unwrap_err();
        assert_eq!(error, FieldError::Missing { name: "topic" });
    }
}
