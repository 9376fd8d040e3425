//! Why a commit did not change a row, and what follows.
//!
//! A commit returns the rows that it changed. The others are read by a second statement. One that
//! was removed elsewhere must end one monitor, not the node.

/// What a commit wrote of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The generation of the start that the monitor belongs to.
    pub generation: i64,
    /// The number of results that were acked or given up since then.
    pub seq: i64,
}

/// What the second statement found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The node has its row.
    pub node: bool,
    /// The row of the process; `None` if it is gone.
    pub row: Option<Row>,
}

/// The row of a process, and whether its shard belongs to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The generation of its latest start.
    pub generation: i64,
    /// The number of results that were acked or given up since then.
    pub seq: i64,
    /// The shard belongs to this node.
    pub mine: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This node was buried: it loses all shards and joins again.
    Evicted,
    /// The process was forgotten, or started elsewhere: its monitor ends.
    Gone,
    /// The shard has another owner: it is lost.
    Disowned,
    /// The row is as far already, by an earlier attempt whose answer was lost.
    Saved,
    /// Nothing speaks against it: commit again.
    Again,
}

/// Judges a row that a commit did not change.
#[must_use]
pub const fn judge(sent: Sent, found: Found) -> Verdict {
    match found {
        Found { node: false, .. } => Verdict::Evicted,
        Found { row: None, .. } => Verdict::Gone,
        Found { row: Some(row), .. } if row.generation != sent.generation => Verdict::Gone,
        Found { row: Some(Row { mine: false, .. }), .. } => Verdict::Disowned,
        Found { row: Some(row), .. } if row.seq >= sent.seq => Verdict::Saved,
        Found { .. } => Verdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_that_did_not_change_has_one_reason() {
        let sent = Sent { generation: 3, seq: 10 };
        let row = Row { generation: 3, seq: 9, mine: true };
        for (node, row, verdict) in [
            (false, Some(row), Verdict::Evicted),
            (false, None, Verdict::Evicted),
            (true, None, Verdict::Gone),
            (true, Some(Row { generation: 4, ..row }), Verdict::Gone),
            (true, Some(Row { mine: false, ..row }), Verdict::Disowned),
            (true, Some(Row { mine: false, seq: 11, ..row }), Verdict::Disowned),
            (true, Some(Row { seq: 10, ..row }), Verdict::Saved),
            (true, Some(Row { seq: 11, ..row }), Verdict::Saved),
            (true, Some(row), Verdict::Again),
        ] {
            assert_eq!(judge(sent, Found { node, row }), verdict, "{node} {row:?}");
        }
    }
}
