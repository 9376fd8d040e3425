//! A monitor in `Fetching`: a page is asked for. This is where results come in, so most is at
//! stake here: what has been received is never asked for again, and nothing is left out.

use crate::util::scenario::{FIRST_PAGE, SECOND_PAGE, Scenario};
use crate::util::{NOTHING, RATE, after, cursor, fetch, fetching, tick, unasked};
use cron_engine::{Action, Position, Request};
use std::time::Duration;

/// What tells `Fetching`, with nothing unacked: no tick, and a page is taken and gone on from.
fn assert_fetching(mut scenario: Scenario) {
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), NOTHING);
}

/// What tells `Fetching`, with a page unacked: one more page is taken, and that is all.
fn assert_fetching_ahead(mut scenario: Scenario) {
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), NOTHING);
    assert_eq!(
        scenario.acked(FIRST_PAGE),
        [fetch(after("p2"), FIRST_PAGE + SECOND_PAGE + 1)],
        "it was full"
    );
}

#[test]
fn fetching_tick_due_is_missed() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.counters().missed_ticks, 2);
    assert_eq!(scenario.counters().ticks, 0);
    assert_fetching(scenario);
}

#[test]
fn fetching_poll_asks_again_after_the_empty_page() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.counters().inflight, 1, "one fetch at a time");
    assert_eq!(scenario.empty_page(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "the two polls are one");
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn fetching_polls_without_end_do_not_keep_it_from_looking_for_a_gap() {
    let mut scenario = Scenario::fetching();
    let look = [fetching(Request::Look)];
    let looks = (0..120).any(|_| {
        scenario.now = scenario.now + RATE;
        assert_eq!(scenario.poll(), NOTHING);
        scenario.empty_page() == look
    });
    assert!(looks, "in two minutes of empty pages");
    let polled = scenario.latest(None);
    assert!(matches!(polled[..], [Action::Fetch { request: Request::Page(_), .. }]), "{polled:?}");
}

#[test]
fn fetching_poll_with_a_page_unacked_asks_again_after_the_empty_page() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.empty_page(), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_fetching_ahead(scenario);
}

#[test]
fn fetching_poll_is_answered_by_the_fetch_after_a_page() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "that fetch began after the poll");
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn fetching_page_fetches_the_next_ahead() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.counters().inflight, 1);
}

#[test]
fn fetching_second_page_uses_up_the_credit() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), NOTHING);
    assert_eq!(scenario.counters().inflight, 0);
    assert_eq!(scenario.counters().fetches, 2);
}

#[test]
fn fetching_page_of_one_edge_is_gone_on_from() {
    // That a page is not full does not say that it is the last.
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.page(1, "p1"), [fetch(after("p1"), 2)]);
}

#[test]
fn fetching_empty_page_with_nothing_unacked_waits_for_the_next_tick() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)], "from the same place");
}

#[test]
fn fetching_empty_page_with_a_page_unacked_waits_for_its_ack() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn fetching_whole_page_acked_gives_credit_for_two_more() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING, "its fetch is under way already");
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), [fetch(after("p2"), 16)]);
    assert_eq!(scenario.page(1, "p3"), NOTHING);
}

#[test]
fn fetching_whole_page_acked_before_the_empty_page_ends_the_poll_with_it() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn fetching_part_of_a_page_acked_gives_no_credit() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.acked(FIRST_PAGE - 1), NOTHING);
    assert_fetching_ahead(scenario);
}

#[test]
fn fetching_page_acked_before_it_is_told_of_uses_no_credit() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), [tick()], "nothing is unacked, so the poll is over");
}

#[test]
fn fetching_part_of_a_page_acked_before_it_is_told_of_uses_credit() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.acked(FIRST_PAGE - 1), NOTHING);
    assert_fetching(scenario);
}

#[test]
fn fetching_older_ack_that_comes_late_takes_none_back() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.acked(1), NOTHING);
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), [fetch(after("p2"), 16)]);
}

#[test]
fn fetching_latest_is_an_error_and_not_taken_for_a_position() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.latest(Some(cursor("tip"))), [unasked(1)]);
    assert_eq!(scenario.latest(None), NOTHING, "nothing is under way any more");
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn fetching_page_that_comes_twice_never_exceeds_the_credit() {
    // Each fetch is answered once; should one not be, at least memory stays bounded.
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.page(FIRST_PAGE, "p1").len(), 1);
    for _ in 0..10 {
        assert_eq!(scenario.page(FIRST_PAGE, "p1"), NOTHING);
    }
    assert_eq!(scenario.counters().fetches, 2);
}

#[test]
fn fetching_removed_gives_its_place_back_with_the_answer() {
    Scenario::fetching().removal_leaves_nothing(1);
    Scenario::fetching_ahead().removal_leaves_nothing(1);
}

#[test]
fn fetching_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::fetching();
    scenario.stranger_does_nothing();
    assert_fetching(scenario);
    let mut scenario = Scenario::fetching_ahead();
    scenario.stranger_does_nothing();
    assert_fetching_ahead(scenario);
}

#[test]
fn fetching_after_an_answer_that_took_over_five_seconds_is_in_the_slow_lane() {
    for (over, slow) in [(0, 0), (1, 1)] {
        let mut scenario = Scenario::fetching();
        scenario.now = scenario.now + Duration::from_secs(5) + Duration::from_micros(over);
        assert_eq!(scenario.empty_page(), NOTHING);
        assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
        assert_eq!(scenario.counters().slow, slow);
    }
}
