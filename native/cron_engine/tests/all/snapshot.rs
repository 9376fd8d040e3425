//! What an operator is shown of a monitor in each of its states, and that looking changes nothing.

use crate::util::scenario::{FIRST_PAGE, SECOND_PAGE, Scenario};
use crate::util::{ID, RATE, STRANGER, after, cursor, failure};
use cron_engine::{BreakerState, Census, Class, Doing, Event, Position, Snapshot, Trouble};
use std::time::Duration;

fn look(scenario: &Scenario) -> Snapshot {
    let before = scenario.counters();
    let seen = scenario.engine.snapshot(scenario.now, ID).unwrap();
    assert_eq!(scenario.engine.snapshot(scenario.now, ID), Some(seen.clone()));
    assert_eq!(scenario.counters(), before);
    seen
}

#[test]
fn snapshot_says_what_each_state_waits_for() {
    let states = [
        (Scenario::idle(), Doing::Idle, 0),
        (Scenario::ticked(), Doing::Polling, 0),
        (Scenario::resolving(), Doing::Resolving, 0),
        (Scenario::fetching(), Doing::Polling, 0),
        (Scenario::fetching_ahead(), Doing::Pushing, FIRST_PAGE),
        (Scenario::full(), Doing::Pushing, FIRST_PAGE + SECOND_PAGE),
        (Scenario::draining(), Doing::Pushing, FIRST_PAGE),
        (Scenario::waiting(), Doing::BackingOff, 0),
    ];
    for (scenario, doing, received) in states {
        let seen = look(&scenario);
        assert_eq!((seen.doing, seen.received), (doing, received));
        assert_eq!(seen.breakers, [BreakerState::Closed]);
    }
}

#[test]
fn census_counts_a_monitor_where_its_snapshot_shows_it() {
    let one = |doing, failing| {
        let mut census = Census { failing, ..Census::default() };
        *match doing {
            Doing::Idle => &mut census.idle,
            Doing::Resolving | Doing::Saving => &mut census.resolving,
            Doing::Pushing => &mut census.pushing,
            Doing::BackingOff => &mut census.backing_off,
            _ => &mut census.polling,
        } = 1;
        census
    };
    for scenario in [
        Scenario::idle(),
        Scenario::ticked(),
        Scenario::resolving(),
        Scenario::full(),
        Scenario::waiting(),
    ] {
        let seen = look(&scenario);
        assert_eq!(scenario.engine.census(), one(seen.doing, seen.failures));
    }
    let mut scenario = Scenario::idle();
    scenario.removed();
    assert_eq!(scenario.engine.census(), Census::default());
}

#[test]
fn snapshot_of_a_monitor_that_is_not_there_is_none() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.engine.snapshot(scenario.now, STRANGER), None);
    scenario.removed();
    assert_eq!(scenario.engine.snapshot(scenario.now, ID), None);
}

#[test]
fn snapshot_says_when_the_next_tick_comes_before_the_first_and_after() {
    let mut scenario = Scenario::idle();
    for _ in 0..3 {
        let due = scenario.engine.poll_timeout().unwrap();
        assert_eq!(look(&scenario).next_tick, Some(due.since(scenario.now)));
        scenario.now = due + Duration::from_millis(1);
        scenario.engine.handle_timeout(scenario.now);
    }
}

#[test]
fn snapshot_keeps_the_last_failure_until_a_fetch_succeeds() {
    let mut scenario = Scenario::waiting();
    let at = scenario.now;
    let seen = look(&scenario);
    let detail = failure(Class::Status).detail;
    assert_eq!(seen.trouble, Some(Trouble { at, class: Class::Status, detail }));
    assert_eq!(seen.failures, 1);
    let retry = seen.next_try.unwrap();
    assert!(retry <= Duration::from_secs(1));
    scenario.retry();
    assert_eq!(look(&scenario).next_try, None);
    assert_eq!(look(&scenario).failures, 1, "it is over only once a fetch succeeds");
    scenario.empty_page();
    let seen = look(&scenario);
    assert_eq!((seen.failures, seen.trouble, seen.doing), (0, None, Doing::Idle));
}

#[test]
fn snapshot_shows_the_breaker_of_its_host_open_and_half_open() {
    let mut scenario = Scenario::fetching();
    for _ in 0..4 {
        scenario.fetch_failed(Class::Connect);
        scenario.poll();
    }
    scenario.fetch_failed(Class::Connect);
    let seen = look(&scenario);
    let [BreakerState::Open(left)] = seen.breakers[..] else { panic!("{:?}", seen.breakers) };
    scenario.now = scenario.now + left;
    scenario.engine.handle_timeout(scenario.now);
    assert_eq!(look(&scenario).breakers, [BreakerState::HalfOpen]);
}

#[test]
fn snapshot_shows_how_far_it_has_fetched_and_what_is_buffered() {
    let mut scenario = Scenario::full();
    let seen = look(&scenario);
    assert_eq!(seen.position, after("p2"));
    assert_eq!(seen.buffered, 100 * (FIRST_PAGE + SECOND_PAGE));
    scenario.acked(FIRST_PAGE);
    assert_eq!(look(&scenario).buffered, 100 * SECOND_PAGE);
}

#[test]
fn cursor_of_ao_says_its_time_and_any_other_does_not() {
    let ao = "eyJ0aW1lc3RhbXAiOjE3NjAwMDAwMDEwMDAsIm9yZGluYXRlIjoiMSJ9";
    assert_eq!(cursor(ao).timestamp(), Some(1_760_000_001_000));
    assert_eq!(cursor("opaque").timestamp(), None);
}

#[test]
fn registration_that_replaces_another_is_shown_alone() {
    let mut scenario = Scenario::fetching_ahead();
    scenario.register(ID, RATE, Position::Earliest);
    assert_eq!(look(&scenario).doing, Doing::Idle);
    scenario.event(Event::Removed(ID));
    assert_eq!(scenario.engine.snapshot(scenario.now, ID), None);
}
