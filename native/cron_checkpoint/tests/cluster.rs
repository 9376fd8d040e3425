//! The checkpoint of a host node in a cluster, on a database that keeps what it gets in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::{
    Batch, Checkpoint, Letter, LetterRange, OwnedProcess, Progress, Record, Settings, Store,
    StoreError, Turn, Writer,
};
use cron_engine::{Position, ProcessId};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// What the database got, and what it does next.
#[derive(Default)]
struct Database {
    rows: Vec<(ProcessId, Progress, Position)>,
    letters: Vec<(ProcessId, u64)>,
    refuses: Vec<ProcessId>,
    fails: bool,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Database>>);

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut Database) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn rows(&self) -> Vec<(ProcessId, u64, Position)> {
        let rows = self.with(|it| std::mem::take(&mut it.rows));
        rows.into_iter().map(|(process, progress, at)| (process, progress.seq, at)).collect()
    }
}

impl Store for Shared {
    fn commit(&mut self, batch: &Batch, _now: u64) -> Result<Vec<ProcessId>, StoreError> {
        self.with(|database| {
            if database.fails {
                return Err(StoreError::new("the database is down"));
            }
            let mut refused = Vec::new();
            for (process, moved) in batch.progress() {
                if database.refuses.contains(process) {
                    refused.push(*process);
                } else {
                    database.rows.push((*process, moved.progress, moved.position.clone()));
                }
            }
            database.letters.extend(batch.new_letters().map(|(of, letter)| (*of, letter.id)));
            Ok(refused)
        })
    }

    fn letters(&self, _: &ProcessId, _: LetterRange) -> Result<(Vec<Letter>, bool), StoreError> {
        Err(StoreError::new("not through the checkpoint"))
    }
}

fn checkpoint() -> (Checkpoint, Writer, Shared) {
    let database = Shared::default();
    let opened = database.clone();
    let open = move || Box::new(opened.clone()) as Box<dyn Store>;
    let (checkpoint, writer) = Checkpoint::of_cluster_by_hand(open, Settings::new(NEVER, 10));
    (checkpoint, writer, database)
}

/// A process of the database with this generation, which has acked `seq` results.
fn row(process: ProcessId, generation: i64, seq: u64) -> OwnedProcess {
    let record = Record { position: after(seq), watched: true, at: 0, options: options(1) };
    let progress = Progress { generation, seq, last_letter: 0 };
    OwnedProcess { process, record, progress }
}

fn go_on(stored: Option<&Record>) -> Position {
    stored.map_or(Position::Unresolved, |record| record.position.clone())
}

#[test]
fn acks_of_an_owned_process_raise_its_seq_and_move_its_cursor() {
    let (checkpoint, mut writer, database) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 40)]);
    let begun = checkpoint.begin(process(1), 1, options(1), go_on);
    assert!(begun.durable && !begun.track.is_lost());
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), [], "the database has all of it");
    checkpoint.acked(&begun.track, 3, cursor(43));
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), [(process(1), 43, after(43))]);
    // The numbers of the next registration begin with one again.
    let begun = checkpoint.begin(process(1), 2, options(1), go_on);
    checkpoint.acked(&begun.track, 1, cursor(44));
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), [(process(1), 44, after(44))]);
}

#[test]
fn registration_of_a_process_that_is_not_owned_is_lost() {
    let (checkpoint, mut writer, database) = checkpoint();
    let begun = checkpoint.begin(process(1), 1, options(1), go_on);
    assert!(begun.track.is_lost());
    checkpoint.acked(&begun.track, 1, cursor(1));
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), []);
    assert_eq!(checkpoint.find(&process(1)), None);
}

#[test]
fn lost_shard_takes_its_registrations_and_changes_with_it() {
    let (checkpoint, mut writer, database) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0)]);
    checkpoint.owned(8, 1, vec![row(process(2), 5, 0)]);
    let [lost, kept] = [1, 2].map(|n| checkpoint.begin(process(n), 1, options(1), go_on).track);
    checkpoint.acked(&lost, 1, cursor(1));
    checkpoint.give_up(&lost, 2, letter(2)).unwrap();
    checkpoint.acked(&kept, 1, cursor(1));
    checkpoint.lost(7, 2);
    assert!(!lost.is_lost(), "that is another ownership");
    checkpoint.lost(7, 1);
    assert!(lost.is_lost() && !kept.is_lost());
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), [(process(2), 1, after(1))]);
    assert_eq!(database.with(|it| it.letters.len()), 0);
    assert_eq!(checkpoint.status().letters, 0);
    assert_eq!(checkpoint.shards(), [(8, 1)]);
}

#[test]
fn changes_of_a_failed_commit_are_dropped_with_their_shard() {
    let (checkpoint, mut writer, database) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0), row(process(2), 5, 0)]);
    let tracks = [1, 2].map(|n| checkpoint.begin(process(n), 1, options(1), go_on).track);
    for track in &tracks {
        checkpoint.acked(track, 1, cursor(1));
        checkpoint.give_up(track, 2, letter(2)).unwrap();
    }
    database.with(|it| it.fails = true);
    assert_eq!(writer.turn(), Turn::Failed);
    // The shard went to another host node and came back. One process was started anew meanwhile.
    checkpoint.lost(7, 1);
    checkpoint.owned(7, 3, vec![row(process(1), 6, 0), row(process(2), 5, 0)]);
    database.with(|it| it.fails = false);
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), []);
    assert_eq!(database.with(|it| it.letters.len()), 0);
}

#[test]
fn shard_that_is_read_again_keeps_the_progress_of_known_processes() {
    let (checkpoint, mut writer, database) = checkpoint();
    let [known, forgotten, restarted] = [1, 2, 3].map(process);
    checkpoint.owned(7, 1, vec![row(known, 5, 0), row(forgotten, 5, 0), row(restarted, 5, 0)]);
    let tracks = [known, forgotten, restarted].map(|process| {
        let track = checkpoint.begin(process, 1, options(1), go_on).track;
        checkpoint.acked(&track, 4, cursor(4));
        track
    });
    checkpoint.owned(7, 1, vec![row(known, 5, 0), row(restarted, 6, 0), row(process(4), 1, 0)]);
    assert_eq!(tracks.map(|track| track.is_lost()), [false, true, true]);
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.rows(), [(known, 4, after(4))]);
    assert_eq!(checkpoint.find(&forgotten), None);
    assert_eq!(number(&checkpoint.find(&restarted).unwrap()), 0);
    assert!(checkpoint.find(&process(4)).is_some());
}

#[test]
fn options_that_were_changed_elsewhere_are_read_again() {
    let (checkpoint, ..) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0)]);
    let track = checkpoint.begin(process(1), 1, options(1), go_on).track;
    let mut changed = row(process(1), 5, 0);
    changed.record.options = options(2);
    changed.record.watched = false;
    checkpoint.owned(7, 1, vec![changed]);
    let record = checkpoint.find(&process(1)).unwrap();
    assert_eq!((record.options, record.watched), (options(2), false));
    assert!(!track.is_lost());
}

#[test]
fn process_that_the_database_refuses_is_lost_alone() {
    let (checkpoint, mut writer, database) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0), row(process(2), 5, 0)]);
    let tracks = [1, 2].map(|n| checkpoint.begin(process(n), 1, options(1), go_on).track);
    for track in &tracks {
        checkpoint.acked(track, 1, cursor(1));
    }
    database.with(|it| it.refuses = vec![process(1)]);
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(tracks.map(|track| track.is_lost()), [true, false]);
    assert_eq!(database.rows(), [(process(2), 1, after(1))]);
}

#[test]
fn dead_letters_are_numbered_by_process() {
    let (checkpoint, mut writer, database) = checkpoint();
    let mut second = row(process(2), 5, 0);
    second.progress.last_letter = 9;
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0), second]);
    for (n, id) in [(1, 1), (2, 10)] {
        let track = checkpoint.begin(process(n), 1, options(1), go_on).track;
        assert_eq!(checkpoint.give_up(&track, 1, letter(1)), Ok(id));
    }
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(database.with(|it| it.letters.clone()), [(process(1), 1), (process(2), 10)]);
    assert_eq!(database.rows().len(), 2, "each is committed with the cursor that passes it");
}

#[test]
fn starting_point_that_is_found_is_committed() {
    let (checkpoint, mut writer, database) = checkpoint();
    let mut unresolved = row(process(1), 5, 0);
    unresolved.record.position = Position::Unresolved;
    checkpoint.owned(7, 1, vec![unresolved]);
    let begun = checkpoint.begin(process(1), 1, options(1), go_on);
    let (saved, durable) = waiter();
    checkpoint.located(&begun.track, after(12), saved);
    assert_eq!(writer.turn(), Turn::Committed);
    wait(&durable);
    assert_eq!(database.rows(), [(process(1), 0, after(12))]);
}

#[test]
fn oldest_change_is_unsaved_until_its_commit() {
    let (checkpoint, mut writer, database) = checkpoint();
    checkpoint.owned(7, 1, vec![row(process(1), 5, 0)]);
    let track = checkpoint.begin(process(1), 1, options(1), go_on).track;
    assert_eq!(checkpoint.unsaved_for(), Duration::ZERO);
    checkpoint.acked(&track, 1, cursor(1));
    until("the ack has an age", || checkpoint.unsaved_for() > Duration::ZERO);
    database.with(|it| it.fails = true);
    assert_eq!(writer.turn(), Turn::Failed);
    let before = checkpoint.unsaved_for();
    checkpoint.acked(&track, 2, cursor(2));
    until("the first ack counts", || checkpoint.unsaved_for() > before);
    database.with(|it| it.fails = false);
    assert_eq!(writer.turn(), Turn::Committed);
    assert_eq!(checkpoint.unsaved_for(), Duration::ZERO);
}
