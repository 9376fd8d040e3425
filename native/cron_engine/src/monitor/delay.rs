//! How long after its time a Compute Unit (CU) gives a result: learned from the requests that
//! brought results, and from those that came too early.
//!
//! All is an [`Offset`]: the engine's clock less the time of the result, in ms. It holds the
//! difference of the clocks of CU and node, which is therefore of no concern.
//!
//! The delay may only be raised to the last request that missed, and is the least of the last
//! [`WINDOW`]. Therefore nothing is asked for later than it could be read, as long as the CU keeps
//! its pace. Whether it does is tested after each raise and at every [`TEST_EVERY`]th result, by
//! asking earlier. A result that comes earlier than the delay makes the delay unknown.

use crate::Time;

/// The engine's clock less a time since 1970, in ms.
pub(crate) type Offset = i64;

/// The delay is the least of so many.
const WINDOW: usize = 8;

/// At every so many results the delay is tested.
const TEST_EVERY: u8 = 20;

const SECOND: Offset = 1000;

/// How exactly the request in between is placed, in ms.
const CLOSE: Offset = 500;

/// The offset at `now` of something of this time, in ms since 1970.
pub(crate) fn offset(now: Time, millis: u64) -> Offset {
    let now = i64::try_from(now.as_micros() / 1000).unwrap_or(i64::MAX);
    now.saturating_sub_unsigned(millis)
}

/// When something of this time, in ms since 1970, has this offset.
pub(crate) fn when(millis: u64, offset: Offset) -> Time {
    let at = i64::try_from(millis).unwrap_or(i64::MAX).saturating_add(offset);
    Time::from_millis(u64::try_from(at).unwrap_or(0))
}

/// What is known of a CU's delay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delay {
    /// The offsets of the last requests that missed a result, less recent ones first.
    missed: [Offset; WINDOW],
    /// How many of them are known.
    known: u8,
    /// Counts results up to the next test.
    tested: u8,
    /// The offset from which the next result is asked for as a test.
    test: Option<Offset>,
    /// By how many ms the last result was later than its second, and whether that ever changed.
    part: Option<u16>,
    varies: bool,
    /// A request at this offset missed a result, as far as is known.
    early: Offset,
    /// Whether one did, since the last test.
    is_missed: bool,
    /// A request at this offset brought a result.
    late: Offset,
}

impl Delay {
    /// A delay of which only is known that a request at the offset `hit` brought a result.
    pub(crate) const fn new(hit: Offset) -> Self {
        Self {
            missed: [0; WINDOW],
            known: 0,
            tested: 0,
            test: None,
            part: None,
            varies: false,
            early: hit,
            is_missed: false,
            late: hit,
        }
    }

    /// The delay; `None` if it is unknown.
    pub(crate) fn least(&self) -> Option<Offset> {
        let least = self.missed.iter().take(self.known.into()).min()?;
        // The next result may be of a lower ms than those that were missed.
        Some(if self.varies { least.saturating_sub(SECOND) } else { *least })
    }

    /// The offset from which the next result is asked for at every tick.
    pub(crate) fn from(&self) -> Option<Offset> {
        // At the delay itself a request missed.
        self.test.or_else(|| self.least().map(|least| least.saturating_add(1)))
    }

    /// The offset at which the next result is asked for between two ticks.
    pub(crate) const fn between(&self) -> Offset {
        if self.late - self.early > CLOSE {
            self.early + (self.late - self.early) / 2
        } else {
            self.late
        }
    }

    /// The offset from which on a result can surely be read.
    pub(crate) const fn surely(&self) -> Offset {
        self.late
    }

    /// A request at the offset `hit` brought a result, and several others.
    pub(crate) fn brought(&mut self, hit: Offset) {
        self.late = self.late.min(hit);
        self.early = self.early.min(self.late);
    }

    /// A request at this offset did not bring what surely could have been read.
    pub(crate) fn held_back(&mut self, missed: Offset) {
        self.late = self.late.max(missed.saturating_add(1));
    }

    /// A request at the offset `hit` brought a result alone, one at `missed` did not. The result is
    /// so many ms later than its second, from which offsets count. `tick`: how much earlier a test
    /// asks.
    pub(crate) fn learn(&mut self, missed: Offset, hit: Offset, part: u16, tick: Offset) {
        if self.test.take().is_some() && hit.saturating_add(CLOSE) < self.late {
            // Asked for earlier, it came earlier: the delay was too long.
            *self = Self { part: self.part, varies: self.varies, ..Self::new(hit) };
        }
        self.place(missed, hit);
        self.varies |= self.part.replace(part).is_some_and(|before| before != part);
        let before = self.least();
        let missed_last = before.map_or(missed, |least| least.max(missed));
        if usize::from(self.known) < WINDOW {
            self.known += 1;
        }
        self.missed.rotate_right(1);
        if let Some(first) = self.missed.first_mut() {
            *first = missed_last;
        }
        self.tested += 1;
        let least = self.least().unwrap_or(missed_last);
        let earlier = least.saturating_sub(tick);
        match before {
            Some(before) if before < least => self.test = Some(before.min(earlier)),
            _ if self.tested >= TEST_EVERY => {
                self.tested = 0;
                self.test = Some(earlier);
                self.early = self.late - 2 * CLOSE;
                self.is_missed = false;
            }
            _ => {}
        }
    }

    /// Narrows down where to ask between two ticks.
    fn place(&mut self, missed: Offset, hit: Offset) {
        if self.known == 0 {
            (self.early, self.late, self.is_missed) = (missed, hit, true);
            return;
        }
        let before = self.late;
        self.late = if missed >= self.late { hit } else { self.late.min(hit) };
        if missed < self.late && missed > self.early {
            (self.early, self.is_missed) = (missed, true);
        } else if self.late < before && !self.is_missed {
            // The clock of the CU may be faster: the search goes on, in steps that double.
            self.early = self.late - 4 * (before - self.late);
        }
        self.early = self.early.min(self.late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Offset = 10_000;

    fn learned(misses: &[Offset]) -> Delay {
        let mut delay = Delay::new(0);
        for missed in misses {
            delay.learn(*missed, missed + TICK, 0, TICK);
        }
        delay
    }

    #[test]
    fn offset_of_a_time_is_when_it_is_reached_again() {
        let now = Time::from_millis(5000);
        for millis in [0, 4000, 5000, 1_760_000_000_000] {
            assert_eq!(when(millis, offset(now, millis)), now);
        }
        assert_eq!(when(1000, -5000), Time::ZERO);
    }

    #[test]
    fn delay_is_unknown_until_a_request_missed_a_result() {
        assert_eq!(Delay::new(5).least(), None);
        assert_eq!(Delay::new(5).from(), None);
        assert_eq!(learned(&[700]).least(), Some(700));
    }

    #[test]
    fn delay_is_the_least_of_the_last_eight_requests_that_missed() {
        let raised = |last: usize| {
            let mut misses = vec![1000];
            misses.extend(std::iter::repeat_n(3000, last));
            learned(&misses)
        };
        assert_eq!(raised(7).least(), Some(1000));
        assert_eq!(raised(8).least(), Some(3000));
    }

    #[test]
    fn request_that_missed_long_before_a_result_does_not_lower_the_delay() {
        assert_eq!(learned(&[1000, -50_000]).least(), Some(1000));
    }

    #[test]
    fn delay_of_results_whose_ms_vary_is_a_second_shorter() {
        let mut delay = Delay::new(0);
        delay.learn(1000, 1400, 900, TICK);
        delay.learn(1000, 1400, 900, TICK);
        assert_eq!(delay.least(), Some(1000));
        delay.learn(1000, 1400, 100, TICK);
        assert_eq!(delay.least(), Some(0));
    }

    #[test]
    fn delay_that_was_raised_is_tested_from_what_it_was_before() {
        let mut delay = learned(&[1000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000]);
        assert_eq!(delay.from(), Some(1001));
        delay.learn(20_000, 30_000, 0, TICK);
        assert_eq!((delay.least(), delay.from()), (Some(20_000), Some(1000)));
        delay.learn(20_000, 30_000, 0, TICK);
        assert_eq!(delay.from(), Some(20_001), "once");
    }

    #[test]
    fn result_that_comes_earlier_in_a_test_makes_the_delay_short_again() {
        let mut delay = learned(&[20_000; 20]);
        assert_eq!((delay.from(), delay.surely()), (Some(10_000), 30_000));
        delay.learn(10_000, 20_000, 0, TICK);
        assert_eq!(delay.least(), Some(10_000));
        let mut kept = learned(&[20_000; 20]);
        kept.learn(10_000, 29_800, 0, TICK);
        assert_eq!(kept.least(), Some(20_000));
    }

    #[test]
    fn delay_is_tested_a_tick_earlier_at_every_twentieth_result() {
        let mut delay = learned(&[1000; 19]);
        assert_eq!(delay.from(), Some(1001));
        delay.learn(1000, 11_000, 0, TICK);
        assert_eq!(delay.from(), Some(1000 - TICK));
        delay.learn(1000, 11_000, 0, TICK);
        assert_eq!(delay.from(), Some(1001));
    }

    #[test]
    fn request_in_between_comes_ever_closer_to_when_a_result_can_be_read() {
        for readable in [1, 700, 5000, 9999] {
            let mut delay = Delay::new(0);
            delay.learn(0, TICK, 0, TICK);
            for _ in 0..6 {
                let between = delay.between();
                let hit = if between >= readable { between } else { TICK };
                let missed = if between >= readable { 0 } else { between };
                delay.learn(missed, hit, 0, TICK);
            }
            let late = delay.between() - readable;
            assert!((0..=CLOSE).contains(&late), "{readable}: {late}");
        }
    }

    #[test]
    fn request_in_between_follows_a_cu_whose_clock_is_faster() {
        let mut delay = Delay::new(9000);
        delay.learn(0, 9000, 0, TICK);
        let mut readable = 8000;
        for result in 0..400 {
            let between = delay.between();
            let hit = if between >= readable { between } else { readable + TICK / 2 };
            delay.learn(if between >= readable { hit - TICK } else { between }, hit, 0, TICK);
            let late = delay.between() - readable;
            assert!(result < 40 || late <= 2500, "{result}: {late}");
            readable -= 60;
        }
    }

    #[test]
    fn request_in_between_that_comes_too_early_is_made_later_next_time() {
        let mut delay = Delay::new(0);
        delay.learn(0, 400, 0, TICK);
        assert_eq!(delay.between(), 400);
        delay.learn(400, 3000, 0, TICK);
        assert!(delay.between() > 400);
    }

    #[test]
    fn results_that_come_together_tell_only_when_they_can_be_read() {
        let mut delay = Delay::new(5000);
        delay.brought(3000);
        assert_eq!((delay.surely(), delay.least()), (3000, None));
        delay.held_back(3500);
        assert_eq!(delay.surely(), 3501);
    }
}
