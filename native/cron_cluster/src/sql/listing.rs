//! Statements that read what users and operators ask for.

/// The columns of a process, and where it is: the owner of its shard, the name of that node (null: it
/// is not alive), and whether that is node `$1`.
macro_rules! located {
    ($rest:literal) => {
        concat!(
            "SELECT p.process, p.shard, p.watched, p.options, p.generation, p.seq, p.position,
    p.last_letter, p.at, p.asked, p.ended, s.owner, n.name, coalesce(s.owner = $1, false) AS mine
FROM hb_cron.process p LEFT JOIN hb_cron.shard s ON s.shard = p.shard
LEFT JOIN hb_cron.node n ON n.incarnation = s.owner
",
            $rest
        )
    };
}

/// Finds the processes `$2`, for node `$1`.
pub const FIND: &str = located!("WHERE p.process = ANY ($2::text[]) ORDER BY p.process");

/// Lists at most `$3` processes in order, from the one after `$2` on, for node `$1`.
pub const LIST: &str = located!("WHERE p.process > $2 COLLATE \"C\" ORDER BY p.process LIMIT $3");

/// The marks of the shards in which something ever changed.
pub const MARKS: &str = "SELECT shard, mark FROM hb_cron.shard WHERE mark <> 0";

/// All nodes, each with the number of its shards.
pub const NODES: &str = "\
SELECT n.incarnation, n.name, n.beat, n.leaving, count(s.shard)
FROM hb_cron.node n LEFT JOIN hb_cron.shard s ON s.owner = n.incarnation
GROUP BY n.incarnation ORDER BY n.name, n.incarnation";

/// Totals of the cluster: processes, those that are watched, dead letters, shards without a node.
pub const TOTALS: &str = "\
SELECT (SELECT count(*) FROM hb_cron.process), (SELECT count(*) FROM hb_cron.process WHERE watched),
    (SELECT count(*) FROM hb_cron.letter),
    (SELECT count(*) FROM hb_cron.shard s LEFT JOIN hb_cron.node n ON n.incarnation = s.owner
     WHERE n.incarnation IS NULL)";
