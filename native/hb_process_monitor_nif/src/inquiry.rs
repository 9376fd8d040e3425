//! An operator's question about monitors: the loop collects the answer, and the outbox's thread makes its
//! terms and sends it. No monitor takes part.

use crate::atoms;
use crate::nodes::Nodes;
use crate::outbox::OUTBOX;
use crate::registration::Registration;
use crate::terms::{class_term, millis, or_none, position_term};
use cron_checkpoint::Checkpoint;
use cron_engine::{
    Asks, BreakerState, Census, Cursor, Doing, Interval, MonitorId, Position, Snapshot, Time,
    Unexpected,
};
use rustler::{Atom, Encoder, Env, LocalPid, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers are never used twice in the library's life: a late answer matches no later question.
static NEXT_QUESTION: AtomicU64 = AtomicU64::new(1);

/// A number for a question that is answered with `{hb_cron_answer, Number, Answer}`.
pub(crate) fn next_question() -> u64 {
    NEXT_QUESTION.fetch_add(1, Ordering::Relaxed)
}

/// What the loop knows of one monitor.
pub(crate) struct Inspected {
    pub(crate) registration: Arc<Registration>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Time,
}

/// A question to the loop.
pub(crate) enum Asked {
    /// The state of these monitors.
    Monitors(Vec<MonitorId>),
    /// The number of monitors in each state.
    Census,
}

/// The loop's answer.
pub(crate) enum Found {
    /// None: the engine has stopped.
    Nothing,
    /// The monitors that are still registered.
    Monitors(Checkpoint, Vec<Inspected>),
    /// The number of monitors in each state.
    Census(Census),
}

/// A question on its way to the loop. The process that asked gets an answer in any case: if an engine that
/// stops drops the question, the answer is empty.
pub(crate) struct Inquiry {
    pid: LocalPid,
    number: u64,
    pub(crate) asked: Asked,
    found: Found,
}

impl Inquiry {
    /// A question of the process `pid`, to be answered under `number`.
    pub(crate) const fn new(pid: LocalPid, number: u64, asked: Asked) -> Self {
        Self { pid, number, asked, found: Found::Nothing }
    }

    pub(crate) fn answer(mut self, found: Found) {
        self.found = found;
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        let found = std::mem::replace(&mut self.found, Found::Nothing);
        let number = self.number;
        OUTBOX.send(self.pid, move |env| {
            (atoms::hb_cron_answer(), number, found.term(env)).encode(env)
        });
    }
}

impl Found {
    /// A list of rows, or of counts.
    fn term<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Nothing => Vec::<Atom>::new().encode(env),
            Self::Monitors(checkpoint, monitors) => {
                let row = |monitor| row(env, checkpoint, monitor);
                monitors.iter().map(row).collect::<Vec<_>>().encode(env)
            }
            Self::Census(census) => counts(env, census),
        }
    }
}

/// A list of pairs `{State, Count}`.
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
/// {Asked, [{Origin, Breaker}]}, DeadLetters, {NextResult, Requests, Results}, {Asks, LongestGap, Crons}}`; times are
/// relative to now, in ms.
fn row<'a>(env: Env<'a>, checkpoint: &Checkpoint, monitor: &Inspected) -> Term<'a> {
    let Inspected { registration, nodes, snapshot, now } = monitor;
    let (acked, position) = standing(checkpoint, registration, snapshot);
    let time = position.as_ref().and_then(Position::cursor).and_then(Cursor::timestamp);
    let cursor =
        position.map_or_else(|| atoms::unknown().encode(env), |at| position_term(env, &at));
    let trouble = match &snapshot.trouble {
        Some(trouble) => {
            let class = class_term(env, trouble.class);
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
    let letters = checkpoint.letters_of(registration.process);
    let parts = [
        registration.id.0.encode(env),
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
        (or_none(env, snapshot.next_result.map(millis)), snapshot.requests, snapshot.received)
            .encode(env),
        (
            asks_term(env, snapshot.asks),
            or_none(env, snapshot.longest.map(millis)),
            crons(snapshot),
        )
            .encode(env),
    ];
    rustler::types::tuple::make_tuple(env, &parts)
}

/// The number and the position of the last result acked; `None` if neither the track nor the checkpoint
/// has a position.
fn standing(
    checkpoint: &Checkpoint,
    registration: &Registration,
    snapshot: &Snapshot,
) -> (u64, Option<Position>) {
    match registration.track.acked() {
        Some((seq, cursor)) => (seq, Some(Position::After(cursor))),
        None if snapshot.received == 0 => (0, Some(snapshot.position.clone())),
        None => {
            let record = checkpoint.find(&registration.process);
            (0, record.map(|record| record.position))
        }
    }
}

/// `{every_tick, Why}`, `{expecting, EverySeconds, ResultSeconds}` or `rarely`.
fn asks_term(env: Env<'_>, asks: Asks) -> Term<'_> {
    let why = match asks {
        Asks::Expecting { every, due } => return (atoms::expecting(), every, due).encode(env),
        Asks::Rarely => return atoms::rarely().encode(env),
        Asks::EveryTick(why) => why,
    };
    let why = match why {
        Unexpected::Rate => atoms::rate(),
        Unexpected::NoResult => atoms::no_result(),
        Unexpected::Untimed => atoms::untimed(),
        Unexpected::Unseen => atoms::unseen(),
        Unexpected::Delay => atoms::delay(),
    };
    (atoms::every_tick(), why).encode(env)
}

/// The crons of a process, if its tags are known: seconds, `blocks` or `never`.
struct Crons<'s>(Option<&'s [Interval]>);

fn crons(snapshot: &Snapshot) -> Crons<'_> {
    Crons(snapshot.crons.as_deref())
}

impl Encoder for Crons<'_> {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let cron = |cron: &Interval| match cron {
            Interval::Seconds(seconds) => seconds.encode(env),
            Interval::Blocks => atoms::blocks().encode(env),
            Interval::Unreadable => atoms::never().encode(env),
        };
        match self.0 {
            Some(crons) => crons.iter().map(cron).collect::<Vec<_>>().encode(env),
            None => atoms::none().encode(env),
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
