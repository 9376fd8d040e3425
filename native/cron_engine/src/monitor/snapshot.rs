//! What inspection shows of one monitor. It only reads.

use super::{Monitor, Stage};
use crate::BreakerState;
use crate::monitor::asks::{Asks, Unexpected};
use crate::{Class, Failure, Interval, Position, Time};
use std::sync::Arc;
use std::time::Duration;

/// What a monitor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// Its next tick.
    Idle,
    /// The CU's latest cursor, where it begins.
    Resolving,
    /// Its starting point to be durable.
    Saving,
    /// The CU, or its turn to fetch.
    Polling,
    /// Acks of the results in hand.
    Pushing,
    /// The time of the next retry.
    BackingOff,
    /// A call of `resume`.
    Paused,
}

/// The last failure of a fetch, until one succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When, on the engine's clock.
    pub at: Time,
    /// The class.
    pub class: Class,
    /// The description.
    pub detail: String,
}

impl Trouble {
    pub(crate) fn new(now: Time, failure: &Failure) -> Self {
        Self { at: now, class: failure.class, detail: failure.detail.clone() }
    }
}

/// The state of one monitor at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it waits for.
    pub doing: Doing,
    /// The position up to which it has fetched.
    pub position: Position,
    /// The sequence number of the last result that it was given.
    pub received: u64,
    /// The bytes of the pages that are not acked.
    pub buffered: u64,
    /// Failed fetches since the last success.
    pub failures: u64,
    /// The last one of these failures.
    pub trouble: Option<Trouble>,
    /// How long until its next tick; `None` while it is paused.
    pub next_tick: Option<Duration>,
    /// The time until the next result is expected; `None` if there is no telling.
    pub next_result: Option<Duration>,
    /// When it asks, and why.
    pub asks: Asks,
    /// The longest time without a request; `None` if it asks at every tick in any case.
    pub longest: Option<Duration>,
    /// The crons of its process, if its tags are known.
    pub crons: Option<Arc<[Interval]>>,
    /// How many requests were sent.
    pub requests: u64,
    /// The time until its next retry, if it waits for one.
    pub next_try: Option<Duration>,
    /// The index of the node that is asked next.
    pub node: usize,
    /// The breakers of its nodes' hosts, in the order of the nodes.
    pub breakers: Vec<BreakerState>,
}

impl Monitor {
    /// Everything but the breakers, which belong to the hosts.
    pub(crate) fn snapshot(&self, now: Time) -> Snapshot {
        let retry = match self.stage {
            Stage::Waiting(at) => Some(at.since(now)),
            _ => None,
        };
        let (next, _) = self.grid.next_after(now, now);
        Snapshot {
            doing: self.doing(),
            position: self.position.clone(),
            received: self.credit.next_seq().saturating_sub(1),
            buffered: self.credit.buffered(),
            failures: self.outage.failures(),
            trouble: self.trouble.as_deref().cloned(),
            next_tick: (!self.paused).then(|| next.since(now)),
            next_result: self.expected.as_ref().and_then(|it| it.next()).map(|at| at.since(now)),
            asks: match &self.expected {
                Some(expected) => expected.asks_when(self.trail.as_deref()),
                None => Asks::EveryTick(Unexpected::Rate),
            },
            longest: self.expected.as_ref().map(|expected| expected.longest()),
            crons: self.expected.as_ref().and_then(|expected| expected.crons().map(Arc::clone)),
            requests: self.requests,
            next_try: retry,
            node: self.nodes.next(),
            breakers: Vec::new(),
        }
    }

    /// What it waits for.
    pub(crate) fn doing(&self) -> Doing {
        match self.stage {
            Stage::Resolving => Doing::Resolving,
            Stage::Saving => Doing::Saving,
            Stage::Waiting(_) => Doing::BackingOff,
            Stage::Idle if self.paused => Doing::Paused,
            _ if !self.credit.is_whole() => Doing::Pushing,
            Stage::Idle => Doing::Idle,
            Stage::Full | Stage::Draining => Doing::Pushing,
            Stage::Ticked
            | Stage::Fetching
            | Stage::Looking
            | Stage::Rechecking(_)
            | Stage::Begin
            | Stage::Walking => Doing::Polling,
        }
    }
}
