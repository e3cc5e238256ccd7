//! From kourou's store to one that Apache's broker opens.
//!
//! Records are laid out anew behind each other, which gives them other positions; all else of a message stays, its queue offset and its store
//! time included. Messages that wait for their time, and half messages, are put behind each other into the queues that Apache's broker has
//! for them, with offsets from 0 on, of which it is told that it has seen to none.
//!
//! The commit log does not begin at 0 but at the first file behind 2 GiB: consume queues that do not begin at 0 are filled up to there with units
//! that say position 0 and size 2^31 - 1, and whatever reads them must not take that for something that there is.

mod config;
mod log;
mod queues;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kourou_broker::delivery::RetryKind;
use kourou_broker::lite::is_lite_queue;
use kourou_broker::name::{HALF_TOPIC, SCHEDULE_TOPIC};
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions, DELAY_LEVELS_MS, OutMessage, PendingMessages, name};
use kourou_engine::Options;
use kourou_engine::clock::{Clock, SystemClock};
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{Limits, RecordDraft, RecordView, STATE_TOPIC, SYS_FLAG_TRANSACTION_MASK};

use crate::again::{again, without};
use crate::error::MigrationError;
use crate::report::{Progress, Report};
use crate::survey::Kind;
use log::LogWriter;
use queues::{Queues, Unit};

/// How long Apache's commit log files are by default.
pub const FILE_SIZE_BYTES: u64 = 1 << 30;
/// Where the log begins at the earliest: behind what the units that fill up a queue seem to say.
const START_MIN: u64 = 1 << 31;
const LIMITS: Limits = Limits {
    body_size_bytes_max: usize::MAX,
};
/// A handle that a client was given; it is of another delivery.
const POP_CK: &str = "POP_CK";

/// What an export does.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The store, which no broker has open.
    pub source: PathBuf,
    /// Where the other is made: a folder that is empty or not there.
    pub target: PathBuf,
    /// How long the files of the commit log are, in bytes: the broker's `mappedFileSizeCommitLog`.
    pub file_size_bytes: u64,
    /// Go on although some of it cannot be carried over.
    pub accept_loss: bool,
}

impl ExportOptions {
    /// From one folder to another, with nothing given up.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            file_size_bytes: FILE_SIZE_BYTES,
            accept_loss: false,
        }
    }
}

/// Makes a store that Apache's broker opens and that goes on where this one ended. When this returns it is complete and durable. The source is
/// opened as a broker opens it, and no message of it changes.
///
/// # Errors
/// See [`MigrationError`].
pub fn export(options: &ExportOptions, progress: &mut dyn Progress) -> Result<Report, MigrationError> {
    if !options.source.join("identity").exists() {
        return Err(MigrationError::NotKourou {
            dir: options.source.clone(),
        });
    }
    let is_new = fs::read_dir(&options.target).map_or(true, |mut entries| entries.next().is_none());
    if !is_new {
        return Err(MigrationError::NotEmpty {
            dir: options.target.clone(),
        });
    }
    let disk = Arc::new(StdDisk::new(&options.source, WriterKind::Auto));
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let broker = Broker::open(
        BrokerOptions::new(nowhere),
        Options::new(&options.source),
        disk,
        Arc::new(SystemClock),
    )?;
    let done = write_all(options, &broker, progress);
    broker.close()?;
    done
}

fn write_all(
    options: &ExportOptions,
    broker: &Arc<Broker>,
    progress: &mut dyn Progress,
) -> Result<Report, MigrationError> {
    let mut export = Export::new(options, broker)?;
    if !options.accept_loss && !export.report.lost.is_empty() {
        return Err(MigrationError::WouldLose {
            what: export.report.lost_lines(),
        });
    }
    export.records(progress)?;
    export.out()?;
    export.queue_ends();
    let Export {
        log,
        queues,
        made,
        mut report,
        last_store_ms,
        ..
    } = export;
    let end = log.finish()?;
    queues.finish()?;
    config::write(&options.target, broker, &made, last_store_ms, end, &mut report)?;
    sync_folders(&options.target)?;
    Ok(report)
}

/// Makes the names of all files durable.
fn sync_folders(dir: &Path) -> Result<(), MigrationError> {
    for entry in fs::read_dir(dir).map_err(MigrationError::io("list", dir))? {
        let path = entry.map_err(MigrationError::io("list", dir))?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    fs::File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(MigrationError::io("sync", dir))
}

struct Export<'a> {
    broker: &'a Arc<Broker>,
    log: LogWriter,
    queues: Queues,
    topics: HashMap<String, TopicConfig>,
    /// Topics that messages go to which are delivered again.
    made: Vec<TopicConfig>,
    /// First offsets that queues show.
    floors: HashMap<(String, u32), u64>,
    timers: HashSet<u64>,
    halves: HashSet<u64>,
    popped: Vec<OutMessage>,
    /// The next offsets of queues whose messages get new ones.
    next: HashMap<(String, u32), u64>,
    report: Report,
    last_store_ms: i64,
}

impl<'a> Export<'a> {
    fn new(options: &ExportOptions, broker: &'a Arc<Broker>) -> Result<Self, MigrationError> {
        let PendingMessages {
            timers,
            half_messages,
            out,
        } = broker.pending_messages();
        let topics = broker.topics().0;
        let topics = topics
            .iter()
            .map(|topic| (topic.name.to_string(), TopicConfig::clone(topic)))
            .collect();
        let mut report = Report::default();
        let mut floors = HashMap::new();
        for (topic, queue_id, range) in broker.engine().queues() {
            if is_lite_queue(queue_id) {
                report.lost("lite topics, which are queues of their own here", 1);
            } else {
                let floor = broker.min_offset(&topic, queue_id).max(range.min);
                floors.insert((topic.to_string(), queue_id), floor);
            }
        }
        let start = START_MIN.next_multiple_of(options.file_size_bytes);
        Ok(Self {
            broker,
            log: LogWriter::new(&options.target.join("commitlog"), options.file_size_bytes, start)?,
            queues: Queues::new(&options.target),
            topics,
            made: Vec::new(),
            floors,
            timers: timers.into_iter().collect(),
            halves: half_messages.into_iter().collect(),
            popped: out,
            next: HashMap::new(),
            report,
            last_store_ms: 0,
        })
    }

    fn records(&mut self, progress: &mut dyn Progress) -> Result<(), MigrationError> {
        let engine = self.broker.engine();
        let (first, end) = (engine.first_position(), engine.watermark());
        let mut at = first;
        while let Some((position, bytes)) = engine.next_record(at)? {
            at = position + bytes.len() as u64;
            self.report.read_records += 1;
            self.report.read_bytes += bytes.len() as u64;
            if self.report.read_records.is_multiple_of(1_024) {
                progress.at("exporting", position - first, end - first);
            }
            let record = RecordView::parse(&bytes)?;
            self.record(position, &record)?;
        }
        Ok(())
    }

    fn record(&mut self, position: u64, record: &RecordView<'_>) -> Result<(), MigrationError> {
        let topic = record.topic();
        if topic == STATE_TOPIC {
            self.report
                .over("records of states, which the configuration holds now", 1);
            return Ok(());
        }
        let kind = Kind::of(topic);
        match kind {
            Kind::Delayed | Kind::Timer if self.timers.contains(&position) => {
                self.report.timers += 1;
                let mut draft = again(record, topic, record.queue_id(), record.properties());
                draft.sys_flag &= !SYS_FLAG_TRANSACTION_MASK;
                self.put_behind(&draft, record.store_ms())
            }
            Kind::Half if self.halves.contains(&position) => {
                self.report.half_messages += 1;
                let mut draft = again(record, HALF_TOPIC, 0, record.properties());
                draft.sys_flag &= !SYS_FLAG_TRANSACTION_MASK;
                self.put_behind(&draft, record.store_ms())
            }
            Kind::Message if record.indexed() => {
                let key = (topic.to_owned(), record.queue_id());
                let floor = self.floors.get(&key).copied();
                let there = self.topics.contains_key(topic)
                    && floor.is_some_and(|floor| record.queue_offset() >= floor);
                if !there {
                    self.report.over("messages of topics that were deleted", 1);
                    return Ok(());
                }
                self.report.messages += 1;
                let draft = again(record, topic, record.queue_id(), record.properties());
                self.put(&draft, record.queue_offset(), record.store_ms())
            }
            _ => {
                self.report
                    .over("messages that were delivered, decided or taken back", 1);
                Ok(())
            }
        }
    }

    /// Puts a record into a queue whose offsets are given anew.
    fn put_behind(&mut self, draft: &RecordDraft<'_>, store_ms: i64) -> Result<(), MigrationError> {
        let next = self
            .next
            .entry((draft.topic.to_owned(), draft.queue_id))
            .or_default();
        let offset = *next;
        *next += 1;
        self.put(draft, offset, store_ms)
    }

    fn put(
        &mut self,
        draft: &RecordDraft<'_>,
        queue_offset: u64,
        store_ms: i64,
    ) -> Result<(), MigrationError> {
        let encoded = draft
            .encode_within(&LIMITS)
            .map_err(|source| MigrationError::Record {
                file: PathBuf::from(draft.topic),
                offset: queue_offset,
                source,
            })?;
        let position = self.log.append(&encoded, queue_offset, store_ms)?;
        self.last_store_ms = self.last_store_ms.max(store_ms);
        let tags_code = if draft.topic == SCHEDULE_TOPIC {
            // There it is when the message is due.
            let delay_ms = DELAY_LEVELS_MS.get(draft.queue_id as usize).copied().unwrap_or(0);
            store_ms.saturating_add(delay_ms)
        } else {
            encoded.tags_code()
        };
        let unit = Unit {
            position,
            size_bytes: encoded.size_bytes(),
            tags_code,
            store_ms,
            queue_offset,
            count: encoded.offsets(),
        };
        let batches = self
            .topics
            .get(draft.topic)
            .is_some_and(TopicConfig::has_batch_queues);
        self.queues.put(draft.topic, draft.queue_id, batches, &unit)
    }

    /// Has messages that are out delivered again: with Apache's broker they are appended to the group's retry topic when their time is over.
    fn out(&mut self) -> Result<(), MigrationError> {
        let engine = self.broker.engine();
        for OutMessage {
            group,
            topic,
            queue_id,
            offset,
        } in std::mem::take(&mut self.popped)
        {
            let mut found = Vec::with_capacity(1);
            engine.entries(&topic, queue_id, offset, 1, &mut found);
            let Some(entry) = found.first().filter(|entry| entry.queue_offset == offset) else {
                continue;
            };
            let bytes = engine.read(entry.position, entry.size_bytes)?;
            let record = RecordView::parse(&bytes)?;
            if record.is_batch() && record.queue_offset() != offset {
                continue;
            }
            let retry = if name::is_retry_topic(&topic) {
                topic.to_string()
            } else {
                RetryKind::V1.topic(&group, &topic)
            };
            if !self.topics.contains_key(&retry) {
                let config = TopicConfig::new(retry.as_str(), 1);
                self.topics.insert(retry.clone(), config.clone());
                self.made.push(config);
            }
            let max = self.broker.max_offset(&retry, 0);
            self.next.entry((retry.clone(), 0)).or_insert(max);
            let properties = without(record.properties(), POP_CK);
            let mut draft = again(&record, &retry, 0, &properties);
            draft.sys_flag &= !SYS_FLAG_TRANSACTION_MASK;
            draft.reconsume_times = draft.reconsume_times.saturating_add(1);
            self.put_behind(&draft, SystemClock.now_ms())?;
            self.report.popped += 1;
        }
        Ok(())
    }

    /// Tells where queues go on that are empty.
    fn queue_ends(&mut self) {
        for (topic, queue_id, range) in self.broker.engine().queues() {
            let is_kept = self.topics.contains_key(&*topic)
                && Kind::of(&topic) == Kind::Message
                && !is_lite_queue(queue_id);
            if is_kept && range.max > 0 {
                let batches = self
                    .topics
                    .get(&*topic)
                    .is_some_and(TopicConfig::has_batch_queues);
                if self.queues.fill(&topic, queue_id, batches, range.max) {
                    self.report.moved_queues += 1;
                }
            }
        }
    }
}
