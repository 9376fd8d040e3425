//! Rewrites a file from memory after it was deleted or replaced under a running host node. Dead
//! letters are copied from the old file, which stays readable while it is open.

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, SLICE, now};
use crate::commit_metrics::COMMITS;
use crate::file_identity::{FileIdentity, beside};
use crate::file_store::{FileStore, OpenError};
use crate::store::{Store, StoreError};
use std::path::Path;

/// How many records, and how many bytes of letters, one commit of a rewrite may hold.
const RECORDS: usize = 20_000;
const LETTER_BYTES: u64 = 8 << 20;

/// Why rewriting a file failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// Creating the new file failed.
    #[error("it was deleted or replaced, and creating a new file failed: {0}")]
    Open(#[from] OpenError),
    /// Writing the new file failed.
    #[error("it was deleted or replaced, and writing the new file failed: {0}")]
    Write(#[from] StoreError),
    /// Putting the new file in place failed.
    #[error("it was deleted or replaced, and moving the new file into place failed: {0}")]
    Place(#[from] std::io::Error),
}

/// Writes the whole book to a new file at the checkpoint's path, and opens it. A different file at
/// that path is moved aside. `unwritten` are the changes that the caller commits next; their
/// letters are in no file yet.
pub(crate) fn rewrite(
    checkpoint: &Checkpoint,
    old: Option<&dyn Store>,
    unwritten: &Batch,
) -> Result<FileStore, RewriteError> {
    let path = &checkpoint.shared.path;
    let fresh = beside(path, "new", now());
    let written = write(checkpoint, old, unwritten, &fresh);
    let (mut store, letters, lost) = match written {
        Ok(written) => written,
        Err(error) => {
            let _ = std::fs::remove_file(&fresh);
            return Err(error);
        }
    };
    if FileIdentity::of(path).is_some() {
        std::fs::rename(path, beside(path, "replaced", now()))?;
    }
    std::fs::rename(&fresh, path)?;
    store.placed(path);
    checkpoint.lock().status.replaced += 1;
    COMMITS.replaced();
    log::error!(
        "checkpoint {} was deleted or replaced while the node ran: written anew from memory, with \
         {letters} dead letters; {lost} are lost",
        path.display()
    );
    Ok(store)
}

fn write(
    checkpoint: &Checkpoint,
    old: Option<&dyn Store>,
    unwritten: &Batch,
    fresh: &Path,
) -> Result<(FileStore, usize, usize), RewriteError> {
    let mut store = FileStore::open(fresh)?;
    let (mut batch, mut from) = (Batch::default(), None);
    loop {
        let (records, next) = checkpoint.lock().book.records_from(from.as_ref(), SLICE);
        for (process, record) in records {
            batch.put(process, record);
        }
        if next.is_none() || batch.records.len() >= RECORDS {
            store.commit(&std::mem::take(&mut batch), now())?;
        }
        if next.is_none() {
            break;
        }
        from = next;
    }
    let state = checkpoint.lock();
    let (keys, last_letter) = (state.book.letters().keys(), state.book.letters().last_number());
    drop(state);
    let (mut copied, mut bytes, mut lost) = (0, 0, Vec::new());
    batch.number(last_letter);
    for (process, id) in keys {
        match old.and_then(|old| old.letter(&process, id)) {
            Some(letter) => {
                copied += 1;
                bytes += letter.bytes();
                batch.letter(process, letter);
            }
            None if unwritten.letters.contains_key(&(process, id)) => {}
            None => lost.push((process, id)),
        }
        if bytes >= LETTER_BYTES {
            store.commit(&std::mem::take(&mut batch), now())?;
            bytes = 0;
        }
    }
    store.commit(&batch, now())?;
    let mut state = checkpoint.lock();
    // A letter that arrived after the caller took its changes is in no file yet, but it is not
    // lost.
    lost.retain(|key| !state.book.is_pending_letter(key));
    state.book.lose_letters(&lost);
    drop(state);
    Ok((store, copied, lost.len()))
}
