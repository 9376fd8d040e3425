//! A monitor's position in the sequence of results. Cursors are opaque: bytes from a CU that are
//! sent back to it, and never read here.

use crate::decode::ao_cursor::Reader;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The longest cursor, in bytes. An AO cursor has about 100 bytes. The bound keeps a hostile CU
/// from filling URLs and memory.
pub const MAX_CURSOR_BYTES: usize = 4096;

/// An opaque cursor: the position after one result.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Arc<[u8]>);

/// Why bytes are not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CursorError {
    /// An empty cursor would make a CU start with the first result.
    #[error("an empty cursor: polling would restart at the first result")]
    Empty,
    /// Longer than [`MAX_CURSOR_BYTES`].
    #[error("a cursor of {0} bytes: at most {MAX_CURSOR_BYTES} are accepted")]
    TooLong(usize),
}

impl Cursor {
    /// Takes `bytes` as a cursor.
    ///
    /// # Errors
    /// [`CursorError`] if it is empty or too long.
    pub fn new(bytes: &[u8]) -> Result<Self, CursorError> {
        Self::check(bytes).map(|()| Self(bytes.into()))
    }

    /// Checks whether `bytes` are a cursor, without making one.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), CursorError> {
        match bytes.len() {
            0 => Err(CursorError::Empty),
            long if long > MAX_CURSOR_BYTES => Err(CursorError::TooLong(long)),
            _ => Ok(()),
        }
    }

    /// The cursor's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The time of the result, in ms since 1970, if this is a cursor of AO. It is for inspection;
    /// no request depends on it.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        Reader::default().read(self.as_bytes()).map(|read| read.timestamp)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0.escape_ascii())
    }
}

/// The point after which a monitor asks for results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// After the newest result that the CU has now, which is not known yet. Nothing is fetched from
    /// here: a guess would lose results or push old ones.
    Unresolved,
    /// Before the first result.
    Earliest,
    /// After the result with this cursor.
    After(Cursor),
}

impl Position {
    /// The cursor to send to the CU, if there is one.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::After(cursor) => Some(cursor),
            Self::Unresolved | Self::Earliest => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_of_no_bytes_is_refused() {
        assert_eq!(Cursor::new(b""), Err(CursorError::Empty));
    }

    #[test]
    fn cursor_at_the_bound_is_taken_and_beyond_it_refused() {
        assert!(Cursor::new(&[b'a'; MAX_CURSOR_BYTES]).is_ok());
        assert_eq!(
            Cursor::new(&[b'a'; MAX_CURSOR_BYTES + 1]),
            Err(CursorError::TooLong(MAX_CURSOR_BYTES + 1))
        );
    }

    #[test]
    fn cursor_in_a_log_shows_what_is_no_text_escaped() {
        let cursor = Cursor::new(b"a+/=\x00\xff").unwrap();
        assert_eq!(format!("{cursor:?}"), r"Cursor(a+/=\x00\xff)");
    }
}
