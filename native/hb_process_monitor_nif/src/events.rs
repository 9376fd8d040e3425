//! Whether events are wanted, and what makes them. Erlang names them and hands them to subscribers
//! (`hb_cron_events`); [`crate::outbox`] sends them.

use crate::atoms;
use crate::noted::Noted;
use crate::outbox::OUTBOX;
use cron_checkpoint::{COMMITS, Commit};
use rustler::{Atom, Env, Error, NifResult};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a process in Erlang wants events.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Sends the event that `noted` makes, if events are wanted.
pub(crate) fn note(noted: impl FnOnce() -> Noted) {
    if WANTED.load(Ordering::Relaxed) {
        OUTBOX.event(noted());
    }
}

fn note_commit(step: &Commit<'_>) {
    note(|| match step {
        Commit::Begun => Noted::new("checkpoint", "start"),
        Commit::Done(took) => Noted::new("checkpoint", "stop").took(*took),
        Commit::Failed(took, reason) => Noted::new("checkpoint", "exception")
            .took(*took)
            .about("reason", "not_written")
            .about("detail", (*reason).to_owned()),
    });
}

/// `next`: sends the calling process the events that wait, or the next event once it happens, as one message
/// `{hb_cron_events, [Event]}`. The process must ask again for more. `none`: turns events off.
#[rustler::nif]
fn events_to_self(env: Env<'_>, which: Atom) -> NifResult<Atom> {
    if which == atoms::next() {
        COMMITS.listen(note_commit);
        OUTBOX.events_to(Some(env.pid()));
        WANTED.store(true, Ordering::Relaxed);
    } else if which == atoms::none() {
        WANTED.store(false, Ordering::Relaxed);
        OUTBOX.events_to(None);
    } else {
        return Err(Error::BadArg);
    }
    Ok(atoms::ok())
}
