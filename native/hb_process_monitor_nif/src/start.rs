//! Where a registration begins, given what its caller wants and what the checkpoint knows.

use crate::atoms;
use crate::terms::position_term;
use cron_checkpoint::{Record, now};
use cron_engine::Position;
use rustler::{Encoder, Env, Term};

/// Where a registration begins.
pub(crate) struct Start {
    pub(crate) position: Position,
    pub(crate) origin: Origin,
}

/// Where a starting point comes from.
pub(crate) enum Origin {
    /// From the caller; the checkpoint knew nothing else.
    New,
    /// From the checkpoint.
    Resumed,
    /// From the caller, against the checkpoint, which had this one.
    Overruled(Position),
    /// From nowhere yet: the checkpoint's, this one, is too old.
    Stale(Position),
}

/// Where a caller wants to begin.
pub(crate) struct Wanted {
    pub(crate) position: Position,
    /// That is only for a process that the checkpoint does not know.
    pub(crate) go_on: bool,
}

impl Start {
    /// Chooses between what is `wanted` and what is `stored`. A stored position older than
    /// `stale_after` ms does not count, unless that is 0.
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
