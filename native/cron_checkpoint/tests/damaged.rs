//! Damaged files and files of other kinds: opening always succeeds. Intact data is used, and the
//! damaged file is kept beside a new one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

use cron_checkpoint::{Checkpoint, LetterRange, OpenError, Record, Settings};
use cron_engine::Position;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

/// The offsets of the version in both commit slots of redb's header.
const VERSIONS: [usize; 2] = [64, 192];

/// The length of redb's header.
const HEADER: usize = 320;

/// The files beside `path` that were moved aside.
fn aside(path: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}.corrupt-", path.file_name().unwrap().to_str().unwrap());
    let files = path.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).collect()
}

/// The content of the file of `good`: the positions of the processes, and the results in the first
/// one's letters.
type Said = (Vec<Option<u64>>, Vec<Vec<u8>>);

fn said(checkpoint: &Checkpoint) -> Said {
    let stands = |index| {
        let record = checkpoint.find(&process(index))?;
        assert_eq!(record.options, options(1), "of {index}");
        Some(number(&record))
    };
    let letters = read_letters(checkpoint, process(0), LetterRange::ALL).unwrap().0;
    ((0..20).map(stands).collect(), letters.into_iter().map(|letter| letter.result).collect())
}

/// The bytes of a good file, closed or as after a crash, and its content after each commit.
fn good(closed: bool) -> (Vec<u8>, Vec<Said>) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let checkpoint = open(&path, NEVER);
    let mut states = Vec::new();
    let first = begin(&checkpoint, process(0), 1, after(0));
    for step in 1..20 {
        let _track = begin(&checkpoint, process(usize::try_from(step).unwrap()), 1, after(step));
        if step % 3 == 0 {
            let mut letter = letter(step);
            letter.result.resize(3_000, b'r');
            checkpoint.give_up(&first, step, letter).unwrap();
        }
        flush(&checkpoint);
        states.push(said(&checkpoint));
    }
    let unclean = copy(&path);
    close(&checkpoint);
    let bytes = std::fs::read(if closed { &path } else { &unclean }).unwrap();
    (bytes, states)
}

fn last(states: &[Said], count: usize) -> &[Said] {
    &states[states.len() - count..]
}

fn nothing() -> Said {
    (vec![None; 20], Vec::new())
}

/// Opens these bytes and continues to use the file. The content must be one of `states`, or the
/// file must be moved aside. Returns true if it was.
fn opened(bytes: &[u8], states: &[Said], context: &str) -> bool {
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    std::fs::write(&path, bytes).unwrap();
    let checkpoint = open(&path, NEVER);
    let (said, aside) = (said(&checkpoint), aside(&path));
    if aside.is_empty() {
        assert!(states.contains(&said), "{context}: used, and says what was never said: {said:?}");
    } else {
        assert_eq!(said, nothing(), "{context}: moved aside, and yet");
        let kept = std::fs::metadata(&aside[0]).unwrap().len();
        assert_eq!((aside.len(), kept > 0), (1, true), "{context}: {aside:?}");
    }
    let _track = begin(&checkpoint, process(50), 9, after(9));
    close(&checkpoint);
    let checkpoint = open(&path, NEVER);
    assert_eq!(number(&checkpoint.find(&process(50)).unwrap()), 9, "{context}");
    close(&checkpoint);
    !aside.is_empty()
}

#[test]
fn other_file_is_kept_beside_a_new_one() {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
    let magic = good(true).0[..9].to_vec();
    let magic_and_noise = [magic.as_slice(), &noise].concat();
    for bytes in [b"x", b"a text file\n".as_slice(), &[0; 5000], &noise, &magic, &magic_and_noise] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        std::fs::write(&path, bytes).unwrap();
        let checkpoint = open(&path, NEVER);
        assert!(checkpoint.watched().is_empty());
        let aside = aside(&path);
        assert_eq!(aside.len(), 1, "of {} bytes", bytes.len());
        assert!(std::fs::read(&aside[0]).unwrap() == bytes, "it is kept unchanged");
        close(&checkpoint);
    }
}

#[test]
fn empty_file_is_a_new_one() {
    assert!(!opened(b"", &[nothing()], "empty"));
}

#[test]
fn file_cut_anywhere_is_whole_or_moved_aside() {
    let mut random = fastrand::Rng::with_seed(2);
    for closed in [true, false] {
        let (bytes, states) = good(closed);
        let pages = bytes.len() / 4096;
        let ends = (0..120).map(|round| match round % 2 {
            0 => random.usize(1..bytes.len()),
            _ => random.usize(1..pages) * 4096,
        });
        let edges = [1, 8, 9, 63, HEADER - 1, HEADER, 4095, 4096, 4097, 8192, bytes.len() - 1];
        let mut moved = 0;
        for end in ends.chain(edges) {
            let context = format!("closed {closed}, cut at {end}");
            moved += u32::from(opened(&bytes[..end], last(&states, 1), &context));
        }
        assert!(moved > 20, "{moved} are no test");
        assert!(!opened(&bytes, last(&states, 1), "not cut"));
    }
}

#[test]
fn file_with_a_changed_byte_anywhere_is_whole_or_moved_aside() {
    let mut random = fastrand::Rng::with_seed(3);
    for closed in [true, false] {
        let (bytes, states) = good(closed);
        let used: Vec<usize> = (HEADER..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        let mut moved = 0;
        for round in 0..260 {
            let at = match round {
                0..80 => round * HEADER / 80,
                80..240 => used[random.usize(..used.len())],
                _ => random.usize(..bytes.len()),
            };
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.u8(..8);
            let context = format!("closed {closed}, byte {at} is {:#x} now", changed[at]);
            // A version of an older format is refused as such. The file must not be moved aside.
            if VERSIONS.iter().any(|&version| matches!(changed[version], 1 | 2)) {
                continue;
            }
            // A damaged commit is like one that a power cut tore: the previous one counts.
            moved += u32::from(opened(&changed, last(&states, 2), &context));
        }
        assert!(moved > 20, "{moved} are no test");
    }
}

#[test]
fn file_of_an_older_format_is_refused_and_left_alone() {
    let (mut bytes, _) = good(true);
    for version in VERSIONS {
        assert_eq!(bytes[version], 3, "where the version is has changed");
        bytes[version] = 2;
    }
    let dir = tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    std::fs::write(&path, &bytes).unwrap();
    let refused = Checkpoint::open(&path, Settings::new(NEVER, 10)).err();
    assert_eq!(refused, Some(OpenError::OldFormat(2)));
    assert!(std::fs::read(&path).unwrap() == bytes);
    assert!(aside(&path).is_empty());
}

#[test]
fn record_of_an_unknown_layout_or_process_is_damage() {
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("monitors");
    let record =
        Record { position: Position::Earliest, watched: true, at: 1, options: [].into() }.encode();
    let mut later = record.clone();
    later[0] = 2;
    let it = process(0);
    let key = it.as_str().as_bytes();
    let cases = [
        (key, record.clone(), false),
        (key, later, true),
        (b"short", record, true),
        (key, vec![], true),
    ];
    for (key, value, damaged) in cases {
        let dir = tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert(key, value.as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let checkpoint = open(&path, NEVER);
        assert_eq!(aside(&path).len(), usize::from(damaged), "{key:?} {value:?}");
        assert_eq!(checkpoint.watched().len(), usize::from(!damaged));
        close(&checkpoint);
    }
}
