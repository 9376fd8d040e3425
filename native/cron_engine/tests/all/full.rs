//! A monitor in `Full`: two pages are unacked and there may be more to fetch. Only an ack of a
//! whole page lets it go on: this is what bounds the memory of a monitor that pushes slowly.

use crate::util::scenario::{FIRST_PAGE, SECOND_PAGE, Scenario};
use crate::util::{NOTHING, after, fetch, tick};

/// The sequence number of the last edge of both pages.
const LAST: u64 = FIRST_PAGE + SECOND_PAGE;

/// What tells `Full`: nothing is fetched before the ack of the first page, and then the third.
fn assert_full(mut scenario: Scenario) {
    assert_eq!(scenario.counters().inflight, 0);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE - 1), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE), [fetch(after("p2"), LAST + 1)]);
}

#[test]
fn full_tick_due_is_missed() {
    let mut scenario = Scenario::full();
    let before = scenario.counters();
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.counters().missed_ticks, before.missed_ticks + 2);
    assert_full(scenario);
}

#[test]
fn full_poll_is_answered_by_the_fetch_that_comes_anyway() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.acked(LAST), [fetch(after("p2"), LAST + 1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "no second fetch for the same poll");
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn full_page_acked_fetches_the_next_page() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.acked(FIRST_PAGE), [fetch(after("p2"), LAST + 1)]);
    assert_eq!(scenario.page(1, "p3"), NOTHING, "one page is unacked and one came: full again");
    assert_eq!(scenario.acked(LAST), [fetch(after("p3"), LAST + 2)]);
}

#[test]
fn full_both_pages_acked_at_once_fetches_one_page() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.acked(LAST), [fetch(after("p2"), LAST + 1)]);
    assert_eq!(scenario.counters().inflight, 1);
    assert_eq!(scenario.page(1, "p3"), [fetch(after("p3"), LAST + 2)], "credit for two again");
}

#[test]
fn full_part_of_a_page_acked_waits_on() {
    let mut scenario = Scenario::full();
    for seq in 1..FIRST_PAGE {
        assert_eq!(scenario.acked(seq), NOTHING);
    }
    assert_full(scenario);
}

#[test]
fn full_first_page_and_part_of_the_second_acked_counts_the_first() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.acked(LAST - 1), [fetch(after("p2"), LAST + 1)]);
    assert_eq!(scenario.page(1, "p3"), NOTHING);
    assert_eq!(scenario.acked(LAST - 1), NOTHING);
    assert_eq!(scenario.acked(LAST), [fetch(after("p3"), LAST + 2)]);
}

#[test]
fn full_ack_ahead_of_a_page_counts_for_that_page_too() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.acked(LAST + 1), [fetch(after("p2"), LAST + 1)]);
    assert_eq!(scenario.page(1, "p3"), [fetch(after("p3"), LAST + 2)], "acked already");
    assert_eq!(scenario.page(1, "p4"), [fetch(after("p4"), LAST + 3)]);
    assert_eq!(scenario.page(1, "p5"), NOTHING);
}

#[test]
fn full_stray_answers_are_ignored() {
    let mut scenario = Scenario::full();
    scenario.stray_answers_do_nothing();
    assert_full(scenario);
}

#[test]
fn full_answer_that_comes_twice_moves_it_once() {
    let mut scenario = Scenario::full();
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), NOTHING);
    assert_full(scenario);
}

#[test]
fn full_removed_leaves_nothing_under_way() {
    Scenario::full().removal_leaves_nothing(0);
}

#[test]
fn full_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::full();
    scenario.stranger_does_nothing();
    assert_full(scenario);
}
