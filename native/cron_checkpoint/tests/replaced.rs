//! A file that is deleted or replaced under a running node is noticed and rewritten. The next start
//! finds all acks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::LetterRange;
use cron_engine::Position;
use std::path::Path;
use tempfile::tempdir;

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// Replaces a file with a record and a dead letter, and checks the new file.
fn replaced_by(replace: impl FnOnce(&Path)) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let checkpoint = open(&path, NEVER);
    let track = begin(&checkpoint, process(0), 1, Position::Earliest);
    let quiet = begin(&checkpoint, process(1), 2, after(7));
    checkpoint.give_up(&track, 1, letter(1)).unwrap();
    checkpoint.acked(&track, 2, cursor(2));
    flush(&checkpoint);
    replace(&path);
    until("it is noticed", || checkpoint.status().replaced == 1);
    checkpoint.give_up(&track, 3, letter(3)).unwrap();
    flush(&checkpoint);
    assert_eq!(checkpoint.status().failing, None);
    look(&copy(&path), |copy| {
        assert_eq!(number(&copy.find(&process(0)).unwrap()), 3);
        assert_eq!(number(&copy.find(&process(1)).unwrap()), 7);
        let letters = read_letters(copy, process(0), LetterRange::ALL).unwrap().0;
        let results: Vec<_> = letters.into_iter().map(|letter| letter.result).collect();
        assert_eq!(results, [letter(1).result, letter(3).result]);
    });
    drop(quiet);
    close(&checkpoint);
    let checkpoint = open(&path, NEVER);
    assert_eq!(number(&checkpoint.find(&process(0)).unwrap()), 3);
    close(&checkpoint);
}

#[test]
fn file_that_is_deleted_is_written_anew() {
    replaced_by(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn file_that_is_replaced_is_moved_aside_and_written_anew() {
    replaced_by(|path| {
        let other = path.with_extension("other");
        std::fs::write(&other, "not a checkpoint").unwrap();
        std::fs::rename(&other, path).unwrap();
    });
}

#[test]
fn file_in_a_directory_that_is_gone_is_written_once_that_is_back() {
    let dir = tempdir().unwrap();
    let below = dir.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let path = below.join("checkpoint");
    let checkpoint = open(&path, NEVER);
    let track = begin(&checkpoint, process(0), 1, Position::Earliest);
    flush(&checkpoint);
    std::fs::remove_dir_all(&below).unwrap();
    checkpoint.acked(&track, 1, cursor(1));
    let (waiter, durable) = waiter();
    checkpoint.flush(waiter);
    until("a failed commit", || checkpoint.status().failing.is_some());
    assert!(durable.try_recv().is_err(), "nothing is durable");
    std::fs::create_dir(&below).unwrap();
    wait(&durable);
    assert_eq!(checkpoint.status().replaced, 1);
    look(&copy(&path), |copy| assert_eq!(number(&copy.find(&process(0)).unwrap()), 1));
    let left = below.read_dir().unwrap().count();
    assert_eq!(left, 1, "no half of a file is left behind");
    close(&checkpoint);
}
