//! What the cursors of a process have shown so far. Its time keeps a CU from rewinding the process
//! into pushing old results again. Its schedules tell how much time one page surely covers. Opaque
//! cursors leave no trail.

use crate::Position;
use crate::decode::ao_cursor::{Cron, Reader};
use crate::decode::interval::Interval;

/// How many results of the same time are distinguished.
const MAX_RUN: usize = 1024;

/// How many schedules are distinguished. A process has a handful.
const MAX_SCHEDULES: usize = 64;

/// The longest step of a walk, in ms. Schedules that only ever failed are unknown: one page still
/// covers a step of this length if ten of them ran every second.
const MAX_STEP: u64 = 100_000;

/// The step of a walk while no schedule is known, in ms: the shortest interval of AO.
const UNKNOWN_STEP: u64 = 1000;

/// A schedule that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    name: u64,
    /// The seconds between two results; 0 if its name does not say them.
    every: u32,
    /// The time of its last result, in s since 1970.
    last: u64,
}

impl Seen {
    /// The time of its first result that may follow one of the time `now`, in s since 1970.
    fn next(&self, now: u64) -> Option<u64> {
        let every = u64::from(self.every);
        let ahead = self.last.saturating_sub(now).saturating_sub(1).checked_div(every)?;
        // Another schedule's result of the same second may have come before its own.
        let passed = now.saturating_sub(self.last).div_ceil(every).max(1);
        Some(if now < self.last {
            self.last.saturating_sub(ahead.saturating_mul(every))
        } else {
            self.last.saturating_add(passed.saturating_mul(every))
        })
    }
}

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
    /// The schedules seen.
    seen: Vec<Seen>,
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
                if let Some(name) = read.cron {
                    let last = read.timestamp / 1000;
                    match self.seen.iter_mut().find(|seen| seen.name == name) {
                        Some(seen) => seen.last = last,
                        None => self.learn(name, last, cursor),
                    }
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
        for seen in &other.seen {
            if self.seen.len() < MAX_SCHEDULES && self.seen.iter().all(|own| own.name != seen.name)
            {
                self.seen.push(*seen);
            }
        }
        self.schedules = self.schedules.max(other.schedules);
        self.shortest = self.shortest.into_iter().chain(other.shortest).min();
        self.irregular |= other.irregular;
    }

    /// Adds the schedule of this name, which this cursor of the time `last` belongs to.
    fn learn(&mut self, name: u64, last: u64, cursor: &[u8]) {
        let Some(cron) = Cron::of(cursor).filter(|_| self.seen.len() < MAX_SCHEDULES) else {
            self.irregular = true;
            return;
        };
        let every = match cron.interval {
            Interval::Seconds(seconds) => seconds,
            Interval::Blocks | Interval::Unreadable => 0,
        };
        self.seen.push(Seen { name, every, last });
        self.schedules = self.schedules.max(cron.schedules);
        self.irregular |= every == 0;
        self.shortest = self.shortest.into_iter().chain(cron.interval.millis()).min();
    }

    /// The time of the next result of the schedules seen, in s since 1970. `None` if none was seen,
    /// or one of which nothing tells when it runs.
    pub(crate) fn due(&self) -> Option<u64> {
        self.next().map(|(due, _)| due)
    }

    /// The same, with the interval of its schedule, in s.
    pub(crate) fn next(&self) -> Option<(u64, u32)> {
        let now = self.timestamp? / 1000;
        if self.irregular {
            return None;
        }
        self.seen.iter().filter_map(|seen| Some((seen.next(now)?, seen.every))).min()
    }

    /// Whether a schedule was seen of which nothing tells when it runs.
    pub(crate) const fn is_irregular(&self) -> bool {
        self.irregular
    }

    /// Whether these may be all crons of the process, by what was seen of it.
    pub(crate) fn fits(&self, crons: &[Interval]) -> bool {
        let named = usize::try_from(self.schedules).is_ok_and(|named| named <= crons.len());
        let among = |seen: &Seen| seen.every == 0 || crons.contains(&Interval::Seconds(seen.every));
        named && self.seen.iter().all(among)
    }

    /// Whether the names seen tell of schedules that were not seen: they are numbered.
    pub(crate) fn tells_of_unseen(&self) -> bool {
        usize::try_from(self.schedules).map_or(true, |schedules| schedules > self.seen.len())
    }

    /// Whether a schedule was seen that runs whenever one of so many seconds does.
    pub(crate) fn covers(&self, seconds: u32) -> bool {
        self.seen.iter().any(|seen| seen.every > 0 && seconds.is_multiple_of(seen.every))
    }

    /// The shortest interval of a schedule seen, in ms.
    pub(crate) const fn shortest(&self) -> Option<u64> {
        self.shortest
    }

    /// Whether the last so many results are all of one time.
    pub(crate) fn is_of_one_time(&self, results: u64) -> bool {
        usize::try_from(results).is_ok_and(|results| results <= self.run.len())
    }

    /// The time, in ms, that a page of `limit` results surely covers: no schedule seen has more
    /// results in it, and errors among them were in the page before it was cut.
    #[must_use]
    pub fn step(&self, limit: u32) -> u64 {
        let Some(shortest) = self.shortest.filter(|_| !self.irregular) else { return UNKNOWN_STEP };
        let seen = u64::try_from(self.seen.len()).unwrap_or(u64::MAX);
        let each = u64::from(limit) / self.schedules.max(seen).max(1);
        // The first and the last point of a schedule may both lie in the step.
        each.saturating_sub(1).max(1).saturating_mul(shortest).min(MAX_STEP)
    }
}

#[cfg(test)]
mod tests;
