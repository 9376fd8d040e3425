//! What a user wishes of a process, on any node. Each statement changes the row, the mark of the
//! shard, by which the owner learns that it must read the shard again, and the mark of the owner's
//! row, so that it learns it soon.
//!
//! `$1` is always the process, `$2` its shard, `$3` a random number that is not 0: the mark. It is
//! random, and so are generations: after a fail-over to a replica that is behind, a sequence or a
//! counter would give the same number twice.
//!
//! The row of the owner is changed last, and only if it is not locked: a renewal must not wait for a
//! wish that waits for a commit. So its mark is a hint only.

/// A statement that changes a process, with the marks.
macro_rules! wish {
    ($first:literal, $statement:literal) => {
        concat!(
            "WITH ",
            $first,
            "wish AS (
    UPDATE hb_cron.shard SET mark = $3 WHERE shard = $2 RETURNING owner
), free AS (
    SELECT n.incarnation FROM hb_cron.node n JOIN wish w ON w.owner = n.incarnation
    FOR NO KEY UPDATE OF n SKIP LOCKED
), hint AS (
    UPDATE hb_cron.node n SET mark = $3 FROM free WHERE n.incarnation = free.incarnation
)
",
            $statement
        )
    };
    ($statement:literal) => {
        wish!("", $statement)
    };
}
pub(super) use wish;

/// Stops a process. Its cursor stays. `$4` is the time.
pub const STOP: &str =
    wish!("UPDATE hb_cron.process SET watched = false, at = $4 WHERE process = $1 AND watched");

/// Notes that the cluster runs, at the time `$1`, unless it was noted in the last 30 s.
pub const SEEN: &str = "UPDATE hb_cron.layout SET seen = $1 WHERE seen < $1 - 30000";

/// Forgets processes of node `$1` that were stopped before the time `$2` and have no dead letters.
pub const EXPIRE: &str = "\
DELETE FROM hb_cron.process p USING hb_cron.shard s
WHERE s.shard = p.shard AND s.owner = $1 AND NOT p.watched AND p.ended AND p.at < $2
    AND NOT EXISTS (SELECT FROM hb_cron.letter l WHERE l.process = p.process)";

/// Notes that the monitor of a stopped process has ended, of process `$1` and generation `$2`. The
/// acks of its last results are saved.
pub const ENDED: &str = "\
UPDATE hb_cron.process SET ended = true WHERE process = $1 AND generation = $2 AND NOT watched";

/// Forgets a process and its dead letters, if its monitor has ended after a stop.
pub const FORGET: &str =
    wish!("DELETE FROM hb_cron.process WHERE process = $1 AND NOT watched AND ended");

/// Replaces the options of a process, `$4`, if it has the generation `$5`.
pub const SET_OPTIONS: &str =
    wish!("UPDATE hb_cron.process SET options = $4 WHERE process = $1 AND generation = $5");

/// Asks the owner of a process to poll at once. The mark is the number of the request.
pub const ASK_TO_POLL: &str = wish!("UPDATE hb_cron.process SET asked = $3 WHERE process = $1");

/// Inserts or replaces a process with its dead letters. The mark is also the generation. `$4`:
/// whether it is watched, `$5` its options, `$6` its position, `$7` the number of its last dead
/// letter, `$8` the time, `$9` to `$14` dead letters: numbers, times, attempts, cursors, errors,
/// results. All other dead letters of the process are deleted.
pub const IMPORT: &str = wish!(
    "other AS (
    DELETE FROM hb_cron.letter WHERE process = $1 AND id <> ALL ($9::bigint[])
), imported AS (
    INSERT INTO hb_cron.process
        (process, shard, watched, ended, options, generation, position, last_letter, at)
    VALUES ($1, $2, $4, NOT $4, $5, $3, $6, $7, $8)
    ON CONFLICT (process) DO UPDATE SET watched = excluded.watched, options = excluded.options,
        ended = excluded.ended,
        generation = excluded.generation, seq = 0, position = excluded.position,
        last_letter = excluded.last_letter, at = excluded.at, asked = 0
    RETURNING process
), ",
    "INSERT INTO hb_cron.letter (process, id, at, attempts, cursor, error, result)
SELECT i.process, l.* FROM imported i, unnest($9::bigint[], $10::bigint[], $11::bigint[],
    $12::bytea[], $13::bytea[], $14::bytea[]) l(id, at, attempts, cursor, error, result)
ON CONFLICT (process, id) DO UPDATE SET at = excluded.at, attempts = excluded.attempts,
    cursor = excluded.cursor, error = excluded.error, result = excluded.result, wish = 0,
    refused = 0, reason = ''"
);

/// Adds dead letters to a process that was imported with the generation `$2`: the values from `$3` on
/// are those from `$9` on of [`IMPORT`].
pub const IMPORT_LETTERS: &str = "\
INSERT INTO hb_cron.letter (process, id, at, attempts, cursor, error, result)
SELECT p.process, l.* FROM hb_cron.process p, unnest($3::bigint[], $4::bigint[], $5::bigint[],
    $6::bytea[], $7::bytea[], $8::bytea[]) l(id, at, attempts, cursor, error, result)
WHERE p.process = $1 AND p.generation = $2
ON CONFLICT DO NOTHING";
