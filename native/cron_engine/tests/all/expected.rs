//! A monitor that asks only while a result is expected, beside one that asks at every tick, on the
//! same clock, of the same Compute Unit (CU). No result of a cron that it knows may come later than
//! by the other one and a tick, and no other later than the longest time without a request.

use crate::util::plan::{Cron, Kind, Plan};
use crate::util::polled::Polled;
use cron_engine::{Doing, Event, HostId, Interval, Time, Timing};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::time::Duration;

const GAP: Duration = Duration::from_mins(1);

/// What a monitor that knows nothing of its process's crons does.
fn expected() -> Timing {
    Timing::Expected { max_gap: GAP }
}

/// Compares what a monitor pushed with what one does that asks at every tick.
fn compare(plan: &Plan, is_told: bool, expected: &Polled, longest: Duration) {
    let rate = Polled::run(plan, Timing::Rate);
    let slow = rate.slowest.max(expected.slowest);
    for (row, pushed) in &rate.pushed {
        let other = expected.pushed.get(row);
        let last = other.map_or(pushed.sent, |other| other.sent);
        if plan.is_disturbed(plan.readable(row), last) {
            continue;
        }
        let Some(other) = other else {
            let readable = plan.readable(row);
            assert!(readable + longest + plan.rate + slow >= plan.end, "{row:?} was never pushed");
            continue;
        };
        let is_known = is_told || other.known;
        // A restart begins another grid, whose first tick may come as late as the lost one.
        let shift =
            if plan.restarts_between(pushed.sent, last) { plan.rate } else { Duration::ZERO };
        let latest = if is_known {
            pushed.sent + plan.rate + slow + shift
        } else {
            plan.readable(row).max(pushed.sent) + longest + plan.rate + slow + shift
        };
        assert!(
            other.sent <= latest,
            "{row:?} (known: {is_known}) was asked for at {:?} by rate and at {:?}: {plan:?}",
            pushed.sent,
            other.sent
        );
    }
}

fn cron() -> impl Strategy<Value = Cron> {
    let tags = vec!["1-second", "7-s", "10-seconds", "1-minute", "90 s", "5-minutes", "1-hour"];
    let stops = prop::option::weighted(0.3, 0..7200_u64);
    let misses = prop::sample::select(vec![0_u8, 0, 10, 50]);
    (prop::sample::select(tags), stops, misses).prop_map(|(tag, stops, misses)| Cron {
        tag: tag.into(),
        stops: stops.map(Duration::from_secs),
        misses,
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let rate = prop::sample::select(vec![1_u64, 3, 10, 30]).prop_map(Duration::from_secs);
    let ahead = prop::sample::select(vec![0_i64, 0, -300_000, -700, 900, 240_000]);
    let delay = prop_oneof![0..2000_u64, 0..60_000_u64, Just(3_600_000)];
    let evaluation = prop::sample::select(vec![0_u64, 1, 20, 400]).prop_map(Duration::from_millis);
    let restarts = prop::collection::vec((60..7200_u64).prop_map(Duration::from_secs), 0..3);
    let outages = prop::collection::vec((60..7200_u64).prop_map(Duration::from_secs), 0..3);
    (
        prop::collection::vec(cron(), 1..4),
        (rate, ahead, delay, evaluation),
        (restarts, outages, any::<u64>(), prop::sample::select(vec![1000_u32, 1000, 50])),
    )
        .prop_map(
            |(crons, (rate, ahead, delay, evaluation), (restarts, outages, seed, page_limit))| {
                Plan {
                    crons,
                    rate,
                    ahead,
                    delay: Duration::from_millis(delay),
                    evaluation,
                    restarts,
                    outages,
                    seed,
                    page_limit,
                    ..Plan::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 30 },
        rng_seed: RngSeed::Fixed(41),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn results_of_crons_that_were_seen_come_no_later_than_by_rate(plan in plan()) {
        compare(&plan, false, &Polled::run(&plan, expected()), GAP);
    }

    #[test]
    fn results_of_crons_that_were_told_come_no_later_than_by_rate(plan in plan()) {
        compare(&plan, true, &Polled::run_told(&plan, expected()), GAP * 10);
    }

    #[test]
    fn results_of_crons_that_the_tags_do_not_name_come_no_later_than_by_rate(
        plan in plan(),
        named in prop::collection::vec(cron(), 0..3),
    ) {
        let crons = named.iter().map(|cron| Interval::read(&cron.tag)).collect();
        compare(&plan, false, &Polled::play(&plan, expected(), Some(crons)), GAP * 10);
    }
}

/// Requests per result, and how long after they could be read results are asked for: the median and
/// the 99th percentile.
fn figures(name: &str, polled: &Polled, plan: &Plan) -> (f64, Duration) {
    let mut lags: Vec<Duration> =
        polled.pushed.iter().map(|(row, pushed)| pushed.sent.since(plan.readable(row))).collect();
    lags.sort();
    let results = lags.len().max(1);
    let count = |count| f64::from(u32::try_from(count).unwrap());
    let requests = count(polled.requests) / count(results);
    let (median, p99) = (lags[results / 2], lags[results * 99 / 100]);
    println!("{name:28} {requests:8.3} requests a result, lag {median:>9.1?} {p99:>9.1?}");
    (requests, median)
}

/// A monitor of the cron `tag` that waits for its next result, with its CU.
fn quiet() -> Polled {
    let crons = vec![Cron { tag: "5-minutes".into(), stops: None, misses: 0 }];
    let plan = Plan { crons, end: Time::from_millis(2_000_000), ..Plan::default() };
    let polled = Polled::run(&plan, expected());
    assert!(polled.next_result().is_some_and(|next| next > plan.rate * 2));
    polled
}

#[test]
fn quiet_monitor_gets_no_tick_until_its_next_result_is_due() {
    let mut polled = quiet();
    let before = polled.counters();
    polled.run_for(Duration::from_secs(21));
    let after = polled.counters();
    assert_eq!(after.quiet_ticks, before.quiet_ticks + 2);
    assert_eq!((after.ticks, after.missed_ticks), (before.ticks, before.missed_ticks));
}

#[test]
fn quiet_monitor_that_is_polled_asks_at_once() {
    let mut polled = quiet();
    let before = polled.counters().fetches;
    polled.poll();
    assert_eq!(polled.counters().fetches, before + 1);
}

/// Each of the pages would end the poll.
#[test]
fn poll_during_a_page_that_uses_up_the_credit_waits_for_an_ack() {
    let crons = vec![Cron { tag: "1-second".into(), stops: None, misses: 0 }];
    let evaluation = Duration::from_millis(200);
    let plan = Plan { crons, evaluation, end: Time::from_millis(1_003_000), ..Plan::default() };
    let mut polled = Polled::run(&plan, expected());
    assert_eq!(polled.snapshot().doing, Doing::Idle);
    polled.acks = false;
    let before = polled.counters().fetches;
    polled.poll();
    for _ in 0..2 {
        polled.poll();
        polled.run_for(Duration::from_secs(2));
    }
    polled.run_for(Duration::from_secs(5));
    assert_eq!(polled.counters().fetches, before + 2);
    assert_eq!(polled.snapshot().doing, Doing::Pushing);
}

#[test]
fn quiet_monitor_asks_at_its_next_tick_after_a_suspend() {
    let mut polled = quiet();
    let before = polled.counters().fetches;
    polled.tell(Event::Suspended);
    assert_eq!(polled.next_result(), None);
    polled.run_for(Duration::from_secs(11));
    assert_eq!(polled.counters().fetches, before + 1);
}

#[test]
fn quiet_monitor_of_another_node_asks_at_every_tick() {
    let mut polled = quiet();
    let before = polled.counters().fetches;
    polled.tell(Event::Moved(polled.id, [HostId(3)].into()));
    polled.run_for(Duration::from_secs(31));
    assert_eq!(polled.counters().fetches, before + 3);
}

/// What each kind of cron costs, over a day.
#[test]
fn crons_of_each_kind_cost_few_requests_and_come_soon() {
    for (tag, most) in [
        ("1-second", 0.11),
        ("10-seconds", 1.2),
        ("1-minute", 2.5),
        ("5-minutes", 7.0),
        ("60-minutes", 75.0),
        ("1-block", 20.0),
    ] {
        let plan = Plan {
            crons: vec![Cron { tag: tag.into(), stops: None, misses: 0 }],
            end: Time::from_millis(24 * 3_600_000),
            ..Plan::default()
        };
        let rate = Polled::run(&plan, Timing::Rate);
        figures(&format!("{tag}, rate"), &rate, &plan);
        let learned = Polled::run(&plan, expected());
        let (requests, lag) = figures(&format!("{tag}, expected"), &learned, &plan);
        let known = Polled::run_told(&plan, expected());
        let (fewer, _) = figures(&format!("{tag}, told"), &known, &plan);
        assert!(requests <= most, "{tag}: {requests}");
        assert!(fewer <= requests, "{tag}: {fewer}");
        if tag.contains("minute") {
            assert!(lag <= Duration::from_secs(1), "{tag}: {lag:?}");
        }
    }
}

/// A CU that evaluates after it has answered: a request gives what was there before it.
#[test]
fn cu_that_evaluates_after_it_answered_makes_nothing_explode() {
    for tag in ["1-minute", "97-seconds", "5-minutes"] {
        let plan = Plan {
            crons: vec![Cron { tag: tag.into(), stops: None, misses: 0 }],
            kind: Kind::Afterwards,
            end: Time::from_millis(24 * 3_600_000),
            ..Plan::default()
        };
        let rate = Polled::run(&plan, Timing::Rate);
        figures(&format!("{tag}, rate"), &rate, &plan);
        let polled = Polled::run(&plan, expected());
        let (_, median) = figures(&format!("{tag}, afterwards"), &polled, &plan);
        assert!(median <= plan.rate * 3, "{tag}: {median:?}");
        assert!(polled.pushed.len() + 2 >= rate.pushed.len());
    }
}
