//! A monitor in `Resolving`: where it begins is being looked up. Until that is known no page may
//! be fetched for it: from the wrong place results would be lost, or old ones pushed again.

use crate::util::scenario::Scenario;
use crate::util::{ID, NOTHING, after, cursor, failed, fetch, recovered, resolve, tick, unasked};
use cron_engine::{Action, Class, Position, Request};

/// What tells `Resolving`: an answer with the latest cursor is taken for the position.
fn assert_resolving(mut scenario: Scenario) {
    assert_no_page_fetched(&scenario);
    assert_eq!(scenario.latest(Some(cursor("tip"))), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.poll(), [fetch(after("tip"), 1)]);
}

fn assert_no_page_fetched(scenario: &Scenario) {
    let is_page = |action: &Action| {
        matches!(action, Action::Fetch { id: ID, request: Request::Page { .. }, .. })
    };
    assert!(!scenario.recorded.iter().any(is_page), "{:?}", scenario.recorded);
}

#[test]
fn resolving_begins_at_the_registration_and_not_at_the_first_tick() {
    let (scenario, actions) = Scenario::registered(Position::Unresolved);
    assert_eq!(actions, [resolve()]);
    assert_eq!(scenario.counters().inflight, 1);
}

#[test]
fn resolving_tick_due_is_missed() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    assert_eq!(scenario.counters().ticks, 0);
    assert_eq!(scenario.counters().missed_ticks, 2);
    assert_resolving(scenario);
}

#[test]
fn resolving_poll_fetches_once_the_cursor_is_known() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.latest(Some(cursor("tip"))), [fetch(after("tip"), 1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "both polls were before that fetch");
}

#[test]
fn resolving_latest_waits_for_the_first_tick() {
    assert_resolving(Scenario::resolving());
}

#[test]
fn resolving_latest_of_a_process_without_results_begins_at_the_earliest() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.latest(None), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn resolving_latest_is_looked_up_only_once() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.latest(Some(cursor("tip"))), NOTHING);
    for _ in 0..10 {
        assert_eq!(scenario.due(), [tick()]);
        assert_eq!(scenario.poll(), [fetch(after("tip"), 1)]);
        assert_eq!(scenario.empty_page(), NOTHING);
    }
}

#[test]
fn resolving_failed_waits_and_looks_up_again() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.fetch_failed(Class::Timeout), [failed(Class::Timeout, 1)]);
    assert_eq!(scenario.retry(), [resolve()]);
    assert_no_page_fetched(&scenario);
    assert_eq!(
        scenario.latest(Some(cursor("tip"))),
        [recovered(1), fetch(after("tip"), 1)],
        "a retry is a poll"
    );
}

#[test]
fn resolving_failed_again_and_again_never_guesses_a_position() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
    for _ in 1..50 {
        assert_eq!(scenario.retry(), [resolve()]);
        scenario.fetch_failed(Class::Status);
    }
    assert_no_page_fetched(&scenario);
}

#[test]
fn resolving_failed_forgets_the_poll_asked_for_meanwhile() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
    assert_eq!(scenario.counters().inflight, 0, "nothing is asked again at once");
    assert_eq!(scenario.retry(), [resolve()]);
}

#[test]
fn resolving_whole_page_acked_changes_nothing() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.acked(10), NOTHING);
    assert_resolving(scenario);
}

#[test]
fn resolving_part_of_a_page_acked_changes_nothing() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.acked(0), NOTHING);
    assert_resolving(scenario);
}

#[test]
fn resolving_page_is_an_error_and_not_taken_for_a_position() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.page(10, "p1"), [unasked(1)]);
    assert_eq!(scenario.empty_page(), NOTHING, "nothing is under way any more");
    assert_eq!(scenario.retry(), [resolve()]);
}

#[test]
fn resolving_answer_that_comes_twice_moves_it_once() {
    let mut scenario = Scenario::resolving();
    assert_eq!(scenario.latest(Some(cursor("tip"))), NOTHING);
    assert_eq!(scenario.latest(Some(cursor("later"))), NOTHING);
    assert_eq!(scenario.latest(None), NOTHING);
    assert_eq!(scenario.poll(), [fetch(after("tip"), 1)]);
}

#[test]
fn resolving_removed_gives_its_place_back_with_the_answer() {
    Scenario::resolving().removal_leaves_nothing(1);
}

#[test]
fn resolving_event_of_an_unknown_id_changes_nothing() {
    let mut scenario = Scenario::resolving();
    scenario.stranger_does_nothing();
    assert_resolving(scenario);
}
