//! What the checkpoint must say of a process. It is written down here as each thing is said to the
//! checkpoint, and compared whenever the checkpoint is asked: at a start, at a `forget`, after a crash.

use crate::monitor::number;
use cron_checkpoint::Record;
use cron_engine::Position;

/// What is known of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The number of the last result before its position; `None` if it has none.
    pub(crate) at: Option<u64>,
    /// It is to be resumed.
    pub(crate) watched: bool,
}

impl Known {
    /// What a checkpoint says.
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

/// What must be known of a process.
#[derive(Debug)]
pub(crate) struct Expected {
    now: Known,
    /// The latest registration, and whether it has not ended.
    epoch: u64,
    live: bool,
    /// It was stopped: it is not to be resumed, however it ends.
    stopped: bool,
    /// What was so at the last commit and since: a crash leaves one of these.
    since: Vec<Known>,
}

impl Expected {
    /// What must be known after the node has started, which is this.
    pub(crate) fn on_start(now: Known) -> Self {
        Self { now, epoch: 0, live: false, stopped: false, since: vec![now] }
    }

    /// Nothing is known of it, as far as its next start is concerned.
    pub(crate) const fn is_unknown(&self) -> bool {
        self.now.at.is_none()
    }

    /// Whether this is its latest registration, and has not ended.
    pub(crate) const fn is_live(&self, epoch: u64) -> bool {
        self.live && self.epoch == epoch
    }

    /// The checkpoint was asked.
    pub(crate) fn check(&self, found: Known) {
        assert_eq!(found, self.now, "the checkpoint has lost, or made up, what was said to it");
    }

    /// A registration begins.
    pub(crate) fn begun(&mut self, epoch: u64, position: &Position) {
        (self.epoch, self.live, self.stopped) = (epoch, true, false);
        self.set(Known { at: at(position), watched: true });
    }

    /// A registration stands here now, since it has acked, or was told where it begins.
    pub(crate) fn moved(&mut self, epoch: u64, at: u64) {
        if self.is_live(epoch) {
            self.set(Known { at: Some(at), ..self.now });
        }
    }

    /// A registration ended.
    pub(crate) fn ended(&mut self, epoch: u64, watched: bool) {
        if self.is_live(epoch) {
            self.live = false;
            self.set(Known { watched: watched && !self.stopped, ..self.now });
        }
    }

    /// It was stopped by a call that began before the registration `fence`.
    pub(crate) fn stopped(&mut self, fence: u64) {
        if self.epoch < fence && self.now.watched {
            self.stopped = true;
            self.set(Known { watched: false, ..self.now });
        }
    }

    /// A caller was told that it is forgotten, or that it is monitored.
    pub(crate) fn forgotten(&mut self, is_forgotten: bool) {
        assert_ne!(is_forgotten, self.live, "what has a live registration alone is not forgotten");
        if is_forgotten {
            self.set(Known::default());
        }
    }

    /// All that was said is durable.
    pub(crate) fn committed(&mut self) {
        self.since = vec![self.now];
    }

    /// The node crashed, and its disk says this.
    pub(crate) fn crashed(&self, found: Known) {
        assert!(self.since.contains(&found), "a crash left {found:?} of {self:?}");
    }

    /// A crash would neither pass over anything after the result `at`, nor forget where it began.
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
