//! What an operator asks: how monitors fare, and whether a CU answers. Nothing here waits for a
//! monitor, and nothing changes one.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::nifs::EngineHandle;
use crate::nodes::{Nodes, target};
use crate::options::binaries;
use crate::shared::{Command, Shared};
use crate::slot::Slot;
use crate::start::position_term;
use cron_engine::histogram::micros;
use cron_engine::{
    BreakerState, Cursor, Doing, Failure, MonitorId, Position, ProcessId, Snapshot, Time,
    decode_latest, request,
};
use cron_io::{Limits, Target};
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, OwnedEnv, ResourceArc, Term};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How long the loop may take to answer. It is busy for milliseconds; but its process may sleep.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// One monitor as the loop knows it.
pub(crate) struct Inspected {
    pub(crate) slot: Arc<Slot>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Time,
}

/// How these monitors fare, by their registrations. One that is gone is left out; `timeout` if the
/// loop does not run. On a dirty scheduler, since it waits for the loop.
#[rustler::nif(schedule = "DirtyIo")]
fn snapshots<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    epochs: Term<'a>,
) -> NifResult<Term<'a>> {
    epochs.list_length()?;
    let epochs: Vec<u64> = epochs.decode()?;
    let (answer, answered) = mpsc::sync_channel(1);
    let ids = epochs.into_iter().map(MonitorId).collect();
    engine.shared.push(Command::Inspect { ids, answer });
    match answered.recv_timeout(ANSWER_LIMIT) {
        Ok(monitors) => {
            let rows: Vec<_> =
                monitors.iter().map(|monitor| row(env, &engine.shared, monitor)).collect();
            Ok(rows.encode(env))
        }
        // The engine has stopped: there are none.
        Err(mpsc::RecvTimeoutError::Disconnected) => Ok(Vec::<Atom>::new().encode(env)),
        Err(mpsc::RecvTimeoutError::Timeout) => Ok(atoms::timeout().encode(env)),
    }
}

/// `{Epoch, Doing, Cursor, CursorTime, Unacked, Buffered, {Failures, Trouble}, {NextTick, NextTry},
/// {Asked, [{Origin, Breaker}]}, DeadLetters}`; times from now on in ms.
fn row<'a>(env: Env<'a>, shared: &Shared, monitor: &Inspected) -> Term<'a> {
    let Inspected { slot, nodes, snapshot, now } = monitor;
    let (acked, position) = standing(shared, slot, snapshot);
    let time = position.as_ref().and_then(Position::cursor).and_then(Cursor::timestamp);
    let cursor =
        position.map_or_else(|| atoms::unknown().encode(env), |at| position_term(env, &at));
    let trouble = match &snapshot.trouble {
        Some(trouble) => {
            let class =
                Atom::from_str(env, trouble.class.name()).unwrap_or_else(|_| atoms::error());
            (class, trouble.detail.as_str(), millis(now.since(trouble.at))).encode(env)
        }
        None => atoms::none().encode(env),
    };
    let hosts: Vec<_> = nodes
        .targets
        .iter()
        .zip(&snapshot.breakers)
        .map(|(target, breaker)| (target.to_string(), breaker_term(env, *breaker)))
        .collect();
    let letters = shared.checkpoint.as_ref().map_or(0, |file| file.letters_of(slot.process));
    let parts = [
        slot.id.0.encode(env),
        doing(snapshot.doing).encode(env),
        cursor,
        or_none(env, time),
        snapshot.received.saturating_sub(acked).encode(env),
        snapshot.buffered.encode(env),
        (snapshot.failures, trouble).encode(env),
        (or_none(env, snapshot.next_tick.map(millis)), or_none(env, snapshot.next_try.map(millis)))
            .encode(env),
        (snapshot.node, hosts).encode(env),
        letters.encode(env),
    ];
    rustler::types::tuple::make_tuple(env, &parts)
}

/// The number of the last result acked, and where that is; `None` if nobody here knows.
fn standing(shared: &Shared, slot: &Slot, snapshot: &Snapshot) -> (u64, Option<Position>) {
    let acked = match &slot.track {
        Some(track) => track.acked(),
        None => slot.acked(),
    };
    match acked {
        Some((seq, cursor)) => (seq, Some(Position::After(cursor))),
        None if snapshot.received == 0 => (0, Some(snapshot.position.clone())),
        None => {
            let record = shared.checkpoint.as_ref().and_then(|file| file.find(&slot.process));
            (0, record.map(|record| record.position))
        }
    }
}

fn doing(doing: Doing) -> Atom {
    match doing {
        Doing::Resolving | Doing::Saving => atoms::resolving(),
        Doing::Polling => atoms::polling(),
        Doing::Pushing => atoms::pushing(),
        Doing::BackingOff => atoms::backing_off(),
        Doing::Paused => atoms::paused(),
        _ => atoms::waiting(),
    }
}

fn breaker_term(env: Env<'_>, breaker: BreakerState) -> Term<'_> {
    match breaker {
        BreakerState::Closed => atoms::closed().encode(env),
        BreakerState::HalfOpen => atoms::half_open().encode(env),
        BreakerState::Open(left) => (atoms::open(), millis(left)).encode(env),
    }
}

fn or_none(env: Env<'_>, number: Option<u64>) -> Term<'_> {
    number.map_or_else(|| atoms::none().encode(env), |number| number.encode(env))
}

/// A duration in ms.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The version of this library.
#[rustler::nif]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Asks each of these nodes for a process's latest result, once, on a thread of its own. The calling process gets
/// `{hb_cron_probe, Node, Us, {ok, Cursor} | {error, Class, Text}}`.
#[rustler::nif]
fn probe<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    process: Binary<'a>,
    nodes: Term<'a>,
    limits: (u32, u32, u32, u32),
) -> NifResult<Atom> {
    let process = ProcessId::new(&process).ok_or(Error::BadArg)?;
    let (connect, first_byte, total, max_bytes) = limits;
    let [connect, first_byte, total] =
        [connect, first_byte, total].map(|ms| Duration::from_millis(ms.into()));
    let limits = Limits { connect, first_byte, total, max_bytes: max_bytes.into() };
    let nodes = binaries(nodes)?;
    if nodes.is_empty() {
        return Err(Error::BadArg);
    }
    for node in nodes {
        let node = target(&node).map_err(|_| Error::BadArg)?;
        let (shared, pid) = (Arc::clone(&engine.shared), env.pid());
        let thread = std::thread::Builder::new().name("hb_cron_probe".into());
        let asking = thread.spawn(move || {
            let since = Instant::now();
            let outcome = ask(&shared, &node, &process, &limits);
            let us = micros(since.elapsed());
            // Whoever asked may have gone.
            let _ = OwnedEnv::new().send_and_clear(&pid, |env| {
                let outcome = match outcome {
                    Ok(position) => (atoms::ok(), position_term(env, &position)).encode(env),
                    Err(failure) => {
                        let class = Atom::from_str(env, failure.class.name());
                        let class = class.unwrap_or_else(|_| atoms::error());
                        (atoms::error(), class, failure.detail).encode(env)
                    }
                };
                (atoms::hb_cron_probe(), node.to_string(), us, outcome).encode(env)
            });
        });
        asking.map_err(|_| Error::RaiseAtom("system_limit"))?;
    }
    Ok(atoms::ok())
}

fn ask(
    shared: &Shared,
    node: &Target,
    process: &ProcessId,
    limits: &Limits,
) -> Result<Position, Failure> {
    let mut body = Vec::new();
    let path = request::latest_path(process);
    // One answer more or less does not matter to the memory that pages may take.
    shared.client.get(node, &path, limits, &mut body, &mut |_| true)?;
    Ok(decode_latest(&body)?.map_or(Position::Earliest, Position::After))
}
