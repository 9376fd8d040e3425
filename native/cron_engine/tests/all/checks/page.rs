//! The checks of the decoders: whatever a body is, they come back with a page or an error; a page is
//! a term that Erlang takes, and it says what the body says.

use super::meaning::{self, Meaning};
use super::term::edges;
use cron_engine::page::{self, Page};
use cron_engine::{Cursor, PageError, PageRequest, Position, Trail, decode_latest};

/// The longest text of an error: it ends up in a log line.
const MAX_ERROR: usize = 256;

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It is a page.
    pub(crate) page: bool,
    /// It says what the latest result is, or that there is none.
    pub(crate) latest: bool,
}

/// Checks all that must be true of `body`.
pub(crate) fn check(body: &[u8]) -> Outcome {
    let earliest = decode(body, &PageRequest::new(Position::Earliest));
    let cursor = decode_latest(body, u64::MAX);
    if let Err(error) = &earliest {
        check_text(error);
    }
    if let Err(error) = &cursor {
        check_text(error);
    }
    same_from_everywhere(body, &earliest);
    let outcome = Outcome { page: earliest.is_ok(), latest: cursor.is_ok() };
    let Some(tree) = meaning::tree(body) else { return outcome };
    // What is taken means what the tree means.
    let meaning = meaning::page(&tree);
    if let Ok(page) = &earliest {
        assert_eq!(Some(read(page)), meaning, "a page with another meaning than its tree");
    }
    let latest = meaning::latest(&tree);
    if let Ok(cursor) = cursor {
        assert_eq!(Some(cursor.map(bytes)), latest, "another latest cursor than the tree's");
    }
    // And what is no sloppier than the tree is taken if and only if it means anything.
    let tidy = serde_json::to_vec(&tree).expect("a tree is JSON");
    match decode(&tidy, &PageRequest::new(Position::Earliest)) {
        Err(PageError::Regressed { .. }) => {
            // Should something else be wrong behind, it was not seen.
            let readable = |page: Meaning| page.cursors.iter().any(|one| meaning::is_readable(one));
            assert!(meaning.is_none_or(readable), "an opaque cursor goes nowhere");
        }
        decoded => {
            assert_eq!(decoded.map(|page| read(&page)).ok(), meaning);
            assert!(!meaning.is_some_and(|page| meaning::goes_back(&page.cursors)), "it goes back");
        }
    }
    assert_eq!(decode_latest(&tidy, u64::MAX).map(|cursor| cursor.map(bytes)).ok(), latest);
    outcome
}

/// Where a page was asked from changes nothing of it, unless that leads nowhere or back.
fn same_from_everywhere(body: &[u8], earliest: &Result<Page, PageError>) {
    let mut requests = vec![request(Position::Unresolved), request(after(b"elsewhere"))];
    if let Ok(page) = earliest {
        let cursors = read(page).cursors;
        requests.extend(cursors.iter().map(|cursor| request(after(cursor))));
        let times = cursors.iter().filter_map(|cursor| Some(meaning::ao_cursor(cursor)?.0));
        let walks = [0]
            .into_iter()
            .chain(times)
            .map(|at| PageRequest { at: Some(at), ..request(Position::Earliest) });
        requests.extend(walks);
    }
    for request in requests {
        match (earliest, decode(body, &request)) {
            (Ok(page), Ok(same)) => {
                assert_eq!(same.parts, page.parts, "{request:?}");
                let after = |at| {
                    read(&same)
                        .cursors
                        .iter()
                        .all(|cursor| meaning::ao_cursor(cursor).is_none_or(|(time, _)| time >= at))
                };
                assert!(request.at.is_none_or(after), "before {request:?}");
            }
            (Err(error), Err(same)) => assert_eq!(same, *error, "{request:?}"),
            (Ok(page), Err(PageError::StuckCursor)) => {
                assert!(page.last.is_some() && page.last.as_ref() == request.from.cursor());
            }
            (Ok(_), Err(PageError::Regressed { .. })) => {
                let readable = Trail::at(&request.from).timestamp().is_some();
                assert!(readable || request.at.is_some(), "{request:?}");
            }
            (one, other) => panic!("{one:?} from the beginning, {other:?} for {request:?}"),
        }
    }
}

fn request(from: Position) -> PageRequest {
    PageRequest::new(from)
}

/// A page from memory that was used before, as a fetch thread's is.
fn decode(body: &[u8], request: &PageRequest) -> Result<Page, PageError> {
    let page = page::decode(body, request, &mut b"left over from another page".to_vec())?;
    let from = request.from.cursor();
    assert!(page.last.is_none() || page.last.as_ref() != from, "a page without progress");
    Ok(page)
}

/// What a page holds, as Erlang would read it.
fn read(page: &Page) -> Meaning {
    let edges = edges(page);
    let memory = u64::try_from(edges.iter().map(meaning::memory).sum::<usize>()).expect("a size");
    assert!(page.memory >= memory / 2, "it takes {memory} bytes, not {}", page.memory);
    assert_eq!(u64::try_from(edges.len()), Ok(page.edges), "as many edges as it says");
    let cursors: Vec<Vec<u8>> =
        edges.iter().map(|edge| edge.get("cursor").text().as_bytes().to_vec()).collect();
    let last = page.last.clone().map(bytes);
    assert_eq!(cursors.last(), last.as_ref(), "the last edge's cursor");
    assert!(cursors.iter().all(|cursor| Cursor::new(cursor).is_ok()), "each could be asked from");
    Meaning { edges, cursors }
}

fn after(cursor: &[u8]) -> Position {
    Position::After(Cursor::new(cursor).expect("a cursor"))
}

fn bytes(cursor: Cursor) -> Vec<u8> {
    cursor.as_bytes().to_vec()
}

fn check_text(error: &PageError) {
    let text = error.to_string();
    assert!(text.len() <= MAX_ERROR, "a text of {} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "more than a line: {}", text.escape_debug());
}
