//! A monitor in `Waiting`: its fetch failed. It is tried again after a pause that grows, at once on
//! a poll, and never from anywhere else than where it was.

use crate::util::scenario::{FIRST_PAGE, SECOND_PAGE, Scenario};
use crate::util::{
    ID, NOTHING, RATE, after, failed, fetch, fetching, recovered, registration, tick, unasked,
};
use cron_engine::{Class, Event, Failure, HostId, Position, Registration};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn waiting_retry_fetches_the_same_page() {
    let mut scenario = Scenario::waiting();
    assert_eq!(scenario.counters().failures, 1);
    assert_eq!(scenario.counters().inflight, 0);
    let failed_at = scenario.now;
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
    assert!(scenario.now.since(failed_at) <= Duration::from_secs(1));
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [recovered(1), fetch(after("p1"), FIRST_PAGE + 1)]);
}

#[test]
fn waiting_ticks_are_missed_until_it_recovers() {
    let mut scenario = Scenario::waiting();
    for _ in 0..20 {
        scenario.retry();
        scenario.fetch_failed(Class::Status);
    }
    assert_eq!(scenario.counters().ticks, 0);
    assert!(scenario.counters().missed_ticks > 20);
    scenario.retry();
    assert_eq!(scenario.page(FIRST_PAGE, "p1").first(), Some(&recovered(21)));
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.empty_page(), NOTHING);
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn waiting_pauses_grow_up_to_five_minutes() {
    let mut scenario = Scenario::waiting();
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let failed_at = scenario.now;
        scenario.retry();
        pauses.push(scenario.now.since(failed_at));
        scenario.fetch_failed(Class::BadJson);
    }
    for (failures, pause) in (0_u32..).zip(&pauses) {
        let ceiling = Duration::from_secs(1) * 2_u32.pow(failures.min(9));
        assert!(*pause <= ceiling.min(Duration::from_mins(5)), "{pause:?} after {failures}");
    }
    assert!(pauses.iter().max() > Some(&Duration::from_mins(4)));
    assert!(pauses[20..].iter().min() < Some(&Duration::from_mins(1)), "they are spread");
}

#[test]
fn waiting_poll_fetches_at_once_and_the_planned_retry_is_void() {
    let mut scenario = Scenario::waiting();
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.empty_page(), [recovered(1)]);
    for _ in 0..5 {
        assert_eq!(scenario.retry(), [tick()]);
        assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
        assert_eq!(scenario.empty_page(), NOTHING);
    }
}

#[test]
fn waiting_forgets_the_poll_that_was_asked_for_before() {
    let mut scenario = Scenario::fetching();
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
    assert_eq!(scenario.counters().inflight, 0, "a CU in trouble is not asked at once again");
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.empty_page(), [recovered(1)], "and the poll is not made up for");
}

#[test]
fn waiting_with_a_page_unacked_goes_on_behind_it() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
    assert_eq!(scenario.retry(), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.page(SECOND_PAGE, "p2"), [recovered(1)], "its credit is used up");
    assert_eq!(scenario.acked(FIRST_PAGE), [fetch(after("p2"), FIRST_PAGE + SECOND_PAGE + 1)]);
}

#[test]
fn waiting_page_acked_does_not_hasten_the_next_try() {
    let mut scenario = Scenario::fetching_ahead();
    assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
    assert_eq!(scenario.acked(FIRST_PAGE), NOTHING);
    assert_eq!(scenario.retry(), [fetch(after("p1"), FIRST_PAGE + 1)]);
    assert_eq!(scenario.empty_page(), [recovered(1)]);
    assert_eq!(scenario.due(), [tick()]);
}

#[test]
fn waiting_stray_answers_are_ignored() {
    let mut scenario = Scenario::waiting();
    assert_eq!(scenario.page(7, "stray"), NOTHING);
    assert_eq!(scenario.fetch_failed(Class::Timeout), NOTHING);
    assert_eq!(scenario.counters().failures, 1);
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
}

#[test]
fn waiting_wrong_answer_does_not_end_an_outage() {
    let mut scenario = Scenario::waiting();
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.latest(None), [unasked(2)]);
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
    assert_eq!(scenario.empty_page(), [recovered(2)]);
}

#[test]
fn waiting_removed_leaves_nothing() {
    let mut scenario = Scenario::waiting();
    assert_eq!(scenario.removed(), NOTHING);
    while scenario.engine.poll_timeout().is_some() {
        assert_eq!(scenario.due(), NOTHING);
    }
    assert_eq!(scenario.counters().monitors, 0);
}

#[test]
fn waiting_is_as_long_as_the_cu_asks_for_and_a_poll_does_not_shorten_it() {
    let mut scenario = Scenario::fetching();
    let retry_after = Some(Duration::from_secs(90));
    let failure = Failure { retry_after, ..Failure::new(Class::Status, "503") };
    let asked_at = scenario.now;
    assert_eq!(scenario.event(Event::Fetched(ID, Err(failure))).len(), 1);
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.counters().queued, 0);
    assert_eq!(scenario.retry(), [fetch(Position::Earliest, 1)]);
    assert_eq!(Some(scenario.now.since(asked_at)), retry_after);
}

/// A monitor with two nodes that fetches from the first.
fn fetching_from_two() -> Scenario {
    let mut scenario = Scenario::idle();
    scenario.removed();
    let nodes = Arc::from([HostId(1), HostId(2)]);
    let registration = Registration { nodes, ..registration(ID, RATE, Position::Earliest) };
    assert_eq!(scenario.event(Event::Register(registration)), NOTHING);
    assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
    scenario
}

/// The page is fetched from this node.
fn fetch_from(node: usize, from: Position, first_seq: u64) -> cron_engine::Action {
    match fetch(from, first_seq) {
        cron_engine::Action::Fetch { id, request, patience, .. } => {
            cron_engine::Action::Fetch { id, request, node, patience }
        }
        other => other,
    }
}

#[test]
fn waiting_for_nothing_where_there_is_another_node_to_ask() {
    let mut scenario = fetching_from_two();
    let failed_at = scenario.now;
    scenario.fetch_failed(Class::Connect);
    assert_eq!(scenario.retry(), [fetch_from(1, Position::Earliest, 1)]);
    assert_eq!(scenario.now, failed_at);
    let next = fetch_from(1, after("p1"), FIRST_PAGE + 1);
    assert_eq!(scenario.page(FIRST_PAGE, "p1"), [recovered(1), next], "a node that works is kept");
}

#[test]
fn waiting_begins_once_every_node_has_failed() {
    let mut scenario = fetching_from_two();
    scenario.fetch_failed(Class::Connect);
    scenario.retry();
    let failed_at = scenario.now;
    scenario.fetch_failed(Class::Connect);
    assert_eq!(scenario.retry(), [fetch_from(0, Position::Earliest, 1)]);
    assert!(scenario.now > failed_at);
}

#[test]
fn waiting_monitor_whose_nodes_are_replaced_asks_the_new_ones() {
    let mut scenario = fetching_from_two();
    scenario.fetch_failed(Class::Connect);
    let page = cron_engine::PageRequest::new(Position::Earliest);
    let moved = scenario.event(Event::Moved(ID, Arc::from([HostId(3)])));
    assert_eq!(moved, [fetching(cron_engine::Request::Page(page))], "at once");
}
