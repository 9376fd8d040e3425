//! Bodies that are broken or meant to break something: whatever comes over the wire, the decoders
//! answer with a page or an error. They never panic, never overflow the stack, and never take
//! a part for the whole.

use crate::util::term::{Term, edges};
use crate::util::{CURSOR, kind, node, page_of, page_with, terms, value};
use crate::util::{after, cursor};
use cron_engine::{PageError, PageRequest, Position, decode_latest, page};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A page with something of everything in it.
const RICH: &str = r#"{"pageInfo":{"hasNextPage":true},"edges":[
    {"node":{"Messages":[{"Tags":[{"name":"a","value":"\u00e9\n"}],"Data":""}],"Gas":12345678901234567890,
    "x":-1.5e3,"null":null,"t":true,"f":false,"$serde_json::private::Number":"1","x":0},"cursor":"c1"},
    {"cursor":"\"c2\"","node":null},{"node":{"cursor":{"a":[1,2]}},"extra":[{}],"cursor":"c3"}]}"#;

/// What both decoders make of a body; that they come back at all is what is tested.
fn decode_both(body: &[u8]) -> (bool, bool) {
    let page = page::decode(body, &PageRequest::new(after("c2")), &mut Vec::new());
    if let Ok(page) = &page {
        // What is called a page must be one that Erlang can read.
        let edges = edges(page);
        assert_eq!(u64::try_from(edges.len()), Ok(page.edges));
        assert_eq!(page.last.is_none(), edges.is_empty());
    }
    (page.is_ok(), decode_latest(body, u64::MAX).is_ok())
}

#[test]
fn body_that_is_whole_is_a_page() {
    assert_eq!(terms(RICH).unwrap().len(), 3);
    assert_eq!(decode_latest(RICH.as_bytes(), u64::MAX), Ok(Some(cursor("c1"))));
}

#[test]
fn body_cut_anywhere_is_an_error() {
    for end in 0..RICH.len() {
        let body = &RICH.as_bytes()[..end];
        assert_eq!(decode_both(body), (false, false), "{}", body.escape_ascii());
        assert_eq!(kind(&terms(body).unwrap_err()), "json", "cut at {end}");
    }
}

#[test]
fn body_without_one_of_its_bytes_never_panics() {
    for at in 0..RICH.len() {
        let mut body = RICH.as_bytes().to_vec();
        body.remove(at);
        decode_both(&body);
    }
}

#[test]
fn body_with_any_byte_changed_never_panics() {
    for at in 0..RICH.len() {
        let mut body = RICH.as_bytes().to_vec();
        for byte in [0, b'"', b'{', b'}', b'[', b']', b',', b':', b'\\', b'9', b'-', 0x80, 0xff] {
            body[at] = byte;
            decode_both(&body);
        }
    }
}

#[test]
fn nesting_of_100_000_levels_within_a_result_is_too_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(value(&deep).unwrap_err(), PageError::TooDeep);
        let unclosed = open.repeat(100_000);
        assert_eq!(value(&unclosed).unwrap_err(), PageError::TooDeep, "seen before its end");
    }
}

#[test]
fn nesting_of_100_000_levels_where_something_else_should_be_is_an_error() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"edges\":[", "]}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let cursor = page_of(&[&format!("{{\"cursor\":{deep}}}")]);
        for body in [deep.clone(), page_of(&[&deep]), cursor] {
            assert!(terms(&body).is_err(), "{open}");
            assert!(decode_latest(body.as_bytes(), u64::MAX).is_err(), "{open}");
        }
        let info = format!("{{\"pageInfo\":{{\"hasNextPage\":{deep}}},\"edges\":[]}}");
        assert!(terms(info).is_err(), "{open}");
        assert!(terms(page_with(&deep)).is_err(), "{open}");
    }
}

#[test]
fn nesting_of_100_000_levels_in_what_is_skipped_needs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for body in [
            format!("{{\"x\":{deep},\"edges\":[{{\"cursor\":\"{CURSOR}\"}}]}}"),
            format!("{{\"pageInfo\":{{\"x\":{deep}}},\"edges\":[{{\"cursor\":\"{CURSOR}\"}}]}}"),
            page_of(&[&format!("{{\"x\":{deep},\"cursor\":\"{CURSOR}\"}}")]),
            page_with(&format!("{{\"cursor\":{deep}}}")),
        ] {
            assert_eq!(terms(&body).unwrap(), [Term::map([("cursor", Term::binary(CURSOR))])]);
            assert_eq!(decode_latest(body.as_bytes(), u64::MAX), Ok(Some(cursor(CURSOR))));
        }
        let latest = page_with(&deep);
        assert_eq!(
            decode_latest(latest.as_bytes(), u64::MAX),
            Ok(Some(cursor(CURSOR))),
            "nodes are skipped"
        );
    }
}

#[test]
fn object_of_100_000_times_the_same_key_keeps_one() {
    let members = vec![r#""k":[0]"#; 100_000].join(",");
    let expected = Term::map([("k", Term::List(vec![Term::integer(0)]))]);
    assert_eq!(node(&format!("{{{members}}}")).unwrap(), expected);
}

#[test]
fn error_text_of_a_hostile_body_is_short() {
    // It ends up in a log line and must not fill the disk.
    let long = "x".repeat(100_000);
    for body in [
        page_of(&[&format!(r#"{{"cursor":"{long}"}}"#)]),
        page_with(&format!(r#"{{"n":{}}}"#, "1".repeat(100_000))),
        page_with(&format!(r#"{{"n":1{}e999}}"#, "0".repeat(100_000))),
        format!("<html>{long}</html>"),
    ] {
        let text = terms(body).unwrap_err().to_string();
        assert!(text.len() < 200, "{} bytes: {}", text.len(), &text[..200]);
    }
}

#[test]
fn error_text_of_a_text_in_the_wrong_place_is_short() {
    let long = "x".repeat(100_000);
    for body in [
        page_with(&format!("\"{long}\"")),
        page_of(&[&format!("\"{long}\"")]),
        format!("{{\"edges\":\"{long}\"}}"),
        format!("{{\"pageInfo\":\"{long}\",\"edges\":[]}}"),
        format!("\"{long}\""),
    ] {
        let text = terms(body).unwrap_err().to_string();
        assert!(text.len() < 200, "{} bytes", text.len());
    }
}

#[test]
fn error_text_of_something_else_says_what_was_expected_in_its_place() {
    for (body, expected) in [
        ("[]".to_owned(), "a page with edges"),
        (r#"{"edges":{}}"#.to_owned(), "a list of edges"),
        (page_of(&["1"]), "an edge with a node and a cursor"),
        (page_with("[]"), "a node that is an object or null"),
        (r#"{"pageInfo":[],"edges":[]}"#.to_owned(), "an object"),
    ] {
        let error = terms(&body).unwrap_err();
        let PageError::Shape(text) = &error else { panic!("{error:?}") };
        assert!(text.starts_with(&format!("expected {expected} at ")), "{error} in {body}");
    }
}

#[test]
fn text_of_32_mib_is_taken_and_a_longer_one_an_error() {
    let decode = |length| {
        let body = page_with(&format!(r#"{{"v":"{}"}}"#, "x".repeat(length)));
        page::decode(body.as_bytes(), &PageRequest::new(Position::Earliest), &mut Vec::new())
    };
    assert_eq!(decode(33_554_432).unwrap().edges, 1);
    assert_eq!(decode(33_554_433).unwrap_err(), PageError::StringTooLong(33_554_433));
}

#[test]
fn page_of_10_000_edges_is_taken_and_of_one_more_an_error() {
    let decode = |edges| terms(page_of(&vec![r#"{"cursor":"c"}"#; edges]));
    assert_eq!(decode(10_000).unwrap().len(), 10_000);
    assert_eq!(decode(10_001).unwrap_err(), PageError::TooManyEdges);
}

#[test]
fn latest_of_a_body_that_is_broken_is_never_none() {
    for body in [
        "",
        "null",
        "{}",
        "[]",
        "<html>",
        r#"{"edges":{}}"#,
        r#"{"edges":[null]}"#,
        r#"{"edges":[{"cursor":1}]}"#,
        r#"{"edges":[]}x"#,
        r#"{"edges":[],"edges":[]}"#,
        r#"{"edges":[],"edges":[{"cursor":"a"}]}"#,
        r#"{"Edges":[]}"#,
        r#"{"edges":[}"#,
        "\"edges\"",
    ] {
        assert!(decode_latest(body.as_bytes(), u64::MAX).is_err(), "{body}");
    }
}

#[test]
fn latest_of_a_cursor_that_is_unusable_is_an_error() {
    for cursor in ["null", "\"\"", &format!("\"{}\"", "c".repeat(4097))] {
        let body = page_of(&[&format!(r#"{{"node":{{}},"cursor":{cursor}}}"#)]);
        let error = decode_latest(body.as_bytes(), u64::MAX).unwrap_err();
        assert!(matches!(error, PageError::Cursor { edge: 0, .. }), "{error}");
    }
}

#[test]
fn latest_of_a_list_is_an_error() {
    for body in ["[[]]", r#"[[["a"]]]"#, r#"[[{"cursor":"a"}]]"#, r#"{"edges":[["a"]]}"#] {
        assert!(decode_latest(body.as_bytes(), u64::MAX).is_err(), "{body}");
    }
}

#[test]
fn latest_of_no_edges_that_has_a_next_page_is_an_error() {
    let body = r#"{"pageInfo":{"hasNextPage":true},"edges":[]}"#;
    assert!(decode_latest(body.as_bytes(), u64::MAX).is_err());
}

/// A change to a body: bytes put in place of others.
fn mutation() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    let tokens = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "null",
            "1e999",
            "-",
            "\\u",
            "\\ud800",
            "\"cursor\":",
            "\"node\":",
            "\"edges\":[",
            "{\"$serde_json::private::Number\":\"x\"}",
            "99999999999999999999",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
    ];
    (0..RICH.len(), 0..8_usize, prop::collection::vec(tokens, 0..4))
        .prop_map(|(at, length, tokens)| (at, length, tokens.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bytes_of_any_kind_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_both(&body);
    }

    #[test]
    fn pages_with_mutations_never_panic(mutations in prop::collection::vec(mutation(), 1..4)) {
        let mut body = RICH.as_bytes().to_vec();
        for (at, length, bytes) in mutations {
            let start = at.min(body.len());
            let end = (start + length).min(body.len());
            body.splice(start..end, bytes);
        }
        decode_both(&body);
    }

    #[test]
    fn page_cut_and_continued_by_another_never_panics(end in 0..RICH.len(), from in 0..RICH.len()) {
        let body = [&RICH.as_bytes()[..end], &RICH.as_bytes()[from..]].concat();
        decode_both(&body);
    }

    #[test]
    fn position_never_changes_the_terms(bytes in prop::collection::vec(any::<u8>(), 1..20)) {
        let from = Position::After(cron_engine::Cursor::new(&bytes).unwrap());
        let decoded = page::decode(RICH.as_bytes(), &PageRequest::new(from), &mut bytes.clone()).unwrap();
        let expected = page::decode(RICH.as_bytes(), &PageRequest::new(Position::Earliest), &mut Vec::new()).unwrap();
        prop_assert_eq!(decoded.parts, expected.parts);
    }
}
