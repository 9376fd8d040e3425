//! The tables of a cluster, in a schema of their own.
//!
//! Timestamps are in milliseconds since the Unix epoch and only shown to people: no statement
//! compares them.

/// The version of the tables. A node refuses tables of another version.
pub const VERSION: i32 = 1;

/// The name of the function that assigns processes to shards ([`crate::shard_of`]).
pub const HASH: &str = "fnv1a-64/murmur3/mul";

/// The oldest server that is supported: its `server_version_num`.
pub const MIN_SERVER: i32 = 140_000;

/// Reads what the server must be like: `server_version_num`, the version as text, the isolation of
/// transactions, and whether commits wait until they are durable.
pub const SERVER: &str = "\
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    current_setting('transaction_isolation'), current_setting('synchronous_commit')";

/// Whether there are tables. Asked before
/// [`CREATE`], so that a role that must not create anything can use tables that are there.
pub const EXISTS: &str = "SELECT to_regclass('hb_cron.layout') IS NOT NULL";

/// Reads the version, the number of shards and the hash.
pub const READ_LAYOUT: &str = "SELECT version, shards, hash FROM hb_cron.layout";

/// Creates the tables, in one transaction.
///
/// Nodes that start at the same time wait for each other. The lock ends with the transaction, so it
/// works through a pooler, too.
pub const CREATE: &str = r#"BEGIN;
SELECT pg_advisory_xact_lock(7522527142512521);
CREATE SCHEMA IF NOT EXISTS hb_cron;
CREATE TABLE IF NOT EXISTS hb_cron.layout (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version int NOT NULL,
    shards int NOT NULL,
    hash text NOT NULL,
    seen bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS hb_cron.node (
    incarnation uuid PRIMARY KEY,
    name text NOT NULL,
    beat bigint NOT NULL DEFAULT 0,
    leaving boolean NOT NULL DEFAULT false,
    mark bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
CREATE TABLE IF NOT EXISTS hb_cron.shard (
    shard int PRIMARY KEY,
    owner uuid,
    epoch bigint NOT NULL DEFAULT 0,
    mark bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS hb_cron.process (
    process text COLLATE "C" PRIMARY KEY,
    shard int NOT NULL,
    watched boolean NOT NULL,
    ended boolean NOT NULL DEFAULT false,
    options bytea NOT NULL,
    generation bigint NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    position bytea NOT NULL,
    last_letter bigint NOT NULL DEFAULT 0,
    at bigint NOT NULL,
    asked bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS process_shard ON hb_cron.process (shard);
CREATE TABLE IF NOT EXISTS hb_cron.letter (
    process text COLLATE "C" REFERENCES hb_cron.process ON DELETE CASCADE,
    id bigint,
    at bigint NOT NULL,
    attempts bigint NOT NULL,
    cursor bytea NOT NULL,
    error bytea NOT NULL,
    result bytea NOT NULL,
    wish bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    reason bytea NOT NULL DEFAULT '',
    PRIMARY KEY (process, id)
);
CREATE INDEX IF NOT EXISTS letter_wish ON hb_cron.letter (process) WHERE wish <> refused;
INSERT INTO hb_cron.layout (version, shards, hash) VALUES (1, 4096, 'fnv1a-64/murmur3/mul')
ON CONFLICT DO NOTHING;
INSERT INTO hb_cron.shard (shard) SELECT generate_series(0, 4095) ON CONFLICT DO NOTHING;
COMMIT"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SHARDS;

    #[test]
    fn created_tables_have_the_constants_of_the_code() {
        assert!(CREATE.contains(&format!("VALUES ({VERSION}, {SHARDS}, '{HASH}')")));
        assert!(CREATE.contains(&format!("generate_series(0, {})", SHARDS - 1)));
    }
}
