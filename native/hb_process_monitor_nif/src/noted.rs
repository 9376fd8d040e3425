//! An event that a subscriber in Erlang may receive: what happened, when, and to which monitor.

use crate::atoms;
use cron_engine::ProcessId;
use cron_engine::histogram::micros;
use rustler::{Atom, Encoder, Env, NifResult, Term};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An event.
pub(crate) struct Noted {
    kind: &'static str,
    phase: &'static str,
    at: SystemTime,
    took: Option<Duration>,
    process: Option<ProcessId>,
    measures: Vec<(&'static str, u64)>,
    details: Vec<(&'static str, Detail)>,
}

/// A detail that is no number.
pub(crate) enum Detail {
    /// One of a fixed set of names. It becomes an atom.
    Name(&'static str),
    /// Any text. It becomes a binary.
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
    /// An event of a kind such as `poll` and a phase: `start`, `stop` or `exception`.
    pub(crate) fn new(kind: &'static str, phase: &'static str) -> Self {
        let (measures, details) = (Vec::new(), Vec::new());
        Self { kind, phase, at: SystemTime::now(), took: None, process: None, measures, details }
    }

    /// Names the process whose monitor the event is about.
    pub(crate) fn of(self, process: &ProcessId) -> Self {
        Self { process: Some(*process), ..self }
    }

    /// Adds how long it took.
    pub(crate) fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    /// Adds a number.
    pub(crate) fn measure(mut self, name: &'static str, value: u64) -> Self {
        self.measures.push((name, value));
        self
    }

    /// Adds a detail.
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
