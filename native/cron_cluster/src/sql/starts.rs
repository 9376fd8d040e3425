//! Starts of processes: each statement starts several of them in one transaction, and returns the
//! processes that it has changed.
//!
//! `$1` are the processes, without duplicates, `$2` their shards, `$3` is the mark, which is also the
//! generation, `$4` are the options, `$5` the positions, `$6` is the time.
//!
//! A process that is watched already is left out first, so that its row is not locked: its owner may be
//! saving its cursor. Rows are changed in the order of their shards, so that two of these statements
//! wait for each other instead of ending in a deadlock. Only the shards of processes that were changed
//! are marked: the owner of a marked shard reads all of its processes again. Therefore many starts are
//! best divided in the order of their shards.

/// A statement for the processes to which the condition does not apply, and what it does in case of a
/// conflict.
macro_rules! start {
    ($left_out:literal, $conflict:literal) => {
        concat!(
            "WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int[], $4::bytea[], $5::bytea[])
        u(process, shard, options, position)
    WHERE NOT EXISTS (
        SELECT FROM hb_cron.process p WHERE p.process = u.process COLLATE \"C\"",
            $left_out,
            ")
), changed AS (
    INSERT INTO hb_cron.process (process, shard, watched, options, generation, position, at)
    SELECT process, shard, true, options, $3, position, $6 FROM given ORDER BY shard, process
    ON CONFLICT (process) ",
            $conflict,
            "
    RETURNING process, shard
), locked AS MATERIALIZED (
    SELECT s.shard FROM hb_cron.shard s WHERE s.shard IN (SELECT shard FROM changed)
    ORDER BY s.shard FOR NO KEY UPDATE
), wish AS (
    UPDATE hb_cron.shard s SET mark = $3 FROM locked WHERE s.shard = locked.shard RETURNING s.owner
), free AS (
    SELECT n.incarnation FROM hb_cron.node n WHERE n.incarnation IN (SELECT owner FROM wish)
    FOR NO KEY UPDATE OF n SKIP LOCKED
), hint AS (
    UPDATE hb_cron.node n SET mark = $3 FROM free WHERE n.incarnation = free.incarnation
)
SELECT process FROM changed"
        )
    };
}

/// Starts processes at their positions. Those that are watched are left as they are.
pub const START: &str = start!(
    " AND p.watched",
    "DO UPDATE SET watched = true, options = excluded.options,
    generation = excluded.generation, seq = 0, position = excluded.position, at = excluded.at,
    ended = false
WHERE NOT process.watched"
);

/// The same, but those that are known keep their generation and their cursor.
pub const RESUME: &str = start!(
    " AND p.watched",
    "DO UPDATE SET watched = true, options = excluded.options, ended = false
WHERE NOT process.watched"
);

/// The same, but those that are known, also those that were stopped, are left as they are.
pub const ADD: &str = start!("", "DO NOTHING");
