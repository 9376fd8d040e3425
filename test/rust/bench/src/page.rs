//! Pages as a Compute Unit sends them, made by patching numbers into a template: a thousand results
//! of 400 bytes in a tenth of a millisecond. All processes have the same results.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;

/// The time of the first result, in ms since the Unix epoch.
const BASE: u64 = 1_760_000_000_000;
/// The most results per page, as in a CU.
const MAX_LIMIT: u64 = 1000;

/// The kind of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One message with a few tags and this many bytes of data.
    Data(usize),
    /// Many small strings: a message with this many tags, and 64 bytes of data.
    Tags(usize),
}

/// The template of a result, without its numbers.
#[derive(Debug)]
pub struct Results {
    before_anchor: Vec<u8>,
    after_anchor: Vec<u8>,
}

impl Results {
    /// A template for results of a kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let (tags, data) = match kind {
            Kind::Data(bytes) => (4, bytes),
            Kind::Tags(count) => (count, 64),
        };
        let mut after_anchor = b"\",\"Tags\":[{\"name\":\"Type\",\"value\":\"Message\"}".to_vec();
        for number in 1..tags {
            let _ = write!(
                after_anchor,
                ",{{\"name\":\"Tag-{number}\",\"value\":\"value of tag {number}\"}}"
            );
        }
        after_anchor.extend_from_slice(b"],\"Data\":\"");
        after_anchor.resize(after_anchor.len() + data, b'x');
        after_anchor.extend_from_slice(
            b"\"}],\"Assignments\":[],\"Spawns\":[],\"Output\":{\"data\":\"\"}},\"cursor\":\"",
        );
        Self {
            before_anchor: b"{\"node\":{\"Messages\":[{\"Target\":\"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa\",\
                \"Anchor\":\""
                .to_vec(),
            after_anchor,
        }
    }

    /// The body of the page after result `after` of `count`.
    #[must_use]
    pub fn page(&self, after: u64, limit: u64, count: u64) -> Vec<u8> {
        let last = count.min(after.saturating_add(limit.min(MAX_LIMIT)));
        self.edges(after..last.max(after), last < count)
    }

    /// The body of a page with the latest of `count` results.
    #[must_use]
    pub fn latest(&self, count: u64) -> Vec<u8> {
        self.edges(count.saturating_sub(1)..count, count > 1)
    }

    /// Results `range.start + 1` to `range.end`.
    fn edges(&self, range: std::ops::Range<u64>, has_next_page: bool) -> Vec<u8> {
        let edge = self.before_anchor.len() + self.after_anchor.len() + 160;
        let many = usize::try_from(range.end - range.start).unwrap_or(0);
        let mut body = Vec::with_capacity(64 + many * edge);
        let _ = write!(body, "{{\"pageInfo\":{{\"hasNextPage\":{has_next_page}}},\"edges\":[");
        for number in range.clone() {
            if number > range.start {
                body.push(b',');
            }
            let number = number + 1;
            body.extend_from_slice(&self.before_anchor);
            let _ = write!(body, "{number}");
            body.extend_from_slice(&self.after_anchor);
            body.extend_from_slice(cursor(number).as_bytes());
            body.extend_from_slice(b"\"}");
        }
        body.extend_from_slice(b"]}");
        body
    }
}

/// The cursor of a result, from its number, counted from 1.
#[must_use]
pub fn cursor(number: u64) -> String {
    STANDARD.encode(format!(
        "{{\"timestamp\":{},\"ordinate\":\"1\",\"cron\":\"0-1-second\",\"sort\":\"ASC\"}}",
        BASE + number * 1000
    ))
}

/// The number of the result with a cursor, or with a bare timestamp, which is inclusive.
#[must_use]
pub fn number(cursor: &str) -> Option<u64> {
    if let Ok(timestamp) = cursor.parse::<u64>() {
        return Some((timestamp.checked_sub(BASE)? / 1000).saturating_sub(1));
    }
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let digits: String =
        text.strip_prefix("{\"timestamp\":")?.chars().take_while(char::is_ascii_digit).collect();
    Some(digits.parse::<u64>().ok()?.checked_sub(BASE)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Results, cursor, number};

    #[test]
    fn cursor_of_a_number_is_read_back() {
        for n in [1, 2, 999, 1_000_000] {
            assert_eq!(number(&cursor(n)), Some(n));
        }
    }

    #[test]
    fn page_is_json_with_as_many_edges_as_there_are() {
        let results = Results::new(Kind::Tags(8));
        for (after, limit, count, edges, next) in [
            (0, 10, 25, 10, true),
            (20, 10, 25, 5, false),
            (25, 10, 25, 0, false),
            (0, 5000, 3000, 1000, true),
        ] {
            let page: serde_json::Value =
                serde_json::from_slice(&results.page(after, limit, count)).unwrap();
            assert_eq!(page["edges"].as_array().unwrap().len(), edges);
            assert_eq!(page["pageInfo"]["hasNextPage"], next);
            if let Some(last) = page["edges"].as_array().unwrap().last() {
                assert_eq!(number(last["cursor"].as_str().unwrap()), Some(after + edges as u64));
            }
        }
    }
}
