//! The tables, and the statements that read them.

use crate::world::{A, B, Database, World, claim, commit_with, start};
use cron_cluster::schema;

#[test]
fn nodes_that_start_together_create_the_tables_once() {
    let database = Database::new();
    let mut sessions: Vec<_> = (0..4).map(|_| database.bare_session()).collect();
    assert_eq!(sessions[0].run(schema::EXISTS), "f");
    for session in &mut sessions {
        session.send(schema::CREATE);
    }
    for session in &mut sessions {
        let said = session.answer();
        assert!(!said.contains("ERROR"), "{said}");
    }
    let mut session = database.session();
    assert_eq!(session.run(schema::EXISTS), "t");
    let expected = format!("{}|{}|{}", schema::VERSION, cron_cluster::SHARDS, schema::HASH);
    assert_eq!(session.run("EXECUTE layout_"), expected);
    let shards = "SELECT count(*), min(shard), max(shard), sum(epoch) FROM hb_cron.shard";
    assert_eq!(session.run(shards), "4096|0|4095|0");
}

#[test]
fn role_that_may_only_write_rows_is_sufficient() {
    let mut world = World::new();
    world.other.run("CREATE ROLE clerk");
    world.other.run("GRANT USAGE ON SCHEMA hb_cron TO clerk");
    let tables = "hb_cron.node, hb_cron.shard, hb_cron.process, hb_cron.letter";
    world.other.run(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO clerk"));
    world.other.run("GRANT SELECT, UPDATE ON hb_cron.layout TO clerk");
    let mut clerk = world.session();
    clerk.run("SET ROLE clerk");
    assert_eq!(clerk.run(schema::EXISTS), "t");
    assert_eq!(clerk.run("EXECUTE layout_"), "1|4096|fnv1a-64/murmur3/mul");
    let letters = ["{p}", "{1}", "{5}", "{3}", "{1}", "{e}", "{r}"];
    assert_eq!(clerk.run(&commit_with(A, 1, 1, letters)), "p");
    assert_eq!(clerk.run(&claim(B, 8, 0)), "8|1");
    assert_eq!(clerk.run(&format!("EXECUTE bury_('{A}', 0, '1s')")), A);
    assert_eq!(clerk.run("EXECUTE forget_('p', 7, 3)"), "");
}

#[test]
fn view_shows_nodes_orphans_and_own_shards() {
    let mut world = World::new();
    world.other.run(&claim(B, 9, 0));
    world.other.run(&format!("EXECUTE renew_('{B}', true)"));
    world.other.run("UPDATE hb_cron.shard SET owner = gen_random_uuid() WHERE shard = 3");
    world.other.run("DELETE FROM hb_cron.shard WHERE shard NOT IN (3, 4, 7, 9)");
    let seen = world.other.run(&format!("EXECUTE look_('{A}')"));
    let mut rows: Vec<&str> = seen.lines().collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            // The number of its start is the mark of the shard.
            "mine||||||{7}|{1}|{1}",
            &format!("node|{A}|a|0|f|1|||"),
            &format!("node|{B}|b|1|t|1|||"),
            "orphans||||||{3,4}|{0,0}|",
        ]
    );
}

#[test]
fn shard_without_processes_is_read_with_its_mark() {
    let mut world = World::new();
    let read = "EXECUTE read_('{7,8}')";
    let rows = world.other.run(read);
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, ["7|1|p|t|\\x|1|0|\\x30|0|5|0|f||", "8|0||||||||||||"]);
    world.other.run("EXECUTE stop_('p', 7, 44, 9)");
    assert_eq!(world.other.run("EXECUTE read_('{7}')"), "7|44|p|f|\\x|1|0|\\x30|0|9|0|f||");
}

#[test]
fn dead_letters_are_saved_with_their_cursor_or_not_at_all() {
    let mut world = World::new();
    let letters = ["{p,p}", "{1,2}", "{5,6}", "{3,3}", "{1,2}", "{e,e}", "{r,r}"];
    // Another generation: neither.
    assert_eq!(world.other.run(&commit_with(A, 2, 2, letters)), "");
    let count = "SELECT count(*) FROM hb_cron.letter";
    assert_eq!(world.other.run(count), "0");
    // Twice, as after a lost answer.
    assert_eq!(world.other.run(&commit_with(A, 1, 2, letters)), "p");
    assert_eq!(world.other.run(&commit_with(A, 1, 2, letters)), "p");
    assert_eq!(world.other.run(count), "2");
    world.other.run("EXECUTE forget_('p', 7, 3)");
    assert_eq!(world.other.run(count), "2", "it is watched");
    world.other.run("EXECUTE stop_('p', 7, 4, 9)");
    world.other.run("EXECUTE forget_('p', 7, 5)");
    assert_eq!(world.other.run(count), "2", "its monitor has not ended");
    world.other.run("EXECUTE ended_('p', 1)");
    world.other.run("EXECUTE forget_('p', 7, 6)");
    assert_eq!(world.other.run(count), "0");
}

#[test]
fn start_of_a_stopped_process_begins_a_generation() {
    let mut world = World::new();
    world.other.run(&crate::world::commit(A, 1, 10));
    world.other.run(&start(2, 4));
    assert_eq!(world.row(), "1|10|10", "it is watched");
    world.other.run("EXECUTE stop_('p', 7, 3, 9)");
    world.other.run(&start(2, 4));
    assert_eq!(world.row(), "2|0|4");
    assert_eq!(world.other.run("SELECT mark FROM hb_cron.shard WHERE shard = 7"), "2");
}

#[test]
fn row_that_did_not_change_is_explained() {
    let mut world = World::new();
    let mut ask = |me: &str| world.other.run(&format!("EXECUTE ask_('{me}', '{{p,q}}')"));
    assert_eq!(ask(A), "p|t|1|0|t\nq|t|||f");
    assert_eq!(ask(B), "p|t|1|0|f\nq|t|||f");
    assert_eq!(ask("cccccccc-cccc-cccc-cccc-cccccccccccc"), "p|f|1|0|f\nq|f|||f");
}
