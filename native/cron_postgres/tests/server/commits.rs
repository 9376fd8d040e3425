//! Saving cursors and dead letters, and what a node learns from it.

use crate::node::{Node, fresh, process, stake, until};
use cron_cluster::Verdict;
use cron_postgres::{Acked, Answer, CommitError, DatabaseError, NewLetter, Outcome, Request};

fn letter(id: i64) -> NewLetter {
    NewLetter {
        id,
        at: 5,
        attempts: 3,
        cursor: b"c".into(),
        error: b"e".into(),
        result: b"r".into(),
    }
}

const SAVED: Outcome = Outcome::Judged(Verdict::Saved);

#[test]
fn commit_is_saved_and_a_repetition_too() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(1));
    node.begin(process(2));
    let acked: Vec<_> = [2, 1].map(|number| node.acked(process(number), 3)).into();
    let saved = [(process(1), SAVED), (process(2), SAVED)];
    assert_eq!(node.cluster.commit(acked.clone()).unwrap(), saved);
    assert_eq!(node.cluster.commit(acked).unwrap(), saved);
    let older = node.acked(process(1), 2);
    assert_eq!(node.cluster.commit(vec![older]).unwrap(), [(process(1), SAVED)]);
    let Ok(Answer::Processes(found)) = node.ask(Request::Find(vec![process(1)])) else { panic!() };
    assert_eq!((found[0].row.seq, found[0].row.position.as_slice()), (3, &b"3"[..]));
    assert_eq!(node.cluster.commit(Vec::new()).unwrap(), []);
}

#[test]
fn commit_of_a_forgotten_process_is_gone_and_nothing_else_is_lost() {
    let (server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(1));
    node.begin(process(2));
    let acked: Vec<_> = [1, 2].map(|number| node.acked(process(number), 1)).into();
    // The mark is not changed, so the owner learns it from the commit alone.
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let forget = format!("DELETE FROM hb_cron.process WHERE process = '{}'", process(1));
    server.execute(database, &forget);
    let gone = (process(1), Outcome::Judged(Verdict::Gone));
    assert_eq!(node.cluster.commit(acked).unwrap(), [gone, (process(2), SAVED)]);
    until("it has read the shard again", || node.row(process(1)).is_none());
    assert_eq!(node.told.lost.lock().unwrap().len(), 0);
}

#[test]
fn commit_of_a_shard_with_another_owner_loses_that_shard() {
    let (server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(1));
    let acked = node.acked(process(1), 1);
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let steal = format!(
        "UPDATE hb_cron.shard SET owner = gen_random_uuid(), epoch = epoch + 1 WHERE shard = {}",
        acked.stake.shard.0
    );
    server.execute(database, &steal);
    let outcome = node.cluster.commit(vec![acked.clone()]).unwrap();
    let disowned = Outcome::Judged(Verdict::Disowned);
    // Or a view has shown it before, and the node has claimed the orphan.
    assert!(outcome == [(process(1), disowned)] || outcome == [(process(1), SAVED)], "{outcome:?}");
    until("it has lost that shard", || node.told.lost.lock().unwrap().contains(&acked.stake));
    assert_eq!(node.told.lost.lock().unwrap().len(), 1);
    // No node has that incarnation, so the shard is an orphan, which it claims.
    let again = |(stake, _)| stake != acked.stake;
    until("it has the shard again", || node.row(process(1)).is_some_and(again));
}

#[test]
fn node_whose_row_is_gone_loses_everything_and_joins_again() {
    let (server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(1));
    let acked = node.acked(process(1), 1);
    let first = node.status().incarnation;
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    server.execute(database, "DELETE FROM hb_cron.node");
    let outcome = node.cluster.commit(vec![acked.clone()]);
    let evicted = Ok(vec![(process(1), Outcome::Judged(Verdict::Evicted))]);
    assert!(outcome == evicted || outcome == Err(CommitError::NotJoined) || outcome.is_ok());
    until("it has joined again", || {
        let status = node.status();
        status.counters.evictions == 1 && status.incarnation.is_some_and(|it| Some(it) != first)
    });
    until("it has everything again", || {
        node.row(process(1)).is_some_and(|(stake, _)| stake.epoch > acked.stake.epoch)
    });
    assert!(node.told.lost.lock().unwrap().len() >= 4096);
}

#[test]
fn value_that_the_database_refuses_affects_its_process_alone() {
    let (server, url) = fresh();
    let node = Node::alone(&url);
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let check = "ALTER TABLE hb_cron.letter ADD CHECK (result <> 'bad')";
    server.execute(database, check);
    let commit: Vec<Acked> = (0..9)
        .map(|number| {
            node.begin(process(number));
            let mut acked = node.acked(process(number), 1);
            let result = if number == 5 { b"bad".into() } else { b"good".into() };
            acked.letters = vec![NewLetter { result, ..letter(1) }];
            acked
        })
        .collect();
    let outcomes = node.cluster.commit(commit).unwrap();
    let (refused, saved): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|(_, outcome)| matches!(outcome, Outcome::Refused(_)));
    assert_eq!((refused.len(), refused[0].0), (1, process(5)));
    assert!(saved.iter().all(|(_, outcome)| *outcome == SAVED), "{saved:?}");
    let Ok(Answer::LetterCount { letters, .. }) = node.ask(Request::CountLetters) else { panic!() };
    assert_eq!(letters, 8);
}

#[test]
fn commit_with_more_letters_than_a_statement_takes_is_divided() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let commit: Vec<Acked> = (0..3)
        .map(|number| {
            node.begin(process(number));
            let mut acked = node.acked(process(number), 700);
            acked.last_letter = 700;
            acked.letters = (1..=700).map(letter).collect();
            acked
        })
        .collect();
    assert_eq!(node.cluster.commit(commit).unwrap().len(), 3);
    let count = Answer::LetterCount { letters: 2100, bytes: 6300 };
    assert_eq!(node.ask(Request::CountLetters), Ok(count));
}

#[test]
fn commit_with_a_warning_has_failed() {
    let (server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(1));
    let acked = node.acked(process(1), 1);
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    // At the end of the transaction, as the warning of a cancelled wait for a replica.
    let trigger = "\
        CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE WARNING 'canceling wait'; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER warn AFTER UPDATE ON hb_cron.process
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn()";
    server.execute(database, trigger);
    let failed = DatabaseError::Warned("canceling wait".into());
    assert_eq!(node.cluster.commit(vec![acked.clone()]), Err(CommitError::Database(failed)));
    server.execute(database, "DROP TRIGGER warn ON hb_cron.process");
    assert_eq!(node.cluster.commit(vec![acked]).unwrap(), [(process(1), SAVED)]);
}

#[test]
fn commit_of_a_node_that_has_not_joined_fails() {
    let node = Node::start("postgresql://me@127.0.0.1:1/none?sslmode=disable", "nowhere");
    let acked = Acked {
        process: process(1),
        stake: stake(0, 0),
        generation: 1,
        seq: 1,
        position: Vec::new(),
        last_letter: 0,
        letters: Vec::new(),
    };
    assert_eq!(node.cluster.commit(vec![acked.clone()]), Err(CommitError::NotJoined));
    node.cluster.halt();
    until("it has ended", || node.status().ended);
    assert_eq!(node.cluster.commit(vec![acked]), Err(CommitError::Interrupted));
}
