//! Closing a checkpoint: no earlier change is lost, every caller gets an answer, and the file can
//! be opened again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::{Checkpoint, LetterRange, Settings};
use cron_engine::Position;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::{Duration, Instant};
use tempfile::tempdir;

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// Keeps the writer's thread busy until the sender is dropped.
fn hold(checkpoint: &Checkpoint) -> Sender<()> {
    let (go, gone) = channel::<()>();
    let (said, held) = sync_channel(1);
    checkpoint.flush(Box::new(move || {
        said.send(()).unwrap();
        let _ = gone.recv_timeout(DEADLINE);
    }));
    wait(&held);
    go
}

#[test]
fn file_closed_twice_is_closed() {
    let dir = tempdir().unwrap();
    let checkpoint = open(&dir.path().join("checkpoint"), NEVER);
    close(&checkpoint);
    close(&checkpoint);
    assert!(checkpoint.clone().close(Duration::ZERO));
}

#[test]
fn file_open_here_already_is_shared_until_it_is_closed() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let first = open(&path, NEVER);
    let _track = begin(&first, process(0), 1, after(1));
    let (second, known) = Checkpoint::open(&path, Settings::new(NEVER, 10)).unwrap();
    assert!(known);
    assert_eq!(number(&second.find(&process(0)).unwrap()), 1, "though no commit holds it yet");
    close(&second);
    assert!(first.close(Duration::ZERO), "it is the same one");
    let third = open(&path, NEVER);
    assert_eq!(number(&third.find(&process(0)).unwrap()), 1);
    close(&third);
}

#[test]
fn file_opened_while_it_is_being_closed_is_opened_after_that() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let first = open(&path, NEVER);
    let busy = hold(&first);
    assert!(!first.close(Duration::ZERO), "its writer is busy");
    let (said, opened) = channel();
    let thread = std::thread::spawn({
        let path = path.clone();
        move || said.send(Checkpoint::open(&path, Settings::new(NEVER, 10)))
    });
    let early = opened.recv_timeout(Duration::from_millis(100)).map(|opened| opened.is_ok());
    assert!(early.is_err(), "a closing checkpoint must not be shared");
    drop(busy);
    let (second, known) = wait(&opened).unwrap();
    thread.join().unwrap().unwrap();
    assert!(!known);
    let _track = begin(&second, process(0), 1, after(1));
    flush(&second);
    close(&second);
}

#[test]
fn change_before_the_close_is_durable_with_a_busy_writer() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let checkpoint = open(&path, NEVER);
    let track = begin(&checkpoint, process(0), 1, Position::Earliest);
    let busy = hold(&checkpoint);
    checkpoint.acked(&track, 1, cursor(1));
    checkpoint.give_up(&track, 2, letter(2)).unwrap();
    assert!(!checkpoint.close(Duration::ZERO));
    drop(busy);
    close(&checkpoint);
    look(&copy(&path), |copy| {
        assert_eq!(number(&copy.find(&process(0)).unwrap()), 2);
        assert_eq!(read_letters(copy, process(0), LetterRange::ALL).unwrap().0.len(), 1);
    });
}

#[test]
fn waiter_that_comes_during_the_last_commit_is_run() {
    let dir = tempdir().unwrap();
    let checkpoint = open(&dir.path().join("checkpoint"), NEVER);
    let busy = hold(&checkpoint);
    let (last, heard) = waiter();
    let again = checkpoint.clone();
    checkpoint.flush(Box::new(move || again.flush(last)));
    assert!(!checkpoint.close(Duration::ZERO));
    drop(busy);
    close(&checkpoint);
    heard.try_recv().expect("it ran before it was closed");
}

#[test]
fn file_closed_in_the_middle_of_writing_holds_all_that_was_called_durable() {
    let dir = tempdir().unwrap();
    for round in 0..5 {
        let path = dir.path().join(round.to_string());
        let checkpoint = open(&path, Duration::ZERO);
        let durable: [Arc<AtomicU64>; 4] = Default::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (index, last) in durable.iter().enumerate() {
                let (checkpoint, stop) = (&checkpoint, &stop);
                let track = begin(checkpoint, process(index), 1, after(0));
                scope.spawn(move || {
                    for seq in 1.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        checkpoint.acked(&track, seq, cursor(seq));
                        let last = Arc::clone(last);
                        checkpoint.flush(Box::new(move || {
                            last.fetch_max(seq, Ordering::Relaxed);
                        }));
                        std::thread::yield_now();
                    }
                });
            }
            until("acks", || durable.iter().all(|last| last.load(Ordering::Relaxed) > 5));
            let _ = checkpoint.close(Duration::ZERO);
            stop.store(true, Ordering::Relaxed);
        });
        close(&checkpoint);
        look(&copy(&path), |copy| {
            for (index, last) in durable.iter().enumerate() {
                let found = number(&copy.find(&process(index)).unwrap());
                let last = last.load(Ordering::Relaxed);
                assert!(found >= last, "{found} is found, {last} was called durable");
            }
        });
    }
}

#[test]
fn letters_of_a_closed_file_are_refused_at_once() {
    let dir = tempdir().unwrap();
    let checkpoint = open(&dir.path().join("checkpoint"), NEVER);
    close(&checkpoint);
    let started = Instant::now();
    assert!(read_letters(&checkpoint, process(0), LetterRange::ALL).is_err());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn waiter_that_panics_ends_neither_the_writer_nor_the_others() {
    let dir = tempdir().unwrap();
    let checkpoint = open(&dir.path().join("checkpoint"), NEVER);
    let (said, heard) = sync_channel(2);
    let other = said.clone();
    checkpoint.flush(Box::new(|| panic!("a waiter's own fault")));
    checkpoint.flush(Box::new(move || other.send(1).unwrap()));
    assert_eq!(wait(&heard), 1);
    checkpoint.flush(Box::new(move || said.send(2).unwrap()));
    assert_eq!(wait(&heard), 2);
    close(&checkpoint);
}
