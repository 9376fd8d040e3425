//! Starts of processes.

use crate::world::{A, World, claim, commit};

/// Executes a statement for processes of the shards 7 and 8: `p`, `q` and `r`.
fn three(world: &mut World, statement: &str, mark: i64) -> String {
    let values = format!("'{{p,q,r}}', '{{7,7,8}}', {mark}, '{{x,y,z}}', '{{1,2,3}}', 6");
    let said = world.other.run(&format!("EXECUTE {statement}_({values})"));
    let mut changed: Vec<&str> = said.lines().collect();
    changed.sort_unstable();
    changed.join(" ")
}

/// All processes: whether each is watched, its generation, options and position.
fn rows(world: &mut World) -> String {
    world.other.run(
        "SELECT string_agg(format('%s %s %s %s %s', process, watched, generation,
             encode(options, 'escape'), encode(position, 'escape')), ', ' ORDER BY process)
         FROM hb_cron.process",
    )
}

/// The marks of the shards 7 and 8, and that of the node A.
fn marks(world: &mut World) -> String {
    world.other.run(
        "SELECT string_agg(mark::text, ' ' ORDER BY shard), (SELECT mark FROM hb_cron.node
             WHERE name = 'a')
         FROM hb_cron.shard WHERE shard IN (7, 8)",
    )
}

#[test]
fn start_leaves_watched_processes_and_marks_changed_shards() {
    let mut world = World::new();
    assert_eq!(world.other.run(&claim(A, 8, 0)), "8|1");
    assert_eq!(three(&mut world, "start", 20), "q r");
    assert_eq!(rows(&mut world), "p t 1  0, q t 20 y 2, r t 20 z 3");
    assert_eq!(marks(&mut world), "20 20|20");
    assert_eq!(three(&mut world, "start", 21), "", "all are watched");
    assert_eq!(rows(&mut world), "p t 1  0, q t 20 y 2, r t 20 z 3");
    assert_eq!(marks(&mut world), "20 20|20", "no owner reads anything again");
}

#[test]
fn start_begins_stopped_processes_anew() {
    let mut world = World::new();
    world.other.run(&commit(A, 1, 3));
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    assert_eq!(three(&mut world, "start", 22), "p q r");
    assert_eq!(rows(&mut world), "p t 22 x 1, q t 22 y 2, r t 22 z 3");
    assert_eq!(world.other.run("SELECT max(seq) FROM hb_cron.process"), "0");
    // The acks of the earlier start do not reach the new one.
    assert_eq!(world.other.run(&commit(A, 1, 4)), "");
}

#[test]
fn resume_keeps_generations_and_cursors() {
    let mut world = World::new();
    world.other.run(&commit(A, 1, 3));
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    assert_eq!(three(&mut world, "resume", 23), "p q r");
    assert_eq!(rows(&mut world), "p t 1 x 3, q t 23 y 2, r t 23 z 3");
    assert_eq!(world.other.run(&commit(A, 1, 4)), "p");
}

#[test]
fn add_leaves_stopped_processes() {
    let mut world = World::new();
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    assert_eq!(three(&mut world, "add", 24), "q r");
    assert_eq!(rows(&mut world), "p f 1  0, q t 24 y 2, r t 24 z 3");
    assert_eq!(marks(&mut world), "24 24|24");
    assert_eq!(three(&mut world, "add", 25), "");
    assert_eq!(marks(&mut world), "24 24|24");
}

/// The owner may be saving the cursor of a process that is watched.
#[test]
fn start_does_not_wait_for_the_commit_of_a_watched_process() {
    let mut world = World::new();
    let mut committing = world.session();
    committing.run("BEGIN");
    assert_eq!(committing.run(&commit(A, 1, 1)), "p");
    assert_eq!(three(&mut world, "start", 26), "q r");
    assert_eq!(world.other.run(&format!("EXECUTE renew_('{A}', false)")), "1");
    committing.run("COMMIT");
}

/// Both start `q`, which is not known.
#[test]
fn start_that_meets_another_one_waits_and_changes_nothing() {
    let mut world = World::new();
    let (mut first, mut second) = (world.session(), world.session());
    first.run("BEGIN");
    assert_eq!(first.run("EXECUTE start_('{q}', '{7}', 27, '{y}', '{2}', 6)"), "q");
    second.send("EXECUTE start_('{q}', '{7}', 28, '{n}', '{9}', 6)");
    world.blocked(&second);
    first.run("COMMIT");
    assert_eq!(second.answer(), "");
    assert_eq!(rows(&mut world), "p t 1  0, q t 27 y 2");
    assert_eq!(marks(&mut world), "27 0|27");
}
