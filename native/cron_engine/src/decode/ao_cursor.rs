//! AO cursors: base64 of a JSON object with the time of the result and, for a cron result, the name
//! of its schedule. No request depends on what a cursor says. It is read to check that a page goes
//! forward, and to know how far a page reaches.

use crate::decode::interval::Interval;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustc_hash::FxHasher;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Cursors larger than this are opaque. Those of a CU have about 100 bytes.
const MAX_BYTES: usize = 512;

/// The contents of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AoCursor {
    /// The result's time, in ms since 1970.
    pub(crate) timestamp: u64,
    /// Distinguishes results of the same time.
    pub(crate) identity: u64,
    /// Identifies the name of the schedule; `None` for a result that was not produced by a
    /// schedule. [`Cron::of`] reads the name, which is not needed for every cursor.
    pub(crate) cron: Option<u64>,
}

/// The schedule of a cron result, from its name: `1-10-minutes` is the second schedule of its
/// process and runs every ten minutes. What follows the index is the tag `Cron-Interval` as it is,
/// spaces included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cron {
    /// The least number of schedules of the process.
    pub(crate) schedules: u64,
    /// How often it runs; `Unreadable` if the name does not say it.
    pub(crate) interval: Interval,
}

impl AoCursor {
    fn parse(json: &[u8]) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_slice(json).ok()?;
        let cron = fields.cron.as_deref().map(|name| hash(&name));
        let identity = hash(&(fields.ordinate.number(), fields.ordinate.text(), cron));
        Some(Self { timestamp: fields.timestamp.number()?, identity, cron })
    }
}

/// The beginning of a cursor's JSON, if its time comes first and is a number.
const BEFORE_TIME: &[u8] = b"{\"timestamp\":";

/// Reads the cursors of a page. Most of them differ from the previous one only in the digits of
/// their time, and then the rest is not parsed again: 0.05 us instead of 0.2.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What follows the time in the JSON of the last cursor that was parsed.
    after_time: Vec<u8>,
    /// The result of parsing it; `None` if its time does not come first.
    last: Option<AoCursor>,
}

impl Reader {
    /// Reads `bytes`; `None` if they are not an AO cursor.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<AoCursor> {
        let mut buffer = [0; MAX_BYTES];
        let json = decoded(bytes, &mut buffer)?;
        if let Some((timestamp, after)) = split_time(json) {
            if let Some(last) = self.last.filter(|_| self.after_time == after) {
                return Some(AoCursor { timestamp, ..last });
            }
            self.last = AoCursor::parse(json);
            self.after_time.clear();
            self.after_time.extend_from_slice(after);
            return self.last;
        }
        AoCursor::parse(json)
    }
}

/// The time of a cursor's JSON and the rest of it, in the usual form: the time is the first field,
/// and a number.
fn split_time(json: &[u8]) -> Option<(u64, &[u8])> {
    let rest = json.strip_prefix(BEFORE_TIME)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (time, after) = rest.split_at_checked(digits)?;
    // 19 digits fit into 64 bits. No digits or a leading zero are not JSON. A point or an exponent
    // may follow.
    let plain = (1..=19).contains(&digits)
        && (digits == 1 || time.first() != Some(&b'0'))
        && matches!(after.first(), Some(b',' | b'}'));
    let timestamp = time
        .iter()
        .fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit & 15)));
    plain.then_some((timestamp, after))
}

fn decoded<'b>(bytes: &[u8], buffer: &'b mut [u8; MAX_BYTES]) -> Option<&'b [u8]> {
    let length = BASE64_STANDARD.decode_slice(bytes, buffer).ok()?;
    buffer.get(..length)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Cron {
    /// The schedule of the result with this cursor.
    pub(crate) fn of(cursor: &[u8]) -> Option<Self> {
        let mut buffer = [0; MAX_BYTES];
        let fields: Fields<'_> = serde_json::from_slice(decoded(cursor, &mut buffer)?).ok()?;
        fields.cron.as_deref().map(Self::named)
    }

    fn named(name: &str) -> Self {
        let (index, tag) = name.split_once('-').unwrap_or((name, ""));
        let index: Option<u64> = index.parse().ok();
        let interval = index.map_or(Interval::Unreadable, |_| Interval::read(tag));
        // An enormous index in a name must not make steps vanish.
        Self { schedules: index.unwrap_or(0).saturating_add(1).min(100), interval }
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    ordinate: Scalar<'a>,
    #[serde(borrow, default)]
    cron: Option<Cow<'a, str>>,
}

/// A whole number or a text: CUs have used both for the same field.
#[derive(Default)]
enum Scalar<'a> {
    #[default]
    Nothing,
    Number(u64),
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    /// The number, or the number in the text.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    /// The text, unless it is a number.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if self.number().is_none() => Some(text),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a text")
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(text.to_owned().into()))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
mod tests;
