//! What an operator asks: how monitors fare, and whether a CU answers. Nothing here waits for a
//! monitor, and nothing changes one.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::nifs::EngineHandle;
use crate::nodes::{Nodes, target};
use crate::options::binaries;
use crate::outbox::OUTBOX;
use crate::shared::{Command, Shared};
use crate::slot::Slot;
use crate::start::position_term;
use cron_engine::histogram::micros;
use cron_engine::{
    BreakerState, Census, Cursor, Doing, Failure, MonitorId, Position, ProcessId, Snapshot, Time,
    decode_latest, request,
};
use cron_io::{Limits, Target};
use rustler::{
    Atom, Binary, Encoder, Env, Error, LocalPid, NifResult, OwnedEnv, ResourceArc, Term,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most monitors that can be asked about at once: a millisecond of the loop.
const MOST: usize = 1000;

/// Questions are numbered through the library's life: an answer that comes too late fits no other one.
static NEXT_QUESTION: AtomicU64 = AtomicU64::new(1);

/// A number for a question that is answered with `{hb_cron_answer, Number, Answer}`.
pub(crate) fn next_question() -> u64 {
    NEXT_QUESTION.fetch_add(1, Ordering::Relaxed)
}

/// One monitor as the loop knows it.
pub(crate) struct Inspected {
    pub(crate) slot: Arc<Slot>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Time,
}

/// What the loop is asked.
pub(crate) enum Asked {
    /// How these monitors fare.
    Monitors(Vec<MonitorId>),
    /// How many there are that wait for what.
    Census,
}

/// What it knows of that.
pub(crate) enum Found {
    /// Nothing: the engine has stopped.
    Nothing,
    /// Those of the monitors that are there.
    Monitors(Arc<Shared>, Vec<Inspected>),
    /// All, counted.
    Census(Census),
}

/// A question to the loop. However it ends, taken up or dropped by an engine that stops, whoever asked
/// is sent an answer; and nothing waits for it but they, who hold no scheduler meanwhile.
pub(crate) struct Inquiry {
    asker: LocalPid,
    number: u64,
    pub(crate) asked: Asked,
    found: Found,
}

impl Inquiry {
    pub(crate) fn answer(mut self, found: Found) {
        self.found = found;
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        let found = std::mem::replace(&mut self.found, Found::Nothing);
        let number = self.number;
        OUTBOX.answer(self.asker, move |env| {
            (atoms::hb_cron_answer(), number, found.term(env)).encode(env)
        });
    }
}

impl Found {
    /// A list of rows, or of counts.
    fn term<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Nothing => Vec::<Atom>::new().encode(env),
            Self::Monitors(shared, monitors) => {
                let rows: Vec<_> =
                    monitors.iter().map(|monitor| row(env, shared, monitor)).collect();
                rows.encode(env)
            }
            Self::Census(census) => counts(env, census),
        }
    }
}

/// Asks how these monitors fare, by their registrations; one that is gone is left out.
#[rustler::nif]
fn snapshots<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    epochs: Term<'a>,
) -> NifResult<u64> {
    if epochs.list_length()? > MOST {
        return Err(Error::BadArg);
    }
    let epochs: Vec<u64> = epochs.decode()?;
    Ok(ask(env, &engine, Asked::Monitors(epochs.into_iter().map(MonitorId).collect())))
}

/// Asks how many monitors wait for what.
#[rustler::nif]
fn census(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> u64 {
    ask(env, &engine, Asked::Census)
}

/// The number that the answer will have.
fn ask(env: Env<'_>, engine: &EngineHandle, asked: Asked) -> u64 {
    let number = next_question();
    let inquiry = Inquiry { asker: env.pid(), number, asked, found: Found::Nothing };
    engine.shared.push(Command::Inspect(inquiry));
    number
}

/// A list of pairs, by the names that the states of single monitors have.
fn counts<'a>(env: Env<'a>, census: &Census) -> Term<'a> {
    let counts = [
        (atoms::idle(), census.idle),
        (atoms::resolving(), census.resolving),
        (atoms::polling(), census.polling),
        (atoms::pushing(), census.pushing),
        (atoms::backing_off(), census.backing_off),
        (atoms::paused(), census.paused),
        (atoms::failing(), census.failing),
    ];
    counts.to_vec().encode(env)
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
    let letters = shared.checkpoint.letters_of(slot.process);
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
    match slot.track.acked() {
        Some((seq, cursor)) => (seq, Some(Position::After(cursor))),
        None if snapshot.received == 0 => (0, Some(snapshot.position.clone())),
        None => {
            let record = shared.checkpoint.find(&slot.process);
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
        _ => atoms::idle(),
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
            let outcome = ask_cu(&shared, &node, &process, &limits);
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

fn ask_cu(
    shared: &Shared,
    node: &Target,
    process: &ProcessId,
    limits: &Limits,
) -> Result<Position, Failure> {
    let mut body = Vec::new();
    let path = request::latest_path(process, 1);
    // One answer more or less does not matter to the memory that pages may take.
    shared.client.get(node, &path, limits, &mut body, &mut |_| true)?;
    Ok(decode_latest(&body, u64::MAX)?.map_or(Position::Earliest, Position::After))
}
