//! The page decoder: which bodies are pages that can be gone on from, and what becomes of their
//! edges. A body that is none must be an error of the right kind, since the kind is what the log
//! says; a result that is merely odd must come through, since no other will come in its place.

use crate::util::term::{Term, edges};
use crate::util::{CURSOR, kind, node, page_of, page_with, terms};
use crate::util::{after, cursor};
use base64::prelude::{BASE64_STANDARD, Engine};
use cron_engine::{Class, Failure, PageError, PageRequest, Position, page};

/// The term of an edge with nothing in it but its cursor.
fn bare(cursor: &str) -> Term {
    Term::map([("cursor", Term::binary(cursor))])
}

/// A cursor of AO that says this time.
fn ao(time: u64) -> String {
    BASE64_STANDARD.encode(format!(r#"{{"timestamp":{time},"ordinate":"1"}}"#))
}

fn assert_kind(body: impl AsRef<[u8]>, expected: &str) {
    let error = terms(body.as_ref()).expect_err(&body.as_ref().escape_ascii().to_string());
    assert_eq!(kind(&error), expected, "{error} in {}", body.as_ref().escape_ascii());
}

#[test]
fn page_without_edges_has_no_parts() {
    let page =
        page::decode(page_of(&[]).as_bytes(), &PageRequest::new(after("x")), &mut Vec::new())
            .unwrap();
    assert!(page.parts.is_empty());
    assert_eq!((page.edges, page.last), (0, None));
}

#[test]
fn page_terms_are_one_map_per_edge_in_order() {
    let body = page_of(&[
        r#"{"node":{"Messages":[]},"cursor":"a"}"#,
        r#"{"node":{"Output":"x"},"cursor":"b"}"#,
    ]);
    let expected = [
        Term::map([("Messages", Term::List(vec![])), ("cursor", Term::binary("a"))]),
        Term::map([("Output", Term::binary("x")), ("cursor", Term::binary("b"))]),
    ];
    assert_eq!(terms(body).unwrap(), expected);
}

#[test]
fn page_says_when_each_result_was_made_where_its_cursor_shows_it() {
    let edge = |cursor: &str| format!(r#"{{"node":{{}},"cursor":"{cursor}"}}"#);
    let all = [edge(&ao(1_760_000_001_000)), edge("opaque"), edge(&ao(1_760_000_002_000))];
    let body = page_of(&all.each_ref().map(String::as_str));
    let page =
        page::decode(body.as_bytes(), &PageRequest::new(Position::Earliest), &mut Vec::new())
            .unwrap();
    assert_eq!(page.times, [1_760_000_001_000, 0, 1_760_000_002_000]);
}

#[test]
fn page_of_many_edges_comes_in_parts_that_are_cut_between_edges() {
    let padding = "x".repeat(1000);
    let all: Vec<String> = (0..100)
        .map(|n| format!(r#"{{"node":{{"n":{n},"x":"{padding}"}},"cursor":"{n}"}}"#))
        .collect();
    let body = page_of(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let page =
        page::decode(body.as_bytes(), &PageRequest::new(Position::Earliest), &mut Vec::new())
            .unwrap();
    // 32 KiB hold 32 of them and a bit.
    assert_eq!(page.parts.iter().map(|part| part.edges).collect::<Vec<_>>(), [32, 32, 32, 4]);
    assert_eq!(page.edges, 100);
    for (n, edge) in edges(&page).iter().enumerate() {
        assert_eq!(edge.get("n"), &Term::integer(n));
    }
}

#[test]
fn page_that_outgrows_its_room_is_not_decoded_further() {
    let edge = format!(r#"{{"node":{{"x":"{}"}},"cursor":"c"}}"#, "x".repeat(40_000));
    let body = page_of(&[edge.as_str(); 5]);
    let mut asked = Vec::new();
    let mut decode = |rooms: usize| {
        asked.clear();
        let room = &mut |bytes| {
            asked.push(bytes);
            asked.len() <= rooms
        };
        let request = PageRequest::new(Position::Earliest);
        let page = page::decode_within(body.as_bytes(), &request, &mut Vec::new(), room);
        page.map(|page| page.parts.iter().map(|part| part.terms.len() as u64).sum::<u64>())
    };
    let all = decode(5).unwrap();
    assert!(all > 200_000, "{all}");
    let Err(error) = decode(2) else { panic!("there is room for two parts of five") };
    assert_eq!(error, PageError::NoRoom(all / 5 * 3));
    assert_eq!(Failure::from(error).class, Class::NoRoom);
    assert_eq!(asked, [all / 5, all / 5 * 2, all / 5 * 3]);
}

#[test]
fn page_whose_last_part_is_full_has_no_empty_one_after_it() {
    let edge = format!(r#"{{"node":{{"x":"{}"}},"cursor":"c"}}"#, "x".repeat(40_000));
    let page = page::decode(
        page_of(&[&edge]).as_bytes(),
        &PageRequest::new(Position::Earliest),
        &mut Vec::new(),
    )
    .unwrap();
    assert_eq!(page.parts.iter().map(|part| part.edges).collect::<Vec<_>>(), [1]);
}

#[test]
fn page_buffer_lends_its_memory_and_nothing_else() {
    let mut buffer = Vec::with_capacity(4096);
    buffer.extend_from_slice(b"left over");
    let memory = buffer.as_ptr();
    let page = page::decode(
        page_with("{}").as_bytes(),
        &PageRequest::new(Position::Earliest),
        &mut buffer,
    )
    .unwrap();
    assert_eq!(buffer.as_ptr(), memory);
    assert_eq!(edges(&page), [bare(CURSOR)]);
}

#[test]
fn node_with_everything_missing_has_its_cursor() {
    assert_eq!(terms(page_with("{}")).unwrap(), [bare(CURSOR)]);
}

#[test]
fn node_that_is_null_or_missing_has_its_cursor() {
    let body = page_of(&[r#"{"node":null,"cursor":"a"}"#, r#"{"cursor":"b"}"#]);
    assert_eq!(terms(body).unwrap(), [bare("a"), bare("b")]);
}

#[test]
fn node_that_is_no_object_is_an_error() {
    for json in ["1", "-1.5", "1e3", "\"text\"", "[]", "[{}]", "true", "false"] {
        assert_kind(page_with(json), "shape");
    }
}

#[test]
fn extra_keys_of_a_node_are_kept_and_all_others_skipped() {
    let body = r#"{"x":[{"edges":[1]}],"pageInfo":{"x":{},"hasNextPage":true,"y":[[]]},"y":null,
        "edges":[{"x":1e999,"node":{"anything":7},"y":{"node":1},"cursor":"a","z":[null]}],"z":1}"#;
    let expected = Term::map([("anything", Term::integer(7)), ("cursor", Term::binary("a"))]);
    assert_eq!(terms(body).unwrap(), [expected]);
}

#[test]
fn keys_may_come_in_any_order() {
    let body = r#"{"edges":[{"cursor":"a","node":{"x":1}},{"node":{"x":2},"cursor":"b"}],
        "pageInfo":{"hasNextPage":true}}"#;
    let edge = |x: u8, c| Term::map([("x", Term::integer(x)), ("cursor", Term::binary(c))]);
    assert_eq!(terms(body).unwrap(), [edge(1, "a"), edge(2, "b")]);
}

#[test]
fn cursor_within_a_node_gives_way_to_the_edges() {
    for inner in ["\"theirs\"", "null", "5", "[[1]]", "{\"cursor\":1}", "1,\"cursor\":2"] {
        let json = format!(r#"{{"a":1,"cursor":{inner},"b":2}}"#);
        let expected = Term::map([("a", Term::integer(1)), ("b", Term::integer(2))]);
        assert_eq!(node(&json).unwrap(), expected, "{inner}");
    }
}

#[test]
fn cursor_deeper_in_a_node_is_a_key_as_any_other() {
    let expected = Term::map([("v", Term::map([("cursor", Term::binary("deep"))]))]);
    assert_eq!(node(r#"{"v":{"cursor":"deep"}}"#).unwrap(), expected);
}

#[test]
fn duplicate_keys_of_a_node_leave_the_last() {
    let expected = Term::map([("b", Term::integer(2)), ("a", Term::map([]))]);
    assert_eq!(node(r#"{"a":[1,{"x":1}],"b":2,"a":{}}"#).unwrap(), expected);
    assert_eq!(node(r#"{"a":1,"\u0061":2,"b":1,"b":2,"a":{}}"#).unwrap(), expected);
}

#[test]
fn duplicate_keys_deeper_in_a_node_leave_the_last() {
    let inner = Term::map([("k", Term::integer(3)), ("l", Term::integer(0))]);
    let expected = Term::map([("v", Term::List(vec![inner, Term::integer(9)]))]);
    assert_eq!(node(r#"{"v":[{"k":1,"k":{"k":2,"k":2},"l":0,"k":3},9]}"#).unwrap(), expected);
}

#[test]
fn duplicate_keys_among_many_leave_the_last() {
    let keys: Vec<String> = (0..500).map(|i| format!(r#""k{}":{i}"#, i % 100)).collect();
    let Term::Map(entries) = node(&format!("{{{}}}", keys.join(","))).unwrap() else { panic!() };
    assert_eq!(entries.len(), 100);
    assert!(entries.contains_key(&b"k7"[..]));
    assert_eq!(entries[&b"k99"[..]], Term::integer(499));
}

#[test]
fn duplicate_keys_of_an_edge_leave_the_last() {
    let body = page_of(&[r#"{"node":{"x":1},"cursor":"a","node":{"y":2},"cursor":"b"}"#]);
    let expected = Term::map([("y", Term::integer(2)), ("cursor", Term::binary("b"))]);
    assert_eq!(terms(body).unwrap(), [expected]);
    let body = page_of(&[r#"{"cursor":"a","node":{"x":1},"node":null}"#]);
    assert_eq!(terms(body).unwrap(), [bare("a")]);
    assert_kind(page_of(&[r#"{"cursor":"a","cursor":null}"#]), "cursor");
}

#[test]
fn duplicate_edges_are_an_error() {
    assert_kind(r#"{"edges":[],"edges":[]}"#, "shape");
    assert_kind(r#"{"edges":[{"cursor":"a"}],"edges":[{"cursor":"b"}]}"#, "shape");
}

#[test]
fn cursor_that_is_missing_null_or_empty_is_an_error_that_says_which_edge() {
    for bad in [r"{}", r#"{"node":{}}"#, r#"{"cursor":null}"#, r#"{"cursor":""}"#] {
        assert_kind(page_of(&[bad]), "cursor");
        let body = page_of(&[r#"{"cursor":"a"}"#, r#"{"cursor":"b"}"#, bad, r#"{"cursor":"c"}"#]);
        let error = terms(body).unwrap_err();
        assert!(matches!(error, PageError::Cursor { edge: 2, .. }), "{error}");
    }
}

#[test]
fn cursor_that_is_no_text_is_an_error() {
    for bad in ["1", "true", "[]", "{}", "[\"a\"]", "1.5"] {
        assert_kind(page_of(&[&format!(r#"{{"cursor":{bad}}}"#)]), "shape");
    }
}

#[test]
fn cursor_at_the_bound_is_taken_and_beyond_it_an_error() {
    let edge = |length| format!(r#"{{"cursor":"{}"}}"#, "c".repeat(length));
    assert_eq!(terms(page_of(&[&edge(4096)])).unwrap(), [bare(&"c".repeat(4096))]);
    assert_kind(page_of(&[&edge(4097)]), "cursor too long");
    assert_kind(page_of(&[&edge(4097), &edge(1)]), "cursor too long");
}

#[test]
fn cursor_with_escapes_is_unescaped() {
    let body = page_of(&[r#"{"cursor":"a\/\"\\\u0000\u00e9\ud83d\ude00"}"#]);
    let page =
        page::decode(body.as_bytes(), &PageRequest::new(Position::Earliest), &mut Vec::new())
            .unwrap();
    assert_eq!(page.last, Some(cursor("a/\"\\\0é😀")));
}

#[test]
fn cursor_that_the_page_was_asked_from_is_stuck() {
    let body = page_of(&[r#"{"cursor":"a"}"#, r#"{"cursor":"b"}"#]);
    let decode = |from: &Position| {
        page::decode(body.as_bytes(), &PageRequest::new(from.clone()), &mut Vec::new())
    };
    assert_eq!(decode(&after("b")).unwrap_err(), PageError::StuckCursor);
    // Only the last one is gone on from.
    assert_eq!(decode(&after("a")).unwrap().edges, 2);
    assert_eq!(decode(&Position::Earliest).unwrap().edges, 2);
}

#[test]
fn page_that_goes_back_behind_where_it_begins_or_its_own_edges_is_an_error_that_says_where() {
    let from = PageRequest::new(after(&ao(5000)));
    let walk = PageRequest { at: Some(5500), ..from.clone() };
    for (request, times, behind) in
        [(&from, [6000, 5999], 1), (&from, [4999, 6000], 0), (&walk, [5499, 6000], 0)]
    {
        let all = times.map(|time| format!(r#"{{"cursor":"{}"}}"#, ao(time)));
        let body = page_of(&all.each_ref().map(String::as_str));
        let error = page::decode(body.as_bytes(), request, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, PageError::Regressed { edge, .. } if edge == behind), "{error}");
    }
}

#[test]
fn page_without_edges_that_has_a_next_one_is_an_error() {
    assert_kind(r#"{"pageInfo":{"hasNextPage":true},"edges":[]}"#, "empty with next");
    assert_kind(r#"{"edges":[],"pageInfo":{"hasNextPage":true}}"#, "empty with next");
}

#[test]
fn page_info_may_be_missing_or_say_nothing() {
    for info in ["", r#""pageInfo":null,"#, r#""pageInfo":{},"#, r#""pageInfo":{"x":1},"#] {
        assert_eq!(terms(format!(r#"{{{info}"edges":[]}}"#)).unwrap(), []);
    }
    let twice = r#"{"pageInfo":{"hasNextPage":true},"pageInfo":null,"edges":[]}"#;
    assert_eq!(terms(twice).unwrap(), []);
}

#[test]
fn page_info_that_makes_no_sense_is_an_error() {
    for info in ["1", "\"no\"", "true", r#"{"hasNextPage":null}"#, r#"{"hasNextPage":"true"}"#] {
        assert_kind(format!(r#"{{"pageInfo":{info},"edges":[]}}"#), "shape");
    }
}

#[test]
fn edges_that_are_missing_or_no_list_are_an_error() {
    for body in ["{}", r#"{"pageInfo":{"hasNextPage":false}}"#, r#"{"error":"no such process"}"#] {
        assert_kind(body, "shape");
    }
    for edges in ["null", "{}", "1", "\"\"", "true", "[null]", "[1]", "[[]]", "[\"a\"]"] {
        assert_kind(format!(r#"{{"edges":{edges}}}"#), "shape");
    }
}

#[test]
fn body_that_is_no_json_is_an_error() {
    let html = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    for body in ["", " \n", html, "{", "{edges:[]}", "{'edges':[]}", "\u{feff}{\"edges\":[]}"] {
        assert_kind(body, "json");
    }
}

#[test]
fn body_that_is_other_json_is_an_error() {
    for body in ["null", "true", "0", "1.5", "\"edges\"", "[]", "[[],{}]"] {
        assert_kind(body, "shape");
    }
}

#[test]
fn body_with_anything_behind_the_page_is_an_error() {
    let page = page_with("{}");
    assert_eq!(terms(format!(" \r\n\t{page} \r\n\t")).unwrap(), [bare(CURSOR)]);
    for rest in ["x", "{}", ",", "}", "\0", "null"] {
        assert_kind(format!("{page}{rest}"), "json");
    }
}

#[test]
fn body_with_bytes_that_are_no_utf8_is_an_error() {
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"] {
        for text in [
            r#"{"node":{"x":"@"},"cursor":"a"}"#,
            r#"{"node":{"@":1},"cursor":"a"}"#,
            r#"{"cursor":"@"}"#,
        ] {
            let body = page_of(&[text]).into_bytes();
            let at = body.iter().position(|byte| *byte == b'@').unwrap();
            assert_kind([&body[..at], bad, &body[at + 1..]].concat(), "utf8");
        }
    }
}

#[test]
fn error_of_each_kind_has_its_class_in_the_log() {
    for (body, class) in [
        ("<html>".to_owned(), Class::BadJson),
        ("[]".to_owned(), Class::BadPage),
        (page_with(r#"{"x":1e999}"#), Class::BadNumber),
        (page_of(&[&format!(r#"{{"cursor":"{}"}}"#, "c".repeat(5000))]), Class::CursorTooLong),
        (page_with(&format!("{{\"x\":{}1{}}}", "[".repeat(101), "]".repeat(101))), Class::TooDeep),
        (page_of(&["{}"]), Class::NoCursor),
        (page_of(&[r#"{"cursor":"from"}"#]), Class::StuckCursor),
        (r#"{"pageInfo":{"hasNextPage":true},"edges":[]}"#.to_owned(), Class::EmptyPage),
    ] {
        let error =
            page::decode(body.as_bytes(), &PageRequest::new(after("from")), &mut Vec::new())
                .unwrap_err();
        assert_eq!(Failure::from(error).class, class, "{body}");
    }
}
