//! One fetch, on a thread of the pool: ask the CU, let the engine's decoder read the answer, send
//! the page to its monitor as one message, and tell the loop how it went.

use crate::atoms;
use crate::shared::{Command, Shared};
use crate::slot::Slot;
use crate::start::position_term;
use cron_engine::{
    Class, Cursor, Event, Failure, Fetched, Position, Request, decode_latest, page, request,
};
use cron_io::Target;
use rustler::env::SavedTerm;
use rustler::{Encoder, Env, OwnedEnv, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Memory that a thread keeps from one fetch to the next; what a large page needed is given back.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// A fetch to be done.
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) request: Request,
    pub(crate) rotation: usize,
}

/// What a thread keeps.
#[derive(Default)]
pub(crate) struct Scratch {
    body: Vec<u8>,
    terms: Vec<u8>,
    env: OwnedEnv,
}

/// A successful fetch and what the monitor is to be told of it.
struct Outcome {
    fetched: Fetched,
    message: Option<SavedTerm>,
}

impl cron_io::Job for Job {
    type Scratch = Scratch;

    fn run(self, scratch: &mut Scratch) {
        if self.slot.is_closed() {
            let gone = Failure::new(Class::Internal, "the monitor is gone");
            return self.answer(Err(gone));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.fetch(scratch)));
        match outcome.unwrap_or_else(|_| Err(self.failure(Class::Internal, "a fetch panicked"))) {
            Ok(Outcome { fetched, message }) => {
                if let Some(message) = message.filter(|_| !self.slot.is_closed()) {
                    // Should it be gone, its handle tells the loop.
                    let _ = scratch.env.send_and_clear(&self.slot.pid, |env| message.load(env));
                }
                // Only now: the loop has the next page fetched, which must not overtake this one.
                self.answer(Ok(fetched));
            }
            Err(failure) => self.answer(Err(failure)),
        }
        scratch.env.clear();
        scratch.body.shrink_to(MAX_KEPT_BYTES);
        scratch.terms.shrink_to(MAX_KEPT_BYTES);
    }

    fn refuse(self, error: &std::io::Error) {
        self.answer(Err(self.failure(Class::Internal, &format!("no thread for a fetch: {error}"))));
    }
}

impl Job {
    fn answer(&self, outcome: Result<Fetched, Failure>) {
        self.shared.push(Command::Event(Event::Fetched(self.slot.id, outcome)));
    }

    /// A failure that says what was asked and where, but not with which cursor.
    fn failure(&self, class: Class, detail: &str) -> Failure {
        let what = match self.request {
            Request::Latest => "latest cursor",
            Request::Page { .. } => "page",
        };
        let at = self.target().map(ToString::to_string).unwrap_or_default();
        Failure::new(class, format!("{what} from {at}: {detail}"))
    }

    fn target(&self) -> Option<&Target> {
        let count = self.slot.targets.len().max(1);
        self.slot.targets.get(self.rotation % count)
    }

    fn fetch(&self, scratch: &mut Scratch) -> Result<Outcome, Failure> {
        let process = &self.slot.process;
        let path = match &self.request {
            Request::Latest => request::latest_path(process),
            Request::Page { from, .. } => request::page_path(process, from, self.slot.page_limit),
        };
        let told = |failure: Failure| Failure {
            retry_after: failure.retry_after,
            ..self.failure(failure.class, &failure.detail)
        };
        let target = self.target().ok_or_else(|| told(Failure::new(Class::Internal, "no node")))?;
        self.shared
            .client
            .get(target, &path, &self.slot.limits, &mut scratch.body)
            .map_err(told)?;
        match &self.request {
            Request::Latest => {
                let latest = decode_latest(&scratch.body).map_err(Into::into).map_err(told)?;
                Ok(self.resolved(latest, &scratch.env))
            }
            Request::Page { from, first_seq } => {
                let outcome = self.page(from, *first_seq, scratch);
                outcome.map_err(told)
            }
        }
    }

    fn resolved(&self, latest: Option<Cursor>, env: &OwnedEnv) -> Outcome {
        let message = env.run(|env| {
            let position = latest.clone().map_or(Position::Earliest, Position::After);
            self.message(env, (atoms::resolved(), position_term(env, &position)))
        });
        Outcome { fetched: Fetched::Latest(latest), message: Some(env.save(message)) }
    }

    fn page(
        &self,
        from: &Position,
        first_seq: u64,
        scratch: &mut Scratch,
    ) -> Result<Outcome, Failure> {
        let buffer = std::mem::take(&mut scratch.terms);
        let page = page::decode(&scratch.body, from, buffer)?;
        let bytes = u64::try_from(scratch.body.len()).unwrap_or(u64::MAX);
        let message = match &page.last {
            None => None,
            Some(_) => Some(self.page_message(first_seq, &page.terms, &scratch.env)?),
        };
        scratch.terms = page.terms;
        let fetched = match page.last {
            Some(last) => Fetched::Page { edges: page.edges, last, bytes },
            None => Fetched::EmptyPage,
        };
        Ok(Outcome { fetched, message })
    }

    fn page_message(
        &self,
        first_seq: u64,
        terms: &[u8],
        env: &OwnedEnv,
    ) -> Result<SavedTerm, Failure> {
        let message = env.run(|env| {
            let (edges, _) = env.binary_to_term(terms)?;
            Some(self.message(env, (atoms::page(), first_seq, edges)))
        });
        let refused = || Failure::new(Class::Internal, "the BEAM refused the page's terms");
        message.map(|raw| env.save(raw)).ok_or_else(refused)
    }

    /// Every message to a monitor: `{hb_cron, Epoch, What}`.
    fn message<'a>(&self, env: Env<'a>, what: impl Encoder) -> Term<'a> {
        (atoms::hb_cron(), self.slot.id.0, what).encode(env)
    }
}
