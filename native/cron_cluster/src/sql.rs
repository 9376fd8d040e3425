//! The statements of a cluster. Each write is one statement in a transaction of its own, under READ
//! COMMITTED. They are sent unnamed, so that they work through a pooler in transaction mode.
//!
//! Under READ COMMITTED a statement compares the newest version of a row that it changes. For all
//! other tables it uses the snapshot of its beginning. So a condition on another table is not a
//! fence, unless the row there is locked. `tests/postgres` shows on a real server that
//! `UPDATE process … FROM shard WHERE epoch = $epoch`, the same with `EXISTS`, and commits without
//! generation or seq move cursors back, and that these statements do not.
//!
//! Those of the protocol and of cursors are here. [`mod@wishes`] has those of users that change a
//! process, [`starts`] those that start some, [`letters`] those of dead letters, and [`listing`] those that
//! only read.

pub mod letters;
pub mod listing;
pub mod starts;
pub mod wishes;

/// Inserts the row of this node. `$1` is an incarnation that was never used, `$2` a name.
pub const JOIN: &str = "INSERT INTO hb_cron.node (incarnation, name) VALUES ($1, $2)";

/// Renews the row of this node. No row: the node was buried. `$2`: it is leaving.
///
/// Does not wait for commits of this node: an update that leaves the key as it is does not conflict
/// with their lock.
pub const RENEW: &str = "\
UPDATE hb_cron.node SET beat = beat + 1, leaving = leaving OR $2 WHERE incarnation = $1 RETURNING beat";

/// What this node (`$1`) sees, in one snapshot. The column `kind` says what a row is: `node`, one for
/// each node; `orphans`, the shards without a node; `mine`, the shards of this node.
pub const LOOK: &str = "\
WITH seen AS MATERIALIZED (
    SELECT s.shard, s.owner, s.epoch, s.mark, n.incarnation IS NULL AS orphan
    FROM hb_cron.shard s LEFT JOIN hb_cron.node n ON n.incarnation = s.owner
), owned AS (
    SELECT owner, count(*) AS owned FROM seen WHERE NOT orphan GROUP BY owner
)
SELECT 'node' AS kind, n.incarnation, n.name, n.beat, n.leaving, coalesce(o.owned, 0) AS owned,
    NULL::int[] AS shards, NULL::bigint[] AS epochs, NULL::bigint[] AS marks
FROM hb_cron.node n LEFT JOIN owned o ON o.owner = n.incarnation
UNION ALL
SELECT 'orphans', NULL, NULL, NULL, NULL, NULL,
    array_agg(shard ORDER BY shard), array_agg(epoch ORDER BY shard), NULL
FROM seen WHERE orphan
UNION ALL
SELECT 'mine', NULL, NULL, NULL, NULL, NULL,
    array_agg(shard ORDER BY shard), array_agg(epoch ORDER BY shard), array_agg(mark ORDER BY shard)
FROM seen WHERE owner = $1";

/// The beats of all nodes, with the marks of the last wishes as a hint. Costs much less than
/// [`LOOK`], whose costs are those of all shards.
pub const WATCH: &str = "SELECT incarnation, beat, leaving, mark FROM hb_cron.node";

/// Claims shards for this node (`$1`): `$2` are the shards, `$3` the epochs of the view. Returns those
/// that it got, with their new epochs.
///
/// The epoch decides, not whether the owner has a row: for that the statement would use its
/// snapshot, and would take shards of a node that joined since.
pub const CLAIM: &str = "\
WITH me AS MATERIALIZED (
    SELECT incarnation FROM hb_cron.node WHERE incarnation = $1 FOR KEY SHARE
)
UPDATE hb_cron.shard s SET owner = me.incarnation, epoch = s.epoch + 1
FROM unnest($2::int[], $3::bigint[]) c(shard, epoch), me
WHERE s.shard = c.shard AND s.epoch = c.epoch
RETURNING s.shard, s.epoch";

/// Gives shards of this node (`$1`): `$2` are the shards, `$3` their epochs.
pub const GIVE: &str = "\
UPDATE hb_cron.shard s SET owner = NULL, epoch = s.epoch + 1
FROM unnest($2::int[], $3::bigint[]) g(shard, epoch)
WHERE s.shard = g.shard AND s.epoch = g.epoch AND s.owner = $1
RETURNING s.shard";

/// Buries a silent node (`$1`) if it still has the beat `$2`. Waits at most `$3` (such as `250ms`) for
/// its commits, then fails with `lock_not_available`.
///
/// The limit is set by the statement, because a pooler may share the session. The row is locked after
/// the join with it, so the limit applies.
pub const BURY: &str = "\
WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $3, true))
DELETE FROM hb_cron.node n USING patience WHERE n.incarnation = $1 AND n.beat = $2
RETURNING n.incarnation";

/// Ends the transactions of this role that have kept a row of the nodes locked for `$1` seconds. A
/// client that is paused in the middle of a commit would keep its node from being buried.
pub const UNBLOCK: &str = "\
SELECT a.pid, pg_terminate_backend(a.pid)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation = 'hb_cron.node'::regclass AND l.mode = 'RowShareLock' AND l.granted
    AND a.pid <> pg_backend_pid() AND a.usename = current_user
    AND clock_timestamp() - a.xact_start > make_interval(secs => $1)";

/// Deletes a row of this node.
pub const RETIRE: &str = "DELETE FROM hb_cron.node WHERE incarnation = $1";

/// Saves cursors of this node (`$1`) and its dead letters. Returns the processes whose rows changed.
///
/// `$2` to `$6` are arrays, sorted by process and without duplicates: processes, generations, seqs,
/// positions, numbers of the last dead letters. `$7` is the time. `$8` to `$14` are the dead letters:
/// processes, numbers, times, attempts, cursors, errors, results. Those of a process whose row does
/// not change are not inserted.
///
/// * The lock on the node's row keeps the node from being buried until the commit has ended.
/// * The generation keeps a monitor of an earlier start away from the row of a later one.
/// * The seq keeps a statement that ran late from moving a cursor back, for example one that waited
///   for the row while the shard was handed over.
pub const COMMIT: &str = "\
WITH me AS MATERIALIZED (
    SELECT incarnation FROM hb_cron.node WHERE incarnation = $1 FOR KEY SHARE
), acked AS (
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[])
        u(process, generation, seq, position, last_letter)
), moved AS (
    UPDATE hb_cron.process p SET position = u.position, seq = u.seq, at = $7,
        last_letter = greatest(p.last_letter, u.last_letter)
    FROM acked u, hb_cron.shard s, me
    WHERE p.process = u.process COLLATE \"C\" AND p.generation = u.generation AND p.seq <= u.seq
        AND s.shard = p.shard AND s.owner = me.incarnation
    RETURNING p.process
), given_up AS (
    INSERT INTO hb_cron.letter (process, id, at, attempts, cursor, error, result)
    SELECT l.* FROM unnest($8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[],
        $13::bytea[], $14::bytea[]) l(process, id, at, attempts, cursor, error, result)
    JOIN moved m ON m.process = l.process COLLATE \"C\"
    ON CONFLICT DO NOTHING
)
SELECT process FROM moved";

/// Why rows of a commit did not change, for this node (`$1`) and the processes `$2`. The columns are
/// those of [`crate::Found`].
pub const ASK: &str = "\
SELECT u.process, EXISTS (SELECT FROM hb_cron.node WHERE incarnation = $1) AS node,
    p.generation, p.seq, coalesce(s.owner = $1, false) AS mine
FROM unnest($2::text[]) u(process)
LEFT JOIN hb_cron.process p ON p.process = u.process COLLATE \"C\"
LEFT JOIN hb_cron.shard s ON s.shard = p.shard";

/// Reads the processes of the shards `$1`, and the mark of each shard: a row for each process, and one
/// without a process for an empty shard. The last two columns are the dead letters that are to be
/// redelivered, each with its wish. The position of a watched process is as young as the cluster:
/// its monitor ran until then, even if it had no results.
pub const READ: &str = "\
SELECT s.shard, s.mark, p.process, p.watched, p.options, p.generation, p.seq, p.position,
    p.last_letter, CASE WHEN p.watched THEN greatest(p.at, y.seen) ELSE p.at END AS at, p.asked,
    p.ended, l.ids, l.wishes
FROM hb_cron.shard s CROSS JOIN hb_cron.layout y
LEFT JOIN hb_cron.process p ON p.shard = s.shard
LEFT JOIN (
    SELECT process, array_agg(id ORDER BY id) AS ids, array_agg(wish ORDER BY id) AS wishes
    FROM hb_cron.letter WHERE wish <> refused GROUP BY process
) l ON l.process = p.process
WHERE s.shard = ANY($1::int[])";
