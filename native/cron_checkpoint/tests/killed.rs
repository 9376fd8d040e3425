//! Kills a writing OS process again and again. The next one finds every durable change, and no dead
//! letter without the cursor that passes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::tempdir;

use cron_checkpoint::{Checkpoint, LetterRange, Settings};

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// The variable that tells a child process which file to write.
const WRITTEN: &str = "CHECKPOINT_WRITTEN";

/// Every third result is given up.
const GIVEN_UP: u64 = 3;

/// Not a test: the OS process that the next test kills.
#[test]
fn other_process_that_writes_a_file() {
    let Some(path) = std::env::var_os(WRITTEN) else { return };
    let (checkpoint, _) =
        Checkpoint::open(Path::new(&path), Settings::new(Duration::from_millis(1), 1_000_000))
            .unwrap();
    let from = checkpoint.find(&process(0)).map_or(0, |record| number(&record));
    let track = begin(&checkpoint, process(0), 1, after(from));
    for result in from + 1.. {
        if result % GIVEN_UP == 0 {
            checkpoint.give_up(&track, result, letter(result)).unwrap();
        } else {
            checkpoint.acked(&track, result, cursor(result));
        }
        if result % 5 == 0 {
            let (said, heard) = channel();
            checkpoint.flush(Box::new(move || {
                println!("\ndurable {result}");
                let _ = said.send(());
            }));
            // Every other time without waiting, so that it also dies with many pending changes.
            if result % 10 == 0 {
                wait(&heard);
            }
        }
    }
}

#[test]
fn process_killed_at_any_moment_leaves_letters_and_cursor_together() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process_that_writes_a_file", "--nocapture"])
            .env(WRITTEN, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (said, heard) = channel::<u64>();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(result) = line.strip_prefix("durable ") {
                    let _ = said.send(result.parse().unwrap());
                }
            }
        });
        let mut durable = 0;
        for _ in 0..random.u32(1..30) {
            durable = wait(&heard);
        }
        // At a random moment within the following commits.
        std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        durable = heard.try_iter().last().unwrap_or(durable);

        assert_eq!(dir.path().read_dir().unwrap().count(), 1, "round {round}: moved aside");
        let (checkpoint, _) = Checkpoint::open(&path, Settings::new(NEVER, 1_000_000)).unwrap();
        let found = number(&checkpoint.find(&process(0)).unwrap());
        assert!(found >= durable, "round {round}: {found} is found, {durable} was called durable");
        let letters = read_letters(&checkpoint, process(0), LetterRange::ALL).unwrap().0;
        let given_up = letters.iter().map(|letter| letter.cursor.clone());
        let passed = (1..=found).filter(|result| result % GIVEN_UP == 0);
        let passed = passed.map(|result| result.to_string().into_bytes());
        assert!(given_up.eq(passed), "round {round}: {} letters at {found}", letters.len());
        close(&checkpoint);
    }
}
