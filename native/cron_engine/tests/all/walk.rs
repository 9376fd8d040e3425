//! The blind spots of a Compute Unit (CU): errors are left out after a page was cut, so a page may
//! be short or empty although there is more. Whatever the layout of good and errored results,
//! every result that the CU would give arrives, in order, once; and a process without a gap costs
//! a question now and then.

use crate::util::cu::{BASE, Cu, Row};
use crate::util::term::{Term, edges};
use crate::util::{ID, config, failure, registration};
use cron_engine::{
    Action, Engine, Event, Fetched, Interval, PageRequest, Position, Registration, Report, Request,
    Time, Timing, decode_latest, page,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::sync::Arc;
use std::time::Duration;

/// When a monitor asks, and whether it knows the crons of its process.
#[derive(Debug, Clone, Copy)]
struct Knows {
    timing: Timing,
    is_told: bool,
}

/// A monitor of one process on a simulated clock, and the CU's JSON in between.
struct Walk {
    engine: Engine,
    now: Time,
    cu: Cu,
    /// How far the rows of the CU are there at the start, in ms since 1970: from then on they
    /// come as time goes by.
    start: u64,
    delivered: Vec<u64>,
    requests: Vec<Request>,
    passed: Vec<(u64, u64)>,
    /// The CU does not say what is latest.
    no_latest: bool,
    /// How far the rows are there from the request with this number on: times after which they come
    /// at once. The last one that has begun holds.
    bursts: Vec<(usize, u64)>,
}

impl Walk {
    fn new(knows: &Knows, cu: Cu, position: Position, page_limit: u32, start: u64) -> Self {
        let mut walk = Self {
            engine: Engine::new(config(4)),
            now: Time::ZERO,
            cu,
            start,
            delivered: Vec::new(),
            requests: Vec::new(),
            passed: Vec::new(),
            no_latest: false,
            bursts: Vec::new(),
        };
        let registration = registration(ID, Duration::from_secs(10), position);
        let Knows { timing, is_told } = *knows;
        walk.tell(Event::Register(Registration { page_limit, timing, ..registration }));
        if is_told {
            walk.tell(Event::Crons(ID, Arc::from([Interval::Seconds(1)])));
        }
        walk
    }

    /// A monitor of a CU whose rows are all there from the start.
    fn of(knows: &Knows, rows: Vec<Row>) -> Self {
        Self::new(knows, Cu::new(rows), Position::Earliest, 1000, u64::MAX / 2)
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => self.engine.handle_event(self.now, Event::Poll(id)),
                Action::Fetch { request, .. } => self.answer(request),
                Action::Report { report: Report::Passed { from, to }, .. } => {
                    self.passed.push((from, to));
                }
                Action::Report { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, request: Request) {
        self.now = self.now + Duration::from_millis(1);
        let number = self.requests.len();
        let burst = self.bursts.iter().rev().find(|(from, _)| *from <= number);
        let passing = self.start.saturating_add(self.now.as_micros() / 1000);
        let visible = burst.map_or(passing, |(_, until)| *until);
        if self.no_latest && request == Request::Look {
            self.requests.push(request);
            let failed = failure(cron_engine::Class::Status);
            return self.engine.handle_event(self.now, Event::Fetched(ID, Err(failed)));
        }
        let body = self.cu.answer(&request, visible);
        let fetched = match &request {
            Request::Latest | Request::Look => {
                Fetched::Latest(decode_latest(&body, u64::MAX).unwrap())
            }
            Request::First(_) => Fetched::First(decode_latest(&body, u64::MAX).unwrap()),
            Request::Page(page) => self.page(&body, page),
        };
        self.requests.push(request);
        self.engine.handle_event(self.now, Event::Fetched(ID, Ok(fetched)));
        let acked = u64::try_from(self.delivered.len()).unwrap();
        self.engine.handle_event(self.now, Event::Acked(ID, acked));
    }

    fn page(&mut self, body: &[u8], request: &PageRequest) -> Fetched {
        let page = page::decode(body, request, &mut Vec::new()).unwrap();
        let edges = edges(&page);
        let Some(last) = page.last else { return Fetched::EmptyPage };
        let times = edges.into_iter().map(|edge| match edge.get("Output") {
            Term::Integer(digits) => digits.parse::<u64>().unwrap(),
            other => panic!("{other:?}"),
        });
        self.delivered.extend(times);
        Fetched::Page {
            edges: page.edges,
            last,
            trail: Arc::new(page.trail),
            bytes: page.memory,
            cut: page.cut,
            more: page.more,
        }
    }

    fn walks(&self) -> usize {
        let walks =
            |request: &&Request| matches!(request, Request::Page(page) if page.at.is_some());
        self.requests.iter().filter(walks).count()
    }

    /// Results come in bursts: `results` of them before the request with each of these numbers.
    fn in_bursts(knows: &Knows, rows: Vec<Row>, bursts: &[(usize, usize)]) -> Self {
        let mut walk = Self::of(knows, rows);
        let mut there = 0;
        for (request, results) in bursts {
            there = (there + results).min(walk.cu.rows.len());
            let last = there.checked_sub(1).map(|last| walk.cu.rows[last].timestamp);
            walk.bursts.push((*request, last.unwrap_or(0)));
        }
        walk
    }

    fn looks(&self) -> usize {
        self.requests.iter().filter(|request| **request == Request::Look).count()
    }
}

/// `count` rows of a schedule that runs every `every` seconds, from `begin` seconds after the base.
fn rows(cron: &str, begin: u64, every: u64, count: u64, error: bool) -> Vec<Row> {
    let row =
        |n| Row { timestamp: BASE + (begin + n * every) * 1000, cron: Some(cron.into()), error };
    (0..count).map(row).collect()
}

const SECOND: &str = "0-1-second";

/// Whatever tells a monitor when to ask, it gets every result.
fn timings() -> Vec<Knows> {
    let timing = Timing::Expected { max_gap: Duration::from_mins(1) };
    let knows = |timing, is_told| Knows { timing, is_told };
    vec![knows(Timing::Rate, false), knows(timing, false), knows(timing, true)]
}

fn times(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.timestamp).collect()
}

#[test]
fn page_cut_short_by_an_error_is_asked_on_from() {
    for knows in &timings() {
        let mut all = rows(SECOND, 0, 1, 3, false);
        all.extend(rows(SECOND, 3, 1, 1, true));
        all.extend(rows(SECOND, 4, 1, 10, false));
        let mut walk = Walk::new(knows, Cu::new(all), Position::Earliest, 5, u64::MAX / 2);
        walk.run_for(Duration::from_secs(11));
        assert_eq!(walk.delivered, times(&walk.cu.good(0)));
        assert_eq!(walk.walks(), 0);
    }
}

#[test]
fn errors_that_fill_a_small_page_are_passed_with_a_large_one() {
    for knows in &timings() {
        let mut all = rows(SECOND, 0, 1, 5, false);
        all.extend(rows(SECOND, 5, 1, 500, true));
        all.extend(rows(SECOND, 505, 1, 5, false));
        let mut walk = Walk::new(knows, Cu::new(all), Position::Earliest, 10, u64::MAX / 2);
        walk.run_for(Duration::from_secs(11));
        assert_eq!(walk.delivered, times(&walk.cu.good(0)));
        assert_eq!(walk.walks(), 0);
    }
}

#[test]
fn errors_beyond_any_page_are_walked_past_within_minutes_and_told_of() {
    for knows in &timings() {
        let mut all = rows(SECOND, 0, 1, 5, false);
        all.extend(rows(SECOND, 5, 1, 5000, true));
        all.extend(rows(SECOND, 5005, 1, 5, false));
        let mut walk = Walk::of(knows, all);
        walk.run_for(Duration::from_mins(1));
        assert_eq!(walk.delivered.len(), 5, "what looks like the end is taken for it at first");
        walk.run_for(Duration::from_mins(2));
        assert_eq!(walk.delivered, times(&walk.cu.good(0)));
        let [(from, to)] = walk.passed[..] else { panic!("one gap") };
        assert_eq!(from, BASE + 4000);
        assert!(to > BASE + 4_000_000 && to <= BASE + 5_005_000, "{to}");
        assert!(walk.walks() <= 51, "steps of 100 s: {}", walk.walks());
    }
}

#[test]
fn errors_from_the_very_first_result_on_are_walked_past() {
    for knows in &timings() {
        let mut all = vec![Row { timestamp: BASE, cron: None, error: false }];
        all.extend(rows(SECOND, 1, 1, 3000, true));
        all.extend(rows(SECOND, 3001, 1, 5, false));
        let mut walk = Walk::of(knows, all);
        walk.run_for(Duration::from_mins(5));
        assert_eq!(walk.delivered, times(&walk.cu.good(0)));
    }
}

#[test]
fn errors_right_behind_where_it_begins_are_walked_past_in_large_pages_whatever_it_asks_for_else() {
    for knows in &timings() {
        let mut all = rows(SECOND, 0, 1, 5, false);
        let begin = Position::After(all[4].cursor("DESC"));
        all.extend(rows(SECOND, 5, 1, 3000, true));
        all.extend(rows(SECOND, 3005, 1, 5, false));
        let mut walk = Walk::new(knows, Cu::new(all), begin, 10, u64::MAX / 2);
        walk.run_for(Duration::from_mins(5));
        assert_eq!(walk.delivered, times(&walk.cu.good(BASE + 4000)));
        let limits = walk.requests.iter().filter_map(|request| match request {
            Request::Page(PageRequest { at: Some(_), limit, .. }) => Some(*limit),
            _ => None,
        });
        assert!(limits.eq(std::iter::repeat_n(1000, walk.walks())) && walk.walks() > 0);
    }
}

#[test]
fn process_without_a_gap_is_looked_at_ever_less_often_and_never_walked() {
    for knows in &timings() {
        let mut walk = Walk::of(knows, rows(SECOND, 0, 1, 5, false));
        walk.run_for(Duration::from_hours(1));
        assert_eq!(walk.walks(), 0);
        assert!((8..=10).contains(&walk.looks()), "{}", walk.looks());
    }
}

#[test]
fn process_with_results_that_come_steadily_is_never_looked_at() {
    for knows in &timings() {
        let cu = Cu::new(rows(SECOND, 0, 1, 3600, false));
        let mut walk = Walk::new(knows, cu, Position::Earliest, 1000, BASE);
        walk.run_for(Duration::from_mins(59));
        assert_eq!(walk.looks(), 0);
        assert!(walk.delivered.len() > 3500);
    }
}

#[test]
fn process_that_is_asked_much_and_has_no_schedule_costs_a_bounded_number_of_steps() {
    for knows in &timings() {
        let asked = |n: u64| Row { timestamp: BASE + n * 1000, cron: None, error: false };
        let cu = Cu::new((0..7200).map(asked).collect());
        let mut walk = Walk::new(knows, cu, Position::Earliest, 1000, BASE);
        walk.run_for(Duration::from_hours(2));
        assert!(walk.delivered.is_empty());
        // A step a second of the process's time, at most.
        assert!(walk.walks() <= 7200, "{}", walk.walks());
        assert!(walk.looks() <= 60, "{}", walk.looks());
    }
}

#[test]
fn look_that_fails_is_not_repeated_with_each_retry() {
    for knows in &timings() {
        let mut walk = Walk::of(knows, rows(SECOND, 0, 1, 5, false));
        walk.no_latest = true;
        walk.run_for(Duration::from_mins(10));
        assert!(walk.looks() <= 10, "{}", walk.looks());
        assert!(walk.requests.len() < 100, "{}", walk.requests.len());
    }
}

#[test]
fn walk_that_found_nothing_is_not_repeated_and_goes_on_when_there_is_more() {
    for knows in &timings() {
        let mut all = rows(SECOND, 0, 1, 5, false);
        all.extend(rows(SECOND, 5, 1, 4000, true));
        all.push(Row { timestamp: BASE + 4_100_000, cron: None, error: false });
        let mut walk = Walk::of(knows, all);
        walk.run_for(Duration::from_mins(5));
        let steps = walk.walks();
        assert_eq!(steps, 40, "up to the latest result");
        walk.run_for(Duration::from_mins(30));
        assert_eq!(walk.walks(), steps);
        let mut more = walk.cu.rows.clone();
        more.extend(rows(SECOND, 4200, 1, 1, false));
        walk.cu = Cu::new(more);
        walk.run_for(Duration::from_mins(15));
        assert_eq!(walk.delivered.len(), 6);
        assert!(walk.walks() <= steps + 2, "{}", walk.walks());
    }
}

/// 300 results that come after a page was empty and before the latest one is asked for are no gap.
#[test]
fn results_that_come_between_an_empty_page_and_the_look_all_arrive() {
    for knows in &timings() {
        // The first two requests are the first pages; it is looked after a minute of empty pages.
        for request in 3..30 {
            let all = rows(SECOND, 0, 1, 310, false);
            let mut walk = Walk::in_bursts(knows, all, &[(0, 10), (request, 300)]);
            walk.run_for(Duration::from_mins(20));
            assert_eq!(
                walk.delivered,
                times(&walk.cu.good(0)),
                "they come before request {request}"
            );
            assert_eq!(walk.passed, [], "there are no errors to pass");
        }
    }
}

/// A schedule: its index is its place in the list.
#[derive(Debug, Clone)]
struct Schedule {
    seconds: u64,
    /// How long it works and how long it fails, in turn, in results.
    runs: Vec<u64>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let run = prop_oneof![1..20_u64, 900..1100_u64, 1000..4000_u64];
    (prop::sample::select(vec![1_u64, 2, 10, 60]), prop::collection::vec(run, 1..6))
        .prop_map(|(seconds, runs)| Schedule { seconds, runs })
}

fn layout(schedules: &[Schedule], asked: &[u64], good_first: bool) -> Vec<Row> {
    let asked =
        asked.iter().map(|at| Row { timestamp: BASE + at * 1000, cron: None, error: false });
    let mut all: Vec<Row> = asked.collect();
    for (index, Schedule { seconds, runs }) in schedules.iter().enumerate() {
        let (name, mut begin) = (format!("{index}-{seconds}-seconds"), 0);
        for (number, length) in runs.iter().enumerate() {
            all.extend(rows(&name, begin, *seconds, *length, (number % 2 == 0) != good_first));
            begin += seconds * length;
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 60 },
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The same, but results come in bursts between any two requests: a CU evaluates when it is asked.
    #[test]
    fn every_result_arrives_whenever_results_appear(
        schedules in prop::collection::vec(schedule(), 1..3),
        good_first in any::<bool>(),
        bursts in prop::collection::vec((1..12_usize, 1..2500_usize), 1..8),
        knows in prop::sample::select(timings()),
    ) {
        let mut all = layout(&schedules, &[], good_first);
        let end = all.iter().map(|row| row.timestamp).max().unwrap_or(BASE) + 1000;
        all.push(Row { timestamp: end, cron: None, error: false });
        let mut at = 0;
        let mut bursts: Vec<_> = bursts
            .into_iter()
            .map(|(later, results)| {
                at += later;
                (at, results)
            })
            .collect();
        bursts.push((at + 5, all.len()));
        let mut walk = Walk::in_bursts(&knows, all, &bursts);
        let wanted = times(&walk.cu.good(0));
        for _ in 0..24 * 6 {
            if walk.delivered.len() >= wanted.len() {
                break;
            }
            walk.run_for(Duration::from_mins(10));
        }
        prop_assert_eq!(walk.delivered, wanted);
    }

    /// Schedules that work and fail in turn, results that were asked for in between, pages of any
    /// size, a monitor that begins anywhere, rows that are all there or that come as time passes.
    #[test]
    fn every_result_arrives_in_order_and_once_over_any_layout_of_errors(
        schedules in prop::collection::vec(schedule(), 1..4),
        asked in prop::collection::vec(0..20_000_u64, 0..20),
        good_first in any::<bool>(),
        page_limit in prop::sample::select(vec![1_u32, 7, 50, 500, 1000]),
        begin in prop::option::of(0..100_usize),
        live in any::<bool>(),
        knows in prop::sample::select(timings()),
    ) {
        let mut all = layout(&schedules, &asked, good_first);
        // The CU can only say that there is more if the newest result is a good one.
        let end = all.iter().map(|row| row.timestamp).max().unwrap_or(BASE) + 1000;
        all.push(Row { timestamp: end, cron: None, error: false });
        let cu = Cu::new(all);
        let good = cu.rows.iter().filter(|row| !row.error);
        let first = begin.and_then(|n| good.clone().nth(n));
        let position = first.map_or(Position::Earliest, |row| Position::After(row.cursor("DESC")));
        let key = |row: &Row| (row.timestamp, row.cron.clone().unwrap_or_default());
        let after = first.map(key).unwrap_or_default();
        let wanted: Vec<u64> =
            cu.good(0).iter().filter(|row| key(row) > after).map(|row| row.timestamp).collect();
        let start = if live { BASE } else { u64::MAX / 2 };
        let lasts = Duration::from_millis(end - BASE);
        let mut walk = Walk::new(&knows, cu, position, page_limit, start);
        walk.run_for(if live { lasts } else { Duration::ZERO });
        // A day on top, for steps of a second while no schedule is known.
        for _ in 0..24 * 6 {
            if walk.delivered.len() >= wanted.len() {
                break;
            }
            walk.run_for(Duration::from_mins(10));
        }
        walk.run_for(Duration::from_mins(10));
        prop_assert_eq!(walk.delivered, wanted);
    }
}
