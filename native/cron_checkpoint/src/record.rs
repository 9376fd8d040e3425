//! The stored values of monitors and dead letters, and their byte layout. The layout has its own
//! version, so that later versions can read it.

use cron_engine::{Cursor, Position};
use std::sync::Arc;

/// The version of the layout, and the first byte of every value.
const VERSION: u8 = 1;

/// The state of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The position after the last acked result, or the start position.
    pub position: Position,
    /// Whether to resume the process. False once it was stopped.
    pub watched: bool,
    /// When the position was noted, in ms since the Unix epoch.
    pub at: u64,
    /// The monitor's options, opaque here. Shared, because each commit copies the record.
    pub options: Arc<[u8]>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number, which is never reused in this file.
    pub id: u64,
    /// When the result was given up, in ms since the Unix epoch.
    pub at: u64,
    /// How many pushes were tried.
    pub attempts: u64,
    /// The cursor of the result.
    pub cursor: Vec<u8>,
    /// The result, opaque here.
    pub result: Vec<u8>,
    /// The last error, opaque here.
    pub error: Vec<u8>,
}

/// The number of a position's kind, and its cursor.
fn kind_and_cursor(position: &Position) -> (u8, &[u8]) {
    match position {
        Position::Unresolved => (0, &[]),
        Position::Earliest => (1, &[]),
        Position::After(cursor) => (2, cursor.as_bytes()),
    }
}

fn position(kind: u8, cursor: &[u8]) -> Option<Position> {
    match kind {
        0 => Some(Position::Unresolved),
        1 => Some(Position::Earliest),
        2 => Cursor::new(cursor).ok().map(Position::After),
        _ => None,
    }
}

/// Encodes a position on its own.
#[must_use]
pub fn encode_position(position: &Position) -> Vec<u8> {
    let (kind, cursor) = kind_and_cursor(position);
    [&[VERSION, kind], cursor].concat()
}

/// Decodes a position; `None` if `bytes` are invalid.
#[must_use]
pub fn decode_position(bytes: &[u8]) -> Option<Position> {
    let [VERSION, kind, cursor @ ..] = bytes else { return None };
    position(*kind, cursor)
}

impl Record {
    /// Encodes this record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, cursor) = kind_and_cursor(&self.position);
        let mut bytes = vec![VERSION, kind, u8::from(self.watched)];
        bytes.extend_from_slice(&self.at.to_le_bytes());
        put(&mut bytes, cursor);
        bytes.extend_from_slice(&self.options);
        bytes
    }

    /// Decodes a record; `None` if `bytes` are invalid.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [VERSION, kind, watched, rest @ ..] = bytes else { return None };
        let (at, rest) = take_u64(rest)?;
        let (cursor, options) = take(rest)?;
        let position = position(*kind, cursor)?;
        Some(Self { position, watched: *watched != 0, at, options: options.into() })
    }
}

impl Letter {
    /// The length of what [`Letter::encode`] returns.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let parts = self.cursor.len() + self.error.len() + self.result.len();
        u64::try_from(parts).unwrap_or(u64::MAX).saturating_add(1 + 8 + 8 + 4 + 4)
    }

    /// Encodes this letter without its number, which is in its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.at.to_le_bytes());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        put(&mut bytes, &self.cursor);
        put(&mut bytes, &self.error);
        bytes.extend_from_slice(&self.result);
        bytes
    }

    /// Decodes the letter with this number; `None` if `bytes` are invalid.
    #[must_use]
    pub fn decode(id: u64, bytes: &[u8]) -> Option<Self> {
        let [VERSION, rest @ ..] = bytes else { return None };
        let (at, rest) = take_u64(rest)?;
        let (attempts, rest) = take_u64(rest)?;
        let (cursor, rest) = take(rest)?;
        let (error, result) = take(rest)?;
        let [cursor, error, result] = [cursor, error, result].map(<[u8]>::to_vec);
        Some(Self { id, at, attempts, cursor, result, error })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_of_each_position_is_read_as_it_was_written() {
        let after = Position::After(Cursor::new(b"cursor").unwrap());
        for position in [Position::Unresolved, Position::Earliest, after] {
            for watched in [false, true] {
                let record = Record {
                    position: position.clone(),
                    watched,
                    at: 1_760_000_000_000,
                    options: b"options"[..].into(),
                };
                assert_eq!(Record::decode(&record.encode()), Some(record));
            }
            assert_eq!(decode_position(&encode_position(&position)), Some(position));
        }
    }

    #[test]
    fn letter_is_read_as_it_was_written() {
        let letter = Letter {
            id: 7,
            at: 1,
            attempts: 5,
            cursor: b"c".to_vec(),
            result: vec![0; 1000],
            error: Vec::new(),
        };
        assert_eq!(letter.bytes(), u64::try_from(letter.encode().len()).unwrap());
        assert_eq!(Letter::decode(7, &letter.encode()), Some(letter));
    }

    #[test]
    fn bytes_cut_anywhere_or_of_another_version_are_no_record() {
        let position = Position::After(Cursor::new(b"cursor").unwrap());
        let bytes = Record { position, watched: true, at: 1, options: [].into() }.encode();
        for end in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..end]), None, "{end}");
        }
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Record::decode(&other), None);
    }
}
