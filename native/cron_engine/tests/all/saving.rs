//! A monitor whose starting point is not durable yet: nothing is fetched from it, since what came
//! after it would be lost with it in a crash.

use crate::util::{
    ID, NOTHING, RATE, after, config, cursor, failed, failure, fetch, registration, resolve, tick,
};
use cron_engine::{Action, Class, Engine, Event, Fetched, Position, Registration, Time};

/// An engine with one monitor, whose checkpoint takes its time.
struct Saving {
    engine: Engine,
    now: Time,
}

impl Saving {
    /// A monitor that begins at `position`, which the checkpoint holds already or not.
    fn registered(position: Position, durable: bool) -> (Self, Vec<Action>) {
        let mut saving = Self { engine: Engine::new(config(4)), now: Time::from_millis(7) };
        let registration = Registration { durable, ..registration(ID, RATE, position) };
        let actions = saving.event(Event::Register(registration));
        (saving, actions)
    }

    /// A monitor whose starting point was given and is not durable.
    fn given() -> Self {
        let (saving, actions) = Self::registered(after("given"), false);
        assert_eq!(actions, NOTHING, "who registered it has it saved");
        saving
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        self.engine.handle_event(self.now, event);
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    fn due(&mut self) -> Vec<Action> {
        self.now = self.engine.poll_timeout().expect("a tick is planned");
        self.engine.handle_timeout(self.now);
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }
}

fn save(position: Position) -> Action {
    Action::Save { id: ID, position }
}

fn latest(text: &str) -> Event {
    Event::Fetched(ID, Ok(Fetched::Latest(Some(cursor(text)))))
}

#[test]
fn saving_tick_due_is_missed() {
    let mut saving = Saving::given();
    assert_eq!(saving.due(), NOTHING);
    assert_eq!(saving.engine.counters().missed_ticks, 1);
}

#[test]
fn saving_saved_waits_for_its_tick() {
    let mut saving = Saving::given();
    assert_eq!(saving.event(Event::Saved(ID)), NOTHING);
    assert_eq!(saving.due(), [tick()]);
    assert_eq!(saving.event(Event::Poll(ID)), [fetch(after("given"), 1)]);
}

#[test]
fn saving_poll_is_answered_once_it_is_saved() {
    let mut saving = Saving::given();
    assert_eq!(saving.event(Event::Poll(ID)), NOTHING);
    assert_eq!(saving.event(Event::Poll(ID)), NOTHING);
    assert_eq!(saving.event(Event::Saved(ID)), [fetch(after("given"), 1)]);
}

#[test]
fn saving_saved_twice_counts_once() {
    let mut saving = Saving::given();
    saving.event(Event::Poll(ID));
    saving.event(Event::Saved(ID));
    assert_eq!(saving.event(Event::Saved(ID)), NOTHING);
}

#[test]
fn saving_stray_answers_are_ignored() {
    let mut saving = Saving::given();
    assert_eq!(saving.event(latest("stray")), NOTHING);
    assert_eq!(saving.event(Event::Fetched(ID, Err(failure(Class::Timeout)))), NOTHING);
    assert_eq!(saving.event(Event::Acked(ID, 5)), NOTHING);
    saving.event(Event::Saved(ID));
    saving.due();
    assert_eq!(saving.event(Event::Poll(ID)), [fetch(after("given"), 1)]);
}

#[test]
fn saving_removed_leaves_nothing() {
    let mut saving = Saving::given();
    assert_eq!(saving.event(Event::Removed(ID)), NOTHING);
    assert_eq!(saving.event(Event::Saved(ID)), NOTHING);
    assert_eq!(saving.engine.counters().monitors, 0);
}

#[test]
fn registered_at_a_durable_position_needs_no_saving() {
    let (mut saving, actions) = Saving::registered(after("stored"), true);
    assert_eq!(actions, NOTHING);
    assert_eq!(saving.due(), [tick()]);
}

#[test]
fn resolved_is_saved_before_anything_is_fetched() {
    let (mut saving, actions) = Saving::registered(Position::Unresolved, true);
    assert_eq!(actions, [resolve()]);
    assert_eq!(saving.event(Event::Poll(ID)), NOTHING);
    assert_eq!(saving.event(latest("tip")), [save(after("tip"))]);
    assert_eq!(saving.due(), NOTHING);
    assert_eq!(saving.event(Event::Saved(ID)), [fetch(after("tip"), 1)]);
}

#[test]
fn resolved_to_the_earliest_is_saved_as_that() {
    let (mut saving, _) = Saving::registered(Position::Unresolved, true);
    let none = Event::Fetched(ID, Ok(Fetched::Latest(None)));
    assert_eq!(saving.event(none), [save(Position::Earliest)]);
}

#[test]
fn resolving_that_fails_saves_nothing() {
    let (mut saving, _) = Saving::registered(Position::Unresolved, true);
    let error = Event::Fetched(ID, Err(failure(Class::Status)));
    assert_eq!(saving.event(error), [failed(Class::Status, 1)]);
    assert_eq!(saving.event(Event::Poll(ID)), [resolve()]);
    assert_eq!(saving.event(latest("tip")).last(), Some(&save(after("tip"))));
    assert_eq!(saving.event(Event::Saved(ID)), [fetch(after("tip"), 1)]);
}
