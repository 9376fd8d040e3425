//! A page of results: from the body of a CU's answer to external terms, lists with a map for each
//! edge, which has the node's entries and the cursor under `<<"cursor">>`. This file decides
//! whether a monitor can continue from a body. Fetching it and making terms of it happen elsewhere.

use crate::decode::edges::EdgesSeed;
pub use crate::decode::edges::Part;
use crate::decode::json::Context;
pub use crate::decode::page_error::{MAX_EDGES, MAX_STRING_BYTES, PageError};
use crate::decode::surrogates;
use crate::{Cursor, PageRequest, Trail};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A valid page.
#[derive(Debug)]
pub struct Page {
    /// The page in order, in parts that are handed over one after the other. A page without edges
    /// has none.
    pub parts: Vec<Part>,
    /// The number of edges.
    pub edges: u64,
    /// The cursor of the last edge; `None` if there is no edge.
    pub last: Option<Cursor>,
    /// The trail up to the last edge.
    pub trail: Trail,
    /// Whether it ends before a result that is too far ahead of the clock.
    pub cut: bool,
    /// Whether it says that there are more.
    pub more: bool,
    /// The time of each edge's result, in ms since 1970; 0 if its cursor has none.
    pub times: Vec<u64>,
    /// How many bytes the page takes, roughly: its parts as they wait, and the largest of them once the
    /// BEAM has laid out its terms. A monitor has one part on its heap at a time.
    pub memory: u64,
}

/// Decodes the body of the answer to `request`. `buffer` is memory to write the parts in, one after
/// the other.
///
/// # Errors
/// [`PageError`] if the body is not a page to continue from.
pub fn decode(body: &[u8], request: &PageRequest, buffer: &mut Vec<u8>) -> Result<Page, PageError> {
    decode_within(body, request, buffer, &mut |_| true)
}

/// Decodes as [`decode`] does, and asks `room` whether the parts so far may take this many bytes in all.
///
/// # Errors
/// [`PageError`] if the body is not a page to continue from, or if `room` returned false.
pub fn decode_within(
    body: &[u8],
    request: &PageRequest,
    buffer: &mut Vec<u8>,
    room: &mut dyn FnMut(u64) -> bool,
) -> Result<Page, PageError> {
    // Once for the whole body: a twentieth of the cost of checking each string.
    let text = std::str::from_utf8(body).map_err(|error| PageError::Utf8(error.valid_up_to()))?;
    repairing(text, |text| {
        let mut context = Context::new(std::mem::take(buffer), request, room);
        let found = page(text, request, &mut context);
        *buffer = context.writer.into_bytes();
        found.map(|found| Page {
            edges: found.parts.iter().map(|part| part.edges).sum(),
            memory: memory(&found.parts),
            parts: found.parts,
            last: found.last,
            trail: context.trail,
            cut: context.ahead.is_some(),
            more: found.has_next_page,
            times: context.times,
        })
    })
}

/// What parts take together, and the largest of them as terms. Those on the heap count twice: a garbage collection
/// copies them.
fn memory(parts: &[Part]) -> u64 {
    let waiting: usize = parts.iter().map(|part| part.terms.len()).sum();
    let largest = parts.iter().map(|part| part.memory.saturating_add(part.heap)).max().unwrap_or(0);
    largest.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
}

/// Decodes `text` with `decode`. If it is not JSON, decodes it once more with lone halves of
/// surrogate pairs repaired. A good body costs nothing extra.
pub(crate) fn repairing<T>(
    text: &str,
    mut decode: impl FnMut(&str) -> Result<T, PageError>,
) -> Result<T, PageError> {
    let decoded = decode(text);
    if matches!(decoded, Err(PageError::Json(_)))
        && let Some(repaired) = surrogates::repair(text)
    {
        return decode(&repaired);
    }
    decoded
}

fn page(
    text: &str,
    request: &PageRequest,
    context: &mut Context<'_>,
) -> Result<Content, PageError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = PageSeed { context }
        .deserialize(&mut deserializer)
        .and_then(|found| deserializer.end().map(|()| found));
    let found = match parsed {
        Ok(found) => found,
        Err(error) => {
            return Err(context.error.take().unwrap_or_else(|| PageError::from_serde(&error)));
        }
    };
    let horizon = request.horizon;
    if let Some(time) = context.ahead.filter(|_| found.last.is_none()) {
        return Err(PageError::Ahead { what: "the next result", time, horizon });
    }
    let position = context.trail.timestamp().filter(|time| *time > horizon);
    if let Some(time) = position {
        return Err(PageError::Ahead { what: "the position", time, horizon });
    }
    if found.last.is_none() && found.has_next_page {
        return Err(PageError::EmptyWithNext);
    }
    if found.last.is_some() && found.last.as_ref() == request.from.cursor() {
        return Err(PageError::StuckCursor);
    }
    Ok(found)
}

/// The contents of a page.
#[derive(Default)]
struct Content {
    parts: Vec<Part>,
    last: Option<Cursor>,
    has_next_page: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PageKey {
    Edges,
    PageInfo,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(crate) struct PageInfo {
    #[serde(default, rename = "hasNextPage")]
    pub(crate) has_next_page: bool,
}

/// An object: serde would also accept a list for a struct.
pub(crate) struct MapOf<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for MapOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(MapVisitor(PhantomData)).map(Self)
    }
}

struct PageSeed<'c, 'r> {
    context: &'c mut Context<'r>,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_, '_> {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_, '_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page with edges")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut found = Content::default();
        let mut has_edges = false;
        while let Some(key) = map.next_key()? {
            match key {
                PageKey::Edges if has_edges => return Err(A::Error::duplicate_field("edges")),
                PageKey::Edges => {
                    has_edges = true;
                    (found.parts, found.last) =
                        map.next_value_seed(EdgesSeed { context: self.context })?;
                }
                PageKey::PageInfo => {
                    let info: Option<MapOf<PageInfo>> = map.next_value()?;
                    found.has_next_page = info.is_some_and(|MapOf(info)| info.has_next_page);
                }
                PageKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_edges { Ok(found) } else { Err(A::Error::missing_field("edges")) }
    }
}
