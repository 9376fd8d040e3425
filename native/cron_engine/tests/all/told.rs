//! A monitor that knows the crons of its process from its tags: when it asks then, what inspection shows
//! of it, and that what the Compute Unit (CU) shows counts for more.

use crate::util::plan::{Cron, Plan};
use crate::util::polled::Polled;
use cron_engine::{Asks, Event, Interval, Time, Timing, Unexpected};
use std::time::Duration;

const GAP: Duration = Duration::from_mins(1);
const EXPECTED: Timing = Timing::Expected { max_gap: GAP };
const FIVE_MINUTES: Interval = Interval::Seconds(300);

fn plan(tags: &[&str], seconds: u64) -> Plan {
    let cron = |tag: &&str| Cron { tag: (*tag).into(), stops: None, misses: 0 };
    let crons = tags.iter().map(cron).collect();
    Plan { crons, end: Time::from_millis(seconds * 1000), ..Plan::default() }
}

fn told(plan: &Plan, crons: &[Interval]) -> Polled {
    Polled::play(plan, EXPECTED, Some(crons.into()))
}

#[test]
fn process_without_crons_is_asked_for_at_the_longest_intervals() {
    let polled = told(&plan(&[], 3600), &[]);
    // Nearly half of them are probes for a gap.
    assert!((6..=13).contains(&polled.requests), "{}", polled.requests);
    let snapshot = polled.snapshot();
    assert_eq!((snapshot.asks, snapshot.next_result), (Asks::Rarely, None));
    assert_eq!(snapshot.longest, Some(GAP * 10));
}

#[test]
fn process_whose_crons_nothing_reads_is_asked_for_at_ordinary_intervals() {
    let polled = told(&plan(&[], 3600), &[Interval::Unreadable]);
    assert!((58..=72).contains(&polled.requests), "{}", polled.requests);
    assert_eq!(polled.snapshot().longest, Some(GAP));
}

#[test]
fn process_with_a_cron_in_blocks_is_asked_for_at_every_tick() {
    let polled = told(&plan(&[], 600), &[FIVE_MINUTES, Interval::Blocks]);
    assert!(polled.requests >= 59, "{}", polled.requests);
    assert_eq!(polled.snapshot().asks, Asks::EveryTick(Unexpected::Untimed));
    let polled = told(&plan(&["5-minutes"], 1200), &[FIVE_MINUTES, Interval::Blocks]);
    assert_eq!(polled.snapshot().asks, Asks::EveryTick(Unexpected::Untimed));
}

#[test]
fn tags_that_the_results_contradict_are_dropped() {
    let wrong: [&[Interval]; 3] = [&[], &[Interval::Unreadable], &[Interval::Seconds(60)]];
    for crons in wrong {
        let polled = told(&plan(&["5-minutes"], 2000), crons);
        assert_eq!(polled.snapshot().crons, None, "{crons:?}");
        assert!(polled.pushed.len() >= 5, "{crons:?}: {}", polled.pushed.len());
    }
}

#[test]
fn tags_that_name_fewer_crons_than_there_are_are_dropped() {
    let polled = told(&plan(&["5-minutes", "10-minutes"], 2000), &[FIVE_MINUTES]);
    assert_eq!(polled.snapshot().crons, None);
}

#[test]
fn tags_that_are_told_late_count_from_then_on() {
    let mut polled = Polled::run(&plan(&["5-minutes"], 2000), EXPECTED);
    assert_eq!(polled.snapshot().longest, Some(GAP));
    polled.tell(Event::Crons(polled.id, [FIVE_MINUTES].into()));
    assert_eq!(polled.snapshot().longest, Some(GAP * 10));
    let before = polled.requests;
    polled.run_for(Duration::from_hours(1));
    assert!(polled.requests - before <= 24, "{}", polled.requests - before);
}

#[test]
fn tags_of_a_monitor_that_asks_at_every_tick_change_nothing() {
    let polled = Polled::play(&plan(&[], 600), Timing::Rate, Some([].into()));
    assert!(polled.requests >= 59, "{}", polled.requests);
    let snapshot = polled.snapshot();
    assert_eq!(snapshot.asks, Asks::EveryTick(Unexpected::Rate));
    assert_eq!((snapshot.longest, snapshot.crons), (None, None));
}

#[test]
fn monitor_says_why_it_asks_from_its_first_result_to_the_next() {
    let polled = Polled::run(&plan(&["5-minutes"], 5), EXPECTED);
    assert_eq!(polled.snapshot().asks, Asks::EveryTick(Unexpected::NoResult));
    let mut polled = polled;
    polled.run_for(Duration::from_mins(20));
    let Asks::Expecting { every, due } = polled.snapshot().asks else { panic!("it expects") };
    let last = polled.pushed.keys().next_back().unwrap().timestamp / 1000;
    assert_eq!((every, due), (300, last + 300));
    polled.tell(Event::Suspended);
    assert_eq!(polled.snapshot().asks, Asks::EveryTick(Unexpected::Delay));
}

#[test]
fn cron_that_did_not_run_yet_is_named_as_the_reason() {
    let polled = told(&plan(&["5-minutes"], 2000), &[FIVE_MINUTES, Interval::Seconds(7)]);
    assert_eq!(polled.snapshot().asks, Asks::EveryTick(Unexpected::Unseen));
}
