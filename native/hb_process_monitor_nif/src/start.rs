//! Chooses where a registration begins: at the caller's position or at the checkpoint's.

use crate::atoms;
use crate::terms::position_term;
use cron_checkpoint::{Record, now};
use cron_engine::Position;
use rustler::{Encoder, Env, Term};

/// The start of a registration.
pub(crate) struct Start {
    pub(crate) position: Position,
    pub(crate) origin: Origin,
}

/// The origin of a starting point.
pub(crate) enum Origin {
    /// The caller's; the checkpoint had no other one.
    New,
    /// The checkpoint's.
    Resumed,
    /// The caller's, instead of this one of the checkpoint.
    Overruled(Position),
    /// The caller's, since this one of the checkpoint is too old.
    Stale(Position),
}

/// The starting point that a caller wants.
pub(crate) struct Wanted {
    pub(crate) position: Position,
    /// Use it only if the checkpoint has none.
    pub(crate) go_on: bool,
}

impl Start {
    /// Chooses between the wanted and the stored position. A stored position is not resumed from once it is older
    /// than `stale_after` ms; 0 for never.
    pub(crate) fn choose(wanted: Wanted, stored: Option<&Record>, stale_after: u64) -> Self {
        let Wanted { position: wanted, go_on } = wanted;
        let known = stored.filter(|record| record.position != Position::Unresolved);
        let Some(Record { position: stored, at, .. }) = known else {
            return Self { position: wanted, origin: Origin::New };
        };
        let stored = stored.clone();
        if wanted == Position::Unresolved || go_on {
            let age = now().saturating_sub(*at);
            if stale_after > 0 && age > stale_after {
                return Self { position: wanted, origin: Origin::Stale(stored) };
            }
            return Self { position: stored, origin: Origin::Resumed };
        }
        if wanted == stored {
            return Self { position: wanted, origin: Origin::New };
        }
        Self { position: wanted, origin: Origin::Overruled(stored) }
    }
}

impl Encoder for Origin {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::New => atoms::new().encode(env),
            Self::Resumed => atoms::resumed().encode(env),
            Self::Overruled(by) => (atoms::overruled(), position_term(env, by)).encode(env),
            Self::Stale(old) => (atoms::stale(), position_term(env, old)).encode(env),
        }
    }
}
