//! Moves processes with their cursors and dead letters between the database of a cluster and a checkpoint file. Each
//! transfer has a thread of its own, since it waits for the database and the disk.

use super::store::{new_letter, signed};
use cron_checkpoint::{
    Batch, FileStore, Letter, LetterRange, Record, Store, decode_position, encode_position, now,
};
use cron_engine::ProcessId;
use cron_postgres::{Answer, Cluster, Import, NewLetter, ProcessRow, Request};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How many processes one statement reads or looks for, and how many one commit writes.
const AT_ONCE: u16 = 500;

/// How many dead letters, and how many bytes of them, are read at once.
const LETTERS: u16 = 100;
const LETTER_BYTES: u32 = 4 << 20;

/// How many imports are under way at the same time.
const UNDER_WAY: usize = 32;

/// How long a transfer waits until this host node has joined, and how often it looks.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What was moved.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) processes: u64,
    pub(crate) letters: u64,
    /// Processes that the database had already.
    pub(crate) left: u64,
}

/// Sends a request and waits for its answer.
fn ask(cluster: &Cluster, request: Request) -> Result<Answer, String> {
    begin(cluster, request).recv().unwrap_or_else(|_| Err("the cluster has ended".to_owned()))
}

fn begin(cluster: &Cluster, request: Request) -> Receiver<Result<Answer, String>> {
    let (reply, answer) = sync_channel(1);
    cluster.request(request, move |answer| {
        let _ = reply.send(answer.map_err(|error| error.to_string()));
    });
    answer
}

/// Waits until this host node has joined: it may have started just now, and create the tables.
fn joined(cluster: &Cluster) -> Result<(), String> {
    let began = Instant::now();
    while cluster.status().incarnation.is_none() {
        if began.elapsed() > JOIN_LIMIT {
            let error = cluster.status().last_error.map(|(text, _)| text);
            return Err(
                error.unwrap_or_else(|| "this host node has not joined the cluster".to_owned())
            );
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Writes all processes of the cluster to a new checkpoint file.
///
/// # Errors
/// A text; then the file is not complete.
pub(crate) fn export(cluster: &Cluster, path: &Path) -> Result<Moved, String> {
    if path.exists() {
        return Err("the file exists: move it away, or name another one".to_owned());
    }
    joined(cluster)?;
    let mut file = FileStore::open(path).map_err(|error| error.to_string())?;
    let (mut moved, mut after) = (Moved::default(), None);
    loop {
        let Answer::Processes(found) = ask(cluster, Request::List { after, processes: AT_ONCE })?
        else {
            return Err("unexpected answer to a list of processes".to_owned());
        };
        let Some(last) = found.last() else { return Ok(moved) };
        after = Some(last.row.process);
        let mut batch = Batch::default();
        for located in &found {
            let row = &located.row;
            batch.put(row.process, record(row)?);
            moved.processes += 1;
            if row.last_letter > 0 {
                moved.letters += export_letters(cluster, row.process, &mut file, &mut batch)?;
            }
        }
        file.commit(&batch, now()).map_err(|error| error.to_string())?;
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn record(row: &ProcessRow) -> Result<Record, String> {
    let position = decode_position(&row.position)
        .ok_or_else(|| format!("the database has an invalid position of {}", row.process))?;
    let options = row.options.as_slice().into();
    Ok(Record { position, watched: row.watched, at: unsigned(row.at), options })
}

/// Adds the dead letters of a process. Commits in between: they may be larger than memory allows.
fn export_letters(
    cluster: &Cluster,
    process: ProcessId,
    file: &mut FileStore,
    batch: &mut Batch,
) -> Result<u64, String> {
    let (mut after, mut count) = (0, 0);
    loop {
        let request = Request::Letters { process, after, letters: LETTERS, bytes: LETTER_BYTES };
        let Answer::Letters { letters, more, .. } = ask(cluster, request)? else {
            return Err("unexpected answer to a list of dead letters".to_owned());
        };
        for saved in &letters {
            let NewLetter { id, at, attempts, cursor, error, result } = saved.letter.clone();
            after = id;
            count += 1;
            let (id, at, attempts) = (unsigned(id), unsigned(at), unsigned(attempts));
            batch.letter(process, Letter { id, at, attempts, cursor, result, error });
        }
        if !more {
            return Ok(count);
        }
        file.commit(&std::mem::take(batch), now()).map_err(|error| error.to_string())?;
    }
}

/// Adds the processes of a checkpoint file that the database does not have; with `replaces`, replaces those that it
/// has.
///
/// # Errors
/// A text. What was imported by then stays, and the import can be repeated.
pub(crate) fn import(cluster: &Cluster, path: &Path, replaces: bool) -> Result<Moved, String> {
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    joined(cluster)?;
    let file = FileStore::open(path).map_err(|error| error.to_string())?;
    let records = file.records().map_err(|error| error.to_string())?;
    let mut moved = Moved::default();
    for part in records.chunks(AT_ONCE.into()) {
        let known = if replaces { BTreeSet::new() } else { known(cluster, part)? };
        moved.left += u64::try_from(known.len()).unwrap_or(0);
        let missing: Vec<_> = part.iter().filter(|(process, _)| !known.contains(process)).collect();
        for few in missing.chunks(UNDER_WAY) {
            let mut begun = Vec::with_capacity(few.len());
            for (process, record) in few {
                let (letters, _) =
                    file.letters(process, LetterRange::ALL).map_err(|error| error.to_string())?;
                moved.processes += 1;
                moved.letters += u64::try_from(letters.len()).unwrap_or(0);
                begun.push(begin(
                    cluster,
                    Request::Import(Box::new(of(*process, record, &letters))),
                ));
            }
            for answer in begun {
                answer.recv().unwrap_or_else(|_| Err("the cluster has ended".to_owned()))?;
            }
        }
    }
    Ok(moved)
}

/// Those of these processes that the database has.
fn known(cluster: &Cluster, part: &[(ProcessId, Record)]) -> Result<BTreeSet<ProcessId>, String> {
    let processes = part.iter().map(|(process, _)| *process).collect();
    match ask(cluster, Request::Find(processes))? {
        Answer::Processes(found) => Ok(found.iter().map(|located| located.row.process).collect()),
        _ => Err("unexpected answer to a search for processes".to_owned()),
    }
}

fn of(process: ProcessId, record: &Record, letters: &[Letter]) -> Import {
    Import {
        process,
        watched: record.watched,
        options: record.options.to_vec(),
        position: encode_position(&record.position),
        at: signed(record.at),
        letters: letters.iter().map(new_letter).collect(),
    }
}
