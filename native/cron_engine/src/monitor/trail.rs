//! What the cursors of a process have shown so far. Its time keeps a CU from rewinding the process
//! into pushing old results again. Its schedules tell how much time one page surely covers. Opaque
//! cursors leave no trail.

use crate::Position;
use crate::decode::ao_cursor::{Cron, Reader};

/// How many results of the same time are distinguished.
const MAX_RUN: usize = 1024;

/// How many schedules are distinguished. A process has a handful.
const MAX_SCHEDULES: usize = 64;

/// The longest step of a walk, in ms. Schedules that only ever failed are unknown: one page still
/// covers a step of this length if ten of them ran every second.
const MAX_STEP: u64 = 100_000;

/// The step of a walk while no schedule is known, in ms: the shortest interval of AO.
const UNKNOWN_STEP: u64 = 1000;

/// Why a result is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It lies behind, was passed already, or does not say its time.
    Behind(String),
    /// It is of this time, which is too far ahead.
    Ahead(u64),
}

/// The trail of a process up to a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    /// The time of the last result, in ms since 1970.
    timestamp: Option<u64>,
    /// The results of that time.
    run: Vec<u64>,
    /// The names of the schedules seen.
    names: Vec<u64>,
    /// The least number of schedules.
    schedules: u64,
    /// The shortest interval of a schedule seen, in ms.
    shortest: Option<u64>,
    /// Whether a schedule was seen whose interval is unknown.
    irregular: bool,
}

impl Trail {
    /// The trail of a position, if its cursor leaves one.
    #[must_use]
    pub fn at(position: &Position) -> Self {
        let mut trail = Self::default();
        if let Some(cursor) = position.cursor() {
            // Nothing lies before the first result.
            let _ = trail.advance(&mut Reader::default(), cursor.as_bytes(), false, u64::MAX);
        }
        trail
    }

    /// The time of the last result, in ms since 1970.
    #[must_use]
    pub const fn timestamp(&self) -> Option<u64> {
        self.timestamp
    }

    /// Moves to the result with this cursor, and returns its time, if the cursor has one. The trail
    /// stays unchanged if the result is refused. `needed`: the cursor must have a time. No result
    /// may be later than `horizon`, in ms since 1970.
    pub(crate) fn advance(
        &mut self,
        reader: &mut Reader,
        cursor: &[u8],
        needed: bool,
        horizon: u64,
    ) -> Result<Option<u64>, Refused> {
        let behind = |reason: String| Err(Refused::Behind(reason));
        let Some(read) = reader.read(cursor) else {
            return if needed {
                behind("its cursor does not say its time".into())
            } else {
                Ok(None)
            };
        };
        if read.timestamp > horizon {
            return Err(Refused::Ahead(read.timestamp));
        }
        match self.timestamp {
            Some(last) if read.timestamp < last => {
                behind(format!("it is of {}, and the one before of {last}", read.timestamp))
            }
            Some(last) if read.timestamp == last && self.run.contains(&read.identity) => {
                behind(format!("it is of {last}, and was there before"))
            }
            _ => {
                self.skip_to(read.timestamp);
                if self.run.len() < MAX_RUN {
                    self.run.push(read.identity);
                }
                if let Some(name) = read.cron.filter(|name| !self.names.contains(name)) {
                    self.learn(name, cursor);
                }
                Ok(Some(read.timestamp))
            }
        }
    }

    /// Nothing before `timestamp` may follow.
    pub(crate) fn skip_to(&mut self, timestamp: u64) {
        if self.timestamp.is_none_or(|last| last < timestamp) {
            self.timestamp = Some(timestamp);
            self.run.clear();
        }
    }

    /// Adds the schedules of another trail without moving.
    pub(crate) fn learn_from(&mut self, other: &Self) {
        let unknown = |name: &&u64| !self.names.contains(name);
        let names: Vec<u64> = other.names.iter().filter(unknown).copied().collect();
        self.names.extend(names);
        self.names.truncate(MAX_SCHEDULES);
        self.schedules = self.schedules.max(other.schedules);
        self.shortest = self.shortest.into_iter().chain(other.shortest).min();
        self.irregular |= other.irregular;
    }

    /// Adds the schedule of this name, which this cursor belongs to.
    fn learn(&mut self, name: u64, cursor: &[u8]) {
        let Some(cron) = Cron::of(cursor).filter(|_| self.names.len() < MAX_SCHEDULES) else {
            self.irregular = true;
            return;
        };
        self.names.push(name);
        self.schedules = self.schedules.max(cron.schedules);
        let interval = cron.interval.millis();
        self.irregular |= interval.is_none();
        self.shortest = self.shortest.into_iter().chain(interval).min();
    }

    /// The time, in ms, that a page of `limit` results surely covers: no schedule seen has more
    /// results in it, and errors among them were in the page before it was cut.
    #[must_use]
    pub fn step(&self, limit: u32) -> u64 {
        let Some(shortest) = self.shortest.filter(|_| !self.irregular) else { return UNKNOWN_STEP };
        let seen = u64::try_from(self.names.len()).unwrap_or(u64::MAX);
        let each = u64::from(limit) / self.schedules.max(seen).max(1);
        // The first and the last point of a schedule may both lie in the step.
        each.saturating_sub(1).max(1).saturating_mul(shortest).min(MAX_STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine};

    fn cursor(timestamp: u64, cron: &str) -> Vec<u8> {
        let json = format!(r#"{{"timestamp":{timestamp},"ordinate":"1","cron":"{cron}"}}"#);
        BASE64_STANDARD.encode(json).into_bytes()
    }

    fn go(trail: &mut Trail, cursor: &[u8]) -> Result<(), Refused> {
        trail.advance(&mut Reader::default(), cursor, false, u64::MAX).map(drop)
    }

    #[test]
    fn trail_says_the_time_of_each_result_whose_cursor_shows_it() {
        let (mut trail, mut reader) = (Trail::default(), Reader::default());
        let mut time = |cursor: &[u8]| trail.advance(&mut reader, cursor, false, u64::MAX);
        assert_eq!(time(&cursor(5, "0-1-second")), Ok(Some(5)));
        assert_eq!(time(b"opaque"), Ok(None));
        assert_eq!(time(&cursor(6, "0-1-second")), Ok(Some(6)));
    }

    #[test]
    fn trail_goes_forward_and_through_results_of_one_time() {
        let mut trail = Trail::default();
        for (timestamp, cron) in [(5, "0-1-second"), (5, "1-1-second"), (6, "0-1-second")] {
            assert_eq!(go(&mut trail, &cursor(timestamp, cron)), Ok(()));
        }
        assert_eq!(trail.timestamp(), Some(6));
    }

    #[test]
    fn trail_refuses_what_lies_behind_and_what_comes_twice() {
        let mut trail = Trail::default();
        go(&mut trail, &cursor(5, "0-1-second")).unwrap();
        go(&mut trail, &cursor(5, "1-1-second")).unwrap();
        for (timestamp, cron) in [(4, "0-1-second"), (5, "0-1-second"), (5, "1-1-second")] {
            assert!(go(&mut trail, &cursor(timestamp, cron)).is_err());
        }
        go(&mut trail, &cursor(6, "0-1-second")).unwrap();
        assert!(go(&mut trail, &cursor(5, "2-1-second")).is_err());
    }

    #[test]
    fn result_beyond_the_horizon_is_refused_and_not_gone_on_to() {
        let (mut trail, mut reader) = (Trail::default(), Reader::default());
        let mut go = |time| trail.advance(&mut reader, &cursor(time, "0-1-second"), false, 10);
        assert_eq!(go(10), Ok(Some(10)));
        assert_eq!(go(11), Err(Refused::Ahead(11)));
        assert_eq!(trail.timestamp(), Some(10));
    }

    #[test]
    fn opaque_cursors_leave_no_trail() {
        let mut trail = Trail::default();
        for cursor in [b"b", b"a", b"a"] {
            assert_eq!(go(&mut trail, cursor), Ok(()));
        }
        assert_eq!(trail, Trail::default());
    }

    #[test]
    fn step_is_short_while_no_schedule_is_known() {
        assert_eq!(Trail::default().step(1000), UNKNOWN_STEP);
        let mut trail = Trail::default();
        go(&mut trail, &cursor(1, "0-1-second")).unwrap();
        go(&mut trail, &cursor(2, "whenever")).unwrap();
        assert_eq!(trail.step(1000), UNKNOWN_STEP);
    }

    #[test]
    fn step_is_what_the_known_schedules_fill_a_page_with() {
        let mut trail = Trail::default();
        go(&mut trail, &cursor(1, "0-1-second")).unwrap();
        assert_eq!(trail.step(51), 50_000);
        go(&mut trail, &cursor(2, "1-1-second")).unwrap();
        assert_eq!(trail.step(102), 50_000);
        // The fifth schedule says that there are four others.
        go(&mut trail, &cursor(3, "4-1-minute")).unwrap();
        assert_eq!(trail.step(105), 20_000);
        assert_eq!(trail.step(1), 1000);
        assert_eq!(trail.step(1000), MAX_STEP);
    }

    #[test]
    fn trail_keeps_no_more_results_of_one_time_than_it_may() {
        let mut trail = Trail::default();
        for result in 0..=MAX_RUN {
            go(&mut trail, &cursor(5, &format!("0-{}-second", result + 1))).unwrap();
        }
        assert!(go(&mut trail, &cursor(5, &format!("0-{MAX_RUN}-second"))).is_err());
        assert_eq!(go(&mut trail, &cursor(5, &format!("0-{}-second", MAX_RUN + 1))), Ok(()));
    }

    #[test]
    fn step_of_more_schedules_than_are_told_apart_is_short() {
        let mut trail = Trail::default();
        let mut steps = Vec::new();
        for schedule in 0..=MAX_SCHEDULES {
            go(&mut trail, &cursor(5, &format!("{schedule}-1-second"))).unwrap();
            steps.push(trail.step(1000));
        }
        assert_eq!(steps[MAX_SCHEDULES - 2..], [14_000, 14_000, UNKNOWN_STEP]);
    }

    #[test]
    fn trail_that_learns_of_schedules_takes_each_once_and_goes_nowhere() {
        let of = |names: &[&str]| {
            let mut trail = Trail::default();
            for name in names {
                go(&mut trail, &cursor(5, name)).unwrap();
            }
            trail
        };
        let mut trail = of(&["0-10-second"]);
        trail.learn_from(&of(&["0-10-second"]));
        assert_eq!((trail.step(9), trail.timestamp()), (80_000, Some(5)));
        trail.learn_from(&of(&["0-1-second"]));
        assert_eq!(trail.step(42), 20_000);
        trail.learn_from(&of(&["whenever"]));
        assert_eq!(trail.step(42), UNKNOWN_STEP);
    }
}
