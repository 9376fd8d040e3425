//! A monitor in `Ticked`: it got a tick and has not requested the poll yet. A
//! monitor process that is slow to answer must not find a pile of ticks in its mailbox.

use crate::util::scenario::Scenario;
use crate::util::{NOTHING, after, fetch, tick};
use cron_engine::Position;

/// What tells `Ticked`: the next point of the grid brings no tick, and a poll begins a fetch.
fn assert_ticked(mut scenario: Scenario) {
    let before = scenario.counters();
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.counters().missed_ticks, before.missed_ticks + 1);
    assert_eq!(scenario.counters().ticks, before.ticks);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn ticked_tick_due_is_missed() {
    let mut scenario = Scenario::ticked();
    for missed in 1..=5 {
        assert_eq!(scenario.due(), NOTHING);
        assert_eq!(scenario.counters().missed_ticks, missed);
    }
    assert_eq!(scenario.counters().ticks, 1);
    assert_ticked(scenario);
}

#[test]
fn ticked_poll_fetches_the_first_page() {
    let mut scenario = Scenario::ticked();
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn ticked_poll_fetches_after_the_position_it_began_with() {
    let (mut scenario, _) = Scenario::registered(after("mine"));
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.poll(), [fetch(after("mine"), 1)]);
}

#[test]
fn ticked_poll_that_comes_late_is_still_answered() {
    let mut scenario = Scenario::ticked();
    for _ in 0..100 {
        assert_eq!(scenario.due(), NOTHING);
    }
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn ticked_poll_that_comes_twice_asks_once_more_after_the_first() {
    let mut scenario = Scenario::ticked();
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
    // A user's own poll crossed the tick's: what it may have been about is asked for as well.
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.empty_page(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.empty_page(), NOTHING);
}

#[test]
fn ticked_whole_page_acked_changes_nothing() {
    let mut scenario = Scenario::ticked();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_ticked(scenario);
}

#[test]
fn ticked_part_of_a_page_acked_changes_nothing() {
    let mut scenario = Scenario::ticked();
    assert_eq!(scenario.acked(0), NOTHING);
    assert_eq!(scenario.acked(1), NOTHING);
    assert_ticked(scenario);
}

#[test]
fn ticked_ack_of_the_poll_before_that_comes_again_changes_nothing() {
    let mut scenario = Scenario::draining();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.acked(10), NOTHING);
    assert_eq!(scenario.acked(3), NOTHING);
    assert_eq!(scenario.poll(), [fetch(after("p1"), 11)]);
}

#[test]
fn ticked_stray_answers_are_ignored() {
    let mut scenario = Scenario::ticked();
    scenario.stray_answers_do_nothing();
    assert_eq!(scenario.counters().inflight, 0);
    assert_ticked(scenario);
}

#[test]
fn ticked_answer_that_comes_twice_moves_it_once() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_ticked(scenario);
}

#[test]
fn ticked_removed_never_ticks_again() {
    Scenario::ticked().removal_leaves_nothing(0);
}

#[test]
fn ticked_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::ticked();
    scenario.stranger_does_nothing();
    assert_ticked(scenario);
}
