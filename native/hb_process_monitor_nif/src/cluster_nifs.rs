//! The functions of a cluster. None waits for the database: answers and events come as messages.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::cluster::{Membership, requests};
use crate::engine_handle::EngineHandle;
use crate::handle::Handle;
use crate::terms::{millis, named};
use cron_cluster::{ShardId, Stake};
use rustler::{Atom, Encoder, Env, Error, NifResult, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::Arc;

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

/// What this host node sees of the cluster.
#[rustler::nif]
fn cluster_status(env: Env<'_>, engine: ResourceArc<EngineHandle>) -> NifResult<Term<'_>> {
    let membership = membership(&engine)?;
    let status = membership.cluster.status();
    let node = |peer: &cron_postgres::PeerStatus| {
        let pairs = [
            (atoms::name(), peer.name.encode(env)),
            (atoms::me(), (Some(peer.incarnation) == status.incarnation).encode(env)),
            (atoms::leaving(), peer.leaving.encode(env)),
            (atoms::beat_age(), millis(peer.age).encode(env)),
            (atoms::shards(), peer.shards.encode(env)),
        ];
        Term::map_from_pairs(env, &pairs)
    };
    let nodes = status.peers.iter().map(node).collect::<NifResult<Vec<_>>>()?;
    let or_undefined = |text: Option<String>| {
        text.map_or_else(|| atoms::undefined().encode(env), |text| text.encode(env))
    };
    let lasting = status.last_error.clone().filter(|(_, lasts)| *lasts).map(|(text, _)| text);
    let counts: HashMap<Atom, u64> = named(
        env,
        [
            ("joins", status.counters.joins),
            ("evictions", status.counters.evictions),
            ("burials", status.counters.burials),
            ("claims", status.counters.claims),
            ("hand_overs", status.counters.hand_overs),
            ("statements", status.statements),
            ("failures", status.failures),
            ("restarts", status.restarts),
        ],
    )?;
    let mut pairs = vec![
        (atoms::connected(), status.connected.encode(env)),
        (atoms::name(), membership.name.encode(env)),
        (atoms::incarnation(), or_undefined(status.incarnation.map(|it| it.to_string()))),
        (atoms::nodes(), nodes.encode(env)),
        (atoms::shards(), status.held.encode(env)),
        (atoms::moving(), status.moving.encode(env)),
        (atoms::unread(), status.unread.encode(env)),
        (atoms::unsaved_ms(), millis(membership.checkpoint.unsaved_for()).encode(env)),
        (atoms::may_push(), membership.may_push().encode(env)),
        (atoms::error(), or_undefined(lasting)),
    ];
    pairs.extend(counts.into_iter().map(|(name, count)| (name, count.encode(env))));
    Term::map_from_pairs(env, &pairs)
}
