//! When a monitor gets a tick: at points of its grid and between them, if it would ask.

use super::{Monitor, Stage, Step};
use crate::{Interval, Time};
use std::sync::Arc;

impl Monitor {
    /// The next point of the grid. Only an idle monitor gets a tick, and only if it would ask; all
    /// others miss it.
    pub(crate) fn due(&mut self, now: Time) -> Step {
        if self.stage != Stage::Idle || self.paused {
            return Step::Nothing;
        }
        let rate = self.grid.rate();
        if self.expected.as_ref().is_some_and(|expected| !expected.asks(now, rate)) {
            return Step::Quiet;
        }
        self.stage = Stage::Ticked;
        Step::Tick
    }

    /// The time of a tick between two points of the grid that was planned for `at`.
    pub(crate) fn due_between(&mut self, at: Time) -> Step {
        let wanted = self.expected.as_mut().is_some_and(|expected| expected.takes_between(at));
        if !wanted || self.stage != Stage::Idle || self.paused {
            return Step::Nothing;
        }
        self.stage = Stage::Ticked;
        Step::Tick
    }

    /// The engine's clock stood still.
    pub(crate) fn suspended(&mut self) {
        if let Some(expected) = &mut self.expected {
            expected.forget();
        }
    }

    /// The poll has ended: nothing is left to do.
    pub(super) fn end_poll(&mut self) -> Step {
        if self.again {
            return self.begin_poll();
        }
        self.stage = Stage::Idle;
        self.plan()
    }

    /// The tags of the process are known, and with them its crons.
    pub(crate) fn told(&mut self, crons: Arc<[Interval]>) -> Step {
        let trail = self.known_trail();
        let Some(expected) = &mut self.expected else { return Step::Nothing };
        expected.told(crons, &trail);
        if self.stage == Stage::Idle { self.plan() } else { Step::Nothing }
    }

    fn plan(&mut self) -> Step {
        let (rate, trail) = (self.grid.rate(), self.trail.as_deref());
        let between = self.expected.as_mut().and_then(|expected| expected.plan(trail, rate));
        between.map_or(Step::Nothing, Step::Between)
    }
}
