//! What can go wrong with a fetch, as the engine and the logs name it, and which repeats of it
//! are worth a report. What to do about a failure is the monitor's business, not this file's.

use crate::PageError;
use std::fmt;
use std::time::Duration;

/// The class of a failed fetch. Its name is the second element of the error in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Class {
    /// The host's name did not resolve.
    Resolve,
    /// No connection, or it broke before the response was whole.
    Connect,
    /// No connection within `cron_connect_timeout`.
    ConnectTimeout,
    /// No head of a response within `cron_first_byte_timeout`.
    FirstByteTimeout,
    /// No whole response within `cron_timeout`, however steadily it drips.
    Timeout,
    /// The TLS handshake failed or the certificate was refused.
    Tls,
    /// The peer does not speak HTTP as it should.
    Protocol,
    /// A status other than 200.
    Status,
    /// A redirect to another origin, to nowhere, or one too many.
    Redirect,
    /// The body, as sent or inflated, is larger than `cron_max_page_bytes`.
    BodyTooLarge,
    /// There is no memory left for a large page within `cron_max_buffered_bytes`.
    NoRoom,
    /// The body is compressed in a way that was not asked for, or is damaged.
    BadEncoding,
    /// The body is no JSON.
    BadJson,
    /// The body is no UTF-8.
    BadUtf8,
    /// The JSON is nested too deeply.
    TooDeep,
    /// A string of the JSON is too long.
    StringTooLong,
    /// A page with more edges than any CU gives.
    TooManyEdges,
    /// A number that no Erlang number can hold.
    BadNumber,
    /// The JSON is no page of results.
    BadPage,
    /// An edge has no usable cursor.
    NoCursor,
    /// An edge's cursor is too long.
    CursorTooLong,
    /// A page with results ends where the last one ended.
    StuckCursor,
    /// A page holds results that lie before where it was to begin, or one twice.
    CursorRegressed,
    /// A result is dated further ahead of this node's clock than `cron_max_ahead` allows.
    FutureCursor,
    /// A page without results says that there are more.
    EmptyPage,
    /// A fault of our own, kept from spreading.
    Internal,
}

impl Class {
    /// Every class with its name, as logs and metrics spell it.
    const NAMES: [(Self, &'static str); 26] = [
        (Self::Resolve, "resolve"),
        (Self::Connect, "connect"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::FirstByteTimeout, "first_byte_timeout"),
        (Self::Timeout, "timeout"),
        (Self::Tls, "tls"),
        (Self::Protocol, "protocol"),
        (Self::Status, "status"),
        (Self::Redirect, "redirect"),
        (Self::BodyTooLarge, "body_too_large"),
        (Self::NoRoom, "no_room"),
        (Self::BadEncoding, "bad_encoding"),
        (Self::BadJson, "bad_json"),
        (Self::BadUtf8, "bad_utf8"),
        (Self::TooDeep, "too_deep"),
        (Self::StringTooLong, "string_too_long"),
        (Self::TooManyEdges, "too_many_edges"),
        (Self::BadNumber, "bad_number"),
        (Self::BadPage, "bad_page"),
        (Self::NoCursor, "no_cursor"),
        (Self::CursorTooLong, "cursor_too_long"),
        (Self::StuckCursor, "stuck_cursor"),
        (Self::CursorRegressed, "cursor_regressed"),
        (Self::FutureCursor, "future_cursor"),
        (Self::EmptyPage, "empty_page"),
        (Self::Internal, "internal"),
    ];

    /// How many classes there are.
    pub const COUNT: usize = Self::NAMES.len();

    /// The place of the class among all.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(class, _)| *class)
    }

    /// The name of the class.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(class, _)| *class == self).map_or("", |(_, name)| name)
    }

    /// Whether it says that the host as a whole is in trouble, not one answer of it.
    #[must_use]
    pub const fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::Resolve
                | Self::Connect
                | Self::ConnectTimeout
                | Self::FirstByteTimeout
                | Self::Timeout
                | Self::Tls
        )
    }
}

/// A failed fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub class: Class,
    /// What happened, in words that carry no secret and no more of the peer's text than a line.
    pub detail: String,
    /// How long the CU asks to be left alone, if it does.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of `class`, told by `detail`.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into(), retry_after: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.name(), self.detail)
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        let class = match error {
            PageError::Json(_) => Class::BadJson,
            PageError::Utf8(_) => Class::BadUtf8,
            PageError::StringTooLong(_) => Class::StringTooLong,
            PageError::TooManyEdges => Class::TooManyEdges,
            PageError::CursorTooLong { .. } => Class::CursorTooLong,
            PageError::Regressed { .. } => Class::CursorRegressed,
            PageError::TooDeep => Class::TooDeep,
            PageError::Shape(_) => Class::BadPage,
            PageError::Number(_) => Class::BadNumber,
            PageError::Cursor { .. } => Class::NoCursor,
            PageError::StuckCursor => Class::StuckCursor,
            PageError::EmptyWithNext => Class::EmptyPage,
            PageError::Ahead { .. } => Class::FutureCursor,
        };
        Self::new(class, error.to_string())
    }
}

/// The failures of one monitor since its last success.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outage {
    failures: u64,
    /// One bit per class that was reported in this outage.
    seen: u32,
}

impl Outage {
    /// Counts a failure. Says how many there have been where this one is worth a report: at 1,
    /// 2, 4, 8, … and when the class is new to the outage.
    pub(crate) fn failed(&mut self, class: Class) -> Option<u64> {
        self.failures = self.failures.saturating_add(1);
        let bit = 1_u32 << (class as u8);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        (new || self.failures.is_power_of_two()).then_some(self.failures)
    }

    /// How many there have been.
    pub(crate) const fn failures(&self) -> u64 {
        self.failures
    }

    /// Ends the outage. Says how many failures there were, if there were any.
    pub(crate) fn ended(&mut self) -> Option<u64> {
        let failures = std::mem::take(self).failures;
        (failures > 0).then_some(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_the_places_that_they_are_listed_at() {
        let places: Vec<usize> = Class::all().map(Class::index).collect();
        assert_eq!(places, (0..Class::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn outage_repeats_are_reported_at_powers_of_two() {
        let mut outage = Outage::default();
        let reported: Vec<u64> = (0..100).filter_map(|_| outage.failed(Class::Timeout)).collect();
        assert_eq!(reported, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(outage.ended(), Some(100));
        assert_eq!(outage.ended(), None);
    }

    #[test]
    fn outage_that_changes_its_class_is_reported_once_for_each() {
        let mut outage = Outage::default();
        let mut reported = Vec::new();
        for _ in 0..10 {
            reported.extend(outage.failed(Class::Timeout));
            reported.extend(outage.failed(Class::Connect));
        }
        assert_eq!(reported, [1, 2, 4, 8, 16]);
        assert_eq!(outage.failed(Class::BadJson), Some(21));
    }

    #[test]
    fn class_names_are_distinct_and_fit_the_bit_set() {
        let names: std::collections::HashSet<_> = Class::all().map(Class::name).collect();
        assert_eq!(names.len(), Class::all().count());
        assert!(Class::all().all(|class| (class as u8) < 32));
    }

    #[test]
    fn failure_in_words_begins_with_its_class() {
        let failure = Failure::new(Class::ConnectTimeout, "5 s are over");
        assert_eq!(failure.to_string(), "connect_timeout: 5 s are over");
    }
}
