//! The values within a result, from JSON to Erlang terms: nothing may be lost, rounded where it
//! need not be, or taken for something else, whatever a process chose to answer.

use crate::util::term::Term;
use crate::util::{NUMBER_KEY, kind, node, page_of, terms, value};
use cron_engine::PageError;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::collections::BTreeMap;

/// The nesting that is taken within a result, the node's own object included.
const MAX_LEVELS: usize = 100;

fn assert_error(json: &str, expected: &str) {
    let error = value(json).expect_err(json);
    assert_eq!(kind(&error), expected, "{error} for {json}");
}

/// `inner` in so many lists that it lies `levels` levels deep, below the node and its key `v`.
fn nested(levels: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(levels - 1), close.repeat(levels - 1))
}

/// The term that a JSON value should become, by a way of its own: through the text of numbers
/// and ordered maps, not through the decoder.
fn expected(value: &Value) -> Term {
    match value {
        Value::Null => Term::atom("null"),
        Value::Bool(value) => Term::atom(&value.to_string()),
        Value::String(text) => Term::binary(text),
        Value::Array(elements) => Term::List(elements.iter().map(expected).collect()),
        Value::Object(entries) => Term::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone().into_bytes(), expected(value)))
                .collect(),
        ),
        Value::Number(number) => match number.to_string().as_str() {
            "-0" => Term::integer(0),
            text if text.contains(['.', 'e', 'E']) => Term::Float(text.parse().unwrap()),
            text => Term::integer(text),
        },
    }
}

#[test]
fn literal_becomes_an_atom() {
    for name in ["null", "true", "false"] {
        assert_eq!(value(name).unwrap(), Term::atom(name));
    }
}

#[test]
fn literal_as_text_stays_a_binary() {
    // Else a process could make `true` of a text, and code that matches on it would be fooled.
    for name in ["null", "true", "false", "undefined", "ok"] {
        assert_eq!(value(&format!("\"{name}\"")).unwrap(), Term::binary(name));
    }
}

#[test]
fn integer_keeps_every_digit() {
    let mut all: Vec<String> = Vec::new();
    for bits in [0, 7, 8, 15, 16, 31, 32, 53, 62, 63, 64, 65, 126] {
        let power = 1_i128 << bits;
        all.extend(
            [power - 1, power, power + 1].iter().flat_map(|n| [n.to_string(), (-n).to_string()]),
        );
    }
    for length in [19, 20, 39, 40, 300, 615, 616, 617, 1023, 1024] {
        all.extend(["9", "1", "8070605"].map(|digit| digit.repeat(length)[..length].to_owned()));
    }
    for digits in all {
        let negative = format!("-{}", digits.trim_start_matches('-'));
        assert_eq!(value(&digits).unwrap(), Term::integer(&digits));
        let zero = negative == "-0";
        assert_eq!(value(&negative).unwrap(), Term::integer(if zero { "0" } else { &negative }));
    }
}

#[test]
fn integer_of_more_than_1024_digits_is_an_error_of_a_line() {
    for sign in ["", "-"] {
        let json = format!("{sign}{}", "7".repeat(1025));
        let Err(PageError::Number(text)) = value(&json) else { panic!("a number's error") };
        assert!(text.len() <= 41, "the log gets its beginning, not all of it: {text}");
        assert!(json.starts_with(&text));
    }
    assert_error(&"1".repeat(1_000_000), "number");
}

#[test]
fn float_is_the_nearest_double() {
    for text in [
        "0.0",
        "1.5",
        "-2.25",
        "1e0",
        "1E+2",
        "1e-2",
        "123456789.123456789",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "3.0",
        "1e22",
        "2.2250738585072011e-308",
    ] {
        assert_eq!(value(text).unwrap(), Term::Float(text.parse().unwrap()), "{text}");
    }
    assert_eq!(value("1e-999").unwrap(), Term::Float(0.0), "too small is zero");
}

#[test]
fn float_minus_zero_keeps_its_sign_and_integer_minus_zero_has_none() {
    let Term::Float(zero) = value("-0.0").unwrap() else { panic!("a float") };
    assert!(zero == 0.0 && zero.is_sign_negative());
    assert_eq!(value("-0").unwrap(), Term::integer(0));
}

#[test]
fn float_beyond_all_doubles_is_an_error() {
    for text in ["1e999", "-1e999", "1.8e308", "1e99999999999999999999", "-0.1e400"] {
        assert_error(text, "number");
    }
    assert_eq!(kind(&node("1e999").unwrap_err()), "number");
}

#[test]
fn number_that_is_none_is_an_error() {
    for text in ["01", "+1", ".5", "1.", "1e", "-", "NaN", "Infinity", "0x10", "--1", "1_000"] {
        assert_error(text, "json");
    }
}

#[test]
fn text_is_unescaped() {
    let text = r#""\"\\\/\b\f\n\r\t\u0000\u001f\u00e4\u20ac\ud83d\ude00""#;
    assert_eq!(value(text).unwrap(), Term::binary("\"\\/\u{8}\u{c}\n\r\t\0\u{1f}ä€😀"));
}

#[test]
fn text_is_utf8_byte_by_byte() {
    for text in ["", "é", "日本語", "😀", "e\u{301}", "\u{fffd}\u{feff}\u{10ffff}", "\u{7f}"]
    {
        let key_too = node(&format!(r#"{{"{text}":"{text}"}}"#)).unwrap();
        assert_eq!(key_too, Term::map([(text, Term::binary(text))]));
    }
}

#[test]
fn text_that_is_none_is_an_error() {
    for text in [r#""\x""#, r#""\u12""#, r#""\ud8""#, r#""\ud800\x""#, "\"\n\"", "NaN", "-Infinity"]
    {
        assert_error(text, "json");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_the_replacement_character() {
    for (text, wanted) in [
        (r#""\ud800""#, "\u{fffd}"),
        (r#""a\udc00b""#, "a\u{fffd}b"),
        (r#""\ud800\u0041""#, "\u{fffd}A"),
        (r#""\ud83d\ude00\ud83d""#, "😀\u{fffd}"),
    ] {
        assert_eq!(value(text).unwrap(), Term::binary(wanted), "{text}");
    }
    assert_eq!(node(r#"{"\udfff":1}"#).unwrap().get("\u{fffd}"), &Term::integer(1));
}

#[test]
fn list_and_object_may_be_empty() {
    assert_eq!(value("[]").unwrap(), Term::List(vec![]));
    assert_eq!(value("{}").unwrap(), Term::map([]));
    assert_eq!(node(r#"{"":[[],{}]}"#).unwrap().get(""), &value("[[],{}]").unwrap());
}

#[test]
fn list_of_bytes_is_no_string_of_erlang() {
    let element = |byte: u8| Term::integer(byte);
    assert_eq!(value("[104,105]").unwrap(), Term::List(vec![element(104), element(105)]));
}

#[test]
fn number_key_of_the_parser_is_a_key_as_any_other() {
    let values =
        ["\"5\"", "\"\"", "\"1e999\"", "5", "-5", "-1.5", "null", "true", "[1]", "{}", "{\"x\":1}"];
    for json in values {
        let object = format!(r#"{{"{NUMBER_KEY}":{json}}}"#);
        let expected = Term::map([(NUMBER_KEY, value(json).unwrap())]);
        assert_eq!(value(&object).unwrap(), expected, "{json}");
        assert_eq!(node(&object).unwrap(), expected, "{json} at the top of a node");
        let nested = format!(r#"{{"{NUMBER_KEY}":{object}}}"#);
        assert_eq!(value(&nested).unwrap(), Term::map([(NUMBER_KEY, expected)]), "{json} twice");
    }
}

#[test]
fn number_key_of_the_parser_among_others_and_twice_takes_nothing_with_it() {
    let json = format!(r#"{{"a":1,"{NUMBER_KEY}":"2","b":3,"{NUMBER_KEY}":[4],"a":5}}"#);
    let expected = Term::map([
        ("b", Term::integer(3)),
        (NUMBER_KEY, Term::List(vec![Term::integer(4)])),
        ("a", Term::integer(5)),
    ]);
    assert_eq!(value(&json).unwrap(), expected);
    assert_eq!(node(&json).unwrap(), expected);
    let edge = page_of(&[&format!(r#"{{"{NUMBER_KEY}":"1","cursor":"c"}}"#)]);
    assert_eq!(terms(edge).unwrap(), [Term::map([("cursor", Term::binary("c"))])]);
}

#[test]
fn number_key_of_the_parser_spelt_with_escapes_is_the_same_key() {
    let escaped = NUMBER_KEY.replace('$', "\\u0024");
    let expected = Term::map([(NUMBER_KEY, Term::binary("1"))]);
    assert_eq!(value(&format!(r#"{{"{escaped}":"1"}}"#)).unwrap(), expected);
    // A text with an escape comes from the parser's scratch memory instead of the body.
    let expected = Term::map([(NUMBER_KEY, Term::binary("A"))]);
    assert_eq!(value(&format!(r#"{{"{escaped}":"\u0041"}}"#)).unwrap(), expected);
}

#[test]
fn nesting_up_to_the_limit_is_taken_and_beyond_it_an_error() {
    let number = &format!("{{\"{NUMBER_KEY}\":");
    for (open, inner, close) in
        [("[", "[]", "]"), ("[", "{}", "]"), ("{\"k\":", "{}", "}"), (number, "[]", "}")]
    {
        // `inner` is a level of its own, below `v`'s node.
        assert!(value(&nested(MAX_LEVELS - 1, open, inner, close)).is_ok());
        for levels in [MAX_LEVELS, MAX_LEVELS + 1, 120, 127, 128, 129, 1000] {
            assert_error(&nested(levels, open, inner, close), "too deep");
        }
    }
}

#[test]
fn nesting_does_not_count_texts_and_literals() {
    for inner in ["\"x\"", "null", "true"] {
        assert!(value(&nested(MAX_LEVELS, "[", inner, "]")).is_ok(), "{inner}");
    }
}

#[test]
fn nesting_does_not_count_numbers() {
    for inner in ["1", "-1.5", "123456789012345678901234567890"] {
        assert!(value(&nested(MAX_LEVELS, "[", inner, "]")).is_ok(), "{inner}");
    }
}

fn text() -> impl Strategy<Value = String> {
    let chars = prop_oneof![any::<char>(), prop::char::range('a', 'c'), Just('"'), Just('\\')];
    prop::collection::vec(chars, 0..6).prop_map(|chars| chars.into_iter().collect())
}

fn number() -> impl Strategy<Value = Value> {
    let integers = any::<i128>().prop_map(|integer| integer.to_string());
    let small = any::<i16>().prop_map(|integer| integer.to_string());
    let long = prop::collection::vec(0..10_u8, 1..60).prop_map(|digits| {
        let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        format!("-1{digits}")
    });
    // A float's text always has an exponent, so none is taken for an integer.
    let floats = any::<f64>().prop_filter_map("JSON has finite numbers only", |float| {
        float.is_finite().then(|| format!("{float:e}"))
    });
    prop_oneof![integers, small, long, floats].prop_map(|text| serde_json::from_str(&text).unwrap())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number(),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 24, 5, |inner| {
        let key =
            prop_oneof![8 => text(), 1 => Just(NUMBER_KEY.to_owned()), 1 => Just("cursor".into())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..16)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn value_of_any_kind_becomes_the_term_of_the_same_meaning(json in json()) {
        let text = json.to_string();
        prop_assert_eq!(value(&text).unwrap(), expected(&json));
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        prop_assert_eq!(value(&pretty).unwrap(), expected(&json));
    }

    #[test]
    fn nodes_of_any_kind_become_the_terms_of_the_same_meaning(
        nodes in prop::collection::vec(prop::collection::btree_map(text(), json(), 0..4), 0..5)
    ) {
        let mut edges = Vec::new();
        let mut wanted = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let cursor = format!("c{index}");
            let node = Value::Object(node.into_iter().collect());
            edges.push(serde_json::json!({ "node": node, "cursor": cursor }).to_string());
            let Term::Map(mut entries) = expected(&node) else { unreachable!() };
            entries.insert(b"cursor".to_vec(), Term::binary(&cursor));
            wanted.push(Term::Map(entries));
        }
        let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
        prop_assert_eq!(terms(page_of(&edges)).unwrap(), wanted);
    }

    #[test]
    fn object_with_keys_that_repeat_keeps_the_last_of_each(
        entries in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "dd", ""]), json()), 0..20)
    ) {
        let mut last = BTreeMap::new();
        let mut members = Vec::new();
        for (key, value) in &entries {
            members.push(format!("\"{key}\":{value}"));
            last.insert(key.as_bytes().to_vec(), expected(value));
        }
        let object = format!("{{{}}}", members.join(","));
        prop_assert_eq!(value(&object).unwrap(), Term::Map(last.clone()));
        prop_assert_eq!(node(&object).unwrap(), Term::Map(last));
    }
}
