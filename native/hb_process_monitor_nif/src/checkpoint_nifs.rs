//! The functions that have to do with the checkpoint. Those that wait for its file run on a dirty
//! scheduler. An engine without a checkpoint knows nothing, and answers so.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::nifs::{EngineHandle, named, passed};
use crate::slot::Handle;
use crate::start::bytes_term;
use cron_checkpoint::{Checkpoint, Letter, Page, Waiter};
use cron_engine::ProcessId;
use cron_engine::histogram::micros;
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

/// How long a change may take to become durable before its caller is told that it has not.
const DURABLE_LIMIT: Duration = Duration::from_secs(30);

/// Gives a result up: `ok`, or `full` if there is no room for it. Acks it if there is.
#[rustler::nif]
fn give_up<'a>(
    handle: ResourceArc<Handle>,
    seq: u64,
    cursor: Binary<'a>,
    ends_page: bool,
    attempts: u64,
    result: Binary<'a>,
    error: Binary<'a>,
) -> NifResult<Atom> {
    let (checkpoint, track) = handle.checkpoint().ok_or(Error::BadArg)?;
    let [cursor, result, error] = [cursor, result, error].map(|part| part.as_slice().to_vec());
    let letter = Letter { id: 0, at: 0, attempts, cursor, result, error };
    if checkpoint.give_up(track, seq, letter).is_err() {
        return Ok(atoms::full());
    }
    Ok(passed(&handle, seq, false, ends_page))
}

/// A page of the dead letters of a process, the oldest first, whether there are more of them, and how
/// many it has in all.
#[rustler::nif(schedule = "DirtyIo")]
fn letters<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
    after: u64,
    most: (usize, usize),
) -> NifResult<Term<'a>> {
    let process = ProcessId::new(&process).ok_or(Error::BadArg)?;
    let (letters, bytes) = most;
    if letters == 0 {
        return Err(Error::BadArg);
    }
    let Some(checkpoint) = &engine.shared.checkpoint else {
        return Ok((atoms::ok(), Vec::<Atom>::new(), false, 0).encode(env));
    };
    match checkpoint.letters(process, Page { after, letters, bytes }) {
        Ok((letters, more)) => {
            let letters: Vec<_> = letters.iter().map(|letter| letter_term(env, letter)).collect();
            Ok((atoms::ok(), letters, more, checkpoint.letters_of(process)).encode(env))
        }
        Err(error) => Ok((atoms::error(), error.to_string()).encode(env)),
    }
}

fn letter_term<'a>(env: Env<'a>, letter: &Letter) -> Term<'a> {
    let [cursor, result, error] =
        [&letter.cursor, &letter.result, &letter.error].map(|part| bytes_term(env, part));
    (letter.id, letter.at, letter.attempts, cursor, result, error).encode(env)
}

/// A dead letter is done with: `ok`, `not_found`, or an error if that is not durable.
#[rustler::nif(schedule = "DirtyIo")]
fn discard<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
    id: u64,
) -> NifResult<Term<'a>> {
    let process = ProcessId::new(&process).ok_or(Error::BadArg)?;
    let mut known = false;
    let durable = wait(engine.shared.checkpoint.as_ref(), |checkpoint, waiter| {
        known = checkpoint.discard(process, id, waiter);
    });
    let done = if known { atoms::ok() } else { atoms::not_found() };
    Ok(durable_term(env, durable, done))
}

/// Nothing is to be known of a process any more.
#[rustler::nif(schedule = "DirtyIo")]
fn forget<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
) -> NifResult<Term<'a>> {
    let process = ProcessId::new(&process).ok_or(Error::BadArg)?;
    let durable = wait(engine.shared.checkpoint.as_ref(), |checkpoint, waiter| {
        checkpoint.forget(process, waiter);
    });
    Ok(durable_term(env, durable, atoms::ok()))
}

/// Makes a change and waits until it is durable.
fn wait(checkpoint: Option<&Checkpoint>, change: impl FnOnce(&Checkpoint, Waiter)) -> bool {
    let Some(checkpoint) = checkpoint else { return true };
    let (done, durable) = mpsc::sync_channel(1);
    // Should nobody wait any more, nobody need be told.
    change(checkpoint, Box::new(move || done.send(()).unwrap_or_default()));
    durable.recv_timeout(DURABLE_LIMIT).is_ok()
}

fn durable_term(env: Env<'_>, durable: bool, done: Atom) -> Term<'_> {
    if durable {
        return done.encode(env);
    }
    (atoms::error(), "the checkpoint cannot be written at present").encode(env)
}

/// The processes that are to be resumed, and what was kept of their options.
#[rustler::nif(schedule = "DirtyIo")]
fn watched(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> Vec<(Term<'_>, Term<'_>)> {
    let watched = engine.shared.checkpoint.as_ref().map(Checkpoint::watched).unwrap_or_default();
    let pair = |(process, kept): &(ProcessId, Vec<u8>)| {
        (bytes_term(env, process.as_str().as_bytes()), bytes_term(env, kept))
    };
    watched.iter().map(pair).collect()
}

/// How the checkpoint fares: commits, how long the last one took in µs, dead letters, and whether
/// it cannot be written at present.
#[rustler::nif]
fn checkpoint_status(
    env: Env<'_>,
    engine: ResourceArc<EngineHandle>,
) -> NifResult<HashMap<Atom, u64>> {
    let status = engine.shared.checkpoint.as_ref().map(Checkpoint::status).unwrap_or_default();
    let counts = [
        ("commits", status.commits),
        ("last_commit_us", micros(status.last_commit)),
        ("dead_letters", status.letters),
        ("failing", u64::from(status.failing.is_some())),
    ];
    named(env, counts)
}

/// Makes all checkpoints of this node durable and closes their files: `ok`, or `timeout`.
#[rustler::nif(schedule = "DirtyIo")]
fn close_checkpoints(limit_ms: u32) -> bool {
    Checkpoint::close_all(Duration::from_millis(limit_ms.into()))
}
