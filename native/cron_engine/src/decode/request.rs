//! The questions to a CU, as paths relative to its base URL. This file builds paths; it sends
//! nothing.

use crate::{Position, ProcessId, Trail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::sync::Arc;

/// The most results that a CU gives in one page.
pub const MAX_LIMIT: u32 = 1000;

/// A request for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Where the page begins.
    pub from: Position,
    /// Where it begins instead, in ms since 1970, on a walk past a run of errors.
    pub at: Option<u64>,
    /// The sequence number of the page's first edge.
    pub first_seq: u64,
    /// The number of results to ask for.
    pub limit: u32,
    /// The trail up to `from`, if it is known.
    pub trail: Option<Arc<Trail>>,
    /// The latest time that a result may have, in ms since 1970. The engine has no clock of that
    /// kind: the fetch sets it.
    pub horizon: u64,
}

impl PageRequest {
    /// A request for a full page of the results after `from`, the first ones of a monitor.
    #[must_use]
    pub const fn new(from: Position) -> Self {
        Self { from, at: None, first_seq: 1, limit: MAX_LIMIT, trail: None, horizon: u64::MAX }
    }

    /// The trail up to the beginning of the page.
    pub(crate) fn trail(&self) -> Trail {
        let known = self.trail.as_deref().cloned();
        let mut trail = known.unwrap_or_else(|| Trail::at(&self.from));
        if let Some(at) = self.at {
            trail.skip_to(at);
        }
        trail
    }
}

/// Everything but RFC 3986's unreserved characters. A cursor is base64, whose `+`, `/` and `=`
/// mean something else in a query.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of the page that `request` asks for. Without `from` a CU begins with the first result,
/// so an unresolved position must be resolved before.
#[must_use]
pub fn page_path(process: &ProcessId, request: &PageRequest) -> String {
    let limit = request.limit;
    if let Some(at) = request.at {
        return format!("/cron/{process}?from={at}&limit={limit}");
    }
    match request.from.cursor() {
        Some(cursor) => {
            let from = percent_encode(cursor.as_bytes(), RESERVED);
            format!("/cron/{process}?from={from}&limit={limit}")
        }
        None => format!("/cron/{process}?limit={limit}"),
    }
}

/// How many results are searched for the newest one that is not ahead of the clock.
pub const LATEST_REACH: u32 = 1000;

/// The path of the `count` latest results. `/cron` has no descending order, `/results` has.
#[must_use]
pub fn latest_path(process: &ProcessId, count: u32) -> String {
    format!("/results/{process}?sort=DESC&limit={count}&processId={process}")
}

/// The path of the first results of any kind. Errors are dropped after `reach` results were taken,
/// so one would not do; there is no upper limit here.
#[must_use]
pub fn first_path(process: &ProcessId, reach: u32) -> String {
    format!("/results/{process}?sort=ASC&limit={reach}&processId={process}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cursor, Position};

    const ID: &str = "AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa";

    fn process() -> ProcessId {
        ProcessId::new(ID.as_bytes()).unwrap()
    }

    #[test]
    fn page_path_percent_encodes_the_cursor() {
        let after = Position::After(Cursor::new(b"a+/=&\x00\xff~ok").unwrap());
        assert_eq!(
            page_path(&process(), &PageRequest::new(after)),
            format!("/cron/{ID}?from=a%2B%2F%3D%26%00%FF~ok&limit=1000")
        );
    }

    #[test]
    fn page_path_from_the_earliest_has_no_from() {
        let request = PageRequest { limit: 7, ..PageRequest::new(Position::Earliest) };
        assert_eq!(page_path(&process(), &request), format!("/cron/{ID}?limit=7"));
    }

    #[test]
    fn page_path_of_a_walk_begins_at_a_bare_time() {
        let after = Position::After(Cursor::new(b"x").unwrap());
        let request = PageRequest { at: Some(1_760_000_000_000), ..PageRequest::new(after) };
        let wanted = format!("/cron/{ID}?from=1760000000000&limit=1000");
        assert_eq!(page_path(&process(), &request), wanted);
    }

    #[test]
    fn latest_path_asks_for_one_result_in_descending_order() {
        assert_eq!(
            latest_path(&process(), 1),
            format!("/results/{ID}?sort=DESC&limit=1&processId={ID}")
        );
    }

    #[test]
    fn first_path_asks_for_as_many_results_in_ascending_order() {
        assert_eq!(
            first_path(&process(), 10_000),
            format!("/results/{ID}?sort=ASC&limit=10000&processId={ID}")
        );
    }
}
