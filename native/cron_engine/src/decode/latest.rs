//! The answer to the question for the newest result: its cursor, or that there is none. Only a body
//! that clearly says so counts as none: starting with the first result by mistake would push all
//! old ones again.

use crate::Cursor;
use crate::decode::ao_cursor::Reader;
use crate::decode::page::{MapOf, PageInfo, repairing};
use crate::decode::page_error::PageError;
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

/// Decodes the body of the answer to [`latest_path`](crate::decode::request::latest_path): the cursor of the
/// first edge that is not later than `horizon`, in ms since 1970.
///
///
/// # Errors
/// [`PageError`] if the body is anything else.
pub fn decode(body: &[u8], horizon: u64) -> Result<Option<Cursor>, PageError> {
    match std::str::from_utf8(body) {
        Ok(text) => repairing(text, |text| latest(serde_json::from_str(text), horizon)),
        // In the node it does no harm.
        Err(error) => latest(serde_json::from_slice(body), horizon).map_err(|other| match other {
            PageError::Json(_) => PageError::Utf8(error.valid_up_to()),
            other => other,
        }),
    }
}

fn latest(
    parsed: serde_json::Result<MapOf<Body>>,
    horizon: u64,
) -> Result<Option<Cursor>, PageError> {
    let MapOf(body) = parsed.map_err(|error| PageError::from_serde(&error))?;
    let (mut reader, mut ahead) = (Reader::default(), None);
    for (edge, MapOf(Edge { cursor })) in (0..).zip(body.edges) {
        let no_cursor = |reason: String| PageError::Cursor { edge, reason };
        let text = cursor.ok_or_else(|| no_cursor("there is none".into()))?;
        let cursor = Cursor::new(text.as_bytes()).map_err(|error| no_cursor(error.to_string()))?;
        match reader.read(cursor.as_bytes()).filter(|read| read.timestamp > horizon) {
            None => return Ok(Some(cursor)),
            Some(read) => ahead = Some(read.timestamp),
        }
    }
    if let Some(time) = ahead {
        return Err(PageError::Ahead { what: "the latest result", time, horizon });
    }
    let more = body.page_info.is_some_and(|MapOf(info)| info.has_next_page);
    if more { Err(PageError::EmptyWithNext) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine};

    #[test]
    fn latest_of_one_edge_is_its_cursor() {
        let body =
            br#"{"pageInfo":{"hasNextPage":true},"edges":[{"node":{"x":[1]},"cursor":"abc"}]}"#;
        assert_eq!(decode(body, u64::MAX).unwrap().unwrap().as_bytes(), b"abc");
    }

    #[test]
    fn latest_of_no_edges_is_none() {
        assert_eq!(decode(br#"{"pageInfo":{"hasNextPage":false},"edges":[]}"#, 0), Ok(None));
    }

    #[test]
    fn latest_that_is_ahead_of_the_clock_is_passed_over_for_the_one_before() {
        let edge = |time: u64| {
            let cursor = BASE64_STANDARD.encode(format!(r#"{{"timestamp":{time}}}"#));
            format!(r#"{{"node":{{}},"cursor":"{cursor}"}}"#)
        };
        let body = |edges: &[u64]| {
            let edges: Vec<_> = edges.iter().map(|time| edge(*time)).collect();
            format!(r#"{{"edges":[{}]}}"#, edges.join(","))
        };
        let time = |cursor: Cursor| Reader::default().read(cursor.as_bytes()).unwrap().timestamp;
        let latest = |edges: &[u64]| decode(body(edges).as_bytes(), 10).map(|it| it.map(time));
        assert_eq!(latest(&[12, 11, 9, 8]), Ok(Some(9)));
        assert_eq!(latest(&[10]), Ok(Some(10)));
        assert!(matches!(latest(&[12, 11]), Err(PageError::Ahead { time: 11, horizon: 10, .. })));
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
            assert!(decode(body, u64::MAX).is_err(), "{}", body.escape_ascii());
        }
    }
}
