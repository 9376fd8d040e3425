//! What polling costs a Compute Unit (CU), and how late results are requested: `polls [quick]` plays days of
//! crons on a simulated clock, with the engine and as the Messenger Unit of AO polls, and prints an Erlang
//! term for each. The CU is that of the engine's tests: it has a clock of its own and evaluates only if it
//! is asked.
#![allow(clippy::expect_used, clippy::panic, reason = "a simulation says by a panic what is wrong")]

#[allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "shared with tests")]
#[path = "../../../../../native/cron_engine/tests/all/util/cu.rs"]
mod cu;
#[allow(dead_code, reason = "shared with tests")]
#[path = "../../../../../native/cron_engine/tests/all/util/plan.rs"]
mod plan;
#[allow(dead_code, clippy::unwrap_used, reason = "shared with tests")]
#[path = "../../../../../native/cron_engine/tests/all/util/polled.rs"]
mod polled;
#[allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "shared with tests")]
#[path = "../../../../../native/cron_engine/tests/all/checks/term.rs"]
mod term;

use cron_engine::{Class, Config, Failure, Grid, ProcessId, Time, Timing};
use plan::{Cron, Plan};
use polled::Polled;
use std::time::Duration;

const HOUR: u64 = 3_600_000;

/// The tag of a cron, and for how many hours it is played: as long as figures need to settle.
const CRONS: [(&str, u64); 6] = [
    ("1-second", 6),
    ("10-seconds", 24),
    ("1-minute", 24),
    ("5-minutes", 72),
    ("60-minutes", 480),
    ("1-block", 24),
];

/// How the Messenger Unit of AO polls.
const UNIT_RATE: u64 = 10_000;
const UNIT_PAGE: usize = 50;

const TIMING: Timing = Timing::Expected { max_gap: Duration::from_mins(1) };

fn config(max_inflight: usize) -> Config {
    Config { max_inflight, max_buffered: u64::MAX, seed: 1 }
}

fn process(number: u64) -> ProcessId {
    ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits")
}

fn failure(class: Class) -> Failure {
    Failure::new(class, "it went wrong")
}

/// What a poller did.
struct Figures {
    requests: usize,
    evaluations: usize,
    /// From when each result could be read to the request that brought it.
    lags: Vec<Duration>,
}

impl Figures {
    fn of(polled: &Polled, plan: &Plan) -> Self {
        let late = |(row, pushed): (_, &polled::Pushed)| pushed.sent.since(plan.readable(row));
        Self {
            requests: polled.requests,
            evaluations: polled.evaluations,
            lags: polled.pushed.iter().map(late).collect(),
        }
    }

    /// A request every ten seconds, for one page, at the ticks of the other pollers.
    fn of_unit(plan: &Plan) -> Self {
        let rows = plan.rows();
        let behind = |at| rows.partition_point(|row| row.timestamp <= plan.visible(at));
        let mut next = behind(Time::ZERO);
        let mut figures = Self { requests: 0, evaluations: 0, lags: Vec::new() };
        let mut evaluated = next;
        let rate = Duration::from_millis(UNIT_RATE);
        let mut at = Grid::new(Time::ZERO, rate, process(1).as_str().as_bytes()).first();
        while at <= plan.end {
            let visible = behind(at);
            figures.requests += 1;
            figures.evaluations += usize::from(visible > evaluated);
            evaluated = visible;
            let page = rows.iter().take(visible).skip(next).take(UNIT_PAGE);
            let before = figures.lags.len();
            figures.lags.extend(page.map(|row| at.since(plan.readable(row))));
            next += figures.lags.len() - before;
            at = at + rate;
        }
        figures
    }

    fn print(mut self, tag: &str, clock: &str, poller: &str) {
        self.lags.sort();
        let at = |percent: usize| {
            let last = self.lags.len().saturating_sub(1);
            self.lags.get(last * percent / 100).map_or(0, Duration::as_millis)
        };
        let (results, requests, evaluations) = (self.lags.len(), self.requests, self.evaluations);
        let (median, p99) = (at(50), at(99));
        println!(
            "{{\"{tag}\", {clock}, {poller}, {results}, {requests}, {evaluations}, {median}, {p99}}}."
        );
    }
}

fn main() {
    let quick = std::env::args().nth(1).as_deref() == Some("quick");
    for (tag, hours) in CRONS {
        let hours = if quick { hours.div_ceil(12) } else { hours };
        for (clock, ahead, faster) in [("same", 0, 0), ("faster", 60_000, 50)] {
            let plan = Plan {
                crons: vec![Cron { tag: tag.into(), stops: None, misses: 0 }],
                ahead,
                faster,
                end: Time::from_millis(hours * HOUR),
                ..Plan::default()
            };
            let rate = Polled::run(&plan, Timing::Rate);
            let expected = Polled::run(&plan, TIMING);
            let told = Polled::run_told(&plan, TIMING);
            for polled in [&expected, &told] {
                // What is still to come may be as far away as the longest time without a request.
                let late = plan.end.since(Time::from_millis(600_000));
                let due = |row: &&cu::Row| plan.readable(row) <= Time::ZERO + late;
                let lost =
                    rate.pushed.keys().filter(due).find(|row| !polled.pushed.contains_key(row));
                assert!(lost.is_none(), "{lost:?} was lost");
            }
            Figures::of(&rate, &plan).print(tag, clock, "rate");
            Figures::of(&expected, &plan).print(tag, clock, "learned");
            Figures::of(&told, &plan).print(tag, clock, "told");
            Figures::of_unit(&plan).print(tag, clock, "unit");
        }
    }
}
