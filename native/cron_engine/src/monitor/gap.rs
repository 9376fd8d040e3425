//! The gap watch of one monitor. A CU drops errored results after it has cut the page. Therefore a
//! run of errors longer than a page looks like the end, for ever: no edges, and no cursor to
//! continue from. If pages stay empty for long, the CU is probed for its newest cursor. If that
//! lies ahead of the position, the gap is walked: pages are fetched by time, in steps that one page
//! surely covers.
//!
//! A walk begins with one more page after the position. The page that was empty is older than the
//! newest cursor: results that appeared in between are no gap.
//!
//! A walk neither leaps nor bisects, since an empty page says nothing about later ones. The end of
//! a fruitless walk is remembered, and the next walk continues there.

use crate::Time;
use std::time::Duration;

/// The most steps of one walk. The next walk continues.
const MAX_STEPS: u32 = 300;

/// How many times longer the pauses become while nothing is found.
const MAX_PAUSE: u32 = 10;

/// How many results are searched for the first one, initially and at most.
const REACH: (u32, u32) = (1000, 1_000_000);

/// What to do after a probe of the newest cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is no gap.
    Nothing,
    /// There may be a gap, but the position has no time: find out where results begin.
    Begin,
    /// Fetch a page by this time, in ms since 1970.
    Walk(u64),
}

/// The gap watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    /// How long pages must stay empty, and the least time between two walks.
    after: Duration,
    pause: Duration,
    /// `None` until a page is empty.
    next_look: Option<Time>,
    /// Whether pages were empty only while nothing was expected.
    quiet: bool,
    /// The time, in ms since 1970, up to which a walk found nothing.
    walked: Option<u64>,
    /// The time from which the walk fetches, where the walk began, and the time of the newest
    /// result, where it ends.
    at: u64,
    began: u64,
    end: u64,
    steps: u32,
    /// How many results to search for the first one: there may be errors at the beginning.
    reach: u32,
}

impl Gap {
    pub(crate) const fn new(after: Duration) -> Self {
        Self {
            after,
            pause: after,
            next_look: None,
            quiet: true,
            walked: None,
            at: 0,
            began: 0,
            end: 0,
            steps: 0,
            reach: REACH.0,
        }
    }

    /// Results arrived.
    pub(crate) const fn closed(&mut self) {
        *self = Self::new(self.after);
    }

    /// A page was empty. The watch begins with the first one. If nothing was expected, it takes as
    /// long as for a process that has been quiet for long.
    pub(crate) fn empty(&mut self, now: Time, quiet: bool) {
        let begins = self.next_look.is_none();
        if begins && quiet {
            self.next_look = Some(now + self.after * MAX_PAUSE);
        } else if begins || (self.quiet && !quiet) {
            let next = now + self.after;
            self.next_look = Some(self.next_look.map_or(next, |at| at.min(next)));
        }
        self.quiet &= quiet;
    }

    /// Whether to probe, now that a page was empty.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.next_look.is_some_and(|at| at <= now)
    }

    /// The newest result is of the time `latest`, the position is `from`. A walk begins one `step`
    /// after the position: the caller fetches the page in between once more.
    pub(crate) fn looked(
        &mut self,
        now: Time,
        from: Option<u64>,
        latest: Option<u64>,
        step: u64,
    ) -> Look {
        let Some(latest) = latest else { return self.rest(now, true) };
        self.end = latest;
        let at = match (self.walked, from) {
            (Some(walked), _) => walked,
            (None, Some(from)) => from.saturating_add(step),
            (None, None) => return Look::Begin,
        };
        self.began = from.unwrap_or(at);
        // What was walked up to the newest result needs no second walk; see `stepped`.
        if at > latest || self.walked == Some(latest) {
            return self.rest(now, true);
        }
        self.start(at)
    }

    /// The first result is of this time.
    pub(crate) fn begins(&mut self, now: Time, first: Option<u64>) -> Look {
        match first {
            Some(first) if first <= self.end => {
                self.began = first;
                self.start(first)
            }
            Some(_) => self.rest(now, true),
            None => {
                self.reach = self.reach.saturating_mul(10).min(REACH.1);
                self.rest(now, true)
            }
        }
    }

    /// How many results to search for the first one.
    pub(crate) const fn reach(&self) -> u32 {
        self.reach
    }

    /// The page of the walk was empty.
    pub(crate) fn stepped(&mut self, now: Time, step: u64) -> Look {
        self.steps += 1;
        let next = self.at.saturating_add(step.max(1));
        // After the newest result there may be results soon, so the walk does not pass it.
        self.walked = Some(next.min(self.end));
        if next > self.end {
            return self.rest(now, true);
        }
        if self.steps >= MAX_STEPS {
            return self.rest(now, false);
        }
        self.at = next;
        Look::Walk(next)
    }

    /// The time from which the walk fetches, in ms since 1970.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The times between which there were only errors, once a page of the walk has results.
    pub(crate) const fn passed(&self) -> (u64, u64) {
        (self.began, self.at)
    }

    /// A probe or a walk failed: it is due again after a pause, not with each retry.
    pub(crate) fn put_off(&mut self, now: Time) {
        self.rest(now, true);
    }

    fn start(&mut self, at: u64) -> Look {
        self.steps = 0;
        self.at = at;
        Look::Walk(at)
    }

    /// Ends the probe or walk. A `fruitless` one makes the next pause longer.
    fn rest(&mut self, now: Time, fruitless: bool) -> Look {
        if !fruitless {
            // There is a gap: the walk must keep up with new results.
            self.pause = self.after;
        }
        self.next_look = Some(now + self.pause);
        if fruitless {
            self.pause = (self.pause * 2).min(self.after * MAX_PAUSE);
        }
        Look::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_mins(1);

    fn gap() -> (Gap, Time) {
        let mut gap = Gap::new(AFTER);
        let now = Time::ZERO + AFTER;
        assert!(!gap.is_due(now), "no page was empty");
        gap.empty(Time::ZERO, false);
        gap.empty(Time::from_millis(30_000), false);
        assert!(gap.is_due(now) && !gap.is_due(Time::from_millis(59_999)));
        (gap, now)
    }

    #[test]
    fn look_that_finds_nothing_newer_is_repeated_ever_less_often() {
        let (mut gap, mut now) = gap();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(gap.looked(now, Some(1000), Some(1000), 10), Look::Nothing);
            let next = gap.next_look.unwrap();
            pauses.push(next.since(now) / 60);
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10].map(Duration::from_secs));
        gap.closed();
        gap.empty(now, false);
        assert!(gap.is_due(now + AFTER));
    }

    #[test]
    fn pages_that_are_empty_while_nothing_is_expected_are_looked_behind_late() {
        let mut gap = Gap::new(AFTER);
        gap.empty(Time::ZERO, true);
        let now = Time::ZERO + AFTER * 2;
        assert!(!gap.is_due(now) && gap.is_due(Time::ZERO + AFTER * MAX_PAUSE));
        gap.empty(now, false);
        gap.empty(now + AFTER / 2, false);
        assert!(!gap.is_due(now) && gap.is_due(now + AFTER));
    }

    #[test]
    fn walk_goes_step_by_step_up_to_the_latest_result_and_on_from_there_next_time() {
        let (mut gap, now) = gap();
        assert_eq!(gap.looked(now, Some(1000), Some(1025), 10), Look::Walk(1010));
        assert_eq!(gap.stepped(now, 10), Look::Walk(1020));
        assert_eq!(gap.stepped(now, 10), Look::Nothing);
        assert_eq!(gap.looked(now, Some(1000), Some(1025), 10), Look::Nothing);
        assert_eq!(gap.looked(now, Some(1000), Some(1040), 10), Look::Walk(1025));
        assert_eq!(gap.passed(), (1000, 1025));
    }

    #[test]
    fn walk_that_is_too_long_goes_on_after_a_short_pause() {
        let (mut gap, now) = gap();
        assert_eq!(gap.looked(now, Some(0), Some(1_000_000), 1), Look::Walk(1));
        for step in 2..=u64::from(MAX_STEPS) {
            assert_eq!(gap.stepped(now, 1), Look::Walk(step));
        }
        assert_eq!(gap.stepped(now, 1), Look::Nothing);
        assert_eq!(gap.next_look, Some(now + AFTER));
        let next = Look::Walk(u64::from(MAX_STEPS) + 1);
        assert_eq!(gap.looked(now, Some(0), Some(1_000_000), 1), next);
    }

    #[test]
    fn position_without_a_time_is_walked_from_the_first_result() {
        let (mut gap, now) = gap();
        assert_eq!(gap.looked(now, None, Some(50), 10), Look::Begin);
        assert_eq!(gap.begins(now, Some(20)), Look::Walk(20));
        assert_eq!(gap.looked(now, None, None, 10), Look::Nothing);
        assert_eq!(gap.begins(now, None), Look::Nothing);
    }

    #[test]
    fn walk_reaches_the_latest_result_itself_at_its_begin_and_at_its_end() {
        let (mut gap, now) = gap();
        assert_eq!(gap.looked(now, Some(1000), Some(1010), 10), Look::Walk(1010));
        assert_eq!(gap.looked(now, Some(1000), Some(1020), 10), Look::Walk(1010));
        assert_eq!(gap.stepped(now, 10), Look::Walk(1020));
        assert_eq!(gap.stepped(now, 10), Look::Nothing);
    }

    #[test]
    fn first_result_behind_the_latest_one_is_not_walked_to() {
        let (mut gap, now) = gap();
        for (first, look) in [(50, Look::Walk(50)), (51, Look::Nothing)] {
            assert_eq!(gap.looked(now, None, Some(50), 10), Look::Begin);
            assert_eq!(gap.begins(now, Some(first)), look);
        }
    }

    #[test]
    fn first_result_that_is_not_found_is_looked_for_among_ever_more() {
        let (mut gap, now) = gap();
        let mut reached = Vec::new();
        for _ in 0..5 {
            reached.push(gap.reach());
            assert_eq!(gap.begins(now, None), Look::Nothing);
        }
        assert_eq!(reached, [1000, 10_000, 100_000, 1_000_000, 1_000_000]);
    }
}
