//! Asking producers what became of their transactions, and giving up those that nobody decides.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::planted::{self, Bug};
use kourou_engine::record::{EncodedRecord, RecordView};

use super::HalfError;
use super::decide::place;
use super::table::Due;
use crate::broker::Broker;
use crate::name::CHECK_MAX_TIME_TOPIC;
use crate::property::{self, TRANSACTION_CHECK_TIMES, UNIQ_KEY};
use crate::state::Change;

/// The question to a producer: what became of this half message?
#[derive(Debug, Clone)]
pub struct TransactionCheck<'a> {
    /// The message's topic.
    pub topic: &'a str,
    /// Position of the half message.
    pub position: u64,
    /// Its queue offset, as its sender was told.
    pub queue_offset: u64,
    /// The message's unique id.
    pub unique_id: Option<&'a str>,
    /// Where the half message is stored: the broker's address.
    pub store_host: SocketAddr,
    /// The broker's name.
    pub broker_name: &'a str,
    /// The message in the stored encoding, in its real topic and queue.
    pub message: Bytes,
}

impl Broker {
    /// Asks the producers whose transactions have been pending for long enough, and gives up those that were asked for as often
    /// as may be. Returns when it should be called next; `None` if no transaction is pending.
    ///
    /// Transactions of a group without a connected producer are not asked for and lose nothing by it. May block on the disk;
    /// must not run on the engine's writer thread.
    pub fn check_transactions(self: &Arc<Self>) -> Option<i64> {
        let _one_at_a_time = self.checks.lock();
        let now_ms = self.clock.now_ms();
        let transactions = &self.state.transactions;
        let mut asked = Vec::new();
        for due in transactions.take_due(now_ms, self.options.limits.transaction_checks_per_round) {
            let done = if due.checks >= self.options.transaction_checks_max {
                self.give_up(&due)
            } else {
                self.ask(&due).map(|was_asked| {
                    if was_asked {
                        asked.push((due.position, due.checks + 1));
                    }
                })
            };
            if let Err(error) = done {
                tracing::error!(position = due.position, %error, "a half message cannot be used; it stays in the log");
            }
        }
        if !asked.is_empty() {
            self.append_change(&Change::Checked { checks: &asked }, |stored| {
                if let Err(error) = stored {
                    tracing::debug!(%error, "after a restart transactions will be asked for once more");
                }
            });
        }
        transactions
            .next_check_ms()
            .map(|next_ms| next_ms.max(now_ms + 1))
    }

    /// When the next transaction is due to be asked for.
    pub fn next_transaction_check_ms(&self) -> Option<i64> {
        self.state.transactions.next_check_ms()
    }

    /// How often the producer of a pending transaction has been asked; `None` if none is pending there.
    pub fn transaction_checks(&self, position: u64) -> Option<u32> {
        self.state.transactions.checks(position)
    }

    /// Whether a producer could be asked.
    fn ask(&self, due: &Due) -> Result<bool, HalfError> {
        let Some(channel) = self.clients.any_producer(&due.group) else {
            return Ok(false);
        };
        let bytes = self.engine.read(due.half.position, due.half.size_bytes)?;
        let half = RecordView::parse(&bytes)?;
        let (topic, queue_id) = place(&half)?;
        let properties = counted(&half, due.checks + 1);
        let record = self.record_of(&half, due.position, topic, queue_id, 0, &properties)?;
        let mut message = vec![0; record.size_bytes() as usize];
        record.write_into(&mut message, half.queue_offset(), due.position, half.store_ms());
        let check = TransactionCheck {
            topic,
            position: due.position,
            queue_offset: half.queue_offset(),
            unique_id: half.property(UNIQ_KEY),
            store_host: self.options.store_host,
            broker_name: &self.options.broker_name,
            message: message.into(),
        };
        let was_asked = channel.check_transaction(&check);
        if was_asked {
            self.state.transactions.count_check(due.position);
        }
        Ok(was_asked)
    }

    /// Ends a transaction that nobody decided: its message goes where people may look for it.
    pub(super) fn give_up(self: &Arc<Self>, due: &Due) -> Result<(), HalfError> {
        let position = due.position;
        if !self.state.transactions.begin_giving_up(position) {
            return Ok(());
        }
        let record = match self.given_up(due) {
            Ok(record) => record,
            Err(error) => {
                self.state.transactions.give_back(position);
                return Err(error);
            }
        };
        tracing::warn!(position, group = %due.group, checks = due.checks, "a transaction that nobody decided is given up");
        let broker = self.clone();
        self.engine.append(record, move |appended| {
            if let Err(error) = appended {
                tracing::debug!(position, %error, "a transaction stays pending");
                broker.state.transactions.give_back(position);
            }
        });
        Ok(())
    }

    fn given_up(&self, due: &Due) -> Result<EncodedRecord, HalfError> {
        let bytes = self.engine.read(due.half.position, due.half.size_bytes)?;
        let half = RecordView::parse(&bytes)?;
        let properties = counted(&half, due.checks);
        let (topic, queue_id) = if planted::is(Bug::CommitsTheUndecided) {
            place(&half)?
        } else {
            (CHECK_MAX_TIME_TOPIC, 0)
        };
        self.record_of(&half, due.position, topic, queue_id, 0, &properties)
    }
}

/// The properties of a half message, and how often its producer was asked.
fn counted(half: &RecordView<'_>, checks: u32) -> Vec<u8> {
    let mut text = half.properties().to_vec();
    property::push(&mut text, TRANSACTION_CHECK_TIMES, checks.to_string().as_bytes());
    text
}
