//! What the tests of this crate share. Three worlds run the engine on a simulated clock:
//! [`scenario`] holds one monitor and leaves every answer to the test, [`world`] holds many, with
//! a simulated Compute Unit (CU) and monitor processes that act on their own, [`hosted`] many of
//! several hosts that are dead or slow. Here are the actions
//! that tests expect of the engine and the bodies they give to the decoder; [`term`] reads the
//! terms that the decoder makes of them.

pub(crate) mod cu;
pub(crate) mod hosted;
pub(crate) mod plan;
pub(crate) mod polled;
pub(crate) mod scenario;
pub(crate) mod watched;
pub(crate) mod world;

pub(crate) use crate::checks::term;

use cron_engine::{
    Action, Class, Config, Cursor, Failure, Fetched, MonitorId, PageError, PageRequest, Position,
    ProcessId, Registration, Report, Request, page,
};
use std::sync::Arc;
use std::time::Duration;
use term::Term;

/// The monitor under test.
pub(crate) const ID: MonitorId = MonitorId(1);

/// A monitor that came and went: what is said in its name must move nothing.
pub(crate) const STRANGER: MonitorId = MonitorId(99);

/// The time between the ticks of the monitor under test.
pub(crate) const RATE: Duration = Duration::from_secs(1);

/// What an event that asks for nothing leads to.
pub(crate) const NOTHING: [Action; 0] = [];

/// A node with all the memory it may want.
pub(crate) fn config(max_inflight: usize) -> Config {
    Config { max_inflight, max_buffered: u64::MAX, seed: 1 }
}

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

/// A tick of the monitor under test.
pub(crate) fn tick() -> Action {
    Action::Tick { id: ID }
}

/// This is fetched for the monitor under test.
pub(crate) fn fetching(request: Request) -> Action {
    Action::Fetch { id: ID, request, node: 0, patience: None }
}

/// A page is fetched for the monitor under test, whose cursors leave no trail.
pub(crate) fn fetch(from: Position, first_seq: u64) -> Action {
    let trail = (first_seq > 1).then(Arc::default);
    fetching(Request::Page(PageRequest { first_seq, trail, ..PageRequest::new(from) }))
}

/// The latest cursor is looked up for the monitor under test.
pub(crate) fn resolve() -> Action {
    fetching(Request::Latest)
}

/// A page of `edges` results, the last one with the cursor `last`, which leaves no trail.
pub(crate) fn page_to(edges: u64, last: &str, bytes: u64) -> Fetched {
    Fetched::Page {
        edges,
        last: cursor(last),
        trail: Arc::default(),
        bytes,
        cut: false,
        more: false,
    }
}

/// A registration of the monitor under test, or another, with a process of its own.
pub(crate) fn registration(id: MonitorId, rate: Duration, position: Position) -> Registration {
    Registration::new(id, process(id.0), rate, position)
}

/// A report of a failure in the log of the monitor under test.
pub(crate) fn failed(class: Class, repeats: u64) -> Action {
    Action::Report { id: ID, report: Report::Failed { failure: failure(class), repeats } }
}

/// A report that an answer did not match its request, in the log of the monitor under test.
pub(crate) fn unasked(repeats: u64) -> Action {
    let failure = Failure::new(Class::Internal, "an answer to another question");
    Action::Report { id: ID, report: Report::Failed { failure, repeats } }
}

/// A report that fetches work again, in the log of the monitor under test.
pub(crate) fn recovered(failures: u64) -> Action {
    Action::Report { id: ID, report: Report::Recovered { failures } }
}

/// The cursor of the one edge of [`node`].
pub(crate) const CURSOR: &str = "the-cursor";

/// The key under which `serde_json` passes numbers on. A CU may use it as well.
pub(crate) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// A page with these edges, which are JSON, and no next one.
pub(crate) fn page_of(edges: &[&str]) -> String {
    format!(r#"{{"pageInfo":{{"hasNextPage":false}},"edges":[{}]}}"#, edges.join(","))
}

/// A page with one edge, whose node is this JSON.
pub(crate) fn page_with(node: &str) -> String {
    page_of(&[&format!(r#"{{"node":{node},"cursor":"{CURSOR}"}}"#)])
}

/// Decodes the body of a page asked for from the beginning: the terms of its edges. That the
/// page says of itself what is in its terms is checked along the way.
pub(crate) fn terms(body: impl AsRef<[u8]>) -> Result<Vec<Term>, PageError> {
    let page = page::decode(body.as_ref(), &PageRequest::new(Position::Earliest), &mut Vec::new())?;
    let terms = term::edges(&page);
    assert_eq!(u64::try_from(terms.len()), Ok(page.edges));
    let last = terms.last().map(|edge| edge.get("cursor").clone());
    assert_eq!(last, page.last.map(|last| Term::Binary(last.as_bytes().to_vec())));
    Ok(terms)
}

/// Decodes a page whose one node is this JSON: the node's term, without the cursor.
pub(crate) fn node(json: &str) -> Result<Term, PageError> {
    let mut terms = terms(page_with(json))?;
    let Some(Term::Map(mut entries)) = terms.pop() else { panic!("one edge, which is a map") };
    assert_eq!(entries.remove(&b"cursor"[..]), Some(Term::binary(CURSOR)));
    Ok(Term::Map(entries))
}

/// Decodes a page whose one node has this JSON in it: the term of just that.
pub(crate) fn value(json: &str) -> Result<Term, PageError> {
    node(&format!(r#"{{"v":{json}}}"#)).map(|node| node.get("v").clone())
}

/// The class of an error, without the words.
pub(crate) fn kind(error: &PageError) -> &'static str {
    match error {
        PageError::Json(_) => "json",
        PageError::Utf8(_) => "utf8",
        PageError::StringTooLong(_) => "string too long",
        PageError::TooManyEdges => "too many edges",
        PageError::CursorTooLong { .. } => "cursor too long",
        PageError::Regressed { .. } => "regressed",
        PageError::TooDeep => "too deep",
        PageError::Shape(_) => "shape",
        PageError::Number(_) => "number",
        PageError::Cursor { .. } => "cursor",
        PageError::StuckCursor => "stuck",
        PageError::EmptyWithNext => "empty with next",
        _ => "unknown",
    }
}
