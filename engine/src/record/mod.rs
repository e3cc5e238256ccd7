//! Records: what the commit log is made of.
//!
//! A [`RecordDraft`] is encoded in the caller's thread; the writer copies the [`EncodedRecords`] into its group and stamps
//! them; a [`RecordView`] reads what was stored. The layout is drawn in `layout.rs`.

mod checksum;
mod encode;
mod key;
mod layout;
mod peek;
mod properties;
mod records;
mod state;
mod view;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub(crate) use encode::Unstamped;
pub use encode::{EncodeError, EncodedRecord, Limits, RecordDraft};
pub use key::{KEYS, KEYS_PER_RECORD_MAX, KeyHash, KeyKind, UNIQ_KEY};
pub use layout::{
    BODY_SIZE_BYTES_MAX, INNER_NUM, INNER_NUM_MAX, MAGIC_BLANK, MAGIC_V1, MAGIC_V2,
    PROPERTIES_SIZE_BYTES_MAX, RECORD_HEAD_SIZE_BYTES, RECORD_SIZE_BYTES_MIN, SYS_FLAG_BORN_HOST_V6,
    SYS_FLAG_COMPRESSED, SYS_FLAG_INNER_BATCH, SYS_FLAG_NEED_UNWRAP, SYS_FLAG_STORE_HOST_V6,
    SYS_FLAG_TRANSACTION_COMMIT, SYS_FLAG_TRANSACTION_MASK, SYS_FLAG_TRANSACTION_PREPARED,
    SYS_FLAG_TRANSACTION_ROLLBACK, TOPIC_SIZE_BYTES_MAX,
};
pub use peek::{Peek, blank, peek_size};
pub use properties::{NAME_END, TAGS, VALUE_END, tags_code};
pub use records::{EncodedRecords, KEPT_SIZE_BYTES_MAX};
pub use state::{IMPORTED, QUEUES_BEGIN, QueueStart, STATE_TOPIC, state};
pub use view::{RecordError, RecordView};
