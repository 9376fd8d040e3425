//! Commits that are still executed when their node does not own the shard any more. Each scenario is
//! played with statements that look safe, which move the cursor back, and with that of the library.

use crate::session::Session;
use crate::world::{A, B, World, commit, start};

const FROM_EPOCH: &str = "\
UPDATE hb_cron.process p SET position = '10', seq = 10 FROM hb_cron.shard s
WHERE p.process = 'p' AND p.generation = 1 AND s.shard = p.shard AND s.epoch = 1 RETURNING p.process";

const EXISTS_EPOCH: &str = "\
UPDATE hb_cron.process p SET position = '10', seq = 10
WHERE p.process = 'p' AND p.generation = 1
    AND EXISTS (SELECT FROM hb_cron.shard s WHERE s.shard = p.shard AND s.epoch = 1)
RETURNING p.process";

/// The statement of the library without one of its conditions.
fn without(condition: &str) -> String {
    let statement = cron_cluster::sql::COMMIT;
    assert!(statement.contains(condition), "{condition}");
    let name = "PREPARE unfenced_ AS ".to_owned();
    name + &statement.replace(condition, "")
}

/// A commit of A, for result 10, waits for the row, because B's session has it locked. Meanwhile
/// shard 7 passes to B, which saves result 20. Returns the answer to A's commit.
fn commit_late(world: &mut World, late: &mut Session, statement: &str) -> String {
    let mut owner = world.session();
    owner.run("BEGIN");
    owner.run("SELECT FROM hb_cron.process WHERE process = 'p' FOR UPDATE");
    late.send(statement);
    world.blocked(late);
    world.hand_over();
    assert_eq!(owner.run(&commit(B, 1, 20)), "p");
    owner.run("COMMIT");
    late.answer()
}

#[test]
fn commit_that_joins_the_epoch_moves_the_cursor_back() {
    let mut world = World::new();
    let mut late = world.session();
    assert_eq!(commit_late(&mut world, &mut late, FROM_EPOCH), "p");
    assert_eq!(world.row(), "1|10|10");
}

#[test]
fn commit_where_the_epoch_exists_moves_the_cursor_back() {
    let mut world = World::new();
    let mut late = world.session();
    assert_eq!(commit_late(&mut world, &mut late, EXISTS_EPOCH), "p");
    assert_eq!(world.row(), "1|10|10");
}

#[test]
fn fenced_commit_without_seq_moves_the_cursor_back() {
    let mut world = World::new();
    let mut late = world.session();
    late.run(&without(" AND p.seq <= u.seq"));
    let statement = commit(A, 1, 10).replace("commit_", "unfenced_");
    assert_eq!(commit_late(&mut world, &mut late, &statement), "p");
    assert_eq!(world.row(), "1|10|10");
}

#[test]
fn late_commit_does_not_move_the_cursor_back() {
    let mut world = World::new();
    let mut late = world.session();
    assert_eq!(commit_late(&mut world, &mut late, &commit(A, 1, 10)), "");
    assert_eq!(world.row(), "1|20|20");
}

/// A commit of A waits for the row while the process is started anew. Returns its answer.
fn commit_after_a_start(world: &mut World, late: &mut Session, statement: &str) -> String {
    let mut user = world.session();
    user.run("BEGIN");
    user.run("EXECUTE stop_('p', 7, 3, 9)");
    user.run(&start(2, 4));
    late.send(statement);
    world.blocked(late);
    user.run("COMMIT");
    late.answer()
}

#[test]
fn commit_without_generation_moves_the_row_of_a_later_start() {
    let mut world = World::new();
    let mut late = world.session();
    late.run(&without(" AND p.generation = u.generation"));
    let statement = commit(A, 1, 10).replace("commit_", "unfenced_");
    assert_eq!(commit_after_a_start(&mut world, &mut late, &statement), "p");
    assert_eq!(world.row(), "2|10|10");
}

#[test]
fn commit_of_an_earlier_generation_changes_nothing() {
    let mut world = World::new();
    let mut late = world.session();
    assert_eq!(commit_after_a_start(&mut world, &mut late, &commit(A, 1, 10)), "");
    assert_eq!(world.row(), "2|0|4");
}

#[test]
fn abandoned_older_commit_of_the_same_node_changes_nothing() {
    let mut world = World::new();
    let (mut abandoned, mut holder) = (world.session(), world.session());
    holder.run("BEGIN");
    holder.run("SELECT FROM hb_cron.process WHERE process = 'p' FOR UPDATE");
    abandoned.send(&commit(A, 1, 10));
    world.blocked(&abandoned);
    assert_eq!(holder.run(&commit(A, 1, 20)), "p");
    holder.run("COMMIT");
    assert_eq!(abandoned.answer(), "");
    assert_eq!(world.row(), "1|20|20");
}

#[test]
fn commit_of_a_node_that_does_not_own_the_shard_changes_nothing() {
    let mut world = World::new();
    assert_eq!(world.other.run(&commit(B, 1, 1)), "");
    assert_eq!(world.row(), "1|0|0");
}

#[test]
fn node_with_a_commit_under_way_is_buried_after_it() {
    let mut world = World::new();
    let (mut committing, mut burying) = (world.session(), world.session());
    committing.run("BEGIN");
    assert_eq!(committing.run(&commit(A, 1, 10)), "p");
    burying.send(&format!("EXECUTE bury_('{A}', 0, '30s')"));
    world.blocked(&burying);
    committing.run("COMMIT");
    assert_eq!(burying.answer(), A);
    // The next owner reads what was saved.
    assert_eq!(world.row(), "1|10|10");
    assert_eq!(world.other.run(&commit(A, 1, 11)), "");
}
