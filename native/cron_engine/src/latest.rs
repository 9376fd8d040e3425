//! The answer to "what is the latest result": its cursor, or that there is none. Only a body that
//! clearly says so counts as none: starting at the first result by mistake would push all the
//! old ones again.

use crate::Cursor;
use crate::page::{MapOf, PageError, PageInfo, repairing};
use serde::Deserialize;

#[derive(Deserialize)]
struct Body {
    edges: Vec<MapOf<Edge>>,
    #[serde(default, rename = "pageInfo")]
    page_info: Option<MapOf<PageInfo>>,
}

#[derive(Deserialize)]
struct Edge {
    cursor: Option<String>,
}

/// Decodes the body of the answer to [`latest_path`](crate::request::latest_path).
///
/// # Errors
/// [`PageError`] if the body is not what it should be, whatever it may be instead.
pub fn decode(body: &[u8]) -> Result<Option<Cursor>, PageError> {
    match std::str::from_utf8(body) {
        Ok(text) => repairing(text, |text| latest(serde_json::from_str(text))),
        // In the node it does no harm here.
        Err(error) => latest(serde_json::from_slice(body)).map_err(|other| match other {
            PageError::Json(_) => PageError::Utf8(error.valid_up_to()),
            other => other,
        }),
    }
}

fn latest(parsed: serde_json::Result<MapOf<Body>>) -> Result<Option<Cursor>, PageError> {
    let MapOf(body) = parsed.map_err(|error| PageError::from_serde(&error))?;
    let Some(MapOf(edge)) = body.edges.into_iter().next() else {
        let more = body.page_info.is_some_and(|MapOf(info)| info.has_next_page);
        return if more { Err(PageError::EmptyWithNext) } else { Ok(None) };
    };
    let no_cursor = |reason: String| PageError::Cursor { edge: 0, reason };
    let text = edge.cursor.ok_or_else(|| no_cursor("there is none".into()))?;
    Cursor::new(text.as_bytes()).map(Some).map_err(|error| no_cursor(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_of_one_edge_is_its_cursor() {
        let body =
            br#"{"pageInfo":{"hasNextPage":true},"edges":[{"node":{"x":[1]},"cursor":"abc"}]}"#;
        assert_eq!(decode(body).unwrap().unwrap().as_bytes(), b"abc");
    }

    #[test]
    fn latest_of_no_edges_is_none() {
        assert_eq!(decode(br#"{"pageInfo":{"hasNextPage":false},"edges":[]}"#), Ok(None));
    }

    #[test]
    fn latest_of_anything_else_is_an_error_and_never_none() {
        let bodies: [&[u8]; 9] = [
            b"",
            b"{}",
            b"null",
            b"[]",
            br#"{"edges":null}"#,
            br#"{"error":"fetch failed"}"#,
            br#"{"edges":[{}]}"#,
            br#"{"edges":[{"cursor":""}]}"#,
            b"<html></html>",
        ];
        for body in bodies {
            assert!(decode(body).is_err(), "{}", body.escape_ascii());
        }
    }
}
