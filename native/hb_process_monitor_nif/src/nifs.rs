//! The functions for engines and monitors. `new/1` reads files and `run/2` runs the loop. All others take
//! microseconds: they queue a command for the loop and return.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::cluster::Membership;
use crate::engine_handle::EngineHandle;
use crate::handle::Handle;
use crate::heap_limit::HeapLimit;
use crate::inbox::Command;
use crate::logger;
use crate::nodes::target;
use crate::options::{EngineOptions, MonitorOptions, binaries, cluster_options, crons, path};
use crate::outbox::OUTBOX;
use crate::registration::Registration;
use crate::resources::Resources;
use crate::runner::{Runner, Slice, saved};
use crate::start::{Origin, Start, Wanted};
use crate::terms::{named, position_term};
use cron_checkpoint::{Begun, Checkpoint, LetterLimits, Settings, UNWRITTEN_LETTERS};
use cron_engine::{Config, Cursor, Event, MonitorId, Position, ProcessId};
use cron_io::{Client, ClientOptions};
use log::LevelFilter;
use rustler::{Atom, Binary, Decoder, Encoder, Env, Error, NifResult, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

/// Epochs are never used twice in the library's life: a late message of an older registration matches no newer
/// one.
static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);

/// Decodes options, or raises `badarg`: Erlang has checked them and says what is wrong.
pub(crate) fn decode<'a, T: Decoder<'a>>(options: Term<'a>) -> NifResult<T> {
    options.decode().map_err(|_| Error::BadArg)
}

/// Makes an engine that belongs to the calling process. Reads the certificates and opens the checkpoint.
#[rustler::nif(schedule = "DirtyIo")]
fn new<'a>(env: Env<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    let options: EngineOptions<'a> = decode(options)?;
    let max_inflight = usize::try_from(options.max_inflight).map_err(|_| Error::BadArg)?;
    if max_inflight == 0 {
        return Err(Error::BadArg);
    }
    let cacertfile = path(options.cacertfile)?;
    let client = match Client::new(&ClientOptions { connections: max_inflight, cacertfile }) {
        Ok(client) => client,
        Err(error) => {
            let value = (options.cacertfile, error.to_string());
            let reason = (atoms::bad_option(), atoms::cron_cacertfile(), value);
            return Ok((atoms::error(), reason).encode(env));
        }
    };
    let membership = match cluster_options(options.cluster)? {
        None => None,
        Some(cluster) => match Membership::join(&cluster, settings(&options)) {
            Ok(membership) => Some(membership),
            Err(reason) => {
                let reason = (atoms::bad_option(), atoms::cron_cluster(), reason);
                return Ok((atoms::error(), reason).encode(env));
            }
        },
    };
    let checkpoint = match path(options.checkpoint)? {
        _ if let Some(membership) = &membership => membership.checkpoint.clone(),
        None => Checkpoint::in_memory(settings(&options)),
        Some(path) => match Checkpoint::open(&path, settings(&options)) {
            Ok((checkpoint, _)) => checkpoint,
            Err(error) => {
                let unavailable = atoms::checkpoint_unavailable();
                let reason = (unavailable, options.checkpoint, error.to_string());
                return Ok((atoms::error(), reason).encode(env));
            }
        },
    };
    let config = Config {
        max_inflight,
        max_buffered: options.max_buffered,
        // Host nodes that start together must not draw the same pauses.
        seed: fastrand::u64(..),
    };
    let engine = ResourceArc::new(EngineHandle {
        resources: Arc::new(Resources::new(&config, client, checkpoint, membership)),
        runner: Mutex::new(Runner::new(config)),
    });
    env.monitor(&engine, &env.pid()).ok_or(Error::BadArg)?;
    log::debug!("engine started, at most {max_inflight} fetches at once");
    Ok((atoms::ok(), engine).encode(env))
}

fn settings(options: &EngineOptions<'_>) -> Settings {
    let letters = LetterLimits {
        count: options.dead_letters_max,
        bytes: options.dead_letters_max_bytes,
        unwritten_bytes: UNWRITTEN_LETTERS,
    };
    let expire_after = options.expire_after;
    let interval = Duration::from_millis(options.checkpoint_interval.into());
    Settings {
        letters,
        expire_after: (expire_after > 0).then(|| Duration::from_millis(expire_after)),
        ..Settings::new(interval, 0)
    }
}

/// Runs the engine's loop for a slice.
#[rustler::nif(schedule = "DirtyIo")]
fn run(env: Env<'_>, engine: ResourceArc<EngineHandle>, slice_ms: u32) -> NifResult<Atom> {
    let mut runner = match engine.runner.try_lock() {
        Ok(runner) => runner,
        Err(TryLockError::WouldBlock) => return Ok(atoms::busy()),
        // A slice panicked: the engine may be in the middle of a change.
        Err(TryLockError::Poisoned(_)) => return Err(Error::RaiseAtom("nif_panicked")),
    };
    let length = Duration::from_millis(slice_ms.into());
    Ok(match runner.slice(env, &engine.resources, length) {
        Slice::Over => atoms::ok(),
        Slice::Stopped => atoms::stopped(),
    })
}

/// The lowest epoch that a later registration can have.
#[rustler::nif]
fn next_epoch() -> u64 {
    NEXT_EPOCH.load(Ordering::Relaxed)
}

/// Makes `run/2` return soon.
#[rustler::nif]
fn interrupt(engine: ResourceArc<EngineHandle>) -> Atom {
    engine.resources.inbox.interrupt();
    atoms::ok()
}

/// Makes `run/2` return once its slice is old enough: its process has messages.
#[rustler::nif]
fn mail(engine: ResourceArc<EngineHandle>) -> Atom {
    engine.resources.inbox.mail();
    atoms::ok()
}

/// Ends the engine.
#[rustler::nif]
fn stop(engine: ResourceArc<EngineHandle>) -> Atom {
    engine.resources.stop();
    atoms::ok()
}

/// Registers the calling process as a monitor: `{ok, Handle, Epoch, {Origin, Start}}`, or an error with the first
/// invalid node.
#[rustler::nif]
fn register<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineHandle>,
    options: Term<'a>,
) -> NifResult<Term<'a>> {
    let options: MonitorOptions<'a> = decode(options)?;
    if engine.resources.inbox.is_stopped() {
        return Ok((atoms::error(), atoms::stopped()).encode(env));
    }
    let process = ProcessId::new(&options.process).ok_or(Error::BadArg)?;
    let position = options.position()?;
    let timing = options.timing()?;
    let nodes = match engine.resources.nodes(&binaries(options.nodes)?) {
        Ok(nodes) => nodes,
        Err(bad) => return Ok((atoms::error(), (atoms::bad_node(), bad)).encode(env)),
    };
    if nodes.targets.is_empty() || options.rate == 0 {
        return Err(Error::BadArg);
    }
    let epoch = NEXT_EPOCH.fetch_add(1, Ordering::Relaxed);
    let (id, resources) = (MonitorId(epoch), Arc::clone(&engine.resources));
    let wanted = Wanted { position, go_on: options.go_on };
    let mut start = Start { position: Position::Unresolved, origin: Origin::New };
    let Begun { track, durable } =
        resources.checkpoint.begin(process, epoch, options.kept.as_slice(), |stored| {
            start = Start::choose(wanted, stored, options.stale_after);
            start.position.clone()
        });
    if track.is_lost() {
        return Ok((atoms::error(), atoms::lost()).encode(env));
    }
    let max_ahead = options.max_ahead();
    let pid = env.pid();
    let registration = Registration::new(id, pid, process, options.limits(), track, max_ahead);
    let registration = Arc::new(registration);
    let rate = Duration::from_millis(options.rate.into());
    let handle = ResourceArc::new(Handle { resources, registration: Arc::clone(&registration) });
    env.monitor(&handle, &env.pid()).ok_or(Error::BadArg)?;
    let Start { position, origin } = start;
    let origin = (origin.encode(env), position_term(env, &position));
    let monitor = cron_engine::Registration {
        durable,
        nodes: Arc::clone(&nodes.hosts),
        page_limit: options.page_limit,
        walk_after: Duration::from_millis(options.walk_after.into()),
        timing,
        paused: options.paused,
        ..cron_engine::Registration::new(id, process, rate, position)
    };
    engine.resources.inbox.push(Command::Register { registration, nodes, monitor });
    // Must follow the registration: the engine drops events of unknown monitors.
    if !durable {
        engine.resources.checkpoint.flush(saved(&engine.resources.inbox, id));
    }
    Ok((atoms::ok(), handle, epoch, origin).encode(env))
}

/// Replaces the monitor's nodes: `ok`, or an error with the first invalid node.
#[rustler::nif]
fn move_to<'a>(env: Env<'a>, handle: ResourceArc<Handle>, nodes: Term<'a>) -> NifResult<Term<'a>> {
    let nodes = match handle.resources.nodes(&binaries(nodes)?) {
        Ok(nodes) => nodes,
        Err(bad) => return Ok((atoms::error(), (atoms::bad_node(), bad)).encode(env)),
    };
    if nodes.targets.is_empty() {
        return Err(Error::BadArg);
    }
    if !handle.registration.is_closed() {
        handle.resources.inbox.push(Command::Moved { id: handle.registration.id, nodes });
    }
    Ok(atoms::ok().encode(env))
}

/// Tells the engine the crons of the monitor's process, as the values of its tags `Cron-Interval`.
#[rustler::nif]
fn set_crons(handle: ResourceArc<Handle>, tags: Term<'_>) -> NifResult<Atom> {
    Ok(handle.event(Event::Crons(handle.registration.id, crons(tags)?)))
}

/// Whether a text is the base URL of a Compute Unit: `ok`, or an error that says why not.
#[rustler::nif]
fn check_node<'a>(env: Env<'a>, node: Binary<'a>) -> Term<'a> {
    match target(&node) {
        Ok(_) => atoms::ok().encode(env),
        Err(error) => (atoms::error(), error.to_string()).encode(env),
    }
}

/// The time of the result with this cursor, in ms since 1970; `undefined` if it is not a cursor of AO.
#[rustler::nif]
fn cursor_time<'a>(env: Env<'a>, cursor: Binary<'a>) -> Term<'a> {
    let time = Cursor::new(&cursor).ok().and_then(|cursor| cursor.timestamp());
    time.map_or_else(|| atoms::undefined().encode(env), |time| time.encode(env))
}

/// Asks for a poll now.
#[rustler::nif]
fn poll(handle: ResourceArc<Handle>) -> Atom {
    if handle.resources.inbox.is_stopped() {
        return atoms::stopped();
    }
    handle.event(Event::Poll(handle.registration.id))
}

/// Acks all edges up to `seq`, which has this cursor. Only the last edge of a page wakes the loop.
#[rustler::nif]
fn ack(
    handle: ResourceArc<Handle>,
    seq: u64,
    cursor: Binary<'_>,
    ends_page: bool,
) -> NifResult<Atom> {
    let cursor = Cursor::new(&cursor).map_err(|_| Error::BadArg)?;
    handle.resources.checkpoint.acked(&handle.registration.track, seq, cursor);
    handle.passed(seq, true, ends_page);
    Ok(handle.may_push())
}

/// The next part for the calling monitor, which is through with the part before: see
/// [`InHand::take`](crate::in_hand::InHand::take). After `none` the monitor gets `{hb_cron, Epoch, page}` once
/// there is a part.
#[rustler::nif]
fn next_part(
    env: Env<'_>,
    handle: ResourceArc<Handle>,
    heap_limit: u64,
    with_binaries: bool,
) -> Term<'_> {
    part(env, &handle, HeapLimit { bytes: heap_limit, with_binaries }, false)
}

/// The part that `next_part` called large, on a dirty scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
fn large_part(
    env: Env<'_>,
    handle: ResourceArc<Handle>,
    heap_limit: u64,
    with_binaries: bool,
) -> Term<'_> {
    part(env, &handle, HeapLimit { bytes: heap_limit, with_binaries }, true)
}

fn part<'a>(env: Env<'a>, handle: &Handle, limit: HeapLimit, may_be_large: bool) -> Term<'a> {
    // No other process may take parts.
    if env.pid() == handle.registration.pid && !handle.registration.is_closed() {
        let Registration { in_hand, process, .. } = &*handle.registration;
        in_hand.take(env, process, limit, may_be_large)
    } else {
        atoms::none().to_term(env)
    }
}

/// Ends a registration. `wait`: the process gets `{hb_cron, Epoch, durable}`, and nothing else, once all its
/// acks are durable. `durable`: the registration had ended before.
#[rustler::nif]
fn remove(handle: ResourceArc<Handle>, watched: bool) -> Atom {
    if handle.remove(watched) { atoms::wait() } else { atoms::durable() }
}

/// The engine's counters by name.
#[rustler::nif]
fn counters(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> NifResult<HashMap<Atom, u64>> {
    let counters = engine.resources.counters();
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let named_counters = [
        ("monitors", wide(counters.monitors)),
        ("inflight", wide(counters.inflight)),
        ("queued", wide(counters.queued)),
        ("ticks", counters.ticks),
        ("missed_ticks", counters.missed_ticks),
        ("quiet_ticks", counters.quiet_ticks),
        ("fetches", counters.fetches),
        ("failures", counters.failures),
        ("buffered", counters.buffered),
        ("slow", wide(counters.slow)),
        ("open_breakers", wide(counters.open_breakers)),
        ("demotions", counters.demotions),
        ("threads", wide(engine.resources.pool.threads())),
    ];
    named(env, named_counters)
}

/// Sends the library's log records up to `level` to the calling process from now on.
#[rustler::nif]
fn log_to_self(env: Env<'_>, level: Atom) -> NifResult<Atom> {
    let levels = [
        (atoms::none(), LevelFilter::Off),
        (atoms::error(), LevelFilter::Error),
        (atoms::warning(), LevelFilter::Warn),
        (atoms::info(), LevelFilter::Info),
        (atoms::debug(), LevelFilter::Debug),
        (atoms::trace(), LevelFilter::Trace),
    ];
    let filter = levels.iter().find(|(name, _)| *name == level).ok_or(Error::BadArg)?.1;
    OUTBOX.set_sink(env.pid());
    logger::install(filter);
    Ok(atoms::ok())
}
