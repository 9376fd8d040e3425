//! Joining, renewing, burying and claiming.

use crate::world::{A, B, World, claim, commit, give};

const C: &str = "cccccccc-cccc-cccc-cccc-cccccccccccc";

/// Orphans are found by the statement itself, and rows that are locked are skipped.
fn unsafe_claim(me: &str) -> String {
    format!(
        "WITH me AS MATERIALIZED (
             SELECT incarnation FROM hb_cron.node WHERE incarnation = '{me}' FOR KEY SHARE
         ), free AS MATERIALIZED (
             SELECT s.shard FROM me, hb_cron.shard s WHERE s.shard < 10 AND NOT EXISTS (
                 SELECT FROM hb_cron.node n WHERE n.incarnation = s.owner
             ) FOR UPDATE OF s SKIP LOCKED
         )
         UPDATE hb_cron.shard s SET owner = '{me}', epoch = s.epoch + 1 FROM free
         WHERE s.shard = free.shard RETURNING s.shard"
    )
}

/// B claims all orphans, and waits after its snapshot. Meanwhile C joins and claims shard 3. Returns
/// the answer to B's claim.
fn claim_while_another_joins(world: &mut World, claims: &str) -> String {
    let (mut holder, mut slow) = (world.session(), world.session());
    holder.run("BEGIN");
    holder.run(&format!("SELECT FROM hb_cron.node WHERE incarnation = '{B}' FOR UPDATE"));
    slow.send(claims);
    world.blocked(&slow);
    world.other.run(&format!("EXECUTE join_('{C}', 'c')"));
    assert_eq!(world.other.run(&claim(C, 3, 0)), "3|1");
    holder.run("COMMIT");
    slow.answer()
}

fn owner(world: &mut World, shard: u16) -> String {
    world.other.run(&format!("SELECT owner FROM hb_cron.shard WHERE shard = {shard}"))
}

#[test]
fn claim_of_shards_without_a_node_steals_from_a_node_that_joined() {
    let mut world = World::new();
    let claimed = claim_while_another_joins(&mut world, &unsafe_claim(B));
    assert!(claimed.lines().any(|shard| shard == "3"), "{claimed}");
    assert_eq!(owner(&mut world, 3), B);
}

#[test]
fn claim_by_epoch_leaves_shards_of_a_node_that_joined() {
    let mut world = World::new();
    let claims = format!("EXECUTE claim_('{B}', '{{2,3,4}}', '{{0,0,0}}')");
    assert_eq!(claim_while_another_joins(&mut world, &claims), "2|1\n4|1");
    assert_eq!(owner(&mut world, 3), C);
}

#[test]
fn two_nodes_that_claim_a_shard_have_one_winner() {
    let mut world = World::new();
    let (mut first, mut second) = (world.session(), world.session());
    first.run("BEGIN");
    assert_eq!(first.run(&claim(A, 3, 0)), "3|1");
    second.send(&claim(B, 3, 0));
    world.blocked(&second);
    first.run("COMMIT");
    assert_eq!(second.answer(), "");
    assert_eq!(owner(&mut world, 3), A);
}

#[test]
fn incarnation_is_never_inserted_twice() {
    let mut world = World::new();
    let said = world.other.run(&format!("EXECUTE join_('{A}', 'again')"));
    assert!(said.contains("duplicate key"), "{said}");
}

#[test]
fn node_that_has_renewed_is_not_buried() {
    let mut world = World::new();
    assert_eq!(world.other.run(&format!("EXECUTE renew_('{A}', false)")), "1");
    assert_eq!(world.other.run(&format!("EXECUTE bury_('{A}', 0, '1s')")), "");
    assert_eq!(world.other.run(&format!("EXECUTE bury_('{A}', 1, '1s')")), A);
}

#[test]
fn buried_node_can_do_nothing() {
    let mut world = World::new();
    assert_eq!(world.other.run(&format!("EXECUTE bury_('{A}', 0, '1s')")), A);
    // The shard still has it as its owner.
    assert_eq!(owner(&mut world, 7), A);
    assert_eq!(world.other.run(&format!("EXECUTE renew_('{A}', false)")), "");
    assert_eq!(world.other.run(&commit(A, 1, 1)), "");
    assert_eq!(world.other.run(&claim(A, 3, 0)), "");
    // Another one gets it by its epoch.
    assert_eq!(world.other.run(&claim(B, 7, 1)), "7|2");
    assert_eq!(world.other.run(&give(A, 7, 1)), "");
}

#[test]
fn renewal_does_not_wait_for_a_commit() {
    let mut world = World::new();
    let mut committing = world.session();
    committing.run("BEGIN");
    assert_eq!(committing.run(&commit(A, 1, 1)), "p");
    assert_eq!(world.other.run(&format!("EXECUTE renew_('{A}', false)")), "1");
    // A stronger lock of the row would make it wait.
    committing.run(&format!("SELECT FROM hb_cron.node WHERE incarnation = '{A}' FOR SHARE"));
    let mut renewing = world.session();
    renewing.send(&format!("EXECUTE renew_('{A}', false)"));
    world.blocked(&renewing);
    committing.run("COMMIT");
    assert_eq!(renewing.answer(), "2");
}

#[test]
fn burial_waits_for_a_commit_and_ends_one_that_hangs() {
    let mut world = World::new();
    let mut hanging = world.session();
    hanging.run("BEGIN");
    assert_eq!(hanging.run(&commit(A, 1, 1)), "p");
    let said = world.other.run(&format!("EXECUTE bury_('{A}', 0, '50ms')"));
    assert!(said.contains("lock timeout"), "{said}");
    // The limit was that of the statement.
    assert_eq!(world.other.run("SHOW lock_timeout"), "0");
    // Not before its time.
    assert_eq!(world.other.run("EXECUTE unblock_(1000)"), "");
    assert_eq!(world.other.run("EXECUTE unblock_(0)"), format!("{}|t", hanging.pid));
    assert_eq!(world.other.run(&format!("EXECUTE bury_('{A}', 0, '10s')")), A);
    assert_eq!(world.row(), "1|0|0", "what it committed was not saved");
}
