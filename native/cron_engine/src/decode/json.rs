//! JSON values, from the parser straight into the external term format: objects become maps with
//! binary keys, null becomes the atom `null`. No tree is built.

use crate::decode::ao_cursor::Reader;
use crate::decode::page_error::{MAX_STRING_BYTES, PageError};
use crate::decode::terms::{Entry, TermWriter};
use crate::{PageRequest, Trail};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The deepest nesting within a result. Serde's own limit of 128 guards the stack; this one is
/// lower, so that the error is typed.
const MAX_DEPTH: usize = 100;

/// The key under which `serde_json` passes the text of a number that is not a 64-bit integer (its
/// feature `arbitrary_precision`). The text is an owned string, which an object's value never is.
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// The state of decoding one body.
pub(crate) struct Context<'r> {
    pub(crate) writer: TermWriter,
    /// The trail up to the previous edge.
    pub(crate) trail: Trail,
    pub(crate) reader: Reader,
    /// The time of each edge's result, in ms since 1970; 0 if its cursor has none.
    pub(crate) times: Vec<u64>,
    /// Whether the page was fetched by time: then a cursor must have a time.
    pub(crate) walking: bool,
    /// The latest time that a result may have, in ms since 1970.
    pub(crate) horizon: u64,
    /// The time of the first result beyond it: the page ends before that result.
    pub(crate) ahead: Option<u64>,
    /// The typed error behind serde's, which holds only text.
    pub(crate) error: Option<PageError>,
    /// A list of entries for each open object, kept for the next object at that depth.
    spare: Vec<Vec<Entry>>,
    /// The bytes of the parts so far.
    held: u64,
    /// Whether they may take this many bytes in all.
    room: &'r mut dyn FnMut(u64) -> bool,
}

impl<'r> Context<'r> {
    pub(crate) fn new(
        buffer: Vec<u8>,
        request: &PageRequest,
        room: &'r mut dyn FnMut(u64) -> bool,
    ) -> Self {
        Self {
            writer: TermWriter::reusing(buffer),
            trail: request.trail(),
            reader: Reader::default(),
            times: Vec::new(),
            walking: request.at.is_some(),
            horizon: request.horizon,
            ahead: None,
            error: None,
            spare: Vec::new(),
            held: 0,
            room,
        }
    }

    /// Counts a part of this size that is kept.
    pub(crate) fn hold<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.held = self.held.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if (self.room)(self.held) { Ok(()) } else { Err(self.fail(PageError::NoRoom(self.held))) }
    }

    pub(crate) fn fail<E: Error>(&mut self, error: PageError) -> E {
        let text = E::custom(&error);
        self.error = Some(error);
        text
    }

    fn number<E: Error>(&mut self, text: &str) -> Result<(), E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let cut = || text.chars().take(40).collect::<String>();
        if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
            let written = self.writer.integer(digits.len() < text.len(), digits);
            return written.ok_or_else(|| self.fail(PageError::Number(cut())));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.writer.float(value);
                Ok(())
            }
            _ => Err(self.fail(PageError::Number(cut()))),
        }
    }
}

/// Writes one JSON value to the context's writer.
pub(crate) struct ValueSeed<'c, 'r> {
    pub(crate) context: &'c mut Context<'r>,
    pub(crate) depth: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.context.writer.null();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.context.writer.bool(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.context.writer.signed(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.context.writer.unsigned(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if value.len() > MAX_STRING_BYTES {
            return Err(self.context.fail(PageError::StringTooLong(value.len())));
        }
        self.context.writer.binary(value.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { context, depth } = self;
        if depth >= MAX_DEPTH {
            return Err(context.fail(PageError::TooDeep));
        }
        let mark = context.writer.begin_list();
        let mut length = 0;
        while seq.next_element_seed(ValueSeed { context, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        context.writer.end_list(mark, length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        write_map(self.context, self.depth, map, None, None)
    }
}

/// Writes an object as a map. `skip` is a key to leave out, `extra` an entry of binaries to add,
/// which is known only when the map is otherwise complete.
pub(crate) fn write_map<'de, A: MapAccess<'de>>(
    context: &mut Context<'_>,
    depth: usize,
    mut map: A,
    skip: Option<&str>,
    reserve: Option<&mut MapEnd>,
) -> Result<(), A::Error> {
    let start = context.writer.position();
    let mark = context.writer.begin_map();
    let mut entries = context.spare.pop().unwrap_or_default();
    entries.clear();
    loop {
        let key = context.writer.position();
        let Some(kind) = map.next_key_seed(KeySeed { writer: &mut context.writer, skip })? else {
            break;
        };
        let value = context.writer.position();
        match kind {
            Key::Skipped => {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            Key::Plain => map.next_value_seed(ValueSeed { context, depth: depth + 1 })?,
            Key::Number => {
                let seed = NumberSeed { context, start, depth: depth + 1 };
                if map.next_value_seed(seed)? {
                    context.spare.push(entries);
                    return Ok(());
                }
            }
        }
        entries.push(Entry { key, value, end: context.writer.position() });
    }
    // Only here is it known that this was not a number.
    if depth >= MAX_DEPTH {
        return Err(context.fail(PageError::TooDeep));
    }
    context.writer.end_map(mark, &mut entries);
    if let Some(end) = reserve {
        *end = MapEnd { mark: Some(mark), length: entries.len() };
    }
    context.spare.push(entries);
    Ok(())
}

/// A finished map that gets one more entry.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct MapEnd {
    pub(crate) mark: Option<crate::decode::terms::Mark>,
    pub(crate) length: usize,
}

enum Key {
    Plain,
    Skipped,
    Number,
}

/// Writes an object's key.
struct KeySeed<'c> {
    writer: &'c mut TermWriter,
    skip: Option<&'c str>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        if self.skip == Some(key) {
            return Ok(Key::Skipped);
        }
        self.writer.binary(key.as_bytes());
        Ok(if key == NUMBER_KEY { Key::Number } else { Key::Plain })
    }
}

/// The value of [`NUMBER_KEY`]: the text of a number, which replaces the map begun for it, or the
/// value of an object that really has such a key. Returns which.
struct NumberSeed<'c, 'r> {
    context: &'c mut Context<'r>,
    start: usize,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for NumberSeed<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberSeed<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_string<E: Error>(self, text: String) -> Result<bool, E> {
        self.context.writer.truncate(self.start);
        self.context.number(&text).map(|()| true)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.value().visit_str(value).map(|()| false)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.value().visit_i64(value).map(|()| false)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.value().visit_u64(value).map(|()| false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        self.value().visit_unit().map(|()| false)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.value().visit_bool(value).map(|()| false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        self.value().visit_seq(seq).map(|()| false)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        self.value().visit_map(map).map(|()| false)
    }
}

impl<'c, 'r> NumberSeed<'c, 'r> {
    fn value(self) -> ValueSeed<'c, 'r> {
        ValueSeed { context: self.context, depth: self.depth }
    }
}
