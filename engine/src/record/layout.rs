//! Where each field of a stored record lies. The layout is Apache RocketMQ's, byte for byte, because pull answers send
//! stored records to clients as they are. All integers are big-endian.
//!
//! ```text
//!  at  size
//!   0     4  total size of the record, this field included
//!   4     4  magic: V1 or V2 (they differ in the topic length's width), or blank
//!   8     4  CRC-32 of the body, without its top bit
//!  12     4  queue id
//!  16     4  flag (the user's)
//!  20     8  queue offset          \  patched by the writer,
//!  28     8  position of itself    /  see `EncodedRecord::stamp`
//!  36     4  sys flag; two bits say how long the hosts are
//!  40     8  born time, ms
//!  48     b  born host: address 4 or 16, then port as 4;  b = 8 or 20
//! 48+b    8  store time, ms           patched by the writer
//! 56+b    s  store host, likewise;    s = 8 or 20
//! 56+b+s  4  reconsume times
//!    +4   8  prepared transaction offset
//!   +12   4  body size n
//!   +16   n  body
//!         1  topic size t (V1, at most 127), or 2 (V2)
//!         t  topic, UTF-8
//!         2  properties size p (signed, so at most 32767)
//!         p  properties: (name 0x01 value 0x02)*; the last 20 bytes of what we write are
//!            `__CRC32#` 0x01, ten decimal digits, least significant first, 0x02:
//!            the CRC-32, without its top bit, of every byte of the record before these 20
//! ```

use super::properties::find;

/// Magic of a record whose topic size takes one byte.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record whose topic size takes two bytes.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the blank record that fills the end of a segment.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;

pub(crate) const TOTAL_SIZE_AT: usize = 0;
pub(crate) const MAGIC_AT: usize = 4;
pub(crate) const BODY_CRC_AT: usize = 8;
pub(crate) const QUEUE_ID_AT: usize = 12;
pub(crate) const FLAG_AT: usize = 16;
pub(crate) const QUEUE_OFFSET_AT: usize = 20;
pub(crate) const POSITION_AT: usize = 28;
pub(crate) const SYS_FLAG_AT: usize = 36;
pub(crate) const BORN_MS_AT: usize = 40;
pub(crate) const BORN_HOST_AT: usize = 48;

/// Bytes of a host field with an IPv4 address.
pub(crate) const HOST_V4_SIZE: usize = 8;
/// Bytes of a host field with an IPv6 address.
pub(crate) const HOST_V6_SIZE: usize = 20;

/// Bytes from the end of the store host to the body.
pub(crate) const AFTER_HOSTS_SIZE: usize = 16;

/// The smallest record: IPv4 hosts, V1, and nothing in body, topic and properties.
pub const RECORD_SIZE_BYTES_MIN: usize = 91;

/// The two fields that every record and the blank record start with. A segment always keeps room for them.
pub const RECORD_HEAD_SIZE_BYTES: usize = 8;

/// The longest topic that V1 can hold; its size is a signed byte to other readers.
pub(crate) const TOPIC_V1_SIZE_MAX: usize = 127;
/// The longest topic of all.
pub const TOPIC_SIZE_BYTES_MAX: usize = 255;
/// The longest properties, the checksum property included.
pub const PROPERTIES_SIZE_BYTES_MAX: usize = 32767;
/// The longest body unless [`Limits`](super::Limits) say otherwise.
pub const BODY_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sys flag: the body is compressed.
pub const SYS_FLAG_COMPRESSED: i32 = 0x1;
/// Sys flag: the two bits of the transaction type. Both set means rolled back.
pub const SYS_FLAG_TRANSACTION_MASK: i32 = 0xC;
/// Sys flag, transaction type: prepared. Such a record takes no queue offset.
pub const SYS_FLAG_TRANSACTION_PREPARED: i32 = 0x4;
/// Sys flag, transaction type: committed.
pub const SYS_FLAG_TRANSACTION_COMMIT: i32 = 0x8;
/// Sys flag, transaction type: rolled back. Such a record takes no queue offset.
pub const SYS_FLAG_TRANSACTION_ROLLBACK: i32 = 0xC;
/// Sys flag: the born host is an IPv6 address.
pub const SYS_FLAG_BORN_HOST_V6: i32 = 0x10;
/// Sys flag: the store host is an IPv6 address.
pub const SYS_FLAG_STORE_HOST_V6: i32 = 0x20;

/// Sys flag: consumers take the body apart. Always together with [`SYS_FLAG_INNER_BATCH`].
pub const SYS_FLAG_NEED_UNWRAP: i32 = 0x40;
/// Sys flag: the body is a batch that is stored as one record. The record takes as many queue offsets as its property
/// [`INNER_NUM`] says.
pub const SYS_FLAG_INNER_BATCH: i32 = 0x80;
/// The property that says how many messages a batch holds that is stored as one record.
pub const INNER_NUM: &str = "INNER_NUM";
/// The most queue offsets that one record takes.
pub const INNER_NUM_MAX: u32 = 65_536;

/// Whether a record with these sys flags is a batch.
pub(crate) const fn is_batch_by_flags(sys_flag: i32) -> bool {
    sys_flag & SYS_FLAG_INNER_BATCH != 0
}

/// How many queue offsets a record takes that has a place in a queue: one, unless it is a batch.
pub(crate) fn offsets_by_flags(sys_flag: i32, properties: &[u8]) -> u32 {
    if !is_batch_by_flags(sys_flag) {
        return 1;
    }
    find(properties, INNER_NUM.as_bytes())
        .and_then(|count| std::str::from_utf8(count).ok()?.parse().ok())
        .unwrap_or(1)
        .clamp(1, INNER_NUM_MAX)
}

/// Whether a record with these sys flags takes a queue offset and appears in its queue.
pub(crate) const fn indexed_by_flags(sys_flag: i32) -> bool {
    let transaction = sys_flag & SYS_FLAG_TRANSACTION_MASK;
    transaction != SYS_FLAG_TRANSACTION_PREPARED && transaction != SYS_FLAG_TRANSACTION_ROLLBACK
}

/// How many bytes the born host takes, by the sys flags.
pub(crate) const fn born_host_size(sys_flag: i32) -> usize {
    if sys_flag & SYS_FLAG_BORN_HOST_V6 == 0 {
        HOST_V4_SIZE
    } else {
        HOST_V6_SIZE
    }
}

/// How many bytes the store host takes, by the sys flags.
pub(crate) const fn store_host_size(sys_flag: i32) -> usize {
    if sys_flag & SYS_FLAG_STORE_HOST_V6 == 0 {
        HOST_V4_SIZE
    } else {
        HOST_V6_SIZE
    }
}
