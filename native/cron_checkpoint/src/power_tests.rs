//! Simulates power cuts. The disk tracks synced and unsynced writes separately, and loses all, none
//! or any part of the unsynced ones when the power goes. `POWER_CUTS` sets the number of random
//! cuts, `POWER_SEED` the first seed.

use crate::file_store::Contents;
use crate::{Batch, FileStore, Letter, LetterRange, OpenError, Record, Store};
use cron_engine::{Cursor, Position, ProcessId};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};

/// The unit that a disk writes completely or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    Length(usize),
}

fn apply(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Length(length) => bytes.resize(*length, 0),
        Op::Write(at, data) => {
            bytes.resize(bytes.len().max(at + data.len()), 0);
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
    }
}

#[derive(Debug, Default)]
struct Platter {
    /// The content as the running system reads it.
    seen: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Op>,
    /// Operations done so far, and the number after which the power goes.
    done: u64,
    power: u64,
    /// Reads done so far, and the first one that fails.
    reads: u64,
    unreadable: u64,
}

/// `Debug` omits the contents, which a failed assertion would print.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

/// How much of the unsynced writes survives the cut.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Nothing,
    All,
    /// Any combination of its sectors.
    Some,
}

impl Disk {
    fn of(bytes: Vec<u8>, power: u64) -> Self {
        let synced = bytes.clone();
        let platter =
            Platter { seen: bytes, synced, power, unreadable: u64::MAX, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn done(&self) -> u64 {
        self.0.lock().unwrap().done
    }

    fn cut(&self, kept: Kept, random: &mut fastrand::Rng) -> Vec<u8> {
        let platter = self.0.lock().unwrap();
        let mut bytes = match kept {
            Kept::All => return platter.seen.clone(),
            Kept::Nothing | Kept::Some => platter.synced.clone(),
        };
        if matches!(kept, Kept::Some) {
            // The file system journals the length, so it is right for all earlier writes.
            let share = random.f64();
            for op in &platter.since {
                let Op::Write(at, data) = op else {
                    apply(&mut bytes, op);
                    continue;
                };
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    if random.f64() < share {
                        apply(&mut bytes, &Op::Write(at + index * SECTOR, sector.to_vec()));
                    }
                }
            }
        }
        bytes
    }

    fn change(&self, op: Option<Op>) -> Result<(), Error> {
        let mut platter = self.0.lock().unwrap();
        if platter.done >= platter.power {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        platter.done += 1;
        if let Some(op) = op {
            apply(&mut platter.seen, &op);
            platter.since.push(op);
        } else {
            for op in std::mem::take(&mut platter.since) {
                apply(&mut platter.synced, &op);
            }
        }
        Ok(())
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut platter = self.0.lock().unwrap();
        if platter.reads >= platter.unreadable {
            return Err(Error::other("the disk cannot be read"));
        }
        platter.reads += 1;
        let at = place(offset);
        let bytes = platter.seen.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.change(Some(Op::Length(place(len))))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.change(Some(Op::Write(place(offset), data.to_vec())))
    }
}

/// The expected content of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    records: BTreeMap<ProcessId, Record>,
    letters: BTreeMap<(ProcessId, u64), Letter>,
    last_letter: u64,
    written: u64,
}

fn process(index: usize) -> ProcessId {
    ProcessId::new(&[b"abc"[index]; 43]).unwrap()
}

impl Model {
    fn of(store: &FileStore) -> Self {
        let Contents { records, letters: known, last_letter, written } = store.load().unwrap();
        let mut letters = BTreeMap::new();
        for process in (0..3).map(process) {
            for letter in store.letters(&process, LetterRange::ALL).unwrap().0 {
                letters.insert((process, letter.id), letter);
            }
        }
        assert!(known.keys().eq(letters.keys()), "the letters' keys and the letters");
        Self { records: records.into_iter().collect(), letters, last_letter, written }
    }

    /// Makes a batch of a few changes and applies them to the model.
    fn change(&mut self, random: &mut fastrand::Rng) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..random.usize(1..6) {
            let process = process(random.usize(0..3));
            match random.u8(0..8) {
                0 => {
                    batch.forget(process);
                    self.records.remove(&process);
                    self.letters.retain(|(of, _), _| *of != process);
                }
                1 => {
                    let id = random.u64(1..=self.last_letter.max(1));
                    batch.discard(process, id);
                    self.letters.remove(&(process, id));
                }
                2..4 => {
                    self.last_letter += 1;
                    let bytes = |random: &mut fastrand::Rng, most| {
                        (0..random.usize(0..most)).map(|_| random.u8(..)).collect::<Vec<_>>()
                    };
                    let letter = Letter {
                        id: self.last_letter,
                        at: random.u64(..),
                        attempts: 5,
                        cursor: bytes(random, 50),
                        result: bytes(random, 9_000),
                        error: bytes(random, 50),
                    };
                    batch.letter(process, letter.clone());
                    self.letters.insert((process, letter.id), letter);
                }
                _ => {
                    let cursor = Cursor::new(random.u64(..).to_string().as_bytes()).unwrap();
                    let record = Record {
                        position: Position::After(cursor),
                        watched: random.bool(),
                        at: random.u64(..),
                        options: vec![random.u8(..); random.usize(0..300)].into(),
                    };
                    batch.put(process, record.clone());
                    self.records.insert(process, record);
                }
            }
        }
        self.written += 1;
        batch
    }
}

/// Commits batches until the power goes or `batches` are done, and closes the file now and then.
/// Returns all states that the file may have; the first one is durable.
fn run(disk: &Disk, from: Model, batches: u64, random: &mut fastrand::Rng) -> Vec<Model> {
    let mut states = vec![from];
    let Ok(mut store) = FileStore::with_backend(disk.clone()) else { return states };
    for _ in 0..batches {
        let mut next = states[states.len() - 1].clone();
        let batch = next.change(random);
        let committed = store.commit(&batch, next.written);
        states.push(next);
        match committed {
            // The states before a commit are no longer possible.
            Ok(_) => drop(states.drain(..states.len() - 1)),
            Err(_) => break,
        }
        if random.u8(0..6) == 0 {
            drop(store);
            let bytes = disk.clone();
            let Ok(again) = FileStore::with_backend(bytes) else { break };
            store = again;
        }
    }
    states
}

/// Opens a disk after a cut. Its content must be one of `states`. Returns the bytes before the
/// repair, so that another cut can interrupt the repair.
fn found(cut: Vec<u8>, states: &[Model], context: &str) -> (Vec<u8>, Model) {
    let disk = Disk::of(cut.clone(), u64::MAX);
    let store = match FileStore::with_backend(disk.clone()) {
        Ok(store) => store,
        // Cut during creation: the file is moved aside and created again. Nothing is lost.
        Err(OpenError::Corrupt(_)) if states[0] == Model::default() => {
            return (Vec::new(), Model::default());
        }
        Err(error) => panic!("{context}: {error}"),
    };
    let model = Model::of(&store);
    assert!(states.contains(&model), "{context}: neither the last commit nor the one under way");
    (cut, model)
}

fn env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[test]
fn power_cut_at_each_operation_leaves_the_last_commit_or_the_one_under_way() {
    let script = || fastrand::Rng::with_seed(7);
    let whole = Disk::of(Vec::new(), u64::MAX);
    run(&whole, Model::default(), 12, &mut script());
    let operations = whole.done();
    assert!(operations > 50, "{operations} operations are no test");
    for cut in 0..=operations {
        for (index, kept) in [Kept::Nothing, Kept::All, Kept::Some, Kept::Some].iter().enumerate() {
            let disk = Disk::of(Vec::new(), cut);
            let states = run(&disk, Model::default(), 12, &mut script());
            let mut random = fastrand::Rng::with_seed(cut * 4 + index as u64);
            found(disk.cut(*kept, &mut random), &states, &format!("cut at {cut}, kept {kept:?}"));
        }
    }
}

#[test]
fn power_cut_again_and_again_at_random_loses_no_commit() {
    let first = env("POWER_SEED", 1);
    let (mut committed, mut under_way) = (0, 0);
    for seed in first..first + env("POWER_CUTS", 1_500).div_ceil(10) {
        let random = &mut fastrand::Rng::with_seed(seed);
        let (mut bytes, mut model) = (Vec::new(), Model::default());
        for cut in 0..10 {
            let disk = Disk::of(bytes, random.u64(0..120));
            let states = run(&disk, model, 20, random);
            let kept = [Kept::Nothing, Kept::All, Kept::Some][random.usize(0..3)];
            let context = format!("POWER_SEED={seed}, cut {cut}, kept {kept:?}");
            (bytes, model) = found(disk.cut(kept, random), &states, &context);
            committed += u64::from(model == states[0]);
            under_way += u64::from(model != states[0]);
        }
    }
    assert!(committed > 0 && under_way > 0, "both must have been seen: {committed} {under_way}");
}

#[test]
fn disk_that_cannot_be_read_is_no_damage() {
    let disk = Disk::of(Vec::new(), u64::MAX);
    run(&disk, Model::default(), 12, &mut fastrand::Rng::with_seed(1));
    let bytes = disk.cut(Kept::All, &mut fastrand::Rng::new());
    for unreadable in 0.. {
        let disk = Disk::of(bytes.clone(), u64::MAX);
        disk.0.lock().unwrap().unreadable = unreadable;
        match FileStore::with_backend(disk).and_then(|store| store.load()) {
            Ok(_) => return assert!(unreadable > 10, "{unreadable} reads are no test"),
            Err(OpenError::Io(_)) => (),
            Err(other) => panic!("from read {unreadable} on: {other:?}"),
        }
    }
}
