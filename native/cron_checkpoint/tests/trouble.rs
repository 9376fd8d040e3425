//! Failures outside the file: another OS process has it open, the path cannot be used, the disk is
//! full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use cron_checkpoint::{Checkpoint, LetterRange, OpenError, Settings};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use tempfile::{TempDir, tempdir};

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// The variable that tells a child process which file to hold.
const HELD: &str = "CHECKPOINT_HELD";

/// Not a test: the other OS process of the next test.
#[test]
fn other_process_that_holds_a_file() {
    let Some(path) = std::env::var_os(HELD) else { return };
    let checkpoint = open(Path::new(&path), NEVER);
    let _track = begin(&checkpoint, process(0), 1, after(7));
    flush(&checkpoint);
    println!("\nheld");
    // Ends when it is killed, or with its parent.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn file_that_another_process_has_open_is_locked_until_that_is_gone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process_that_holds_a_file", "--nocapture"])
        .env(HELD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (said, held) = channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok).filter(|line| line == "held") {
            let _ = said.send(line);
        }
    });
    wait(&held);
    assert_eq!(Checkpoint::open(&path, Settings::new(NEVER, 10)).err(), Some(OpenError::Locked));
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "it was not moved aside");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    let checkpoint = open(&path, NEVER);
    assert_eq!(number(&checkpoint.find(&process(0)).unwrap()), 7);
    close(&checkpoint);
}

#[test]
fn path_that_cannot_be_used_is_an_error_of_the_system() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "a file").unwrap();
    let below_file = file.join("checkpoint");
    let missing = dir.path().join("missing/checkpoint");
    let paths = [&below_file, &missing, dir.path(), Path::new("/proc/checkpoint"), Path::new("")];
    for path in paths {
        match Checkpoint::open(path, Settings::new(NEVER, 10)).err() {
            Some(OpenError::Io(reason)) => assert!(!reason.is_empty()),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"a file");
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "nothing was made or moved");
    std::fs::create_dir(dir.path().join("missing")).unwrap();
    close(&open(&missing, NEVER));
}

/// A separate disk of a few MB, if the system allows mounting one.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let dir = tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(dir.path());
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        // Bypasses the test's captured output, so that a skipped test is visible.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no disk to fill, mount is not allowed here");
        None
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("checkpoint")
    }

    /// Fills the disk.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Takes effect at once, or when files that a failed test left open are closed.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Writes more than fits into the pages that the file already has: the results of all letters add
/// up to 2 MB.
fn say_much(checkpoint: &Checkpoint) {
    for index in 0..10 {
        let track = begin(checkpoint, process(index), 2, after(1));
        let mut letter = letter(2);
        letter.result = vec![b'r'; 200_000];
        checkpoint.give_up(&track, 1, letter).unwrap();
    }
}

#[test]
fn full_disk_holds_up_everything_and_loses_nothing() {
    let Some(disk) = Disk::new() else { return };
    let checkpoint = open(&disk.path(), NEVER);
    let _track = begin(&checkpoint, process(20), 1, after(1));
    flush(&checkpoint);
    disk.fill();
    say_much(&checkpoint);
    let (waiter, durable) = waiter();
    checkpoint.flush(waiter);
    until("a failed commit", || checkpoint.status().failing.is_some());
    // Changes made meanwhile wait too, but are visible.
    let track = begin(&checkpoint, process(21), 1, after(3));
    checkpoint.acked(&track, 1, cursor(4));
    assert_eq!(number(&checkpoint.find(&process(21)).unwrap()), 4);
    assert!(durable.try_recv().is_err(), "nothing is durable");
    disk.free();
    wait(&durable);
    assert_eq!(checkpoint.status().failing, None);
    flush(&checkpoint);
    look(&copy(&disk.path()), |copy| {
        for index in 0..10 {
            assert_eq!(number(&copy.find(&process(index)).unwrap()), 2);
            let letters = read_letters(copy, process(index), LetterRange::ALL).unwrap().0;
            assert_eq!(letters.first().map(|letter| letter.result.len()), Some(200_000));
        }
        assert_eq!(number(&copy.find(&process(20)).unwrap()), 1);
        assert_eq!(number(&copy.find(&process(21)).unwrap()), 4);
    });
    close(&checkpoint);
}

#[test]
fn file_closed_on_a_full_disk_holds_what_was_durable_and_calls_no_more_so() {
    let Some(disk) = Disk::new() else { return };
    let checkpoint = open(&disk.path(), NEVER);
    let _track = begin(&checkpoint, process(0), 1, after(1));
    flush(&checkpoint);
    disk.fill();
    say_much(&checkpoint);
    let (waiter, durable) = waiter();
    checkpoint.flush(waiter);
    close(&checkpoint);
    assert!(checkpoint.status().failing.is_some());
    assert!(durable.try_recv().is_err(), "it was never durable");
    disk.free();
    let checkpoint = open(&disk.path(), NEVER);
    assert_eq!(number(&checkpoint.find(&process(0)).unwrap()), 1);
    assert_eq!(checkpoint.find(&process(1)), None);
    assert_eq!(checkpoint.status().letters, 0);
    close(&checkpoint);
}

#[test]
fn file_begun_on_a_full_disk_is_an_error_until_there_is_room() {
    let Some(disk) = Disk::new() else { return };
    disk.fill();
    match Checkpoint::open(&disk.path(), Settings::new(NEVER, 10)).err() {
        Some(OpenError::Io(_)) => (),
        other => panic!("{other:?}"),
    }
    disk.free();
    let checkpoint = open(&disk.path(), NEVER);
    let _track = begin(&checkpoint, process(0), 1, after(1));
    close(&checkpoint);
}
