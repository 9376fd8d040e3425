//! The functions by which an operator inspects monitors and probes Compute Units. None waits for a monitor,
//! and none changes one.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::engine_handle::EngineHandle;
use crate::inbox::Command;
use crate::inquiry::{Asked, Inquiry, next_question};
use crate::nodes::target;
use crate::options::binaries;
use crate::terms::{class_term, position_term};
use cron_engine::histogram::micros;
use cron_engine::{Failure, MonitorId, Position, ProcessId, decode_latest, request};
use cron_io::{Client, Limits, Target};
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, OwnedEnv, ResourceArc, Term};
use std::time::{Duration, Instant};

/// The most monitors of one question. They take the loop a millisecond.
const MOST: usize = 1000;

/// Asks for the state of the monitors with these registrations. The answer leaves out those that have ended.
/// Returns the number of the answer.
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

/// Asks for the number of monitors in each state. Returns the number of the answer.
#[rustler::nif]
fn census(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> u64 {
    ask(env, &engine, Asked::Census)
}

fn ask(env: Env<'_>, engine: &EngineHandle, asked: Asked) -> u64 {
    let number = next_question();
    let inquiry = Inquiry::new(env.pid(), number, asked);
    engine.resources.inbox.push(Command::Inspect(inquiry));
    number
}

/// The version of this library.
#[rustler::nif]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Asks each of these nodes once for a process's latest cursor, each on a thread of its own. Of each the calling
/// process gets `{hb_cron_probe, Node, Us, {ok, Cursor} | {error, Class, Text}}`.
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
        let (client, pid) = (engine.resources.fetching.client.clone(), env.pid());
        let thread = std::thread::Builder::new().name("hb_cron_probe".into());
        let spawned = thread.spawn(move || {
            let since = Instant::now();
            let outcome = latest(&client, &node, &process, &limits);
            let us = micros(since.elapsed());
            // The process may have ended.
            let _ = OwnedEnv::new().send_and_clear(&pid, |env| {
                let outcome = match outcome {
                    Ok(position) => (atoms::ok(), position_term(env, &position)).encode(env),
                    Err(failure) => {
                        let class = class_term(env, failure.class);
                        (atoms::error(), class, failure.detail).encode(env)
                    }
                };
                (atoms::hb_cron_probe(), node.to_string(), us, outcome).encode(env)
            });
        });
        spawned.map_err(|_| Error::RaiseAtom("system_limit"))?;
    }
    Ok(atoms::ok())
}

fn latest(
    client: &Client,
    node: &Target,
    process: &ProcessId,
    limits: &Limits,
) -> Result<Position, Failure> {
    let mut body = Vec::new();
    let path = request::latest_path(process, 1);
    // One small answer does not count against the memory that pages may take.
    client.get(node, &path, limits, &mut body, &mut |_| true)?;
    Ok(decode_latest(&body, u64::MAX)?.map_or(Position::Earliest, Position::After))
}
