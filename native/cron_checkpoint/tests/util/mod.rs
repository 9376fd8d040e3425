//! Shared helpers of the checkpoint's tests: short constructors, and waiting with a deadline.

use cron_checkpoint::{
    Checkpoint, Letter, LetterRange, Record, Settings, StoreError, Track, Waiter,
};
use cron_engine::{Cursor, Position, ProcessId};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Longer than any step takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// An interval that exceeds every test: commits happen only for waiters.
pub(crate) const NEVER: Duration = Duration::from_hours(10);

/// The process with this number.
pub(crate) fn process(number: usize) -> ProcessId {
    ProcessId::new(format!("{number:x>43}").as_bytes()).unwrap()
}

/// The cursor with this number.
pub(crate) fn cursor(number: u64) -> Cursor {
    Cursor::new(number.to_string().as_bytes()).unwrap()
}

/// The position after the cursor with this number.
pub(crate) fn after(number: u64) -> Position {
    Position::After(cursor(number))
}

/// The number of a record's cursor.
pub(crate) fn number(record: &Record) -> u64 {
    let Position::After(cursor) = &record.position else { panic!("{record:?} has no cursor") };
    std::str::from_utf8(cursor.as_bytes()).unwrap().parse().unwrap()
}

/// A letter of the result with this number.
pub(crate) fn letter(number: u64) -> Letter {
    Letter {
        id: 0,
        at: 0,
        attempts: 3,
        cursor: number.to_string().into_bytes(),
        result: format!("result {number}").into_bytes(),
        error: b"timeout".to_vec(),
    }
}

/// The options with this number.
pub(crate) fn options(number: u64) -> Arc<[u8]> {
    format!("options {number}").into_bytes().into()
}

/// Opens a file that is not open yet, with room for ten letters.
pub(crate) fn open(path: &Path, interval: Duration) -> Checkpoint {
    let (checkpoint, known) = Checkpoint::open(path, Settings::new(interval, 10)).unwrap();
    assert!(!known, "{} is open already", path.display());
    checkpoint
}

/// Closes a file, in time.
pub(crate) fn close(checkpoint: &Checkpoint) {
    assert!(checkpoint.close(DEADLINE), "it is not closed in time");
}

/// Begins a registration without waiting until it is durable.
pub(crate) fn begin(
    checkpoint: &Checkpoint,
    process: ProcessId,
    epoch: u64,
    position: Position,
) -> Arc<Track> {
    checkpoint.begin(process, epoch, options(epoch), |_| position).track
}

/// Reads dead letters of a process, and whether there are more.
pub(crate) fn read_letters(
    checkpoint: &Checkpoint,
    process: ProcessId,
    range: LetterRange,
) -> Result<(Vec<Letter>, bool), StoreError> {
    let (said, heard) = sync_channel(1);
    checkpoint.letters(process, range, Box::new(move |letters| said.send(letters).unwrap()));
    wait(&heard)
}

/// A waiter, and the channel on which it reports.
pub(crate) fn waiter() -> (Waiter, Receiver<()>) {
    let (said, heard) = sync_channel(1);
    (Box::new(move || said.send(()).unwrap()), heard)
}

/// Waits for a waiter's report.
pub(crate) fn wait<T>(heard: &Receiver<T>) -> T {
    heard.recv_timeout(DEADLINE).expect("in time")
}

/// Waits until all changes are durable.
pub(crate) fn flush(checkpoint: &Checkpoint) {
    let (waiter, durable) = waiter();
    checkpoint.flush(waiter);
    wait(&durable);
}

/// Polls until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Copies a file in its current state, as a crash of the OS process would leave it. The copy is
/// deleted with the tests' process.
pub(crate) fn copy(path: &Path) -> PathBuf {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    static HERE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let here = HERE.get_or_init(|| tempfile::tempdir().unwrap());
    let copy = here.path().join(COPIES.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::copy(path, &copy).unwrap();
    copy
}

/// Opens the copy of a file, and deletes it afterwards.
pub(crate) fn look<T>(copy: &Path, look: impl FnOnce(&Checkpoint) -> T) -> T {
    let checkpoint = open(copy, NEVER);
    let seen = look(&checkpoint);
    close(&checkpoint);
    std::fs::remove_file(copy).unwrap();
    seen
}
