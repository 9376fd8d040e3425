//! What can go wrong with a fetch, as the engine and the logs name it, and which repeats of it
//! are worth a report. What to do about a failure is the monitor's business, not this file's.

use crate::PageError;
use std::fmt;

/// The class of a failed fetch. Its name is the second element of the error in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Class {
    /// The host's name did not resolve.
    Resolve,
    /// No connection, or it broke before the response was whole.
    Connect,
    /// The TLS handshake failed or the certificate was refused.
    Tls,
    /// A time limit ran out; the details say which.
    Timeout,
    /// The peer does not speak HTTP as it should.
    Protocol,
    /// A status other than 200.
    Status,
    /// A redirect to another origin, to nowhere, or one too many.
    Redirect,
    /// The decoded body is larger than `cron_max_page_bytes`.
    BodyTooLarge,
    /// The body is no JSON.
    BadJson,
    /// The JSON is nested too deeply.
    TooDeep,
    /// The JSON is no page of results.
    BadPage,
    /// An edge has no usable cursor.
    NoCursor,
    /// A page with results ends where the last one ended.
    StuckCursor,
    /// A page without results says that there are more.
    EmptyPage,
    /// A fault of our own, kept from spreading.
    Internal,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 15] = [
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Protocol,
        Self::Status,
        Self::Redirect,
        Self::BodyTooLarge,
        Self::BadJson,
        Self::TooDeep,
        Self::BadPage,
        Self::NoCursor,
        Self::StuckCursor,
        Self::EmptyPage,
        Self::Internal,
    ];

    /// The name of the class, as logs and metrics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::BodyTooLarge => "body_too_large",
            Self::BadJson => "bad_json",
            Self::TooDeep => "too_deep",
            Self::BadPage => "bad_page",
            Self::NoCursor => "no_cursor",
            Self::StuckCursor => "stuck_cursor",
            Self::EmptyPage => "empty_page",
            Self::Internal => "internal",
        }
    }
}

/// A failed fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub class: Class,
    /// What happened, in words that carry no secret and no more of the peer's text than a line.
    pub detail: String,
}

impl Failure {
    /// A failure of `class`, told by `detail`.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
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
            PageError::TooDeep => Class::TooDeep,
            PageError::Shape(_) | PageError::Number(_) => Class::BadPage,
            PageError::Cursor { .. } => Class::NoCursor,
            PageError::StuckCursor => Class::StuckCursor,
            PageError::EmptyWithNext => Class::EmptyPage,
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
        let names: std::collections::HashSet<_> = Class::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Class::ALL.len());
        assert!(Class::ALL.iter().all(|class| (*class as u8) < 32));
    }
}
