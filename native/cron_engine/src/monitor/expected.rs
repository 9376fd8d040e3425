//! When a monitor asks, if it asks only while a result is expected: the answers to whether a tick
//! is worth sending, when to send one in between, and whether a page with results calls for another
//! request at once. What it cannot expect, it asks for at every tick, as with `rate`.
//!
//! The tags of a process may tell its crons. What its cursors show counts for more: if they
//! do not fit the tags, these are dropped.

use crate::decode::interval::Interval;
use crate::monitor::asks::{Asks, Unexpected};
use crate::monitor::delay::{Delay, Offset, offset, when};
use crate::monitor::grid::Grid;
use crate::{ProcessId, Time, Trail};
use std::sync::Arc;
use std::time::Duration;

/// How many times longer a monitor may not ask if all crons of its process are known.
const COMPLETE: u32 = 10;

/// Requests between two ticks are spread over this time, since many processes have results in the
/// same second.
const SPREAD: Duration = Duration::from_millis(500);

/// When a monitor asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// At every tick.
    Rate,
    /// While a result is expected.
    Expected {
        /// The longest time without a request. It is ten times that if all crons are known.
        max_gap: Duration,
    },
}

/// A request for a page that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'t> {
    /// When it was sent.
    pub(crate) since: Time,
    /// Which node was asked.
    pub(crate) node: usize,
    /// The trail before and after it.
    pub(crate) before: Option<&'t Trail>,
    pub(crate) after: &'t Trail,
    pub(crate) edges: u64,
    /// Whether it was an ordinary one: the request before it was for the same results.
    pub(crate) plain: bool,
}

/// What one monitor expects.
#[derive(Debug)]
pub(crate) struct Expected {
    max_gap: Duration,
    /// The crons of the process, once its tags are known.
    crons: Option<Arc<[Interval]>>,
    spread: Offset,
    /// The delay of the node that is asked. Boxed: it is unknown to most.
    delay: Option<Box<Delay>>,
    node: usize,
    /// When the last request was sent; `None` if there was none.
    asked: Option<Time>,
    /// When the last request was sent after which nothing was left to read.
    emptied: Option<Time>,
    /// From when on each tick asks; `None` for always.
    from: Option<Time>,
    /// The tick in between that was planned last, and the time of the result that it is for.
    between: Option<Time>,
    between_for: u64,
    /// Whether the request under way asks for what was missing.
    looks_for_missing: bool,
}

impl Expected {
    /// `None` if the monitor asks at every tick.
    pub(crate) fn new(timing: Timing, process: &ProcessId) -> Option<Self> {
        let Timing::Expected { max_gap } = timing else { return None };
        let spread = Grid::new(Time::ZERO, SPREAD, process.as_str().as_bytes()).first();
        Some(Self {
            max_gap,
            crons: None,
            spread: offset(spread, 0),
            delay: None,
            node: 0,
            asked: None,
            emptied: None,
            from: None,
            between: None,
            between_for: 0,
            looks_for_missing: false,
        })
    }

    /// Whether a tick at `now` would ask. The next one comes after `rate`.
    pub(crate) fn asks(&self, now: Time, rate: Duration) -> bool {
        let Some(asked) = self.asked.filter(|_| self.is_quiet(now)) else { return true };
        let planned = self.between.filter(|at| *at > now);
        let next = planned.map_or(now + rate, |at| at.min(now + rate));
        next > asked + self.longest()
    }

    /// The longest time without a request. What a CU cannot read, it may read one day.
    pub(crate) fn longest(&self) -> Duration {
        match &self.crons {
            Some(crons) if !crons.contains(&Interval::Unreadable) => {
                self.max_gap.saturating_mul(COMPLETE)
            }
            _ => self.max_gap,
        }
    }

    /// The tags of the process are known. `trail`: what was seen of it.
    pub(crate) fn told(&mut self, crons: Arc<[Interval]>, trail: &Trail) {
        self.crons = Some(crons).filter(|crons| trail.fits(crons));
    }

    /// The crons of the process, if its tags are known.
    pub(crate) const fn crons(&self) -> Option<&Arc<[Interval]>> {
        self.crons.as_ref()
    }

    /// Whether nothing is expected at `now`.
    pub(crate) fn is_quiet(&self, now: Time) -> bool {
        self.from.is_some_and(|from| from > now)
    }

    /// Whether the tick in between that was planned for `at` is still wanted.
    pub(crate) fn takes_between(&mut self, at: Time) -> bool {
        if self.between != Some(at) {
            return false;
        }
        self.between = None;
        true
    }

    /// A request for a page is sent.
    pub(crate) const fn asked(&mut self, now: Time) {
        self.asked = Some(now);
    }

    /// A request failed, and teaches nothing.
    pub(crate) const fn failed(&mut self) {
        self.emptied = None;
        self.looks_for_missing = false;
    }

    /// The node that is asked is another one, or the engine's clock stood still: the delay is
    /// learned anew.
    pub(crate) fn forget(&mut self) {
        self.delay = None;
        self.emptied = None;
        self.from = None;
    }

    /// A page was empty, and there is no other way to read on.
    pub(crate) fn empty(&mut self, since: Time, node: usize, trail: Option<&Trail>) {
        self.asked_node(node);
        self.emptied = Some(since);
        let missing = std::mem::take(&mut self.looks_for_missing);
        if let (true, Some(due), Some(delay)) = (missing, self.due(trail), &mut self.delay) {
            delay.held_back(offset(since, due));
        }
    }

    /// A page has results. Returns true if a result is missing that could have been read when it
    /// was requested, or if there is no telling.
    pub(crate) fn page(&mut self, answered: &Answered<'_>, rate: Duration) -> bool {
        let Answered { since, node, after, plain, .. } = *answered;
        if self.never_runs() || self.crons.as_ref().is_some_and(|crons| !after.fits(crons)) {
            self.crons = None;
        }
        self.asked_node(node);
        if plain {
            self.learn(answered, rate);
        }
        self.emptied = None;
        let surely = self.delay.as_deref().map(Delay::surely);
        let missing = match (self.due(Some(after)), surely) {
            (Some(due), Some(surely)) => offset(since, due) >= surely,
            _ => true,
        };
        self.looks_for_missing = missing;
        missing
    }

    /// A page with results leaves nothing to read.
    pub(crate) const fn complete(&mut self, since: Time) {
        self.emptied = Some(since);
        self.looks_for_missing = false;
    }

    /// Plans what comes next, now that nothing is left to do. Returns when to send a tick in
    /// between, if that is to be planned.
    pub(crate) fn plan(&mut self, trail: Option<&Trail>, rate: Duration) -> Option<Time> {
        if self.never_runs() {
            self.from = Some(Time::NEVER);
            return None;
        }
        self.from = None;
        let due = self.due(trail)?;
        let delay = self.delay.as_deref()?;
        self.from = Some(when(due, delay.from()?));
        let rate = u64::try_from(rate.as_millis()).unwrap_or(u64::MAX);
        let is_rare = trail.and_then(Trail::shortest).is_some_and(|shortest| shortest > rate);
        if !is_rare || self.between_for == due {
            return None;
        }
        self.between_for = due;
        self.between = Some(when(due, delay.between().saturating_add(self.spread)));
        self.between
    }

    /// From when on the next result is expected: its time, and the delay of the CU.
    pub(crate) fn next(&self) -> Option<Time> {
        self.from.filter(|from| *from != Time::NEVER)
    }

    /// Why it asks when it does.
    pub(crate) fn asks_when(&self, trail: Option<&Trail>) -> Asks {
        if self.never_runs() {
            return Asks::Rarely;
        }
        let is_irregular = trail.is_some_and(Trail::is_irregular);
        if is_irregular || self.crons.as_deref().is_some_and(|all| all.contains(&Interval::Blocks))
        {
            return Asks::EveryTick(Unexpected::Untimed);
        }
        let Some((due, every)) = trail.and_then(Trail::next) else {
            return Asks::EveryTick(Unexpected::NoResult);
        };
        if !trail.is_some_and(|trail| self.knows_all(trail)) {
            return Asks::EveryTick(Unexpected::Unseen);
        }
        if self.from.is_none() {
            return Asks::EveryTick(Unexpected::Delay);
        }
        Asks::Expecting { every, due }
    }

    /// Whether no cron of the process ever runs.
    fn never_runs(&self) -> bool {
        let crons = self.crons.as_deref();
        crons.is_some_and(|crons| crons.iter().all(|cron| *cron == Interval::Unreadable))
    }

    /// Whether no other cron than those seen can be the next one to run.
    fn knows_all(&self, trail: &Trail) -> bool {
        match &self.crons {
            Some(crons) => crons.iter().all(|cron| match cron {
                Interval::Seconds(seconds) => trail.covers(*seconds),
                Interval::Blocks => false,
                Interval::Unreadable => true,
            }),
            None => !trail.tells_of_unseen(),
        }
    }

    fn asked_node(&mut self, node: usize) {
        if self.node != node {
            self.node = node;
            self.forget();
        }
    }

    fn learn(&mut self, answered: &Answered<'_>, rate: Duration) {
        let Answered { since, before, after, edges, .. } = *answered;
        let (Some(time), Some(emptied)) = (after.timestamp(), self.emptied) else { return };
        let second = time / 1000 * 1000;
        let hit = offset(since, second);
        let least = self.delay.as_deref().and_then(Delay::least);
        if least.is_some_and(|least| hit < least) {
            // The CU has become faster, or the engine's clock stood still.
            self.delay = None;
        }
        let delay = self.delay.get_or_insert_with(|| Box::new(Delay::new(hit)));
        // If results are missing, the request before may have missed another one.
        let expected = before.and_then(Trail::due).is_none_or(|due| due * 1000 >= second);
        if !after.is_of_one_time(edges) || !expected {
            return delay.brought(hit);
        }
        let rate = i64::try_from(rate.as_millis()).unwrap_or(i64::MAX);
        let part = u16::try_from(time % 1000).unwrap_or(0);
        delay.learn(offset(emptied, second), hit, part, rate);
    }

    /// The time of the next result, in ms since 1970, if there is a telling.
    fn due(&self, trail: Option<&Trail>) -> Option<u64> {
        let trail = trail.filter(|trail| self.knows_all(trail))?;
        trail.due().map(|due| due.saturating_mul(1000))
    }
}
