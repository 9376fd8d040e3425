//! A Compute Unit (CU) with errors among its results, as a real one handles them: it cuts the page
//! first and leaves errors out after. Its pages are JSON, its cursors those of AO.

use base64::prelude::{BASE64_STANDARD, Engine};
use cron_engine::{Cursor, PageRequest, Request};

/// The time of the first results, in ms since 1970.
pub(crate) const BASE: u64 = 1_760_000_000_000;

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// In ms since 1970.
    pub(crate) timestamp: u64,
    /// Its schedule; `None` for a result of a message.
    pub(crate) cron: Option<String>,
    /// It ended in an error: no page ever has it.
    pub(crate) error: bool,
}

impl Row {
    /// Its cursor, in the order in which `/cron` or `/results` gave it.
    pub(crate) fn cursor(&self, sort: &str) -> Cursor {
        let cron = self.cron.as_ref().map(|cron| format!(r#","cron":"{cron}""#));
        let (timestamp, cron) = (self.timestamp, cron.unwrap_or_default());
        let json = format!(r#"{{"timestamp":{timestamp},"ordinate":"1"{cron},"sort":"{sort}"}}"#);
        Cursor::new(BASE64_STANDARD.encode(json).as_bytes()).expect("a short cursor")
    }

    fn edge(&self, sort: &str) -> String {
        let cursor = self.cursor(sort);
        let cursor = std::str::from_utf8(cursor.as_bytes()).expect("base64");
        format!(r#"{{"node":{{"Output":{}}},"cursor":"{cursor}"}}"#, self.timestamp)
    }
}

/// The CU of one process.
#[derive(Debug, Default)]
pub(crate) struct Cu {
    /// In order.
    pub(crate) rows: Vec<Row>,
}

impl Cu {
    pub(crate) fn new(mut rows: Vec<Row>) -> Self {
        rows.sort();
        rows.dedup_by(|a, b| (a.timestamp, &a.cron) == (b.timestamp, &b.cron));
        Self { rows }
    }

    /// All that it would ever give of schedules, behind `from`.
    pub(crate) fn good(&self, from: u64) -> Vec<Row> {
        let wanted = |row: &&Row| !row.error && row.cron.is_some() && row.timestamp > from;
        self.rows.iter().filter(wanted).cloned().collect()
    }

    /// The body of an answer at a time when only rows up to `now` are there.
    pub(crate) fn answer(&self, request: &Request, now: u64) -> Vec<u8> {
        let visible = &self.rows[..self.rows.partition_point(|row| row.timestamp <= now)];
        let body = match request {
            Request::Latest | Request::Look => results(visible.iter().rev(), 1, "DESC"),
            Request::First(reach) => {
                results(visible.iter(), usize::try_from(*reach).expect("not so many"), "ASC")
            }
            Request::Page(page) => cron(visible, page),
        };
        body.into_bytes()
    }
}

fn results<'a>(rows: impl Iterator<Item = &'a Row>, limit: usize, sort: &str) -> String {
    // An evaluation with an error is none of these either, and is left out as late.
    let edges: Vec<String> = rows
        .take(limit + 1)
        .filter(|row| !row.error)
        .take(limit)
        .map(|row| row.edge(sort))
        .collect();
    body(&edges, false)
}

fn cron(rows: &[Row], page: &PageRequest) -> String {
    let limit = usize::try_from(page.limit).expect("a small limit");
    let begin = match (page.at, page.from.cursor()) {
        (Some(at), _) => rows.partition_point(|row| row.timestamp < at),
        (None, None) => 0,
        (None, Some(from)) => {
            let (timestamp, cron) = read(from);
            let key = |row: &Row| (row.timestamp, row.cron.clone().unwrap_or_default());
            rows.partition_point(|row| key(row) <= (timestamp, cron.clone()))
        }
    };
    let cut = rows[begin..].iter().filter(|row| row.cron.is_some()).take(limit + 1);
    let good: Vec<String> = cut.filter(|row| !row.error).map(|row| row.edge("ASC")).collect();
    body(&good[..good.len().min(limit)], good.len() > limit)
}

fn body(edges: &[String], has_next_page: bool) -> String {
    let edges = edges.join(",");
    format!(r#"{{"pageInfo":{{"hasNextPage":{has_next_page}}},"edges":[{edges}]}}"#)
}

/// The key of the row with this cursor.
fn read(cursor: &Cursor) -> (u64, String) {
    let json = BASE64_STANDARD.decode(cursor.as_bytes()).expect("a cursor of this CU");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("a cursor of this CU");
    let cron = json["cron"].as_str().unwrap_or_default().to_owned();
    (json["timestamp"].as_u64().expect("a time"), cron)
}
