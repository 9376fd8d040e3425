//! A monitor in `Idle`: it waits for its next tick, and nothing of it is under way. What comes in
//! now is either the tick, a poll, or too late to matter.

use crate::util::scenario::Scenario;
use crate::util::{NOTHING, RATE, after, cursor, failed, fetch, recovered, resolve, tick};
use cron_engine::{Class, Position};

/// What tells `Idle` from all other states: the next point of the grid brings a tick, and the
/// poll after it a fetch from where the monitor began.
fn assert_idle(mut scenario: Scenario) {
    let missed = scenario.counters().missed_ticks;
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.counters().missed_ticks, missed);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn idle_registered_at_a_known_position_fetches_nothing() {
    for position in [Position::Earliest, after("here")] {
        let (scenario, actions) = Scenario::registered(position);
        assert_eq!(actions, NOTHING);
        assert_eq!(scenario.counters().fetches, 0);
        assert_eq!(scenario.counters().monitors, 1);
    }
}

#[test]
fn idle_registered_plans_its_first_tick_within_one_rate() {
    let scenario = Scenario::idle();
    let first = scenario.engine.poll_timeout().unwrap();
    assert!(first > scenario.now);
    assert!(first.since(scenario.now) <= RATE);
}

#[test]
fn idle_tick_due_ticks_once() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.counters().ticks, 1);
    assert_eq!(scenario.counters().missed_ticks, 0);
    // Served already: calling again at the same time does nothing.
    scenario.engine.handle_timeout(scenario.now);
    assert_eq!(scenario.engine.poll_action(), None);
}

#[test]
fn idle_timeout_before_it_is_due_does_nothing() {
    let mut scenario = Scenario::idle();
    scenario.engine.handle_timeout(scenario.now);
    assert_eq!(scenario.engine.poll_action(), None);
    assert_idle(scenario);
}

#[test]
fn idle_poll_fetches_from_the_earliest() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.counters().inflight, 1);
    assert_eq!(scenario.counters().ticks, 0);
}

#[test]
fn idle_poll_fetches_after_the_given_cursor() {
    let (mut scenario, _) = Scenario::registered(after("mine"));
    assert_eq!(scenario.poll(), [fetch(after("mine"), 1)]);
}

#[test]
fn idle_poll_after_a_whole_poll_goes_on_where_that_ended() {
    let mut scenario = Scenario::draining();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_eq!(scenario.poll(), [fetch(after("p1"), 11)]);
}

#[test]
fn idle_poll_of_an_unresolved_monitor_resolves_and_then_fetches() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.fetch_failed(Class::Connect), [failed(Class::Connect, 1)]);
    assert_eq!(scenario.poll(), [resolve()]);
    assert_eq!(
        scenario.latest(Some(cursor("tip"))),
        [recovered(1), fetch(after("tip"), 1)],
        "the poll was not for the cursor alone"
    );
}

#[test]
fn idle_whole_page_acked_changes_nothing() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_idle(scenario);
}

#[test]
fn idle_part_of_a_page_acked_changes_nothing() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.acked(0), NOTHING);
    assert_eq!(scenario.acked(1), NOTHING);
    assert_idle(scenario);
}

#[test]
fn idle_ack_ahead_of_its_page_counts_once_the_page_comes() {
    let mut scenario = Scenario::idle();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.page(10, "p1"), [fetch(after("p1"), 11)]);
    assert_eq!(scenario.page(10, "p2"), [fetch(after("p2"), 21)], "the first page is acked");
    assert_eq!(scenario.page(10, "p3"), NOTHING);
}

#[test]
fn idle_stray_answers_are_ignored() {
    let mut scenario = Scenario::idle();
    scenario.stray_answers_do_nothing();
    assert_eq!(scenario.counters().inflight, 0);
    assert_idle(scenario);
}

#[test]
fn idle_answer_that_comes_twice_moves_it_once() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_idle(scenario);
}

#[test]
fn idle_removed_never_ticks() {
    Scenario::idle().removal_leaves_nothing(0);
}

#[test]
fn idle_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::idle();
    scenario.stranger_does_nothing();
    assert_idle(scenario);
}
