//! The state machine of one monitor: its states, and what each event does.
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
//! A monitor whose position is unresolved goes through `Resolving` first, and one whose position is
//! not durable through `Saving`; from there to `Idle`, or to `Fetching` if a poll was requested
//! meanwhile. After pages have been empty for long, an empty page leads through `Looking`, and
//! perhaps `Rechecking`, `Begin` and `Walking`, back to `Idle`: see the `gap` module. A fetch that
//! fails leads to `Waiting` from any state; from there a retry or a poll starts again. A push that
//! fails is the concern of the monitor's process, which acks later. A paused monitor stays in
//! `Idle` and gets no ticks. A page after which nothing is expected ends a poll as an empty one does:
//! see the `expected` module.
//!
//! It has no clock and sends nothing: the engine plans ticks and retries, decides which node is
//! asked and when, and carries out each [`Step`]. Answers of CUs are handled in `answers`.

mod answers;
pub(crate) mod asks;
pub(crate) mod credit;
pub(crate) mod delay;
pub(crate) mod expected;
pub(crate) mod gap;
pub(crate) mod grid;
pub(crate) mod id;
pub(crate) mod nodes;
pub(crate) mod position;
pub(crate) mod process;
mod snapshot;
mod ticks;
pub(crate) mod trail;

pub(crate) use self::answers::{Outcome, Sent, Unasked};
pub use self::snapshot::{Doing, Snapshot, Trouble};

use crate::decode::request::{MAX_LIMIT, PageRequest};
use crate::engine::event::{Registration, Request};
use crate::engine::failure::Outage;
use crate::host::lane::Lane;
use crate::monitor::credit::Credit;
use crate::monitor::expected::Expected;
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
    /// Its starting point to be durable: a crash must not lose what comes after it.
    Saving,
    /// A page.
    Fetching,
    /// An ack: there is more to fetch, but no credit.
    Full,
    /// Acks: there is nothing more to fetch in this poll.
    Draining,
    /// The time of the next retry.
    Waiting(Time),
    /// The newest cursor, as a probe for a gap.
    Looking,
    /// A page after the position, fetched after the probe: results that appeared before the probe
    /// are no gap. If the page is empty, the walk begins.
    Rechecking(Look),
    /// The first cursor, to find where a gap begins.
    Begin,
    /// A page of the walk past a gap.
    Walking,
}

/// What the engine must do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Tick,
    /// Nothing: a tick would not be answered by a request.
    Quiet,
    /// Plan a tick between two points of the grid.
    Between(Time),
    /// Queue the monitor's next fetch.
    Fetch,
    /// Make the monitor's position durable.
    Save,
}

/// One monitor.
#[expect(clippy::struct_excessive_bools, reason = "each may be so whatever the others are")]
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) grid: Grid,
    pub(crate) nodes: Nodes,
    pub(crate) outage: Outage,
    /// Whether its last fetch took long.
    pub(crate) lane: Lane,
    position: Position,
    /// The trail up to the position, once a page has left one.
    trail: Option<Arc<Trail>>,
    gap: Gap,
    /// What it expects; `None` if it asks at every tick.
    expected: Option<Box<Expected>>,
    page_limit: u32,
    /// Whether the page was empty and is fetched again with the highest limit, which reaches
    /// further.
    wide: bool,
    stage: Stage,
    /// Whether it is queued for a fetch.
    queued: bool,
    /// The retry that was planned last.
    planned: Option<Time>,
    credit: Credit,
    /// Whether a poll was requested after the fetch under way had begun.
    again: bool,
    /// Whether it looks up where to begin, and then stays idle.
    paused: bool,
    /// How many requests were sent.
    requests: u64,
    /// The last failure, until a fetch succeeds. Boxed: most monitors have none.
    trouble: Option<Box<Trouble>>,
}

impl Monitor {
    pub(crate) fn new(now: Time, registration: Registration) -> Self {
        let Registration { process, rate, position, nodes, page_limit, walk_after, .. } =
            registration;
        let Registration { timing, paused, .. } = registration;
        Self {
            grid: Grid::new(now, rate, process.as_str().as_bytes()),
            nodes: Nodes::new(nodes),
            outage: Outage::default(),
            lane: Lane::Fast,
            position,
            trail: None,
            gap: Gap::new(walk_after),
            expected: Expected::new(timing, &process).map(Box::new),
            page_limit: page_limit.clamp(1, MAX_LIMIT),
            wide: false,
            stage: Stage::Idle,
            queued: false,
            planned: None,
            credit: Credit::default(),
            again: false,
            paused,
            requests: 0,
            trouble: None,
        }
    }

    /// A new monitor. Its starting point is looked up at once, so that results between the start
    /// and the first tick are not missed. `durable` says whether a crash would keep a starting
    /// point that is known.
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

    /// The position.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The bytes of pages that are not acked.
    pub(crate) fn buffered(&self) -> u64 {
        self.credit.buffered()
    }

    /// Whether it is paused, so that its grid means nothing.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// A poll was requested: by the monitor after a tick, or by a user at any time.
    pub(crate) fn poll(&mut self) -> Step {
        match self.stage {
            Stage::Idle | Stage::Ticked | Stage::Waiting(_) => self.begin_poll(),
            // The CU may have answered already: results since then must be fetched again. If a
            // fetch follows this poll in any case, the request is dropped.
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

    /// The fetch under way failed, or its turn must wait: it is retried at `until`. Returns true if
    /// that retry must be planned.
    pub(crate) fn wait(&mut self, until: Time) -> bool {
        self.again = false;
        self.wide = false;
        self.queued = false;
        self.stage = Stage::Waiting(until);
        self.planned.replace(until) != Some(until)
    }

    /// The fetch under way failed. A probe or a walk must not follow each retry.
    pub(crate) fn failed(&mut self, now: Time, trouble: Trouble) {
        self.trouble = Some(Box::new(trouble));
        if let Some(expected) = &mut self.expected {
            expected.failed();
        }
        if matches!(
            self.stage,
            Stage::Looking | Stage::Rechecking(_) | Stage::Begin | Stage::Walking
        ) {
            self.gap.put_off(now);
        }
    }

    /// It has other nodes, and need not wait for the old ones.
    pub(crate) fn moved(&mut self) -> Step {
        if let Some(expected) = &mut self.expected {
            expected.forget();
        }
        if matches!(self.stage, Stage::Waiting(_)) { self.begin_poll() } else { Step::Nothing }
    }

    /// The fetch under way is to be retried when its turn comes.
    pub(crate) fn try_again(&mut self) -> Step {
        self.queued = true;
        Step::Fetch
    }

    /// What to fetch, now that its turn has come.
    pub(crate) fn take_turn(&mut self, now: Time) -> Option<Request> {
        self.queued = false;
        self.requests += 1;
        if let Some(expected) = &mut self.expected {
            expected.asked(now);
        }
        let limit = self.limit();
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

    /// Whether it is queued for a fetch.
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

    /// How many results the next page may have.
    fn limit(&self) -> u32 {
        if self.wide { MAX_LIMIT } else { self.page_limit }
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
