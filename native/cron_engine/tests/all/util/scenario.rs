//! One monitor on a simulated clock, for the tests of its states. Every event is given by the
//! test, and gives back what the engine made of it; each state is reached by the events that
//! reach it in use, so a test says nothing about how a state is stored.

use super::{
    ID, NOTHING, RATE, STRANGER, after, config, cursor, failed, failure, fetch, page_to,
    registration, resolve, tick,
};
use cron_engine::{
    Action, Class, Counters, Cursor, Engine, Event, Fetched, MonitorId, PageRequest, Position,
    Request, Time,
};
use std::time::Duration;

/// How many edges the first page of a state's history has: acking fewer acks a part of it.
pub(crate) const FIRST_PAGE: u64 = 10;
/// How many edges the second page has.
pub(crate) const SECOND_PAGE: u64 = 5;

/// An engine with one monitor, and all of its actions.
pub(crate) struct Scenario {
    pub(crate) now: Time,
    pub(crate) engine: Engine,
    /// Everything the engine asked for so far: the place to look for what must never happen.
    pub(crate) recorded: Vec<Action>,
}

impl Scenario {
    /// A monitor that was just registered at `position`, and what that led to.
    pub(crate) fn registered(position: Position) -> (Self, Vec<Action>) {
        let engine = Engine::new(config(4));
        // Not at zero, so that a mix-up of points and durations shows.
        let now = Time::from_millis(12_345);
        let mut scenario = Self { now, engine, recorded: Vec::new() };
        let actions = scenario.register(ID, RATE, position);
        (scenario, actions)
    }

    /// A monitor that begins at the first result and waits for its first tick.
    pub(crate) fn idle() -> Self {
        let (scenario, actions) = Self::registered(Position::Earliest);
        assert_eq!(actions, NOTHING);
        scenario
    }

    /// A monitor that got a tick and has not polled yet.
    pub(crate) fn ticked() -> Self {
        let mut scenario = Self::idle();
        assert_eq!(scenario.due(), [tick()]);
        scenario
    }

    /// A monitor whose latest cursor is being looked up.
    pub(crate) fn resolving() -> Self {
        let (scenario, actions) = Self::registered(Position::Unresolved);
        assert_eq!(actions, [resolve()]);
        scenario
    }

    /// A monitor that waits for its first page, with nothing unacked.
    pub(crate) fn fetching() -> Self {
        let mut scenario = Self::idle();
        assert_eq!(scenario.poll(), [fetch(Position::Earliest, 1)]);
        scenario
    }

    /// A monitor that waits for its second page while the first, which ends with the cursor
    /// `p1`, is unacked.
    pub(crate) fn fetching_ahead() -> Self {
        let mut scenario = Self::fetching();
        assert_eq!(scenario.page(FIRST_PAGE, "p1"), [fetch(after("p1"), FIRST_PAGE + 1)]);
        scenario
    }

    /// A monitor with two unacked pages, which end with `p1` and `p2`: its credit is used up.
    pub(crate) fn full() -> Self {
        let mut scenario = Self::fetching_ahead();
        assert_eq!(scenario.page(SECOND_PAGE, "p2"), NOTHING);
        scenario
    }

    /// A monitor that has reached the end of the results while its only page is unacked.
    pub(crate) fn draining() -> Self {
        let mut scenario = Self::fetching_ahead();
        assert_eq!(scenario.empty_page(), NOTHING);
        scenario
    }

    /// A monitor whose fetch failed, with nothing unacked: it waits for the next try.
    pub(crate) fn waiting() -> Self {
        let mut scenario = Self::fetching();
        assert_eq!(scenario.fetch_failed(Class::Status), [failed(Class::Status, 1)]);
        scenario
    }

    /// Registers one more monitor.
    pub(crate) fn register(
        &mut self,
        id: MonitorId,
        rate: Duration,
        position: Position,
    ) -> Vec<Action> {
        self.event(Event::Register(registration(id, rate, position)))
    }

    /// Tells the engine what happened; gives back what it wants done.
    pub(crate) fn event(&mut self, event: Event) -> Vec<Action> {
        self.engine.handle_event(self.now, event);
        self.actions()
    }

    /// Jumps to the next wake-up the engine asked for and serves it.
    pub(crate) fn due(&mut self) -> Vec<Action> {
        self.now = self.engine.poll_timeout().expect("a tick is planned");
        self.engine.handle_timeout(self.now);
        self.actions()
    }

    /// Jumps on until there is something to do, past the ticks that are missed meanwhile.
    pub(crate) fn retry(&mut self) -> Vec<Action> {
        loop {
            let actions = self.due();
            if !actions.is_empty() {
                return actions;
            }
        }
    }

    pub(crate) fn poll(&mut self) -> Vec<Action> {
        self.event(Event::Poll(ID))
    }

    pub(crate) fn acked(&mut self, seq: u64) -> Vec<Action> {
        self.event(Event::Acked(ID, seq))
    }

    pub(crate) fn removed(&mut self) -> Vec<Action> {
        self.event(Event::Removed(ID))
    }

    pub(crate) fn page(&mut self, edges: u64, last: &str) -> Vec<Action> {
        self.event(Event::Fetched(ID, Ok(page_to(edges, last, 100 * edges))))
    }

    pub(crate) fn empty_page(&mut self) -> Vec<Action> {
        self.event(Event::Fetched(ID, Ok(Fetched::EmptyPage)))
    }

    pub(crate) fn latest(&mut self, latest: Option<Cursor>) -> Vec<Action> {
        self.event(Event::Fetched(ID, Ok(Fetched::Latest(latest))))
    }

    pub(crate) fn fetch_failed(&mut self, class: Class) -> Vec<Action> {
        self.event(Event::Fetched(ID, Err(failure(class))))
    }

    pub(crate) fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Answers a fetch that never began with everything that a fetch can return: nothing may be done
    /// about it, and no outage begins or ends.
    pub(crate) fn stray_answers_do_nothing(&mut self) {
        assert_eq!(self.page(7, "stray"), NOTHING);
        assert_eq!(self.empty_page(), NOTHING);
        assert_eq!(self.latest(Some(cursor("stray"))), NOTHING);
        assert_eq!(self.latest(None), NOTHING);
        assert_eq!(self.fetch_failed(Class::Timeout), NOTHING);
        assert_eq!(self.counters().failures, 0);
    }

    /// Lets another monitor come, fetch and go, then sends every possible event in its name, which
    /// comes too late: the monitor under test must not notice.
    pub(crate) fn stranger_does_nothing(&mut self) {
        let before = self.counters();
        // Its first tick lies far behind the end of the test.
        let year = RATE * 31_536_000;
        assert_eq!(self.register(STRANGER, year, Position::Earliest), NOTHING);
        let request = Request::Page(PageRequest::new(Position::Earliest));
        let polled = self.event(Event::Poll(STRANGER));
        assert_eq!(polled.len(), 1);
        assert!(matches!(
            &polled[0],
            Action::Fetch { id: STRANGER, request: asked, .. } if *asked == request
        ));
        let page = page_to(3, "theirs", 300);
        for event in [
            Event::Removed(STRANGER),
            Event::Poll(STRANGER),
            Event::Acked(STRANGER, u64::MAX),
            Event::Fetched(STRANGER, Ok(page)),
            Event::Removed(STRANGER),
        ] {
            assert_eq!(self.event(event), NOTHING);
        }
        assert_eq!(self.counters(), Counters { fetches: before.fetches + 1, ..before });
    }

    /// Removes the monitor: nothing is left of it but `inflight` fetches, whose answers only give
    /// their places back.
    pub(crate) fn removal_leaves_nothing(&mut self, inflight: usize) {
        assert_eq!(self.removed(), NOTHING);
        assert_eq!(self.poll(), NOTHING);
        assert_eq!(self.acked(u64::MAX), NOTHING);
        assert_eq!(self.due(), NOTHING);
        assert_eq!(self.engine.poll_timeout(), None);
        assert_eq!(self.counters().inflight, inflight);
        for _ in 0..inflight {
            assert_eq!(self.page(4, "late"), NOTHING);
        }
        assert_eq!(self.counters().inflight, 0);
        assert_eq!(self.counters().monitors, 0);
    }

    fn actions(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            // Durable at once, as with a checkpoint in memory; `saving.rs` is about any other.
            match action {
                Action::Save { id, .. } => self.engine.handle_event(self.now, Event::Saved(id)),
                other => actions.push(other),
            }
        }
        self.recorded.extend_from_slice(&actions);
        actions
    }
}
