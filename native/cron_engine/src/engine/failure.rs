//! The classes of failed fetches, as the engine and the logs name them, and which repeats are
//! reported. The monitor decides what to do about a failure.

use crate::PageError;
use std::fmt;
use std::time::Duration;

/// Declares the classes, each once: its variant, its name in logs and metrics, what it means, and what an operator
/// can do. `docs/errors.md` is generated from it.
macro_rules! classes {
    ($($variant:ident, $name:literal, $meaning:literal, $advice:literal;)+) => {
        /// The class of a failed fetch. Its name is the second element of the error in the log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Class {
            $(#[doc = $meaning] $variant,)+
        }

        impl Class {
            /// Each class with its name, meaning and advice, in the order of the variants.
            const TABLE: &'static [(Self, &'static str, &'static str, &'static str)] =
                &[$((Self::$variant, $name, $meaning, $advice)),+];
        }
    };
}

classes! {
    Resolve, "resolve", "The host's name did not resolve.", "check the name and the node's DNS";
    Connect, "connect", "No connection, or it broke before the response was complete.", "check that the CU runs and is reachable";
    ConnectTimeout, "connect_timeout", "No connection within `cron_connect_timeout`.", "check the network and firewalls";
    FirstByteTimeout, "first_byte_timeout", "No complete head of a response within `cron_first_byte_timeout`.", "the CU may be evaluating a backlog: wait, or raise the option";
    Timeout, "timeout", "No complete response within `cron_timeout`, even if it keeps arriving.", "raise the option, or lower `cron_page_limit`";
    Tls, "tls", "The TLS handshake failed or the certificate was refused.", "check the certificate; `cron_cacertfile` adds a CA";
    Protocol, "protocol", "The peer does not speak HTTP as it should.", "check that `cron_node` names a CU";
    Status, "status", "A status other than 200.", "check the CU's log";
    Redirect, "redirect", "A redirect to another origin or without a location, or too many redirects.", "set `cron_node` to its target, if you trust it";
    BodyTooLarge, "body_too_large", "The body, as sent or inflated, is larger than `cron_max_page_bytes`.", "raise the option, or lower `cron_page_limit`";
    NoRoom, "no_room", "There is no memory left for a large page within `cron_max_buffered_bytes`.", "wait for pushes, or raise the option";
    BadEncoding, "bad_encoding", "The body has an encoding that was not requested, or is damaged.", "check proxies between the node and the CU";
    BadJson, "bad_json", "The body is not JSON.", "check that `cron_node` names a CU";
    BadUtf8, "bad_utf8", "The body is not UTF-8.", "report it to the CU's operator";
    TooDeep, "too_deep", "The JSON is nested too deeply.", "report it to the CU's operator";
    StringTooLong, "string_too_long", "A string of the JSON is longer than 32 MiB.", "report it to the process's author";
    TooManyEdges, "too_many_edges", "A page has more than 10,000 edges.", "report it to the CU's operator";
    BadNumber, "bad_number", "A number that no Erlang number can hold.", "report it to the process's author";
    BadPage, "bad_page", "The JSON is not a page of results.", "check that `cron_node` names a CU";
    NoCursor, "no_cursor", "An edge has no usable cursor.", "report it to the CU's operator";
    CursorTooLong, "cursor_too_long", "An edge's cursor is longer than 4 KiB.", "report it to the CU's operator";
    StuckCursor, "stuck_cursor", "A page with results ends at the cursor where the previous one ended.", "report it to the CU's operator";
    CursorRegressed, "cursor_regressed", "A page has results from before its start, or a result twice.", "report it to the CU's operator; try another CU";
    FutureCursor, "future_cursor", "A result is dated further ahead of the node's clock than `cron_max_ahead` allows.", "check the clocks of the node and the CU";
    EmptyPage, "empty_page", "A page without results says that there are more.", "report it to the CU's operator";
    Internal, "internal", "A contained fault of this library.", "report it with the log entry";
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = Self::TABLE.len();

    /// The index of the class.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|(class, ..)| *class)
    }

    /// The name of the class.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE.get(self.index()).map_or("", |(_, name, ..)| name)
    }

    /// What the class means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        Self::TABLE.get(self.index()).map_or("", |(_, _, meaning, _)| meaning)
    }

    /// What an operator can do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        Self::TABLE.get(self.index()).map_or("", |(.., advice)| advice)
    }

    /// Whether the class says that the host as a whole is in trouble, and not one answer.
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
    /// A description without secrets, with at most one line of the peer's text.
    pub detail: String,
    /// How long the CU asks not to be called, if it does.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of `class` with a description.
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
            PageError::NoRoom(_) => Class::NoRoom,
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
    /// Counts a failure. Returns the number of failures if this one is to be reported: at 1, 2, 4,
    /// 8, ... and if the class is new to the outage.
    pub(crate) fn failed(&mut self, class: Class) -> Option<u64> {
        self.failures = self.failures.saturating_add(1);
        let bit = 1_u32 << (class as u8);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        (new || self.failures.is_power_of_two()).then_some(self.failures)
    }

    /// The number of failures.
    pub(crate) const fn failures(&self) -> u64 {
        self.failures
    }

    /// Ends the outage. Returns the number of failures, if there were any.
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
