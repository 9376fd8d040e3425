//! Events: what happens here that somebody outside may want to hear of as it happens. They are made
//! only while somebody does. What they are called and who hears them is Erlang's to say
//! (`hb_cron_events`); how they get there is [`crate::outbox`]'s business.

use crate::atoms;
use crate::outbox::OUTBOX;
use cron_checkpoint::{COMMITS, Commit};
use cron_engine::ProcessId;
use cron_engine::histogram::micros;
use rustler::{Atom, Encoder, Env, Error, NifResult, Term};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether somebody wants to hear of anything.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Something that happened.
pub(crate) struct Noted {
    kind: &'static str,
    phase: &'static str,
    at: SystemTime,
    took: Option<Duration>,
    process: Option<ProcessId>,
    measures: Vec<(&'static str, u64)>,
    details: Vec<(&'static str, Detail)>,
}

/// What is said of it beside what can be counted: a name, which becomes an atom, or a text.
pub(crate) enum Detail {
    /// One of few, all of our own making.
    Name(&'static str),
    /// Anything.
    Text(String),
}

impl From<&'static str> for Detail {
    fn from(name: &'static str) -> Self {
        Self::Name(name)
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Noted {
    /// Something of this kind begins, ends, or ends badly.
    pub(crate) fn new(kind: &'static str, phase: &'static str) -> Self {
        let (measures, details) = (Vec::new(), Vec::new());
        Self { kind, phase, at: SystemTime::now(), took: None, process: None, measures, details }
    }

    /// It is about the monitor of this process.
    pub(crate) fn of(self, process: &ProcessId) -> Self {
        Self { process: Some(*process), ..self }
    }

    /// It took so long.
    pub(crate) fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    /// Something that can be counted.
    pub(crate) fn measure(mut self, name: &'static str, value: u64) -> Self {
        self.measures.push((name, value));
        self
    }

    /// Something else.
    pub(crate) fn about(mut self, name: &'static str, detail: impl Into<Detail>) -> Self {
        self.details.push((name, detail.into()));
        self
    }

    /// `{Kind, Phase, AtUs, TookUs | undefined, Measures, Details}`.
    pub(crate) fn term<'a>(&self, env: Env<'a>) -> NifResult<Term<'a>> {
        let at = micros(self.at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let took = match self.took {
            Some(took) => micros(took).encode(env),
            None => atoms::undefined().encode(env),
        };
        let mut measures = Term::map_new(env);
        for (name, value) in &self.measures {
            measures = measures.map_put(Atom::from_str(env, name)?, value)?;
        }
        let mut details = Term::map_new(env);
        if let Some(process) = &self.process {
            details = details.map_put(Atom::from_str(env, "proc_id")?, process.as_str())?;
        }
        for (name, detail) in &self.details {
            let value = match detail {
                Detail::Name(name) => Atom::from_str(env, name)?.encode(env),
                Detail::Text(text) => text.encode(env),
            };
            details = details.map_put(Atom::from_str(env, name)?, value)?;
        }
        let (kind, phase) = (Atom::from_str(env, self.kind)?, Atom::from_str(env, self.phase)?);
        Ok((kind, phase, at, took, measures, details).encode(env))
    }
}

/// Notes what `noted` makes, if somebody wants to hear it.
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

/// `next`: the calling process is sent the events that there are, or the next one once it is there, as
/// one message `{hb_cron_events, [Event]}`; for more it must ask again. `none`: nobody wants any.
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
