//! A monitor in `Draining`: there was nothing more to fetch, and a page of it is still unacked.
//! The poll ends with the last ack; a tick before that would begin one poll within another.

use crate::util::scenario::{FIRST_PAGE, Scenario};
use crate::util::{NOTHING, after, fetch, tick};

/// What tells `Draining`: no tick before the last ack, no fetch with it, and ticks after it.
fn assert_draining(mut scenario: Scenario) {
    assert_eq!(scenario.counters().inflight, 0);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE - 1), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.poll(), [fetch(after("p1"), FIRST_PAGE + 1)]);
}

#[test]
fn draining_tick_due_is_missed() {
    let mut scenario = Scenario::draining();
    let before = scenario.counters();
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.counters().missed_ticks, before.missed_ticks + 2);
    assert_draining(scenario);
}

#[test]
fn draining_poll_fetches_after_the_last_ack() {
    let mut scenario = Scenario::draining();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE - 1), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "both polls were before that fetch");
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn draining_page_acked_waits_for_the_next_tick() {
    assert_draining(Scenario::draining());
}

#[test]
fn draining_page_acked_twice_is_acked_once() {
    let mut scenario = Scenario::draining();
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.due(), NOTHING);
}

#[test]
fn draining_part_of_a_page_acked_drains_on() {
    let mut scenario = Scenario::draining();
    for seq in 1..FIRST_PAGE {
        assert_eq!(scenario.acked(seq), NOTHING);
    }
    assert_draining(scenario);
}

#[test]
fn draining_stray_answers_are_ignored() {
    let mut scenario = Scenario::draining();
    scenario.stray_answers_do_nothing();
    assert_draining(scenario);
}

#[test]
fn draining_answer_that_comes_twice_moves_it_once() {
    let mut scenario = Scenario::draining();
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_draining(scenario);
}

#[test]
fn draining_removed_leaves_nothing_under_way() {
    Scenario::draining().removal_leaves_nothing(0);
}

#[test]
fn draining_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::draining();
    scenario.stranger_does_nothing();
    assert_draining(scenario);
}
