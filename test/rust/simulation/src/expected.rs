//! The expected answers of the checkpoint for a process. Updated with every change, and compared
//! whenever the checkpoint is asked: at a start, at a `forget`, after a crash.

use crate::monitor::number;
use cron_checkpoint::Record;
use cron_engine::Position;

/// The record of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The number of the last result before its position; `None` if it has no position.
    pub(crate) at: Option<u64>,
    /// Whether to resume it.
    pub(crate) watched: bool,
}

impl Known {
    /// Converts a record of the checkpoint.
    pub(crate) fn of(record: Option<&Record>) -> Self {
        record.map_or_else(Self::default, |record| Self {
            at: at(&record.position),
            watched: record.watched,
        })
    }
}

fn at(position: &Position) -> Option<u64> {
    (*position != Position::Unresolved).then(|| number(position))
}

/// The expected state of a process.
#[derive(Debug)]
pub(crate) struct Expected {
    now: Known,
    /// The latest registration, and whether it is live.
    epoch: u64,
    live: bool,
    /// Whether it was stopped: then it is not resumed when it ends.
    stopped: bool,
    /// The state at the last commit and all later ones. A crash leaves one of these.
    since: Vec<Known>,
}

impl Expected {
    /// The expected state after a start of the node that found this record.
    pub(crate) fn on_start(now: Known) -> Self {
        Self { now, epoch: 0, live: false, stopped: false, since: vec![now] }
    }

    /// Whether the process has no record, as far as its next start is concerned.
    pub(crate) const fn is_unknown(&self) -> bool {
        self.now.at.is_none()
    }

    /// Whether this is its latest registration and live.
    pub(crate) const fn is_live(&self, epoch: u64) -> bool {
        self.live && self.epoch == epoch
    }

    /// Checks an answer of the checkpoint.
    pub(crate) fn check(&self, found: Known) {
        assert_eq!(found, self.now, "the checkpoint has lost, or made up, what was said to it");
    }

    /// Begins a registration.
    pub(crate) fn begun(&mut self, epoch: u64, position: &Position) {
        (self.epoch, self.live, self.stopped) = (epoch, true, false);
        self.set(Known { at: at(position), watched: true });
    }

    /// A registration moved to this position, by an ack or a resolved start.
    pub(crate) fn moved(&mut self, epoch: u64, at: u64) {
        if self.is_live(epoch) {
            self.set(Known { at: Some(at), ..self.now });
        }
    }

    /// Ends a registration.
    pub(crate) fn ended(&mut self, epoch: u64, watched: bool) {
        if self.is_live(epoch) {
            self.live = false;
            self.set(Known { watched: watched && !self.stopped, ..self.now });
        }
    }

    /// A call stopped it, which began before the registration `fence`.
    pub(crate) fn stopped(&mut self, fence: u64) {
        if self.epoch < fence && self.now.watched {
            self.stopped = true;
            self.set(Known { watched: false, ..self.now });
        }
    }

    /// A caller's forget succeeded, or failed because the process is monitored.
    pub(crate) fn forgotten(&mut self, is_forgotten: bool) {
        assert_ne!(is_forgotten, self.live, "what has a live registration alone is not forgotten");
        if is_forgotten {
            self.set(Known::default());
        }
    }

    /// All changes are durable.
    pub(crate) fn committed(&mut self) {
        self.since = vec![self.now];
    }

    /// The node crashed, and its disk has this record.
    pub(crate) fn crashed(&self, found: Known) {
        assert!(self.since.contains(&found), "a crash left {found:?} of {self:?}");
    }

    /// Whether a crash would neither skip a result after `at`, nor lose the start.
    pub(crate) fn is_safe_from(&self, at: u64) -> bool {
        self.since.iter().all(|known| known.at.is_some_and(|known| known <= at))
    }

    fn set(&mut self, known: Known) {
        if known != self.now {
            self.now = known;
            self.since.push(known);
        }
    }
}
