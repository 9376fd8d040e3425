//! Random calls for three processes, compared with a simple model: the current state, and the state
//! after a crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

use cron_checkpoint::{Checkpoint, LetterRange, Settings, Track};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;
use util::*;

const PROCESSES: usize = 3;

/// The limit on letters.
const LETTERS: u64 = 4;

#[derive(Debug, Clone)]
enum Word {
    /// Begins a registration of this process at this position.
    Begin(usize, u64),
    /// Acks of the registration that began this many steps ago, up to this number.
    Acked(usize, u64),
    GiveUp(usize, u64),
    Ended(usize, bool),
    Forget(usize),
    /// Discards a process's letter with this number.
    Discard(usize, u64),
    Flush,
    /// Compares the state after a crash.
    Crash,
    Reopen,
}

fn word() -> impl Strategy<Value = Word> {
    let process = 0..PROCESSES;
    let track = 0..6_usize;
    prop_oneof![
        4 => (process.clone(), 0..100_u64).prop_map(|(process, at)| Word::Begin(process, at)),
        8 => (track.clone(), 0..100_u64).prop_map(|(track, seq)| Word::Acked(track, seq)),
        4 => (track.clone(), 0..100_u64).prop_map(|(track, seq)| Word::GiveUp(track, seq)),
        2 => (track, any::<bool>()).prop_map(|(track, watched)| Word::Ended(track, watched)),
        1 => process.clone().prop_map(Word::Forget),
        2 => (process, 1..10_u64).prop_map(|(process, id)| Word::Discard(process, id)),
        2 => Just(Word::Flush),
        3 => Just(Word::Crash),
        1 => Just(Word::Reopen),
    ]
}

/// The state of each process: epoch, number of the cursor, whether to resume it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    entries: BTreeMap<usize, (u64, u64, bool)>,
    letters: BTreeSet<(usize, u64)>,
}

/// A registration of the running system.
struct Registration {
    process: usize,
    epoch: u64,
    /// The highest number acked. Lower acks change nothing.
    last: Option<u64>,
    track: Arc<Track>,
}

struct World {
    _dir: TempDir,
    path: PathBuf,
    checkpoint: Checkpoint,
    registrations: Vec<Registration>,
    epoch: u64,
    last_letter: u64,
    known: Known,
    durable: Known,
    /// The processes whose latest registration has not ended.
    live: BTreeSet<usize>,
}

fn opened(path: &std::path::Path) -> Checkpoint {
    let (checkpoint, known) = Checkpoint::open(path, Settings::new(NEVER, LETTERS)).unwrap();
    assert!(!known);
    checkpoint
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        Self {
            checkpoint: opened(&path),
            path,
            _dir: dir,
            registrations: Vec::new(),
            epoch: 0,
            last_letter: 0,
            known: Known::default(),
            durable: Known::default(),
            live: BTreeSet::new(),
        }
    }

    /// The registration that began this many steps ago, if there is one.
    fn registration(&mut self, ago: usize) -> Option<&mut Registration> {
        self.registrations.iter_mut().rev().nth(ago)
    }

    fn say(&mut self, word: &Word) {
        match *word {
            Word::Begin(index, at) => {
                self.epoch += 1;
                let track = begin(&self.checkpoint, process(index), self.epoch, after(at));
                let epoch = self.epoch;
                self.registrations.push(Registration { process: index, epoch, last: None, track });
                self.known.entries.insert(index, (epoch, at, true));
                self.live.insert(index);
            }
            Word::Acked(ago, seq) => {
                let Some(track) = self.acked(ago, seq) else { return };
                self.checkpoint.acked(&track, seq, cursor(seq));
            }
            Word::GiveUp(ago, seq) => self.give_up(ago, seq),
            Word::Ended(ago, watched) => {
                let Some(registration) = self.registration(ago) else { return };
                let (process, epoch) = (registration.process, registration.epoch);
                let track = Arc::clone(&registration.track);
                self.checkpoint.ended(&track, watched, None);
                if let Some(entry) = self.known.entries.get_mut(&process).filter(|e| e.0 == epoch) {
                    entry.2 = watched;
                    self.live.remove(&process);
                }
            }
            Word::Forget(index) => {
                let forgotten = self.checkpoint.forget(process(index), Box::new(|| ()));
                let live = self.live.contains(&index);
                assert_eq!(forgotten.is_err(), live, "only what is not monitored is forgotten");
                if live {
                    return;
                }
                self.known.entries.remove(&index);
                self.known.letters.retain(|(of, _)| *of != index);
                self.flush();
            }
            Word::Discard(index, id) => {
                let expected = self.known.letters.remove(&(index, id));
                let (waiter, durable) = waiter();
                assert_eq!(self.checkpoint.discard(process(index), id, waiter), expected);
                wait(&durable);
                self.durable = self.known.clone();
            }
            Word::Flush => self.flush(),
            Word::Crash => {
                let durable = look(&copy(&self.path), seen);
                assert_eq!(durable, without_epochs(&self.durable), "left by a crash");
            }
            Word::Reopen => {
                close(&self.checkpoint);
                self.checkpoint = opened(&self.path);
                self.registrations.clear();
                self.live.clear();
                self.durable = self.known.clone();
            }
        }
        assert_eq!(find(&self.checkpoint), without_epochs(&self.known).0, "known after {word:?}");
        let letters = u64::try_from(self.known.letters.len()).unwrap();
        assert_eq!(self.checkpoint.status().letters, letters);
    }

    /// Applies an ack to the model. Returns the track for the real call.
    fn acked(&mut self, ago: usize, seq: u64) -> Option<Arc<Track>> {
        let registration = self.registration(ago)?;
        let newer = registration.last.is_none_or(|last| last < seq);
        registration.last = registration.last.max(Some(seq));
        let (process, epoch) = (registration.process, registration.epoch);
        let track = Arc::clone(&registration.track);
        if let Some(entry) = self.known.entries.get_mut(&process)
            && entry.0 == epoch
            && self.live.contains(&process)
            && newer
        {
            entry.1 = seq;
        }
        Some(track)
    }

    fn give_up(&mut self, ago: usize, seq: u64) {
        let Some(registration) = self.registration(ago) else { return };
        let (process, epoch) = (registration.process, registration.epoch);
        let track = Arc::clone(&registration.track);
        let latest = self.live.contains(&process)
            && self.known.entries.get(&process).is_some_and(|entry| entry.0 == epoch);
        let given = self.checkpoint.give_up(&track, seq, letter(seq));
        if latest && self.known.letters.len() >= usize::try_from(LETTERS).unwrap() {
            assert!(given.is_err(), "there is no room");
            return;
        }
        let id = given.unwrap();
        assert!(id > self.last_letter, "{id} was given already");
        self.last_letter = id;
        if latest {
            self.known.letters.insert((process, id));
        }
        self.acked(ago, seq);
    }

    fn flush(&mut self) {
        flush(&self.checkpoint);
        self.durable = self.known.clone();
    }
}

type Entries = BTreeMap<usize, (u64, bool)>;

/// The records in a checkpoint.
fn find(checkpoint: &Checkpoint) -> Entries {
    let one = |index| {
        let record = checkpoint.find(&process(index))?;
        Some((index, (number(&record), record.watched)))
    };
    (0..PROCESSES).filter_map(one).collect()
}

/// The records and the letters in a checkpoint.
fn seen(checkpoint: &Checkpoint) -> (Entries, BTreeSet<(usize, u64)>) {
    let mut letters = BTreeSet::new();
    for index in 0..PROCESSES {
        let of = read_letters(checkpoint, process(index), LetterRange::ALL).unwrap().0;
        letters.extend(of.into_iter().map(|letter| (index, letter.id)));
    }
    (find(checkpoint), letters)
}

fn without_epochs(known: &Known) -> (Entries, BTreeSet<(usize, u64)>) {
    let entries = known.entries.iter().map(|(index, entry)| (*index, (entry.1, entry.2)));
    (entries.collect(), known.letters.clone())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn book_says_what_its_model_says_now_after_a_crash_and_opened_again(
        words in proptest::collection::vec(word(), 1..60)
    ) {
        let mut world = World::new();
        for word in &words {
            world.say(word);
        }
        world.say(&Word::Crash);
        world.say(&Word::Reopen);
        world.say(&Word::Crash);
        close(&world.checkpoint);
    }
}
