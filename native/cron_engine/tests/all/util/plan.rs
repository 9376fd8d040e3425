//! What a Compute Unit (CU) with a clock of its own has, and what happens to it and to a monitor: which crons
//! there are, how late results can be read, when the monitor starts anew and when the CU fails.

use super::cu::{BASE, Row};
use cron_engine::{Interval, Time};
use std::time::Duration;

const MILLION: u64 = 1_000_000;

/// How long a CU that fails does so.
const OUTAGE: Duration = Duration::from_secs(20);

/// For so long after a failure, pauses are drawn that differ from run to run.
const AFTERMATH: Duration = Duration::from_mins(6);

/// A cron of the process.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    /// The value of its tag.
    pub(crate) tag: String,
    /// When it stops.
    pub(crate) stops: Option<Duration>,
    /// How many percent of its evaluations fail.
    pub(crate) misses: u8,
}

/// How a CU evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request waits for it.
    Before,
    /// A request gives what was there, and makes the CU evaluate for the next one.
    Afterwards,
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) crons: Vec<Cron>,
    pub(crate) rate: Duration,
    /// How far the CU's clock is ahead, in ms.
    pub(crate) ahead: i64,
    /// By how many millionths it runs faster.
    pub(crate) faster: u64,
    /// How long after its time a result can be read.
    pub(crate) delay: Duration,
    /// How long a request takes for each evaluation.
    pub(crate) evaluation: Duration,
    pub(crate) kind: Kind,
    pub(crate) restarts: Vec<Duration>,
    pub(crate) outages: Vec<Duration>,
    pub(crate) page_limit: u32,
    pub(crate) seed: u64,
    pub(crate) end: Time,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            crons: Vec::new(),
            rate: Duration::from_secs(10),
            ahead: 0,
            faster: 0,
            delay: Duration::from_millis(300),
            evaluation: Duration::from_millis(5),
            kind: Kind::Before,
            restarts: Vec::new(),
            outages: Vec::new(),
            page_limit: 1000,
            seed: 7,
            end: Time::from_millis(2 * 3_600_000),
        }
    }
}

impl Plan {
    /// All evaluations: what a process that was there for a while has.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let origin = BASE / 1000 - rng.u64(0..100_000);
        let part = rng.u64(0..1000);
        let mut crons: Vec<_> = self.crons.iter().map(|cron| (every(&cron.tag), cron)).collect();
        crons.sort_by_key(|(every, _)| *every);
        let mut rows = Vec::new();
        // Behind the time of the CU by as much as its results are late, and an hour of the past.
        let late = u64::try_from(self.delay.as_millis()).expect("short") / 1000;
        let first = BASE / 1000 - 3600 - late - 300;
        // A test may go on for an hour.
        let last = self.visible(self.end) / 1000 + 3900;
        for (index, (every, cron)) in crons.iter().enumerate() {
            let name = format!("{index}-{}", cron.tag);
            let stops = cron.stops.map_or(u64::MAX, |stops| BASE / 1000 + stops.as_secs());
            let begin = first + (every - (first - origin % every) % every) % every;
            let mut at = begin;
            while at < last.min(stops) {
                let error = rng.u8(0..100) < cron.misses;
                let timestamp = at * 1000 + part;
                rows.push(Row { timestamp, cron: Some(name.clone()), error });
                // A block comes whenever it does.
                at += if cron.tag.contains("block") { rng.u64(60..180) } else { *every };
            }
        }
        rows
    }

    /// When a row can be read.
    pub(crate) fn readable(&self, row: &Row) -> Time {
        let delay = i64::try_from(self.delay.as_millis()).expect("short");
        let at = i64::try_from(row.timestamp).expect("a time") + delay - self.ahead;
        let since = u64::try_from(at - i64::try_from(BASE).expect("a time")).unwrap_or(0);
        Time::from_millis((since * MILLION).div_ceil(MILLION + self.faster))
    }

    /// How far the CU is when it is asked at `now`, in ms since 1970.
    pub(crate) fn visible(&self, now: Time) -> u64 {
        let delay = u64::try_from(self.delay.as_millis()).expect("short");
        let since = now.as_micros() / 1000 * (MILLION + self.faster) / MILLION;
        (BASE + since).saturating_add_signed(self.ahead) - delay
    }

    pub(crate) fn fails(&self, now: Time) -> bool {
        self.outages.iter().any(|at| now >= Time::ZERO + *at && now < Time::ZERO + *at + OUTAGE)
    }

    /// Whether the monitor starts anew between two times.
    pub(crate) fn restarts_between(&self, from: Time, to: Time) -> bool {
        self.restarts.iter().any(|at| (from..=to).contains(&(Time::ZERO + *at)))
    }

    /// Whether a failure, or pauses after one, came between two times.
    pub(crate) fn is_disturbed(&self, from: Time, to: Time) -> bool {
        self.outages.iter().any(|at| {
            let (begin, end) = (Time::ZERO + *at, Time::ZERO + *at + OUTAGE + AFTERMATH);
            from <= end && to >= begin
        })
    }
}

fn every(tag: &str) -> u64 {
    match Interval::read(tag) {
        Interval::Seconds(seconds) => seconds.into(),
        _ => 120,
    }
}
