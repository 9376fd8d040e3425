//! The budget of bytes: bodies count from their fetch to their last ack, and while there are too
//! many no fetch begins, whosever they are.

use crate::util::{RATE, config, page_to, registration};
use cron_engine::{Action, Config, Engine, Event, MonitorId, Position, Time};

const BUDGET: u64 = 1000;

/// An engine with three monitors, each of which has asked for a poll.
fn polling(max_buffered: u64, max_inflight: usize) -> (Engine, Vec<u64>) {
    let mut engine = Engine::new(Config { max_buffered, ..config(max_inflight) });
    for number in 1..=3 {
        let registration = registration(MonitorId(number), RATE * 3600, Position::Earliest);
        engine.handle_event(Time::ZERO, Event::Register(registration));
    }
    let mut fetching = Vec::new();
    for number in 1..=3 {
        fetching.extend(tell(&mut engine, Event::Poll(MonitorId(number))));
    }
    (engine, fetching)
}

/// Tells the engine what happened: for whom it begins a fetch.
fn tell(engine: &mut Engine, event: Event) -> Vec<u64> {
    engine.handle_event(Time::ZERO, event);
    std::iter::from_fn(|| engine.poll_action())
        .filter_map(|action| match action {
            Action::Fetch { id, .. } => Some(id.0),
            _ => None,
        })
        .collect()
}

fn page(id: u64, last: &str, bytes: u64) -> Event {
    Event::Fetched(MonitorId(id), Ok(page_to(1, last, bytes)))
}

#[test]
fn budget_that_is_used_up_begins_no_fetch_until_an_ack() {
    let (mut engine, fetching) = polling(BUDGET, 1);
    assert_eq!(fetching, [1]);
    assert_eq!(tell(&mut engine, page(1, "a", 600)), [2], "there is room yet");
    assert_eq!(tell(&mut engine, page(2, "b", 400)), [0; 0], "and now there is none");
    assert_eq!(engine.counters().buffered, 1000);
    assert_eq!(engine.counters().queued, 3);
    assert_eq!(tell(&mut engine, Event::Acked(MonitorId(2), 1)), [3]);
    assert_eq!(engine.counters().buffered, 600);
}

#[test]
fn budget_smaller_than_a_page_allows_one_page_at_a_time() {
    let (mut engine, fetching) = polling(1, 1);
    assert_eq!(fetching, [1]);
    assert_eq!(tell(&mut engine, page(1, "a", 600)), [0; 0]);
    assert_eq!(tell(&mut engine, Event::Acked(MonitorId(1), 1)), [2]);
    assert_eq!(tell(&mut engine, page(2, "b", 600)), [0; 0]);
    assert_eq!(tell(&mut engine, Event::Acked(MonitorId(2), 1)), [3]);
}

#[test]
fn budget_of_a_monitor_that_goes_is_free() {
    let (mut engine, _) = polling(BUDGET, 1);
    assert_eq!(tell(&mut engine, page(1, "a", 2000)), [0; 0]);
    assert_eq!(tell(&mut engine, Event::Removed(MonitorId(1))), [2]);
    assert_eq!(engine.counters().buffered, 0);
}

#[test]
fn budget_counts_no_page_that_was_acked_before_it_was_told_of() {
    let (mut engine, _) = polling(BUDGET, 1);
    tell(&mut engine, Event::Acked(MonitorId(1), 1));
    assert_eq!(tell(&mut engine, page(1, "a", 2000)), [2]);
    assert_eq!(engine.counters().buffered, 0);
}

#[test]
fn budget_is_exceeded_by_no_more_than_what_is_under_way() {
    let (mut engine, fetching) = polling(BUDGET, 3);
    assert_eq!(fetching, [1, 2, 3]);
    assert_eq!(tell(&mut engine, page(1, "a", 1000)), [0; 0]);
    assert_eq!(tell(&mut engine, page(2, "b", 1000)), [0; 0]);
    assert_eq!(tell(&mut engine, page(3, "c", 1000)), [0; 0]);
    assert_eq!(engine.counters().buffered, 3000);
}
