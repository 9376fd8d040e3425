//! The resources of a checkpoint: discarded dead letters free disk space, stopped processes expire,
//! and a process with few pushes causes few commits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::{Checkpoint, LetterLimits, Settings};
use cron_engine::Position;
use std::time::Duration;
use tempfile::tempdir;

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

#[test]
fn file_shrinks_once_large_letters_are_discarded() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let (checkpoint, _) = Checkpoint::open(&path, Settings::new(NEVER, 100)).unwrap();
    let track = begin(&checkpoint, process(0), 1, Position::Earliest);
    let mut ids = Vec::new();
    for seq in 1..=40 {
        let mut large = letter(seq);
        large.result = vec![b'r'; 1 << 20];
        ids.push(checkpoint.give_up(&track, seq, large).unwrap());
        flush(&checkpoint);
    }
    let length = || std::fs::metadata(&path).unwrap().len();
    let full = length();
    assert!(full > 40 << 20);
    for id in ids {
        assert!(checkpoint.discard(process(0), id, Box::new(|| ())));
    }
    flush(&checkpoint);
    until("it shrinks", || length() < full / 4);
    assert_eq!(checkpoint.status().letter_bytes, 0);
    checkpoint.acked(&track, 41, cursor(41));
    close(&checkpoint);
    look(&copy(&path), |copy| assert_eq!(number(&copy.find(&process(0)).unwrap()), 41));
}

#[test]
fn letters_that_wait_in_memory_are_bounded_in_bytes() {
    let dir = tempdir().unwrap();
    let letters = LetterLimits { count: 1000, bytes: 1 << 30, unwritten_bytes: 4 << 20 };
    let settings = Settings { letters, ..Settings::new(NEVER, 0) };
    let (checkpoint, _) = Checkpoint::open(&dir.path().join("checkpoint"), settings).unwrap();
    let track = begin(&checkpoint, process(0), 1, Position::Earliest);
    let taken = (1..=10).filter(|seq| {
        let mut large = letter(*seq);
        large.result = vec![b'r'; 1 << 20];
        checkpoint.give_up(&track, *seq, large).is_ok()
    });
    assert_eq!(taken.count(), 3);
    flush(&checkpoint);
    assert!(checkpoint.give_up(&track, 11, letter(11)).is_ok());
    close(&checkpoint);
}

#[test]
fn process_that_was_stopped_long_ago_is_forgotten_when_the_file_is_opened() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let checkpoint = open(&path, NEVER);
    let [stopped, watched] = [0, 1].map(|n| begin(&checkpoint, process(n), 1, after(1)));
    checkpoint.ended(&stopped, false, None);
    checkpoint.ended(&watched, true, None);
    close(&checkpoint);
    let settings = Settings { expire_after: Some(Duration::ZERO), ..Settings::new(NEVER, 10) };
    let (checkpoint, _) = Checkpoint::open(&path, settings).unwrap();
    flush(&checkpoint);
    until("it is forgotten", || checkpoint.find(&process(0)).is_none());
    assert!(checkpoint.find(&process(1)).is_some());
    close(&checkpoint);
}

#[test]
fn process_that_was_stopped_long_ago_is_forgotten_in_memory_by_other_starts() {
    let settings = Settings { expire_after: Some(Duration::ZERO), ..Settings::new(NEVER, 10) };
    let checkpoint = Checkpoint::new_in_memory(settings);
    let [stopped, watched] = [0, 1].map(|n| begin(&checkpoint, process(n), 1, after(1)));
    checkpoint.ended(&stopped, false, None);
    checkpoint.ended(&watched, true, None);
    // Time must pass between the stop and one of the starts.
    until("it is forgotten", || {
        checkpoint.ended(&begin(&checkpoint, process(2), 2, after(1)), true, None);
        checkpoint.find(&process(0)).is_none()
    });
    assert!(checkpoint.find(&process(1)).is_some());
    let kept = Checkpoint::new_in_memory(Settings::new(NEVER, 10));
    kept.ended(&begin(&kept, process(0), 1, after(1)), false, None);
    (1..10).for_each(|n| drop(begin(&kept, process(n), 2, after(1))));
    assert!(kept.find(&process(0)).is_some(), "it does not expire");
}

#[test]
fn few_acks_are_committed_seldom_and_many_after_the_interval() {
    let dir = tempdir().unwrap();
    // The long interval exceeds the test; the short one is a twentieth of it.
    let checkpoint = open(&dir.path().join("checkpoint"), Duration::from_secs(20));
    let track = begin(&checkpoint, process(0), 1, after(0));
    flush(&checkpoint);
    let quick = open(&dir.path().join("quick"), Duration::from_millis(20));
    let other = begin(&quick, process(0), 1, after(0));
    flush(&quick);
    let (before, quickly) = (checkpoint.status().commits, quick.status().commits);
    checkpoint.acked(&track, 1, cursor(1));
    for seq in 1..=200 {
        quick.acked(&other, seq, cursor(seq));
    }
    until("many are committed", || quick.status().commits > quickly);
    assert_eq!(checkpoint.status().commits, before, "one ack waits longer");
    flush(&checkpoint);
    close(&checkpoint);
    close(&quick);
}
