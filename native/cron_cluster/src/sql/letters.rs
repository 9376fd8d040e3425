//! Dead letters. A redelivery is a state, not a command: a user writes a wish, a random number, into
//! the letter; the owner of the process sees it when it reads the shard, and deletes the letter after
//! the push, or notes that it refused that wish. So a wish survives a crash of either, and a second
//! wish is another one.

use super::wishes::wish;

/// Wishes that a dead letter be redelivered. `$1` is the process, `$2` its shard, `$3` the mark, which
/// is also the wish, `$4` the number of the dead letter.
pub const WISH: &str = wish!("UPDATE hb_cron.letter SET wish = $3 WHERE process = $1 AND id = $4");

/// What has become of a wish: no row means that the letter is gone. `$1` is the process, `$2` the
/// number of the dead letter. The columns are the last wish, the last one that was refused, and why.
pub const WISHED: &str =
    "SELECT wish, refused, reason FROM hb_cron.letter WHERE process = $1 AND id = $2";

/// The owner (`$1`) has pushed a dead letter, of process `$2` with number `$3` and wish `$4`.
///
/// The wish keeps a statement that runs late from deleting another letter with this number, after the
/// process was forgotten and started again.
pub const REDELIVERED: &str = "\
WITH me AS MATERIALIZED (
    SELECT incarnation FROM hb_cron.node WHERE incarnation = $1 FOR KEY SHARE
)
DELETE FROM hb_cron.letter l USING hb_cron.process p, hb_cron.shard s, me
WHERE l.process = $2 AND l.id = $3 AND l.wish = $4 AND p.process = l.process
    AND s.shard = p.shard AND s.owner = me.incarnation
RETURNING l.id";

/// The owner (`$1`) could not push a dead letter, of process `$2` with number `$3` and wish `$4`. `$5`
/// is the reason.
pub const REFUSE: &str = "\
WITH me AS MATERIALIZED (
    SELECT incarnation FROM hb_cron.node WHERE incarnation = $1 FOR KEY SHARE
)
UPDATE hb_cron.letter l SET refused = l.wish, reason = $5
FROM hb_cron.process p, hb_cron.shard s, me
WHERE l.process = $2 AND l.id = $3 AND l.wish = $4 AND p.process = l.process
    AND s.shard = p.shard AND s.owner = me.incarnation
RETURNING l.id";

/// Deletes dead letters of process `$1`, with the numbers `$2`.
pub const DISCARD: &str =
    "DELETE FROM hb_cron.letter WHERE process = $1 AND id = ANY ($2::bigint[])";

/// Reads dead letters of process `$1` with numbers above `$2`, at most `$3` of them, and no further
/// ones once they add up to `$4` bytes, but at least one. The last column is the number of dead
/// letters of the process from this one on, at most `$3` and one more.
pub const LETTERS: &str = "\
SELECT id, at, attempts, cursor, error, result, wish, refused, reason, rest FROM (
    SELECT l.*, count(*) OVER (ORDER BY id DESC) AS rest, sum(
        octet_length(cursor) + octet_length(error) + octet_length(result)
    ) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
    FROM (
        SELECT * FROM hb_cron.letter WHERE process = $1 AND id > $2 ORDER BY id LIMIT $3 + 1
    ) l
) l
WHERE bytes IS NULL OR bytes < $4
ORDER BY id LIMIT $3";

/// The number of dead letters of process `$1`.
pub const COUNT: &str = "SELECT count(*) FROM hb_cron.letter WHERE process = $1";

/// Reads the dead letter `$2` of process `$1`.
pub const LETTER: &str = "\
SELECT id, at, attempts, cursor, error, result, wish, refused, reason, 1::bigint AS rest
FROM hb_cron.letter WHERE process = $1 AND id = $2";

/// The number and the bytes of the dead letters of the shards that node `$1` owns.
pub const OWNED: &str = "\
SELECT count(*), coalesce(sum(
    octet_length(l.cursor)::bigint + octet_length(l.error) + octet_length(l.result)
), 0)::bigint
FROM hb_cron.shard s JOIN hb_cron.process p ON p.shard = s.shard
JOIN hb_cron.letter l ON l.process = p.process
WHERE s.owner = $1";
