//! What a body means, found out the slow way: through `serde_json`'s tree, and from the rules of
//! the README. The decoders, which build no tree, must come to the same. Where a name is there
//! twice the tree has the last one.

use super::term::Term;
use base64::prelude::{BASE64_STANDARD, Engine};
use cron_engine::MAX_CURSOR_BYTES;
use cron_engine::page::{MAX_EDGES, MAX_STRING_BYTES};
use serde_json::{Map, Value};

/// The nesting that is taken within a result, the node's own object included.
const MAX_LEVELS: usize = 100;

/// The most digits of an integer.
const MAX_DIGITS: usize = 1024;

/// The key under which `serde_json` passes numbers on. In a tree an object with it is a number or
/// an error, so a tree says nothing of a body that may have it.
const NUMBER_KEY: &[u8] = b"$serde_json::private::Number";

/// The tree of a body, if it has one to compare with.
pub(crate) fn tree(body: &[u8]) -> Option<Value> {
    if mentions_number_key(body) { None } else { serde_json::from_slice(body).ok() }
}

/// Whether the key is somewhere in the body, escaped or not.
fn mentions_number_key(body: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(byte) = escaped(rest) {
            plain.push(byte);
            rest = &rest[6..];
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    plain.windows(NUMBER_KEY.len()).any(|window| window == NUMBER_KEY)
}

/// The ASCII character whose `\u` escape these bytes begin with.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    u8::try_from(code).ok().filter(u8::is_ascii)
}

/// What a page holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Meaning {
    pub(crate) edges: Vec<Term>,
    /// The cursor of each edge.
    pub(crate) cursors: Vec<Vec<u8>>,
}

/// The meaning of a body as a page; `None` if it must be refused, wherever it was asked from. That
/// its cursors must not go back is left to [`goes_back`].
pub(crate) fn page(body: &Value) -> Option<Meaning> {
    let (edges, has_next_page) = parts(body)?;
    if u64::try_from(edges.len()).expect("a length") > MAX_EDGES {
        return None;
    }
    let mut meaning = Meaning { edges: Vec::new(), cursors: Vec::new() };
    for edge in edges {
        let edge = edge.as_object()?;
        let cursor = usable(edge.get("cursor")?.as_str()?)?;
        let mut entries = match edge.get("node") {
            None | Some(Value::Null) => Term::map([]),
            Some(Value::Object(node)) => map(node, 0, Some("cursor"))?,
            Some(_) => return None,
        };
        let Term::Map(all) = &mut entries else { panic!("a node is a map") };
        all.insert(b"cursor".to_vec(), Term::Binary(cursor.clone()));
        meaning.edges.push(entries);
        meaning.cursors.push(cursor);
    }
    (!meaning.edges.is_empty() || !has_next_page).then_some(meaning)
}

/// The meaning of a body as the answer to what the latest result is: its cursor, or that there is
/// none. The outer `None` if it must be refused.
pub(crate) fn latest(body: &Value) -> Option<Option<Vec<u8>>> {
    let (edges, has_next_page) = parts(body)?;
    let mut cursors = Vec::new();
    for edge in edges {
        cursors.push(match edge.as_object()?.get("cursor") {
            None | Some(Value::Null) => None,
            Some(cursor) => Some(cursor.as_str()?),
        });
    }
    match cursors.first() {
        None => (!has_next_page).then_some(None),
        Some(first) => usable((*first)?).map(Some),
    }
}

/// The edges, and whether a next page is promised.
fn parts(body: &Value) -> Option<(&Vec<Value>, bool)> {
    let page = body.as_object()?;
    let has_next_page = match page.get("pageInfo") {
        None | Some(Value::Null) => false,
        Some(info) => match info.as_object()?.get("hasNextPage") {
            None => false,
            Some(has) => has.as_bool()?,
        },
    };
    Some((page.get("edges")?.as_array()?, has_next_page))
}

fn usable(cursor: &str) -> Option<Vec<u8>> {
    (1..=MAX_CURSOR_BYTES).contains(&cursor.len()).then(|| cursor.as_bytes().to_vec())
}

fn term(value: &Value, depth: usize) -> Option<Term> {
    Some(match value {
        Value::Null => Term::atom("null"),
        Value::Bool(value) => Term::atom(&value.to_string()),
        Value::String(text) if text.len() > MAX_STRING_BYTES => return None,
        Value::String(text) => Term::binary(text),
        Value::Number(number) => self::number(&number.to_string())?,
        Value::Array(_) if depth >= MAX_LEVELS => return None,
        Value::Array(elements) => {
            let elements = elements.iter().map(|element| term(element, depth + 1));
            Term::List(elements.collect::<Option<_>>()?)
        }
        Value::Object(entries) => map(entries, depth, None)?,
    })
}

fn map(entries: &Map<String, Value>, depth: usize, skip: Option<&str>) -> Option<Term> {
    if depth >= MAX_LEVELS {
        return None;
    }
    let entries = entries.iter().filter(|(key, _)| skip != Some(key.as_str()));
    let terms =
        entries.map(|(key, value)| Some((key.clone().into_bytes(), term(value, depth + 1)?)));
    terms.collect::<Option<_>>().map(Term::Map)
}

fn number(text: &str) -> Option<Term> {
    if text.contains(['.', 'e', 'E']) {
        let float: f64 = text.parse().expect("a JSON number");
        return float.is_finite().then_some(Term::Float(float));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let text = if digits == "0" { digits } else { text };
    (digits.len() <= MAX_DIGITS).then(|| Term::Integer(text.to_owned()))
}

/// What an AO cursor says of its result, if it is of the plain form: when it was, and which of
/// those of the same time it is.
pub(crate) fn ao_cursor(cursor: &[u8]) -> Option<(u64, String)> {
    let json = BASE64_STANDARD.decode(cursor).ok().filter(|json| json.len() <= 512)?;
    let text = std::str::from_utf8(&json).ok()?;
    // A name twice or escaped is for others to judge.
    let once = |name| text.matches(name).count() == 1;
    if text.contains('\\') || !["timestamp", "ordinate", "cron"].iter().all(once) {
        return None;
    }
    let value: Value = serde_json::from_slice(&json).ok()?;
    let [timestamp, ordinate, cron] =
        ["timestamp", "ordinate", "cron"].map(|name| value.get(name).cloned());
    Some((timestamp?.as_u64()?, format!("{} {}", ordinate?.as_str()?, cron?.as_str()?)))
}

/// Whether a cursor says anything, in whatever form, of where it lies.
pub(crate) fn is_readable(cursor: &[u8]) -> bool {
    let json = BASE64_STANDARD.decode(cursor).ok();
    json.is_some_and(|json| serde_json::from_slice::<Value>(&json).is_ok())
}

/// Whether a page goes back somewhere for sure, as far as its cursors are of the plain form.
pub(crate) fn goes_back(cursors: &[Vec<u8>]) -> bool {
    let places: Vec<(u64, String)> = cursors.iter().filter_map(|one| ao_cursor(one)).collect();
    let behind = |pair: &[(u64, String)]| pair[1].0 < pair[0].0;
    // More of one time than this are not told apart.
    let twice = |place| places.iter().filter(|other| *other == place).count() > 1;
    places.windows(2).any(behind) || (places.len() <= 1024 && places.iter().any(twice))
}

/// The bytes that a term takes on a heap of the BEAM, or outside of it, at least.
pub(crate) fn memory(term: &Term) -> usize {
    match term {
        Term::Atom(_) => 0,
        // What is wider than 60 bits is no immediate.
        Term::Integer(digits) if digits.len() <= 18 => 0,
        Term::Integer(digits) => 8 + digits.len() * 3 / 8,
        Term::Float(_) => 16,
        Term::Binary(bytes) if bytes.len() <= 64 => 16 + bytes.len().div_ceil(8) * 8,
        Term::Binary(bytes) => 72 + bytes.len(),
        Term::List(elements) => elements.iter().map(|element| 16 + memory(element)).sum(),
        Term::Map(entries) => {
            let key = |key: &Vec<u8>| memory(&Term::Binary(key.clone()));
            32 + entries.iter().map(|(name, value)| 16 + key(name) + memory(value)).sum::<usize>()
        }
    }
}
