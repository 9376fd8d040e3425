//! The functions that read or change the checkpoint. `close_checkpoints/1`, which the application calls when it
//! stops, waits for the disk. No other function does: once a change is durable, the caller gets
//! `{hb_cron_answer, Number, Answer}`.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::cluster::Membership;
use crate::engine_handle::EngineHandle;
use crate::handle::Handle;
use crate::inquiry::next_question;
use crate::outbox::OUTBOX;
use crate::terms::{bytes_term, millis, named};
use cron_checkpoint::{Checkpoint, Letter, LetterRange, Waiter};
use cron_engine::ProcessId;
use cron_engine::histogram::micros;
use rustler::{Atom, Binary, Encoder, Env, Error, LocalPid, NifResult, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A caller that waits until a change is durable. It gets an answer in any case. Callers are processes made for one
/// call, so a late answer does no harm.
struct Durable {
    pid: LocalPid,
    number: u64,
    done: bool,
}

impl Durable {
    /// The number of the answer, and the callback that sends it.
    fn waiter(env: Env<'_>) -> (u64, Waiter) {
        let number = next_question();
        let mut caller = Self { pid: env.pid(), number, done: false };
        let waiter = Box::new(move || {
            caller.done = true;
            drop(caller);
        });
        (number, waiter)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        let (number, durable) = (self.number, self.done);
        OUTBOX.send(self.pid, move |env| {
            let answer = if durable {
                atoms::ok().encode(env)
            } else {
                (atoms::error(), "the checkpoint was closed before this was durable").encode(env)
            };
            (atoms::hb_cron_answer(), number, answer).encode(env)
        });
    }
}

fn process_id(process: &Binary<'_>) -> NifResult<ProcessId> {
    ProcessId::new(process).ok_or(Error::BadArg)
}

/// Gives up a result: `ok`, which acks it, or `full` if there is no room for a dead letter.
#[rustler::nif]
fn give_up<'a>(
    handle: ResourceArc<Handle>,
    seq: u64,
    cursor: Binary<'a>,
    ends_page: bool,
    attempts: u64,
    result: Binary<'a>,
    error: Binary<'a>,
) -> Atom {
    given_up(&handle, seq, ends_page, attempts, [cursor, result, error])
}

/// As `give_up`, for a result whose copy takes too long for a normal scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
fn give_up_large<'a>(
    handle: ResourceArc<Handle>,
    seq: u64,
    cursor: Binary<'a>,
    ends_page: bool,
    attempts: u64,
    result: Binary<'a>,
    error: Binary<'a>,
) -> Atom {
    given_up(&handle, seq, ends_page, attempts, [cursor, result, error])
}

fn given_up(
    handle: &Handle,
    seq: u64,
    ends_page: bool,
    attempts: u64,
    parts: [Binary<'_>; 3],
) -> Atom {
    let [cursor, result, error] = parts.map(|part| part.as_slice().to_vec());
    let letter = Letter { id: 0, at: 0, attempts, cursor, result, error };
    match handle.resources.checkpoint.give_up(&handle.registration.track, seq, letter) {
        Ok(_) => handle.passed(seq, false, ends_page),
        Err(_) => atoms::full(),
    }
}

/// Asks for dead letters of a process, the oldest first. The answer is `{ok, Letters, More, All}`, or an error.
#[rustler::nif]
fn letters<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
    after: u64,
    most: (usize, usize),
) -> NifResult<u64> {
    let process = process_id(&process)?;
    let (letters, bytes) = most;
    if letters == 0 {
        return Err(Error::BadArg);
    }
    let (number, pid) = (next_question(), env.pid());
    let checkpoint = engine.resources.checkpoint.clone();
    let answer = move |found: Result<(Vec<Letter>, bool), cron_checkpoint::StoreError>| {
        OUTBOX.send(pid, move |env| {
            let answer = match &found {
                Ok((letters, more)) => {
                    let all = checkpoint.letters_of(process);
                    let letters: Vec<_> = letters.iter().map(|it| letter_term(env, it)).collect();
                    (atoms::ok(), letters, *more, all).encode(env)
                }
                Err(error) => (atoms::error(), error.to_string()).encode(env),
            };
            (atoms::hb_cron_answer(), number, answer).encode(env)
        });
    };
    engine.resources.checkpoint.letters(
        process,
        LetterRange { after, letters, bytes },
        Box::new(answer),
    );
    Ok(number)
}

fn letter_term<'a>(env: Env<'a>, letter: &Letter) -> Term<'a> {
    let [cursor, result, error] =
        [&letter.cursor, &letter.result, &letter.error].map(|part| bytes_term(env, part));
    (letter.id, letter.at, letter.attempts, cursor, result, error).encode(env)
}

/// Discards a dead letter: `not_found`, or the number of the answer, which is `ok` once that is durable.
#[rustler::nif]
fn discard<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
    id: u64,
) -> NifResult<Term<'a>> {
    let process = process_id(&process)?;
    if !engine.resources.checkpoint.has_letter(process, id) {
        return Ok(atoms::not_found().encode(env));
    }
    let (number, waiter) = Durable::waiter(env);
    // If another caller was quicker, this one still waits until that is durable.
    let _ = engine.resources.checkpoint.discard(process, id, waiter);
    Ok(number.encode(env))
}

/// Whether a process has a dead letter with this number.
#[rustler::nif]
fn has_letter(engine: ResourceArc<EngineHandle>, process: Binary<'_>, id: u64) -> NifResult<bool> {
    Ok(engine.resources.checkpoint.has_letter(process_id(&process)?, id))
}

/// Forgets a process: `monitored` if its registration has not ended, else the number of the answer, which is `ok`
/// once that is durable.
#[rustler::nif]
fn forget<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
) -> NifResult<Term<'a>> {
    let process = process_id(&process)?;
    let (number, waiter) = Durable::waiter(env);
    Ok(match engine.resources.checkpoint.forget(process, waiter) {
        Ok(()) => number.encode(env),
        Err(_) => atoms::monitored().encode(env),
    })
}

/// Marks a process as stopped, so that it is not resumed, unless it was registered with the epoch `fence` or a
/// later one.
#[rustler::nif]
fn stopped(engine: ResourceArc<EngineHandle>, process: Binary<'_>, fence: u64) -> NifResult<Atom> {
    engine.resources.checkpoint.stopped(&process_id(&process)?, fence);
    Ok(atoms::ok())
}

/// Returns the number of the answer, which is `ok` once all earlier changes are durable.
#[rustler::nif]
fn flush(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> u64 {
    let (number, waiter) = Durable::waiter(env);
    engine.resources.checkpoint.flush(waiter);
    number
}

/// Sets the options with which a process is resumed whose registration has ended.
#[rustler::nif]
fn keep_options(
    engine: ResourceArc<EngineHandle>,
    process: Binary<'_>,
    kept: Binary<'_>,
) -> NifResult<Atom> {
    engine.resources.checkpoint.set_options(&process_id(&process)?, kept.as_slice());
    Ok(atoms::ok())
}

/// Sets the options with which the process of a registration is resumed. Returns false if the registration has
/// ended or is not the latest.
#[rustler::nif]
fn keep_live_options(
    engine: ResourceArc<EngineHandle>,
    process: Binary<'_>,
    epoch: u64,
    kept: Binary<'_>,
) -> NifResult<bool> {
    let process = process_id(&process)?;
    Ok(engine.resources.checkpoint.set_live_options(&process, epoch, kept.as_slice()))
}

/// The processes to be resumed, and the options that were kept of each.
#[rustler::nif(schedule = "DirtyCpu")]
fn watched(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> Vec<(Term<'_>, Term<'_>)> {
    let pair = |(process, kept): &(ProcessId, Arc<[u8]>)| {
        (bytes_term(env, process.as_str().as_bytes()), bytes_term(env, kept))
    };
    engine.resources.checkpoint.watched().iter().map(pair).collect()
}

/// The state of the checkpoint: commits, the duration of the last one in µs and of the one under way in ms, dead
/// letters, whether the file cannot be written now, and how often it was written anew.
#[rustler::nif]
fn checkpoint_status(
    env: Env<'_>,
    engine: ResourceArc<EngineHandle>,
) -> NifResult<HashMap<Atom, u64>> {
    let status = engine.resources.checkpoint.status();
    let counts = [
        ("commits", status.commits),
        ("last_commit_us", micros(status.last_commit)),
        ("writing_for_ms", millis(status.writing_for)),
        ("dead_letters", status.letters),
        ("dead_letter_bytes", status.letter_bytes),
        ("failing", u64::from(status.failing.is_some())),
        ("replaced", status.replaced),
    ];
    named(env, counts)
}

/// Drops the content of the checkpoint in memory.
#[rustler::nif]
fn drop_memory() -> Atom {
    Checkpoint::drop_memory();
    atoms::ok()
}

/// Makes all checkpoints of this host node durable and closes their files. Returns the paths of those that are not
/// durable within the limit, and why.
#[rustler::nif(schedule = "DirtyIo")]
fn close_checkpoints(limit_ms: u32) -> Vec<(String, String)> {
    let limit = Duration::from_millis(limit_ms.into());
    let of_cluster =
        Membership::end(limit).map(|reason| ("the database of the cluster".to_owned(), reason));
    let left = Checkpoint::close_all(limit);
    let left = left.into_iter().map(|(path, reason)| (path.display().to_string(), reason));
    of_cluster.into_iter().chain(left).collect()
}
