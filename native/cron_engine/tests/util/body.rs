//! Bodies as a CU would send them, or as it should not, and what the decoder makes of them.

use super::term::Term;
use cron_engine::{PageError, Position, page};

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
    let page = page::decode(body.as_ref(), &Position::Earliest, Vec::new())?;
    let terms = Term::read(&page.terms).list();
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
        PageError::TooDeep => "too deep",
        PageError::Shape(_) => "shape",
        PageError::Number(_) => "number",
        PageError::Cursor { .. } => "cursor",
        PageError::StuckCursor => "stuck",
        PageError::EmptyWithNext => "empty with next",
        _ => "unknown",
    }
}
