//! The state machine of one monitor: what it waits for, and what each event makes of it.
//!
//! ```text
//!              due                poll                 page, credit left
//!    Idle ───────────► Ticked ───────────► Fetching ◄──────────────────┐
//!     ▲  └──────────────poll──────────────►  │ │  └──── page ──────────┤
//!     │                                      │ └─ page, credit used ─► Full
//!     │              empty page              │                          │ page acked
//!     ├──────────── nothing unacked ─────────┤                          └──► Fetching
//!     └── all acked ── Draining ◄── some unacked
//! ```
//! A monitor whose position is unresolved goes through `Resolving` first, and one whose position
//! is not durable through `Saving`; from there to `Idle`, or to `Fetching` where somebody had asked
//! for a poll. After pages have been empty for long, an empty page leads through `Looking`, and
//! perhaps `Rechecking`, `Begin` and `Walking`, back to `Idle`: see the `gap` module. A fetch that fails leads
//! to `Waiting`, wherever it was; from there a retry or a poll begins anew. A push that fails is
//! the monitor process's own business: it acks later. One that is paused goes no further than
//! `Idle`, and is not ticked there.
//!
//! It has no clock and sends nothing: the engine plans ticks and retries, decides which node is
//! asked and when, and carries out each [`Step`]. What an answer of a CU makes of it is in `answers`.

mod answers;
pub(crate) mod credit;
pub(crate) mod gap;
pub(crate) mod grid;
pub(crate) mod id;
pub(crate) mod nodes;
pub(crate) mod position;
pub(crate) mod process;
mod snapshot;
pub(crate) mod trail;

pub(crate) use self::answers::{Outcome, Unasked};
pub use self::snapshot::{Doing, Snapshot, Trouble};

use crate::decode::request::{MAX_LIMIT, PageRequest};
use crate::engine::event::{Registration, Request};
use crate::engine::failure::Outage;
use crate::host::lane::Lane;
use crate::monitor::credit::Credit;
use crate::monitor::gap::{Gap, Look};
use crate::monitor::nodes::Nodes;
use crate::{Grid, Position, Time, Trail};
use std::sync::Arc;

/// What a monitor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The next tick.
    Idle,
    /// The poll that answers a tick.
    Ticked,
    /// The latest cursor.
    Resolving,
    /// Its starting point to be durable: what comes after it must not be lost in a crash.
    Saving,
    /// A page.
    Fetching,
    /// An ack: there is more to fetch, but no credit.
    Full,
    /// Acks: there is nothing more to fetch in this poll.
    Draining,
    /// The time of the next try.
    Waiting(Time),
    /// The latest cursor, to see whether there is a gap.
    Looking,
    /// A page after the position, asked for since: what came before the latest cursor was asked for
    /// is no gap. If it is empty, this is done.
    Rechecking(Look),
    /// The first cursor, to see where a gap begins.
    Begin,
    /// A page of the walk past a gap.
    Walking,
}

/// What the engine has to do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Tick,
    /// Queue this monitor's next fetch.
    Fetch,
    /// Make its position durable.
    Save,
}

/// One monitor.
#[expect(clippy::struct_excessive_bools, reason = "each may be so whatever the others are")]
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) grid: Grid,
    pub(crate) nodes: Nodes,
    pub(crate) outage: Outage,
    /// Its last fetch took long.
    pub(crate) lane: Lane,
    position: Position,
    /// The trail up to the position, once a page has left one.
    trail: Option<Arc<Trail>>,
    gap: Gap,
    page_limit: u32,
    /// The page was empty and is asked for again with the highest limit, which reaches further.
    wide: bool,
    stage: Stage,
    /// It waits for its turn to fetch.
    queued: bool,
    /// The retry that is planned last.
    planned: Option<Time>,
    credit: Credit,
    /// A poll was asked for after the fetch under way had begun.
    again: bool,
    /// It looks up where it begins, and nothing more.
    paused: bool,
    /// The last failure, until a fetch succeeds. Most have none, and pay for no more than a pointer.
    trouble: Option<Box<Trouble>>,
}

impl Monitor {
    pub(crate) fn new(now: Time, registration: Registration) -> Self {
        let Registration { process, rate, position, nodes, page_limit, walk_after, paused, .. } =
            registration;
        Self {
            grid: Grid::new(now, rate, process.as_str().as_bytes()),
            nodes: Nodes::new(nodes),
            outage: Outage::default(),
            lane: Lane::Fast,
            position,
            trail: None,
            gap: Gap::new(now, walk_after),
            page_limit: page_limit.clamp(1, MAX_LIMIT),
            wide: false,
            stage: Stage::Idle,
            queued: false,
            planned: None,
            credit: Credit::default(),
            again: false,
            paused,
            trouble: None,
        }
    }

    /// A new monitor: its starting point is looked up at once, so that what the CU produces
    /// between the start and the first tick is not missed. `durable` says that a crash would not
    /// lose a starting point that is known.
    pub(crate) fn registered(&mut self, durable: bool) -> Step {
        match self.position {
            Position::Unresolved => self.ask(Stage::Resolving),
            Position::Earliest | Position::After(_) if durable => Step::Nothing,
            Position::Earliest | Position::After(_) => self.rest(Stage::Saving),
        }
    }

    /// The starting point is durable.
    pub(crate) fn saved(&mut self) -> Step {
        if self.stage == Stage::Saving { self.end_poll() } else { Step::Nothing }
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The bytes of the pages that are not acked.
    pub(crate) fn buffered(&self) -> u64 {
        self.credit.buffered()
    }

    /// The next point of the grid. Only who waits for a tick gets one; to all others it is missed.
    pub(crate) fn due(&mut self) -> Step {
        if self.stage == Stage::Idle && !self.paused {
            self.stage = Stage::Ticked;
            return Step::Tick;
        }
        Step::Nothing
    }

    /// Whether it is paused: the points of its grid mean nothing to it.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Somebody asks for a poll: the monitor itself after a tick, or a user at any time.
    pub(crate) fn poll(&mut self) -> Step {
        match self.stage {
            Stage::Idle | Stage::Ticked | Stage::Waiting(_) => self.begin_poll(),
            // The CU may have answered already: what it did not know then is asked for again. Where the next
            // fetch comes after this poll in any case, it forgets that.
            _ => {
                self.again = true;
                Step::Nothing
            }
        }
    }

    /// The time of a retry that was planned for `at`.
    pub(crate) fn retry(&mut self, at: Time) -> Step {
        self.planned = self.planned.filter(|planned| *planned != at);
        if self.stage == Stage::Waiting(at) { self.begin_poll() } else { Step::Nothing }
    }

    /// All edges up to `seq` are acked.
    pub(crate) fn acked(&mut self, seq: u64) -> Step {
        self.credit.acked(seq);
        match self.stage {
            Stage::Full if self.credit.is_left() => self.fetch(),
            Stage::Draining if self.credit.is_whole() => self.end_poll(),
            _ => Step::Nothing,
        }
    }

    /// The fetch under way failed, or its turn must wait: it is tried again at `until`.
    /// True if that retry is to be planned.
    pub(crate) fn wait(&mut self, until: Time) -> bool {
        self.again = false;
        self.wide = false;
        self.queued = false;
        self.stage = Stage::Waiting(until);
        self.planned.replace(until) != Some(until)
    }

    /// The fetch under way failed. A look or a walk must not follow each retry.
    pub(crate) fn failed(&mut self, now: Time, trouble: Trouble) {
        self.trouble = Some(Box::new(trouble));
        if matches!(
            self.stage,
            Stage::Looking | Stage::Rechecking(_) | Stage::Begin | Stage::Walking
        ) {
            self.gap.put_off(now);
        }
    }

    /// It has other nodes, and need not wait for the old ones.
    pub(crate) fn moved(&mut self) -> Step {
        if matches!(self.stage, Stage::Waiting(_)) { self.begin_poll() } else { Step::Nothing }
    }

    /// The fetch under way is to be tried again as soon as it is its turn.
    pub(crate) fn try_again(&mut self) -> Step {
        self.queued = true;
        Step::Fetch
    }

    /// What to fetch, now that it is this monitor's turn in the queue.
    pub(crate) fn take_turn(&mut self) -> Option<Request> {
        self.queued = false;
        let limit = if self.wide { MAX_LIMIT } else { self.page_limit };
        let page = PageRequest {
            from: self.position.clone(),
            at: None,
            first_seq: self.credit.next_seq(),
            limit,
            trail: self.trail.clone(),
            horizon: u64::MAX,
        };
        match self.stage {
            Stage::Resolving => Some(Request::Latest),
            Stage::Looking => Some(Request::Look),
            Stage::Begin => Some(Request::First(self.gap.reach())),
            Stage::Fetching => Some(Request::Page(page)),
            Stage::Rechecking(_) => Some(Request::Page(PageRequest { limit: MAX_LIMIT, ..page })),
            Stage::Walking => {
                let at = Some(self.gap.at());
                Some(Request::Page(PageRequest { at, limit: MAX_LIMIT, ..page }))
            }
            _ => None,
        }
    }

    /// Whether it is in the queue for fetches.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }

    fn begin_poll(&mut self) -> Step {
        if self.position == Position::Unresolved {
            self.again = true;
            return self.ask(Stage::Resolving);
        }
        if self.paused {
            self.again = false;
            return self.rest(Stage::Idle);
        }
        self.fetch()
    }

    fn end_poll(&mut self) -> Step {
        if self.again { self.begin_poll() } else { self.rest(Stage::Idle) }
    }

    fn fetch(&mut self) -> Step {
        self.again = false;
        self.ask(Stage::Fetching)
    }

    fn ask(&mut self, stage: Stage) -> Step {
        self.queued = true;
        self.stage = stage;
        Step::Fetch
    }

    fn rest(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MonitorId, ProcessId};
    use std::time::Duration;

    #[test]
    fn waiting_again_until_the_same_time_plans_no_second_retry() {
        let process = ProcessId::new(&[b'a'; 43]).unwrap();
        let rate = Duration::from_secs(1);
        let registration = Registration::new(MonitorId(1), process, rate, Position::Earliest);
        let mut monitor = Monitor::new(Time::ZERO, registration);
        let [soon, late] = [1000, 2000].map(Time::from_millis);
        assert!(monitor.wait(late));
        assert!(!monitor.wait(late));
        assert_eq!(monitor.retry(soon), Step::Nothing);
        assert!(!monitor.wait(late), "the retry that came was another");
        assert_eq!(monitor.retry(late), Step::Fetch);
        assert!(monitor.wait(late));
    }
}
