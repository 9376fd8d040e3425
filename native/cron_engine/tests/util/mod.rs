//! What the tests of this crate share. Two worlds run the engine on a simulated clock:
//! [`scenario`] holds one monitor and leaves every answer to the test, [`world`] holds many, with
//! a simulated Compute Unit (CU) and monitor processes that act on their own. [`body`] writes
//! the bodies of answers, and [`term`] reads the terms that the page decoder makes of them.
#![allow(dead_code, reason = "each test file is a crate of its own and uses only its part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: what is not as expected must end the test"
)]

pub(crate) mod body;
pub(crate) mod scenario;
pub(crate) mod term;
pub(crate) mod watched;
pub(crate) mod world;

use cron_engine::{Action, Class, Cursor, Failure, MonitorId, Position, ProcessId};
use cron_engine::{Report, Request};
use std::time::Duration;

/// The monitor under test.
pub(crate) const ID: MonitorId = MonitorId(1);

/// A monitor that came and went: what is said in its name must move nothing.
pub(crate) const STRANGER: MonitorId = MonitorId(99);

/// The time between the ticks of the monitor under test.
pub(crate) const RATE: Duration = Duration::from_secs(1);

/// What an event that asks for nothing leads to.
pub(crate) const NOTHING: [Action; 0] = [];

/// A process id of its own for each number: first ticks are hashed from it.
pub(crate) fn process(number: u64) -> ProcessId {
    ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits")
}

/// A cursor that says `text`.
pub(crate) fn cursor(text: &str) -> Cursor {
    Cursor::new(text.as_bytes()).expect("a cursor")
}

/// The position after the result with the cursor `text`.
pub(crate) fn after(text: &str) -> Position {
    Position::After(cursor(text))
}

/// The failure that a broken connection gives.
pub(crate) fn failure(class: Class) -> Failure {
    Failure::new(class, "it went wrong")
}

/// The monitor under test is told that it is due.
pub(crate) fn tick() -> Action {
    Action::Tick { id: ID }
}

/// A page is fetched for the monitor under test, from the node it began with.
pub(crate) fn fetch(from: Position, first_seq: u64) -> Action {
    fetch_at(from, first_seq, 0)
}

/// A page is fetched for the monitor under test, after `rotation` failures.
pub(crate) fn fetch_at(from: Position, first_seq: u64, rotation: usize) -> Action {
    Action::Fetch { id: ID, request: Request::Page { from, first_seq }, rotation }
}

/// The latest cursor is looked up for the monitor under test, after `rotation` failures.
pub(crate) fn resolve(rotation: usize) -> Action {
    Action::Fetch { id: ID, request: Request::Latest, rotation }
}

/// The log of the monitor under test is told of a failure.
pub(crate) fn failed(class: Class, repeats: u64) -> Action {
    Action::Report { id: ID, report: Report::Failed { failure: failure(class), repeats } }
}

/// The log of the monitor under test is told of an answer to something else than what was asked.
pub(crate) fn unasked(repeats: u64) -> Action {
    let failure = Failure::new(Class::Internal, "an answer to another question");
    Action::Report { id: ID, report: Report::Failed { failure, repeats } }
}

/// The log of the monitor under test is told that fetches work again.
pub(crate) fn recovered(failures: u64) -> Action {
    Action::Report { id: ID, report: Report::Recovered { failures } }
}
