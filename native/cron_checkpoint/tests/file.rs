//! A checkpoint's file from the user's view: every change is found again, in time and in order,
//! across closing and reopening.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::{Checkpoint, Full, LetterRange, Settings, Waiter};
use cron_engine::Position;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tempfile::{TempDir, tempdir};

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

fn place() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    (dir, path)
}

/// A waiter that copies the file and sends the path of the copy.
fn copying(path: &std::path::Path) -> (Waiter, Receiver<PathBuf>) {
    let (said, heard) = sync_channel(1);
    let path = path.to_owned();
    (Box::new(move || said.send(copy(&path)).unwrap()), heard)
}

#[test]
fn letters_are_read_page_by_page_within_a_number_and_a_size() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let it = process(0);
    let track = begin(&checkpoint, it, 1, Position::Earliest);
    let ids = [1, 2, 3, 4].map(|seq| checkpoint.give_up(&track, seq, letter(seq)).unwrap());
    let other = begin(&checkpoint, process(1), 2, Position::Earliest);
    checkpoint.give_up(&other, 1, letter(1)).unwrap();
    let page = |page| {
        let (letters, more) = read_letters(&checkpoint, it, page).unwrap();
        (letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(LetterRange { letters: 3, ..LetterRange::ALL }), (ids[..3].to_vec(), true));
    assert_eq!(
        page(LetterRange { after: ids[0], letters: 3, ..LetterRange::ALL }),
        (ids[1..].to_vec(), false)
    );
    assert_eq!(page(LetterRange { after: ids[3], ..LetterRange::ALL }), (vec![], false));
    assert_eq!(page(LetterRange { after: u64::MAX, ..LetterRange::ALL }), (vec![], false));
    // The first letter is returned whatever its size. Otherwise no caller could get past it.
    assert_eq!(page(LetterRange { bytes: 1, ..LetterRange::ALL }), (ids[..1].to_vec(), true));
    close(&checkpoint);
}

#[test]
fn everything_said_then_closed_is_found_when_opened() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let [acking, ending, locating, forgotten] = [0, 1, 2, 3].map(process);
    let track = begin(&checkpoint, acking, 1, Position::Earliest);
    checkpoint.acked(&track, 1, cursor(1));
    let ids = [2, 3, 4].map(|seq| checkpoint.give_up(&track, seq, letter(seq)).unwrap());
    assert!(checkpoint.discard(acking, ids[1], Box::new(|| ())));
    checkpoint.ended(&begin(&checkpoint, ending, 2, after(20)), false, None);
    let track = begin(&checkpoint, locating, 3, Position::Unresolved);
    checkpoint.located(&track, after(30), Box::new(|| ()));
    let track = begin(&checkpoint, forgotten, 4, after(40));
    checkpoint.give_up(&track, 1, letter(41)).unwrap();
    checkpoint.ended(&track, true, None);
    checkpoint.forget(forgotten, Box::new(|| ())).unwrap();
    let said = checkpoint.find(&ending).unwrap();
    close(&checkpoint);

    let checkpoint = open(&path, NEVER);
    assert_eq!(checkpoint.find(&acking).unwrap().position, after(4));
    assert_eq!(checkpoint.find(&ending), Some(said), "it ended then, whatever came after it");
    assert_eq!(checkpoint.find(&locating).unwrap().position, after(30));
    assert_eq!(checkpoint.find(&forgotten), None);
    let mut watched = checkpoint.watched();
    watched.sort();
    assert_eq!(watched, [(acking, options(1)), (locating, options(3))]);
    let letters = read_letters(&checkpoint, acking, LetterRange::ALL).unwrap().0;
    let found: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    assert_eq!(found, [ids[0], ids[2]]);
    let expected = letter(4);
    assert_eq!(letters[1].result, expected.result);
    assert_eq!((&letters[1].cursor, &letters[1].error), (&expected.cursor, &expected.error));
    assert_eq!(letters[1].attempts, expected.attempts);
    assert!(letters[1].at > 0);
    assert!(read_letters(&checkpoint, forgotten, LetterRange::ALL).unwrap().0.is_empty());
    assert_eq!(checkpoint.status().letters, 2);
    close(&checkpoint);
}

#[test]
fn acks_wait_for_the_next_commit_and_only_the_latest_is_kept() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let track = begin(&checkpoint, process(0), 1, after(0));
    flush(&checkpoint);
    for seq in 1..=100 {
        checkpoint.acked(&track, seq, cursor(seq));
    }
    checkpoint.acked(&track, 50, cursor(50));
    assert_eq!(number(&checkpoint.find(&process(0)).unwrap()), 100, "known at once");
    let before = copy(&path);
    assert_eq!(look(&before, |copy| number(&copy.find(&process(0)).unwrap())), 0);
    flush(&checkpoint);
    let then = copy(&path);
    assert_eq!(look(&then, |copy| number(&copy.find(&process(0)).unwrap())), 100);
    close(&checkpoint);
}

#[test]
fn ack_without_a_waiter_is_durable_after_the_interval() {
    let (_dir, path) = place();
    let checkpoint = open(&path, Duration::from_millis(5));
    let track = begin(&checkpoint, process(0), 1, after(0));
    flush(&checkpoint);
    let commits = checkpoint.status().commits;
    checkpoint.acked(&track, 1, cursor(1));
    until("a commit", || checkpoint.status().commits > commits);
    assert_eq!(look(&copy(&path), |copy| number(&copy.find(&process(0)).unwrap())), 1);
    close(&checkpoint);
}

#[test]
fn thousand_tracks_acked_at_once_are_one_group() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let tracks: Vec<_> =
        (0..1000).map(|index| begin(&checkpoint, process(index), 1, after(0))).collect();
    flush(&checkpoint);
    let commits = checkpoint.status().commits;
    std::thread::scope(|scope| {
        for part in tracks.chunks(250) {
            scope.spawn(|| part.iter().for_each(|track| checkpoint.acked(track, 1, cursor(7))));
        }
    });
    flush(&checkpoint);
    let commits = checkpoint.status().commits - commits;
    assert!((1..=2).contains(&commits), "{commits} commits for a thousand acks");
    close(&checkpoint);
    let checkpoint = open(&path, NEVER);
    for index in 0..1000 {
        assert_eq!(number(&checkpoint.find(&process(index)).unwrap()), 7, "{index}");
    }
    close(&checkpoint);
}

#[test]
fn waiter_of_each_call_runs_when_its_change_is_in_the_file() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let it = process(0);
    let track = begin(&checkpoint, it, 1, Position::Unresolved);
    let (waiter, copied) = copying(&path);
    checkpoint.flush(waiter);
    look(&wait(&copied), |copy| assert_eq!(copy.watched(), [(it, options(1))]));

    let (waiter, copied) = copying(&path);
    checkpoint.located(&track, after(1), waiter);
    look(&wait(&copied), |copy| assert_eq!(copy.find(&it).unwrap().position, after(1)));

    let id = checkpoint.give_up(&track, 2, letter(2)).unwrap();
    let (waiter, copied) = copying(&path);
    checkpoint.flush(waiter);
    look(&wait(&copied), |copy| {
        assert_eq!(copy.find(&it).unwrap().position, after(2));
        assert_eq!(read_letters(copy, it, LetterRange::ALL).unwrap().0[0].id, id);
    });

    let (waiter, copied) = copying(&path);
    assert!(checkpoint.discard(it, id, waiter));
    look(&wait(&copied), |copy| {
        assert!(read_letters(copy, it, LetterRange::ALL).unwrap().0.is_empty());
    });

    let (waiter, copied) = copying(&path);
    checkpoint.acked(&track, 3, cursor(3));
    checkpoint.ended(&track, false, Some(waiter));
    look(&wait(&copied), |copy| {
        assert_eq!(copy.find(&it).unwrap().position, after(3));
        assert!(copy.watched().is_empty());
    });

    let (waiter, copied) = copying(&path);
    checkpoint.forget(it, waiter).unwrap();
    look(&wait(&copied), |copy| assert_eq!(copy.find(&it), None));
    close(&checkpoint);
}

#[test]
fn older_registration_changes_nothing_and_a_later_one_may_begin_further_back() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let old = begin(&checkpoint, process(0), 1, after(0));
    checkpoint.acked(&old, 50, cursor(50));
    flush(&checkpoint);
    let new = begin(&checkpoint, process(0), 2, after(10));
    checkpoint.acked(&old, 60, cursor(60));
    checkpoint.located(&old, after(70), Box::new(|| ()));
    let id = checkpoint.give_up(&old, 80, letter(80)).unwrap();
    checkpoint.ended(&old, false, None);
    let _late = begin(&checkpoint, process(0), 1, after(90));
    flush(&checkpoint);
    assert!(!checkpoint.discard(process(0), id, Box::new(|| ())), "no letter was kept");
    let check = |copy: &Checkpoint| {
        let record = copy.find(&process(0)).unwrap();
        assert_eq!((number(&record), record.watched, record.options), (10, true, options(2)));
        assert!(read_letters(copy, process(0), LetterRange::ALL).unwrap().0.is_empty());
    };
    look(&copy(&path), check);
    checkpoint.acked(&new, 1, cursor(11));
    close(&checkpoint);
    look(&copy(&path), |copy| assert_eq!(number(&copy.find(&process(0)).unwrap()), 11));
}

#[test]
fn letter_too_many_is_refused_and_its_result_is_not_acked() {
    let (_dir, path) = place();
    let (checkpoint, _) = Checkpoint::open(&path, Settings::new(NEVER, 2)).unwrap();
    let track = begin(&checkpoint, process(0), 1, after(0));
    let other = begin(&checkpoint, process(1), 2, after(0));
    let first = checkpoint.give_up(&track, 1, letter(1)).unwrap();
    let second = checkpoint.give_up(&other, 1, letter(1)).unwrap();
    assert_eq!(checkpoint.give_up(&track, 2, letter(2)), Err(Full));
    assert_eq!(number(&checkpoint.find(&process(0)).unwrap()), 1);
    assert_eq!(checkpoint.status().letters, 2);
    assert!(!checkpoint.discard(process(1), first, Box::new(|| ())), "it is the other's");
    assert!(checkpoint.discard(process(1), second, Box::new(|| ())));
    close(&checkpoint);
    // The limit counts the letters in the file. The number of a discarded letter is not reused.
    let (checkpoint, _) = Checkpoint::open(&path, Settings::new(NEVER, 2)).unwrap();
    let track = begin(&checkpoint, process(0), 3, after(1));
    let third = checkpoint.give_up(&track, 1, letter(2)).unwrap();
    assert!(third > second, "{third} was given already");
    assert_eq!(checkpoint.give_up(&track, 2, letter(3)), Err(Full));
    let ids: Vec<_> = read_letters(&checkpoint, process(0), LetterRange::ALL)
        .unwrap()
        .0
        .iter()
        .map(|letter| letter.id)
        .collect();
    assert_eq!(ids, [first, third]);
    close(&checkpoint);
}

#[test]
fn forgotten_process_stays_so_whatever_its_old_registration_says() {
    let (_dir, path) = place();
    let checkpoint = open(&path, NEVER);
    let old = begin(&checkpoint, process(0), 1, after(0));
    let kept = begin(&checkpoint, process(1), 2, after(0));
    checkpoint.give_up(&kept, 1, letter(1)).unwrap();
    checkpoint.give_up(&old, 1, letter(1)).unwrap();
    flush(&checkpoint);
    checkpoint.acked(&old, 2, cursor(2));
    checkpoint.give_up(&old, 3, letter(3)).unwrap();
    checkpoint.ended(&old, true, None);
    checkpoint.forget(process(0), Box::new(|| ())).unwrap();
    checkpoint.acked(&old, 4, cursor(4));
    checkpoint.give_up(&old, 5, letter(5)).unwrap();
    checkpoint.located(&old, after(6), Box::new(|| ()));
    checkpoint.ended(&old, true, None);
    assert_eq!(checkpoint.find(&process(0)), None);
    close(&checkpoint);
    look(&copy(&path), |copy| {
        assert_eq!(copy.find(&process(0)), None);
        assert!(read_letters(copy, process(0), LetterRange::ALL).unwrap().0.is_empty());
        assert_eq!(
            read_letters(copy, process(1), LetterRange::ALL).unwrap().0.len(),
            1,
            "of another process"
        );
        assert_eq!(copy.status().letters, 1);
    });
}
