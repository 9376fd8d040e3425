//! The functions of a cluster. None waits for the database: answers and events come as messages.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::cluster::totals::totals;
use crate::cluster::{Membership, requests};
use crate::engine_handle::EngineHandle;
use crate::handle::Handle;
use crate::terms::{millis, named};
use cron_cluster::{SHARDS, ShardId, Stake, shard_of};
use cron_engine::ProcessId;
use cron_engine::histogram::Snapshot;
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

fn membership(engine: &EngineHandle) -> NifResult<&Arc<Membership>> {
    engine.resources.membership.as_ref().ok_or(Error::BadArg)
}

/// Whether a push may begin: `ok`, `held` or `lost`.
#[rustler::nif]
fn may_push(handle: ResourceArc<Handle>) -> Atom {
    handle.may_push()
}

/// Whether pushes may begin on this host node.
#[rustler::nif]
fn lease_allows(engine: ResourceArc<EngineHandle>) -> bool {
    engine.resources.may_push()
}

/// Sends the calling process `{hb_cron_cluster, Event}` for the owned shards, and first for all of them.
#[rustler::nif]
fn cluster_attach(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> NifResult<Atom> {
    membership(&engine)?.attach(env.pid());
    Ok(atoms::ok())
}

/// All monitors of a shard that is handed over have ended, and their acks are durable.
#[rustler::nif]
fn cluster_stopped(engine: ResourceArc<EngineHandle>, shard: u16, epoch: i64) -> NifResult<Atom> {
    membership(&engine)?.cluster.stopped(Stake { shard: ShardId(shard), epoch });
    Ok(atoms::ok())
}

/// Hands all shards over and leaves the cluster.
#[rustler::nif]
fn cluster_leave(engine: ResourceArc<EngineHandle>) -> NifResult<Atom> {
    membership(&engine)?.cluster.leave();
    Ok(atoms::ok())
}

/// Sends a request to the database. Returns the number of the answer.
#[rustler::nif]
fn cluster_request(
    env: Env<'_>,
    engine: ResourceArc<EngineHandle>,
    request: Term<'_>,
) -> NifResult<u64> {
    requests::send(env, &membership(&engine)?.cluster, request)
}

/// The shard of a process.
#[rustler::nif]
fn cluster_shard(process: Binary<'_>) -> NifResult<u16> {
    Ok(shard_of(&ProcessId::new(&process).ok_or(Error::BadArg)?, SHARDS).0)
}

/// What this host node sees of the cluster.
#[rustler::nif]
fn cluster_status(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> NifResult<Term<'_>> {
    let membership = membership(&engine)?;
    let status = membership.cluster.status();
    let node = |peer: &cron_postgres::PeerStatus| {
        let is_me = Some(peer.incarnation) == status.incarnation;
        // The last view is older than what this host node has claimed since.
        let shards = if is_me { status.held } else { peer.shards };
        let pairs = [
            (atoms::name(), peer.name.encode(env)),
            (atoms::me(), is_me.encode(env)),
            (atoms::leaving(), peer.leaving.encode(env)),
            (atoms::beat_age(), millis(peer.age).encode(env)),
            (atoms::shards(), shards.encode(env)),
        ];
        Term::map_from_pairs(env, &pairs)
    };
    let nodes = status.peers.iter().map(node).collect::<NifResult<Vec<_>>>()?;
    let or_undefined = |text: Option<String>| {
        text.map_or_else(|| atoms::undefined().encode(env), |text| text.encode(env))
    };
    let lasting = status.last_error.clone().filter(|(_, lasts)| *lasts).map(|(text, _)| text);
    let totals = totals();
    let counts: HashMap<Atom, u64> = named(
        env,
        [
            ("joins", totals.joins),
            ("evictions", totals.evictions),
            ("burials", totals.burials),
            ("claims", totals.claims),
            ("hand_overs", totals.hand_overs),
            ("fenced", totals.fenced),
            ("statements", totals.statements),
            ("failures", totals.failures),
            ("restarts", totals.restarts),
        ],
    )?;
    let mut latencies = Term::map_new(env);
    for (lane, snapshot) in &status.latencies {
        if let (Some(median), Some(p99)) = (quantile(snapshot, 2), quantile(snapshot, 100)) {
            latencies = latencies.map_put(Atom::from_str(env, lane.name())?, (median, p99))?;
        }
    }
    let mut pairs = vec![
        (atoms::connected(), status.connected.encode(env)),
        (atoms::name(), membership.name.encode(env)),
        (atoms::incarnation(), or_undefined(status.incarnation.map(|it| it.to_string()))),
        (atoms::nodes(), nodes.encode(env)),
        (atoms::shards(), status.held.encode(env)),
        (atoms::all_shards(), SHARDS.encode(env)),
        (atoms::moving(), status.moving.encode(env)),
        (atoms::unread(), status.unread.encode(env)),
        (atoms::ttl_ms(), millis(membership.ttl).encode(env)),
        (atoms::unconfirmed_ms(), or_undefined_ms(env, membership.unconfirmed_for())),
        (atoms::latency_us(), latencies),
        (atoms::unsaved_ms(), millis(membership.checkpoint.unsaved_for()).encode(env)),
        (atoms::may_push(), membership.may_push().encode(env)),
        (atoms::error(), or_undefined(lasting)),
    ];
    pairs.extend(counts.into_iter().map(|(name, count)| (name, count.encode(env))));
    Term::map_from_pairs(env, &pairs)
}

fn or_undefined_ms(env: Env<'_>, duration: Option<Duration>) -> Term<'_> {
    duration.map_or_else(|| atoms::undefined().encode(env), |it| millis(it).encode(env))
}

/// The least upper bound, in us, that all but one in `of` durations do not exceed; beyond the last bound, the last one.
/// `None` if there is no duration.
fn quantile(snapshot: &Snapshot, of: u64) -> Option<u64> {
    let all = snapshot.over + snapshot.buckets.iter().map(|(_, count)| count).sum::<u64>();
    let most = all - all / of;
    let mut below = 0;
    let reached = snapshot.buckets.iter().find(|(_, count)| {
        below += count;
        below >= most
    });
    let (bound, _) = reached.or(snapshot.buckets.last()).filter(|_| all > 0)?;
    Some(*bound)
}
