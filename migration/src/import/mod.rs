//! From the store of an Apache broker to a new one of kourou's.

mod window;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use kourou_broker::delivery::RetryKind;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions, name};
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{
    Limits, QueueStart, RecordDraft, RecordView, SYS_FLAG_TRANSACTION_MASK, SYS_FLAG_TRANSACTION_PREPARED,
};
use kourou_engine::{AppendError, Options};

use crate::again::{again, without};
use crate::error::MigrationError;
use crate::report::{Progress, Report};
use crate::source::Source;
use crate::source::log::Reader;
use crate::survey::{Kind, Popped, Survey};
use window::Window;

/// What an import does.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The store of an Apache broker: the folder that `storePathRootDir` names.
    pub source: PathBuf,
    /// Where its commit log is, if that is not in there: `storePathCommitLog`.
    pub commit_log: Vec<PathBuf>,
    /// Where the new store is made: a folder that is empty, or not there, or holds half of an import.
    pub target: PathBuf,
    /// Take the queues from the commit log alone.
    pub rebuild_queues: bool,
    /// Carry over what is before a damaged record, rather than nothing.
    pub until_damage: bool,
    /// Go on although some of it cannot be carried over.
    pub accept_loss: bool,
}

impl ImportOptions {
    /// From one folder to another, with nothing given up.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            commit_log: Vec::new(),
            target: target.into(),
            rebuild_queues: false,
            until_damage: false,
            accept_loss: false,
        }
    }
}

/// The limit of the log itself holds.
const LIMITS: Limits = Limits {
    body_size_bytes_max: usize::MAX,
};
/// Queues that one record tells the beginnings of.
const STARTS_AT_ONCE: usize = 1_000;
/// A handle that a client was given; it is of another delivery.
const POP_CK: &str = "POP_CK";

/// Makes a store that goes on where the source ended. When this returns, it is complete and durable; after anything else, a crash included,
/// there is none, or one that says that it is half of one and does not open. The source is only read.
///
/// # Errors
/// See [`MigrationError`].
pub fn import(options: &ImportOptions, progress: &mut dyn Progress) -> Result<Report, MigrationError> {
    let source = Source::open(&options.source, &options.commit_log, options.rebuild_queues)?;
    let survey = Survey::of(&source, options.until_damage, progress)?;
    if !options.accept_loss && !survey.report.lost.is_empty() {
        return Err(MigrationError::WouldLose {
            what: survey.report.lost_lines(),
        });
    }
    make_way(&options.target)?;
    let mut engine = Options::new(&options.target);
    engine.importing = true;
    let disk = Arc::new(StdDisk::new(&options.target, WriterKind::Auto));
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let broker = Broker::open(BrokerOptions::new(nowhere), engine, disk, Arc::new(SystemClock))?;
    let mut report = survey.report.clone();
    let import = Import {
        source: &source,
        survey: &survey,
        broker: &broker,
    };
    import.configure(&mut report)?;
    import.begin_queues(&mut report)?;
    import.records(&mut report, progress)?;
    broker.engine().end_imported()?;
    import.popped(&mut report)?;
    import.offsets(&mut report)?;
    broker.close()?;
    broker.engine().finish_import()?;
    Ok(report)
}

/// Removes half of an import; refuses anything else that is there.
fn make_way(target: &Path) -> Result<(), MigrationError> {
    let entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(MigrationError::io("list", target)(error)),
    };
    let half = target.join("importing");
    if !half.exists() {
        let is_empty = entries.into_iter().next().is_none();
        return if is_empty {
            Ok(())
        } else {
            Err(MigrationError::NotEmpty {
                dir: target.to_owned(),
            })
        };
    }
    // Last the file that says what this is.
    for folder in ["log", "index"].map(|name| target.join(name)) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(MigrationError::io("remove", &folder)(error));
            }
            _ => {}
        }
    }
    for file in [
        "identity",
        "identity.new",
        "checkpoint.0",
        "checkpoint.1",
        "importing",
    ] {
        let file = target.join(file);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(MigrationError::io("remove", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

struct Import<'a> {
    source: &'a Source,
    survey: &'a Survey,
    broker: &'a Arc<Broker>,
}

impl Import<'_> {
    /// Makes topics and groups.
    fn configure(&self, report: &mut Report) -> Result<(), MigrationError> {
        let config = &self.source.config;
        for topic in &config.topics {
            if Kind::of(&topic.name) != Kind::Message || name::is_system_topic(&topic.name) {
                continue;
            }
            if self.make_topic(topic.clone())? {
                report.topics += 1;
            }
        }
        for group in &config.groups {
            if name::is_system_group(&group.name) {
                continue;
            }
            self.make("group", &group.name, |done| {
                self.broker
                    .put_group(group, |made| done(made.map_err(|error| error.to_string())));
            })?;
            report.groups += 1;
        }
        for (topic, group, mode) in &config.request_modes {
            let (told, outcome) = mpsc::channel();
            self.broker.set_request_mode(topic, group, *mode, move |set| {
                // Somebody waits for it.
                let _ = told.send(set.is_ok());
            });
            if outcome.recv() != Ok(true) {
                report.over("request modes of topics and groups that are gone", 1);
            }
        }
        for (what, count) in &config.left {
            report.left(what, *count);
        }
        Ok(())
    }

    /// Makes a topic; false if one of the name is built in.
    fn make_topic(&self, config: TopicConfig) -> Result<bool, MigrationError> {
        let built_in = self.broker.system_topics();
        if built_in.iter().any(|topic| topic.name == config.name) {
            return Ok(false);
        }
        let name = Arc::clone(&config.name);
        self.make("topic", &name, |done| {
            self.broker
                .import_topic(&config, |made| done(made.map_err(|error| error.to_string())));
        })?;
        Ok(true)
    }

    fn make(
        &self,
        what: &'static str,
        name: &str,
        begin: impl FnOnce(Box<dyn FnOnce(Result<(), String>) + Send>),
    ) -> Result<(), MigrationError> {
        let (told, outcome) = mpsc::channel();
        begin(Box::new(move |made| drop(told.send(made))));
        let made = outcome.recv().unwrap_or_else(|_| Err("no answer came".into()));
        made.map_err(|why| MigrationError::Make {
            what,
            name: name.to_owned(),
            why,
        })
    }

    /// Says where queues begin.
    fn begin_queues(&self, report: &mut Report) -> Result<(), MigrationError> {
        let empty = self
            .survey
            .empty
            .iter()
            .map(|(topic, queue_id, offset)| (topic.as_str(), *queue_id, *offset));
        let moved = self
            .survey
            .queues()
            .filter(|(_, _, queue)| queue.first > 0)
            .map(|(topic, queue_id, queue)| (topic, queue_id, queue.first));
        let starts: Vec<QueueStart<'_>> = empty
            .chain(moved)
            .map(|(topic, queue_id, offset)| QueueStart {
                topic,
                queue_id,
                offset,
            })
            .collect();
        // One in any case: from there on store times may go back.
        let none: &[QueueStart<'_>] = &[];
        for some in starts.chunks(STARTS_AT_ONCE).chain([none]) {
            let (told, outcome) = mpsc::channel();
            self.broker
                .engine()
                .begin_queues(some, move |stored| drop(told.send(stored)));
            outcome.recv().unwrap_or(Err(AppendError::Closed))?;
        }
        report.moved_queues = starts.len() as u64;
        Ok(())
    }

    /// Carries the records over, in the order of the log.
    fn records(&self, report: &mut Report, progress: &mut dyn Progress) -> Result<(), MigrationError> {
        let mut reader = Reader::again(&self.source.log, self.survey.end);
        let begin = reader.end().position;
        let all_bytes = self.source.log.size_bytes();
        let window = Window::new();
        let mut count = 0_u64;
        while let Some((position, record)) = reader.next()? {
            count += 1;
            if count.is_multiple_of(1_024) {
                progress.at("importing", position - begin, all_bytes);
            }
            let (offset, sys_flag) = match Kind::of(record.topic()) {
                Kind::Message => {
                    let queue = self.survey.queue(record.topic(), record.queue_id());
                    let is_there = queue.is_some_and(|queue| position >= queue.from);
                    if !is_there || !record.indexed() {
                        continue;
                    }
                    report.messages += 1;
                    (Some(record.queue_offset()), record.sys_flag())
                }
                Kind::Delayed | Kind::Timer if self.survey.timers.contains(&position) => {
                    report.timers += 1;
                    (None, record.sys_flag() & !SYS_FLAG_TRANSACTION_MASK)
                }
                Kind::Half if self.survey.halves.contains(&position) => {
                    report.half_messages += 1;
                    let flag = record.sys_flag() & !SYS_FLAG_TRANSACTION_MASK;
                    (None, flag | SYS_FLAG_TRANSACTION_PREPARED)
                }
                _ => continue,
            };
            let draft = RecordDraft {
                sys_flag,
                ..again(&record, record.topic(), record.queue_id(), record.properties())
            };
            let encoded = draft.encode_within(&LIMITS).map_err(|source| {
                let (file, offset) = self.source.log.place(position);
                MigrationError::Record { file, offset, source }
            })?;
            window.import(self.broker.engine(), encoded, record.store_ms(), offset)?;
        }
        window.wait()
    }

    /// Has messages that are out delivered again, as kourou does it when their time is over.
    fn popped(&self, report: &mut Report) -> Result<(), MigrationError> {
        let engine = self.broker.engine();
        for Popped {
            group,
            topic,
            queue_id,
            offset,
        } in &self.survey.popped
        {
            let mut found = Vec::with_capacity(1);
            engine.entries(topic, *queue_id, *offset, 1, &mut found);
            let Some(entry) = found.first().filter(|entry| entry.queue_offset == *offset) else {
                continue;
            };
            let bytes = engine.read(entry.position, entry.size_bytes)?;
            let record = RecordView::parse(&bytes)?;
            // Of a batch that lies there as one record, all is delivered with its first.
            if record.is_batch() && record.queue_offset() != *offset {
                continue;
            }
            let retry = if name::is_retry_topic(topic) {
                topic.clone()
            } else {
                RetryKind::V1.topic(group, topic)
            };
            if self.broker.topic(&retry).is_none() {
                self.make_topic(TopicConfig::new(retry.as_str(), 1))?;
            }
            let properties = without(record.properties(), POP_CK);
            let mut draft = again(&record, &retry, 0, &properties);
            draft.sys_flag &= !SYS_FLAG_TRANSACTION_MASK;
            draft.reconsume_times = draft.reconsume_times.saturating_add(1);
            let encoded = draft
                .encode_within(&LIMITS)
                .map_err(|source| MigrationError::Record {
                    file: self.source.root.clone(),
                    offset: entry.position,
                    source,
                })?;
            engine.append_blocking(encoded)?;
            report.popped += 1;
        }
        Ok(())
    }

    /// Commits the groups' offsets.
    fn offsets(&self, report: &mut Report) -> Result<(), MigrationError> {
        for offset in &self.source.config.offsets {
            if name::is_system_group(&offset.group) || Kind::of(&offset.topic) != Kind::Message {
                continue;
            }
            if self.broker.group(&offset.group).is_none() {
                let group = kourou_broker::group::GroupConfig::new(offset.group.as_str());
                let made = self.make("group", &offset.group, |done| {
                    self.broker
                        .put_group(&group, |made| done(made.map_err(|error| error.to_string())));
                });
                if made.is_err() {
                    report.over("offsets of topics and queues that are gone", 1);
                    continue;
                }
                report.groups += 1;
            }
            let committed = self.broker.commit_offset(
                &offset.group.as_str().into(),
                &offset.topic.as_str().into(),
                i32::try_from(offset.queue_id).unwrap_or(-1),
                offset.offset,
            );
            match committed {
                Ok(()) => report.offsets += 1,
                Err(_) => report.over("offsets of topics and queues that are gone", 1),
            }
        }
        Ok(())
    }
}
