//! Values of the engine as Erlang terms, and units that Erlang uses.

use crate::atoms;
use cron_engine::{Class, Position};
use rustler::{Atom, Encoder, Env, NewBinary, NifResult, Term};
use std::collections::HashMap;
use std::time::Duration;

/// A position: `undefined`, `earliest` or a cursor.
pub(crate) fn position_term<'a>(env: Env<'a>, position: &Position) -> Term<'a> {
    match position {
        Position::Unresolved => atoms::undefined().encode(env),
        Position::Earliest => atoms::earliest().encode(env),
        Position::After(cursor) => bytes_term(env, cursor.as_bytes()),
    }
}

/// Bytes as a binary.
pub(crate) fn bytes_term<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = NewBinary::new(env, bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    binary.into()
}

/// Counts by name.
pub(crate) fn named<const N: usize>(
    env: Env<'_>,
    counts: [(&str, u64); N],
) -> NifResult<HashMap<Atom, u64>> {
    counts.into_iter().map(|(name, count)| Ok((Atom::from_str(env, name)?, count))).collect()
}

/// A number, or `none`.
pub(crate) fn or_none(env: Env<'_>, number: Option<u64>) -> Term<'_> {
    number.map_or_else(|| atoms::none().encode(env), |number| number.encode(env))
}

/// The name of an error class as an atom.
pub(crate) fn class_term(env: Env<'_>, class: Class) -> Atom {
    Atom::from_str(env, class.name()).unwrap_or_else(|_| atoms::error())
}

/// A duration in ms.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
