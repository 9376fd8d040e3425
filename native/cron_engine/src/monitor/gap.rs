//! The gap watch of one monitor. A CU leaves errored results out after it has cut the page, so a
//! run of errors longer than a page looks like the end: no edges, no cursor to go on from, and it
//! stays like that for ever. So when pages stay empty for long it is asked whether the process has
//! results behind our position at all, and if so the gap is walked: pages are asked for by time,
//! step by step, none longer than what one page surely covers.
//!
//! A walk begins with a page after the position that is asked for once more. The page that was empty
//! is older than the latest result: what came in between lies behind the position and is no gap.
//!
//! Never in leaps, nor by bisection: that a page is empty says nothing of those behind it. How far
//! a fruitless walk got is remembered, and the next one goes on from there.

use crate::Time;
use std::time::Duration;

/// The most steps of one walk: what is left is walked next time.
const MAX_STEPS: u32 = 300;

/// How many times longer than at first the pauses become while nothing is found.
const MAX_PAUSE: u32 = 10;

/// How many results are looked through for the first one, at first and at most.
const REACH: (u32, u32) = (1000, 1_000_000);

/// What to do about a look at the latest result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is no gap.
    Nothing,
    /// There may be one, and the position has no time: it must be found out where results begin.
    Begin,
    /// Ask for a page by this time, in ms since 1970.
    Walk(u64),
}

/// The gap watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    /// How long pages must stay empty, and the least time between two walks.
    after: Duration,
    pause: Duration,
    next_look: Time,
    /// Up to here, in ms since 1970, there was nothing when it was walked.
    walked: Option<u64>,
    /// The time that the walk under way asks from, where it began, and the time of the latest
    /// result: there it ends.
    at: u64,
    began: u64,
    end: u64,
    steps: u32,
    /// How many results to look through for the first one: there may be errors at the beginning.
    reach: u32,
}

impl Gap {
    pub(crate) fn new(now: Time, after: Duration) -> Self {
        let next_look = now + after;
        Self {
            after,
            pause: after,
            next_look,
            walked: None,
            at: 0,
            began: 0,
            end: 0,
            steps: 0,
            reach: REACH.0,
        }
    }

    /// Results came.
    pub(crate) fn closed(&mut self, now: Time) {
        *self = Self::new(now, self.after);
    }

    /// Whether it is time to look, now that a page was empty.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.next_look <= now
    }

    /// The latest result is of the time `latest`, and the position of `from`. A walk begins a `step`
    /// behind that: the caller first asks for the page in between once more.
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
        // What was walked up to the latest result needs no second look; see `stepped`.
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

    /// How many results to look through for the first one.
    pub(crate) const fn reach(&self) -> u32 {
        self.reach
    }

    /// The page of the walk was empty.
    pub(crate) fn stepped(&mut self, now: Time, step: u64) -> Look {
        self.steps += 1;
        let next = self.at.saturating_add(step.max(1));
        // Behind the latest result there may be results soon: they are not walked past.
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

    /// The time that the walk asks from, in ms since 1970.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// From when to when there was nothing but errors, once a page of the walk has results.
    pub(crate) const fn passed(&self) -> (u64, u64) {
        (self.began, self.at)
    }

    /// A look or a walk failed: it is due again after a pause, not with each retry.
    pub(crate) fn put_off(&mut self, now: Time) {
        self.rest(now, true);
    }

    fn start(&mut self, at: u64) -> Look {
        self.steps = 0;
        self.at = at;
        Look::Walk(at)
    }

    /// Ends the look or walk. A `fruitless` one makes the next pause longer.
    fn rest(&mut self, now: Time, fruitless: bool) -> Look {
        if !fruitless {
            // There is a gap: who walks it must not fall behind.
            self.pause = self.after;
        }
        self.next_look = now + self.pause;
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
        let gap = Gap::new(Time::ZERO, AFTER);
        let now = Time::ZERO + AFTER;
        assert!(gap.is_due(now) && !gap.is_due(Time::from_millis(59_999)));
        (gap, now)
    }

    #[test]
    fn look_that_finds_nothing_newer_is_repeated_ever_less_often() {
        let (mut gap, mut now) = gap();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(gap.looked(now, Some(1000), Some(1000), 10), Look::Nothing);
            pauses.push(gap.next_look.since(now) / 60);
            now = gap.next_look;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10].map(Duration::from_secs));
        gap.closed(now);
        assert!(gap.is_due(now + AFTER));
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
        assert_eq!(gap.next_look, now + AFTER);
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
