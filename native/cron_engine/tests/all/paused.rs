//! A monitor that is registered as paused: it looks up where it begins, so that what comes from then on is
//! its own once it is resumed, and does nothing else. It is resumed by being registered anew.

use crate::util::scenario::Scenario;
use crate::util::{ID, NOTHING, RATE, after, cursor, fetch, registration, resolve};
use cron_engine::{Action, Class, Doing, Event, Position, Registration};

fn paused(position: Position, durable: bool) -> (Scenario, Vec<Action>) {
    let mut scenario = Scenario::idle();
    scenario.removed();
    let begin = Registration { paused: true, durable, ..registration(ID, RATE, position) };
    let actions = scenario.event(Event::Register(begin));
    (scenario, actions)
}

/// No tick for hours, nor a fetch, nor one that counts as missed.
fn assert_still(scenario: &mut Scenario) {
    let before = scenario.counters();
    for _ in 0..1000 {
        assert_eq!(scenario.due(), NOTHING);
    }
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.due(), NOTHING);
    let after = scenario.counters();
    assert_eq!(
        (after.ticks, after.missed_ticks, after.fetches),
        (before.ticks, before.missed_ticks, before.fetches)
    );
    let seen = scenario.engine.snapshot(scenario.now, ID).unwrap();
    assert_eq!((seen.doing, seen.next_tick), (Doing::Paused, None));
}

#[test]
fn paused_at_a_known_position_neither_ticks_nor_fetches() {
    let (mut scenario, actions) = paused(after("here"), true);
    assert_eq!(actions, NOTHING);
    assert_still(&mut scenario);
}

#[test]
fn paused_at_a_position_that_is_not_durable_waits_for_that_and_stays_still() {
    let (mut scenario, actions) = paused(after("here"), false);
    assert_eq!(actions, NOTHING);
    assert_eq!(scenario.poll(), NOTHING);
    assert_eq!(scenario.event(Event::Saved(ID)), NOTHING);
    assert_still(&mut scenario);
}

#[test]
fn paused_without_a_position_looks_it_up_and_goes_no_further() {
    let (mut scenario, actions) = paused(Position::Unresolved, true);
    assert_eq!(actions, [resolve()]);
    assert_eq!(scenario.latest(Some(cursor("latest"))), NOTHING);
    let seen = scenario.engine.snapshot(scenario.now, ID).unwrap();
    assert_eq!((seen.position, seen.doing), (after("latest"), Doing::Paused));
    assert_still(&mut scenario);
}

#[test]
fn paused_look_up_that_fails_is_tried_again_and_then_it_is_still() {
    let (mut scenario, _) = paused(Position::Unresolved, true);
    assert_eq!(scenario.fetch_failed(Class::Status).len(), 1);
    assert_eq!(scenario.retry(), [resolve()]);
    scenario.latest(Some(cursor("latest")));
    assert_still(&mut scenario);
}

#[test]
fn paused_and_registered_anew_goes_on_from_where_it_is_told() {
    let (mut scenario, _) = paused(after("here"), true);
    assert_still(&mut scenario);
    assert_eq!(scenario.register(ID, RATE, after("here")), NOTHING);
    assert_eq!(scenario.poll(), [fetch(after("here"), 1)]);
}
