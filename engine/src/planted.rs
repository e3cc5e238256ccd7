//! Bugs that are planted on purpose, to see that the tests find them. Without the feature `planted-bugs` there are none: each
//! question is answered when the program is compiled.

/// A bug: what somebody once got wrong in a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A group counts as written when its write failed.
    AcknowledgesAfterAFailedWrite,
    /// Groups go to the page cache, and are answered and shown from there.
    ShowsBeforeDurable,
    /// Nobody looks at the checksum of a record that is read from the disk.
    ChecksNothing,
    /// What a checkpoint says of the queues is ahead of the log.
    IndexAheadOfTheLog,
    /// A transaction that nobody decides is committed in the end.
    CommitsTheUndecided,
    /// Timers are delivered a second early.
    TimersAreEarly,
    /// Every fourth acknowledgement is answered and not kept.
    LosesAcknowledgements,
    /// A redelivery counts as two.
    CountsTwice,
    /// Committed offsets are kept in memory only.
    LosesOffsets,
    /// A send that is tried again is stored again.
    StoresRetriesAgain,
    /// A lock is given to whoever asks when it is a second old.
    ShortLocks,
    /// A timer that is taken back is delivered all the same.
    IgnoresRecalls,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AcknowledgesAfterAFailedWrite,
        Self::ShowsBeforeDurable,
        Self::ChecksNothing,
        Self::IndexAheadOfTheLog,
        Self::CommitsTheUndecided,
        Self::TimersAreEarly,
        Self::LosesAcknowledgements,
        Self::CountsTwice,
        Self::LosesOffsets,
        Self::StoresRetriesAgain,
        Self::ShortLocks,
        Self::IgnoresRecalls,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in all that this thread does from now on; or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}
