//! Why a body is not a page of results, and the bounds of a page.

/// Why a body is not a page to continue from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The body is not JSON: HTML of a proxy, half a body, `NaN`.
    #[error("the body is not JSON: {0}")]
    Json(String),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 at byte {0}")]
    Utf8(usize),
    /// A result is nested too deeply.
    #[error("the JSON is nested too deeply")]
    TooDeep,
    /// The JSON is not a page of results.
    #[error("the JSON is not a page of results: {0}")]
    Shape(String),
    /// A string longer than [`MAX_STRING_BYTES`].
    #[error("a string of {0} bytes: at most {MAX_STRING_BYTES} are accepted")]
    StringTooLong(usize),
    /// More edges than [`MAX_EDGES`].
    #[error("more than {MAX_EDGES} edges: a CU sends at most 1000")]
    TooManyEdges,
    /// A number that no Erlang number can hold.
    #[error("the number {0} is out of range")]
    Number(String),
    /// An edge's cursor is missing or unusable, so that nothing could be fetched after it.
    #[error("edge {edge} has no usable cursor: {reason}")]
    Cursor {
        /// The index of the edge in the page, from 0.
        edge: u64,
        /// What is wrong with the cursor.
        reason: String,
    },
    /// An edge's cursor is longer than [`MAX_CURSOR_BYTES`](crate::MAX_CURSOR_BYTES).
    #[error("edge {edge} has a cursor that is too long: {reason}")]
    CursorTooLong {
        /// The index of the edge in the page, from 0.
        edge: u64,
        /// The length of the cursor.
        reason: String,
    },
    /// An edge lies before the previous one, or is repeated: a CU must not rewind a process into
    /// pushing its old results again.
    #[error("edge {edge} is out of order: {reason}")]
    Regressed {
        /// The index of the edge in the page, from 0.
        edge: u64,
        /// What its cursor does.
        reason: String,
    },
    /// The last edge's cursor is the one that the page was fetched from: continuing would loop.
    #[error("the page ends with the cursor after which it should begin")]
    StuckCursor,
    /// The next result, or the position itself, is dated further ahead of this node's clock than
    /// allowed. Continuing from it would miss every result until that time comes.
    #[error(
        "{what} is dated {time} ms since 1970, which is ahead of this node's clock: check both \
         clocks; results up to {horizon} are accepted (cron_max_ahead)"
    )]
    Ahead {
        /// The result or the position.
        what: &'static str,
        /// Its time.
        time: u64,
        /// The latest time that is accepted.
        horizon: u64,
    },
    /// There is no memory for a page that takes this many bytes decoded, or so far while it is being decoded.
    #[error("a page that takes {0} bytes decoded has no room")]
    NoRoom(u64),
    /// No edges, but `hasNextPage` is true: there is no cursor to continue from.
    #[error("the page is empty, but announces a next one")]
    EmptyWithNext,
}

impl PageError {
    /// What serde says of a body, unless something more exact is known. Nothing of the body itself
    /// gets into the text: that may be anything, and long.
    pub(crate) fn from_serde(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        match error.classify() {
            serde_json::error::Category::Data => match text.rsplit_once(", expected ") {
                Some((_found, expected)) => Self::Shape(format!("expected {expected}")),
                None => Self::Shape(text),
            },
            _ if text.starts_with("recursion limit") => Self::TooDeep,
            _ => Self::Json(text),
        }
    }
}

/// The longest string, in bytes: half of a page's default limit.
pub const MAX_STRING_BYTES: usize = 32 * 1024 * 1024;

/// The most edges: ten times what a CU gives. Edges that only have a cursor would otherwise take
/// many times the memory of their body.
pub const MAX_EDGES: u64 = 10_000;
