//! The edges of a page: each becomes one map of its node's entries and its cursor. Every cursor is
//! checked here, since a monitor may have to continue from any of them.

use crate::decode::json::{Context, MapEnd, write_map};
use crate::decode::page_error::{MAX_EDGES, PageError};
use crate::decode::terms::Mark;
use crate::monitor::trail::Refused;
use crate::{Cursor, CursorError};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The size in bytes at which a part ends. A monitor holds one part on its heap, and its garbage
/// collector copies it: pages of 1.4 MB as a whole cost 0.9 us an edge, parts of this size a third
/// of that.
const PART_BYTES: usize = 32 * 1024;

/// The key of an edge's cursor.
const CURSOR_KEY: &str = "cursor";

/// Some edges of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// A list of the edges as an external term, version byte included, in memory of its own: what has been
    /// handed on is given back, however large the page.
    pub terms: Vec<u8>,
    /// The number of edges.
    pub edges: u64,
    /// How many bytes the terms take once the BEAM has laid them out, roughly. Small values in great
    /// number take several times what they take as JSON.
    pub memory: u64,
    /// How many of these bytes are on a heap: long binaries lie outside of it.
    pub heap: u64,
}

/// Writes the edges as one or several lists. Returns where each ends, and the last edge's cursor.
pub(crate) struct EdgesSeed<'c, 'r> {
    pub(crate) context: &'c mut Context<'r>,
}

impl<'de> DeserializeSeed<'de> for EdgesSeed<'_, '_> {
    type Value = (Vec<Part>, Option<Cursor>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EdgesSeed<'_, '_> {
    type Value = (Vec<Part>, Option<Cursor>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of edges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { context } = self;
        let mut parts = Vec::new();
        let mut edges: u64 = 0;
        let (mut cursor, mut last) = (Vec::new(), Vec::new());
        let mut part = PartWriter::begin(context);
        while seq
            .next_element_seed(EdgeSeed { context, edge: edges, cursor: &mut cursor })?
            .is_some()
        {
            if context.ahead.is_some() {
                // The edges after it are later still.
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            std::mem::swap(&mut cursor, &mut last);
            edges += 1;
            part.edges += 1;
            if edges > MAX_EDGES {
                return Err(context.fail(PageError::TooManyEdges));
            }
            if context.writer.position() >= PART_BYTES {
                parts.push(part.end(context)?);
                part = PartWriter::begin(context);
            }
        }
        part.finish(context, &mut parts)?;
        // Every edge's cursor was checked before. Without edges it is empty, and there is none.
        Ok((parts, Cursor::new(&last).ok()))
    }
}

/// A part that is being written.
struct PartWriter {
    mark: Mark,
    edges: u64,
    /// The memory of all terms before it.
    memory: u64,
    /// How much of that is on the heap.
    heap: u64,
}

impl PartWriter {
    fn begin(context: &mut Context<'_>) -> Self {
        let (memory, heap) = (context.writer.memory(), context.writer.heap());
        context.writer.begin_term();
        Self { mark: context.writer.begin_list(), edges: 0, memory, heap }
    }

    /// Fails if the part has no room.
    fn end<E: Error>(self, context: &mut Context<'_>) -> Result<Part, E> {
        context.writer.end_list(self.mark, usize::try_from(self.edges).unwrap_or(usize::MAX));
        let memory = context.writer.memory().saturating_sub(self.memory);
        let heap = context.writer.heap().saturating_sub(self.heap);
        let terms = context.writer.end_term();
        context.hold(terms.len())?;
        Ok(Part { terms, edges: self.edges, memory, heap })
    }

    /// The last part is dropped if it has no edges.
    fn finish<E: Error>(self, context: &mut Context<'_>, parts: &mut Vec<Part>) -> Result<(), E> {
        if self.edges > 0 {
            parts.push(self.end(context)?);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum EdgeKey {
    Node,
    Cursor,
    #[serde(other)]
    Other,
}

/// A string, borrowed from the body if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Writes one edge and leaves the bytes of its cursor in `cursor`.
struct EdgeSeed<'c, 'r> {
    context: &'c mut Context<'r>,
    edge: u64,
    cursor: &'c mut Vec<u8>,
}

impl EdgeSeed<'_, '_> {
    /// Checks that the monitor can continue from this edge's cursor, and that it goes forward.
    /// False if it lies beyond the horizon.
    fn check_cursor(&mut self, found: bool) -> Result<bool, PageError> {
        let edge = self.edge;
        if !found {
            return Err(PageError::Cursor { edge, reason: "there is none".into() });
        }
        Cursor::check(self.cursor).map_err(|error| match error {
            CursorError::TooLong(_) => PageError::CursorTooLong { edge, reason: error.to_string() },
            CursorError::Empty => PageError::Cursor { edge, reason: error.to_string() },
        })?;
        let Context { trail, reader, walking, times, horizon, ahead, .. } = &mut *self.context;
        match trail.advance(reader, self.cursor, *walking, *horizon) {
            Ok(time) => times.push(time.unwrap_or(0)),
            Err(Refused::Ahead(time)) => *ahead = Some(time),
            Err(Refused::Behind(reason)) => return Err(PageError::Regressed { edge, reason }),
        }
        Ok(ahead.is_none())
    }
}

impl<'de> DeserializeSeed<'de> for EdgeSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EdgeSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an edge with a node and a cursor")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let start = self.context.writer.position();
        let mut node = None;
        let mut found = false;
        while let Some(key) = map.next_key()? {
            match key {
                EdgeKey::Node => {
                    // If the key is repeated, the last value counts, as in any object.
                    self.context.writer.truncate(start);
                    node = Some(map.next_value_seed(NodeSeed { context: self.context })?);
                }
                EdgeKey::Cursor => {
                    let text: Option<Text<'de>> = map.next_value()?;
                    found = text.is_some();
                    self.cursor.clear();
                    self.cursor.extend_from_slice(text.map_or(Cow::default(), |t| t.0).as_bytes());
                }
                EdgeKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match self.check_cursor(found) {
            Ok(true) => {}
            Ok(false) => {
                self.context.writer.truncate(start);
                return Ok(());
            }
            Err(error) => return Err(self.context.fail(error)),
        }
        let writer = &mut self.context.writer;
        let end = node.unwrap_or_else(|| MapEnd { mark: Some(writer.begin_map()), length: 0 });
        writer.binary(CURSOR_KEY.as_bytes());
        writer.binary(self.cursor);
        if let Some(mark) = end.mark {
            writer.set_length(mark, end.length + 1);
        }
        Ok(())
    }
}

/// Writes an edge's node as a map without an entry for the cursor, which the edge adds. A `null`
/// node is an empty map: its cursor counts, so that it does not hold up the others.
struct NodeSeed<'c, 'r> {
    context: &'c mut Context<'r>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_, '_> {
    type Value = MapEnd;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MapEnd, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_, '_> {
    type Value = MapEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node that is an object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<MapEnd, E> {
        Ok(MapEnd { mark: Some(self.context.writer.begin_map()), length: 0 })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MapEnd, A::Error> {
        let start = self.context.writer.position();
        let mut end = MapEnd::default();
        write_map(self.context, 0, map, Some(CURSOR_KEY), Some(&mut end))?;
        if end.mark.is_none() {
            // A number arrives as an object of its own kind, and is not a node.
            self.context.writer.truncate(start);
            return Err(A::Error::custom("invalid type: number, expected a node"));
        }
        Ok(end)
    }
}
