//! The functions that move processes between a cluster and a checkpoint file. Each starts a thread, and its answer comes
//! as a message.
// Arguments come decoded from terms: rustler hands them over by value.
#![allow(clippy::needless_pass_by_value)]

use crate::atoms;
use crate::cluster::transfer::{self, Moved};
use crate::engine_handle::EngineHandle;
use crate::inquiry::next_question;
use crate::outbox::OUTBOX;
use cron_postgres::Cluster;
use rustler::{Binary, Encoder, Env, Error, LocalPid, NifResult, ResourceArc};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Writes all processes of the cluster to a new checkpoint file. Returns the number of the answer: `{ok, Processes,
/// Letters, 0}` or an error.
#[rustler::nif]
fn cluster_export(
    env: Env<'_>,
    engine: ResourceArc<EngineHandle>,
    path: Binary<'_>,
) -> NifResult<u64> {
    begin(env, &engine, &path, transfer::export)
}

/// Adds the processes of a checkpoint file to the cluster; with `replaces`, replaces those that it has. Returns the
/// number of the answer: `{ok, Processes, Letters, Left}` or an error.
#[rustler::nif]
fn cluster_import(
    env: Env<'_>,
    engine: ResourceArc<EngineHandle>,
    path: Binary<'_>,
    replaces: bool,
) -> NifResult<u64> {
    begin(env, &engine, &path, move |cluster, path| transfer::import(cluster, path, replaces))
}

fn begin(
    env: Env<'_>,
    engine: &EngineHandle,
    path: &[u8],
    transfer: impl FnOnce(&Cluster, &Path) -> Result<Moved, String> + Send + 'static,
) -> NifResult<u64> {
    let cluster = engine.resources.membership.as_ref().ok_or(Error::BadArg)?.cluster.clone();
    let path = PathBuf::from(OsStr::from_bytes(path));
    let (number, pid) = (next_question(), env.pid());
    let thread = std::thread::Builder::new().name("hb_cron_transfer".into());
    if thread.spawn(move || answer(pid, number, transfer(&cluster, &path))).is_err() {
        answer(pid, number, Err("the system refuses a thread: see ulimit -u".to_owned()));
    }
    Ok(number)
}

fn answer(pid: LocalPid, number: u64, moved: Result<Moved, String>) {
    OUTBOX.send(pid, move |env| {
        let answer = match &moved {
            Ok(Moved { processes, letters, left }) => {
                (atoms::ok(), *processes, *letters, *left).encode(env)
            }
            Err(reason) => (atoms::error(), reason).encode(env),
        };
        (atoms::hb_cron_answer(), number, answer).encode(env)
    });
}
