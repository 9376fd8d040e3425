//! Two nodes commit the cursors of 300 processes as fast as they can, while their shard passes from
//! one to the other without waiting for them. A trigger notes each cursor that goes back.
//!
//! Statements that look safe are not run here: whether one moves a cursor back would depend on the
//! speed of the machine. `commits.rs` plays each of them step by step.

use crate::session::Session;
use crate::world::{A, B, World};
use postgres_server::DEADLINE;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

const TRIGGER: &str = "\
CREATE TABLE public.back (old_seq bigint, new_seq bigint);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq < OLD.seq THEN INSERT INTO public.back VALUES (OLD.seq, NEW.seq); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON hb_cron.process FOR EACH ROW EXECUTE FUNCTION public.note()";

const PROCESSES: &str =
    "SELECT array_agg('p' || n ORDER BY 'p' || n) FROM generate_series(1, 300) n";

/// `$1` is the node, `$2` the epoch, `$3` the seq of all processes.
const FENCED: &str = "EXECUTE commit_('$1', '$processes', '$ones', '$seqs', '$seqs', '$ones', 5, \
    '{}', '{}', '{}', '{}', '{}', '{}', '{}')";

const COMMITS: u32 = 500;
const HAND_OVERS: u32 = 50;

#[test]
fn concurrent_commits_of_the_library_move_no_cursor_back() {
    let mut world = World::new();
    world.other.run("DELETE FROM hb_cron.process");
    world.other.run(
        "INSERT INTO hb_cron.process (process, shard, watched, options, generation, position, at)
         SELECT 'p' || n, 7, true, '', 1, '', 5 FROM generate_series(1, 300) n",
    );
    assert_eq!(world.other.run(TRIGGER), "");
    let processes = world.other.run(PROCESSES);
    let (committed, ends) = (AtomicU32::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let (mut back, mut hand_overs) = (0, 0);
    std::thread::scope(|scope| {
        for me in [A, B] {
            let session = world.session();
            let (committed, ends, processes) = (&committed, &ends, &processes);
            scope.spawn(move || node(me, session, processes, committed, ends));
        }
        while back == 0 && (committed.load(Ordering::Relaxed) < COMMITS || hand_overs < HAND_OVERS)
        {
            assert!(began.elapsed() < DEADLINE, "{committed:?} commits, {hand_overs} hand-overs");
            world.other.run(
                "UPDATE hb_cron.shard SET epoch = epoch + 2, owner = n.incarnation
                 FROM hb_cron.node n WHERE shard = 7 AND n.incarnation <> owner",
            );
            hand_overs += 1;
            world.other.run("SELECT pg_sleep(random() / 100)");
            back = world.other.run("SELECT count(*) FROM back").parse().expect("a number");
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert_eq!(back, 0, "{committed:?} commits, {hand_overs} hand-overs");
}

/// A node that commits while it believes that the shard is its own, and three times more.
fn node(me: &str, mut session: Session, processes: &str, committed: &AtomicU32, ends: &AtomicBool) {
    let array = |value: &str| format!("{{{}}}", vec![value; 300].join(","));
    let state = format!(
        "SELECT s.epoch, (SELECT max(seq) FROM hb_cron.process) FROM hb_cron.shard s
         WHERE s.shard = 7 AND s.owner = '{me}'"
    );
    // If another thread has failed, nothing ends this one.
    let began = Instant::now();
    while !ends.load(Ordering::Relaxed) && began.elapsed() < DEADLINE {
        let state = session.run(&state);
        let Some((epoch, seq)) = state.split_once('|') else { continue };
        let seq: u64 = seq.parse().expect("a number");
        for next in seq + 1..=seq + 3 {
            let seq = next.to_string();
            let commit = FENCED.replace("$processes", processes).replace("$ones", &array("1"));
            let commit = commit.replace("$seqs", &array(&seq)).replace("$1", me);
            let answer = session.run(&commit.replace("$2", epoch).replace("$3", &seq));
            assert!(!answer.contains("ERROR") || answer.contains("deadlock"), "{answer}");
            committed.fetch_add(u32::from(answer.starts_with('p')), Ordering::Relaxed);
        }
    }
}
