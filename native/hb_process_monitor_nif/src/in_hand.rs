//! What a monitor has in hand: the pages that were fetched for it and that it has not acked in full, with the
//! parts that it has not taken yet, as the engine wrote them. It takes one part at a time, and the terms of a
//! part are made on its heap then: the heap stays small however large the page is, and the garbage collector
//! copies little. Terms that were made before, on the fetch thread, took a third more CPU time and half as much
//! memory again with 64 backlogs at once.
//!
//! Also measures how long a page takes, and how far behind the clock results are when they are pushed. The
//! engine counts pages by itself and decides by that.

use crate::atoms;
use crate::events;
use crate::heap_limit::HeapLimit;
use crate::metrics::METRICS;
use crate::noted::Noted;
use cron_checkpoint::now;
use cron_engine::ProcessId;
use cron_engine::histogram::Tally;
use cron_engine::page::{self, Part};
use rustler::types::tuple::make_tuple;
use rustler::{Encoder, Env, Term};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The most bytes of which terms are made on a normal scheduler, which takes 0.1 to 0.2 ms. A part has half as
/// many, unless one result is larger.
const MAX_BYTES: usize = 64 * 1024;

/// How long, in ms, lags may wait to be counted together.
const SETTLED_AFTER: u64 = 1000;

/// A page in hand.
struct Page {
    first_seq: u64,
    /// The number of the first result that the monitor has not taken.
    next_seq: u64,
    /// The parts that the monitor has not taken.
    parts: VecDeque<Part>,
    /// The time of each result, in ms since 1970; 0 if it is not known.
    times: Vec<u64>,
    since: Instant,
    lags: Tally,
    /// When the lags were last counted, in ms since 1970.
    settled: u64,
}

/// The pages that one monitor has in hand: two at most, since the engine has one fetched ahead.
#[derive(Default)]
pub(crate) struct InHand(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    pages: Vec<Page>,
    /// The monitor works on a part, or has the message that there is one.
    busy: bool,
    /// The monitor takes nothing more: its registration has ended, or a part is lost.
    closed: bool,
}

impl InHand {
    /// Adds a page, and calls `tell_engine`, both before the monitor can ack the page, and before the engine can
    /// have the next page fetched: no page overtakes another.
    pub(crate) fn add(
        &self,
        process: &ProcessId,
        first_seq: u64,
        page: page::Page,
        tell_engine: impl FnOnce(),
    ) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.pages.push(Page::new(process, first_seq, page));
        }
        tell_engine();
    }

    /// Whether the monitor waits and a part is there. Then the caller tells the monitor; true once.
    pub(crate) fn announce(&self) -> bool {
        let mut queue = self.lock();
        queue.next().is_some() && !std::mem::replace(&mut queue.busy, true)
    }

    /// Takes the next part for the monitor, which is the calling process:
    /// * `{Seq, Results, EndsPage}`
    /// * `none`: there is no part yet
    /// * `large`: the part takes too long for a normal scheduler, and `may_be_large` is false
    /// * `{too_large, Bytes}`: the VM would kill the process, which has this heap limit
    /// * `lost`: the terms cannot be made, and there is no further part
    pub(crate) fn take<'a>(
        &self,
        env: Env<'a>,
        process: &ProcessId,
        limit: HeapLimit,
        may_be_large: bool,
    ) -> Term<'a> {
        let mut queue = self.lock();
        let Some((page, part)) = queue.next() else {
            queue.busy = false;
            return atoms::none().to_term(env);
        };
        if !limit.allows(part) {
            return (atoms::too_large(), part.memory).encode(env);
        }
        if !may_be_large && part.terms.len() > MAX_BYTES {
            return atoms::large().to_term(env);
        }
        let taken = queue.take(page);
        drop(queue);
        taken.and_then(|taken| taken.term(env)).unwrap_or_else(|| {
            self.clear(process);
            atoms::lost().to_term(env)
        })
    }

    /// The monitor is through with the result of this number: pushed it, or gave it up. `ends_page`: it is the
    /// last result of its page.
    pub(crate) fn acked(&self, process: &ProcessId, seq: u64, pushed: bool, ends_page: bool) {
        let mut queue = self.lock();
        let Some(index) = queue.pages.iter().position(|page| page.made(seq).is_some()) else {
            return;
        };
        if pushed && let Some(page) = queue.pages.get_mut(index) {
            page.pushed(seq);
        }
        if !ends_page {
            return;
        }
        let mut page = queue.pages.remove(index);
        // A monitor without a page keeps no memory for pages.
        queue.pages.shrink_to_fit();
        drop(queue);
        METRICS.lag.settle(&mut page.lags);
        let took = page.since.elapsed();
        METRICS.page.observe(took);
        let results = count(page.times.len());
        events::note(|| {
            Noted::new("page", "stop").of(process).took(took).measure("results", results)
        });
    }

    /// Drops everything, now and in future: the monitor takes and acks nothing more.
    pub(crate) fn clear(&self, process: &ProcessId) {
        let mut queue = self.lock();
        queue.closed = true;
        let pages = std::mem::take(&mut queue.pages);
        drop(queue);
        for mut page in pages {
            METRICS.lag.settle(&mut page.lags);
            let took = page.since.elapsed();
            events::note(|| {
                Noted::new("page", "exception").of(process).took(took).about("reason", "unacked")
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The next part, and the index of its page.
    fn next(&self) -> Option<(usize, &Part)> {
        let mut pages = self.pages.iter().enumerate();
        pages.find_map(|(index, page)| Some((index, page.parts.front()?)))
    }

    /// Takes the next part of a page.
    fn take(&mut self, page: usize) -> Option<Taken> {
        self.busy = true;
        let page = self.pages.get_mut(page)?;
        let part = page.parts.pop_front()?;
        let seq = page.next_seq;
        page.next_seq += part.edges;
        Some(Taken { seq, terms: part.terms, ends_page: page.parts.is_empty() })
    }
}

/// A part that the monitor takes.
struct Taken {
    seq: u64,
    terms: Vec<u8>,
    ends_page: bool,
}

impl Taken {
    /// `{Seq, Results, EndsPage}`; `None` if the BEAM refuses the external term.
    fn term<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let since = Instant::now();
        let (results, _) = env.binary_to_term(&self.terms)?;
        METRICS.terms.observe(since.elapsed());
        Some(make_tuple(env, &[self.seq.encode(env), results, self.ends_page.encode(env)]))
    }
}

impl Page {
    fn new(process: &ProcessId, first_seq: u64, page: page::Page) -> Self {
        let page::Page { parts, times, .. } = page;
        let results = count(times.len());
        events::note(|| Noted::new("page", "start").of(process).measure("results", results));
        Self {
            first_seq,
            next_seq: first_seq,
            parts: parts.into(),
            times,
            since: Instant::now(),
            lags: Tally::default(),
            settled: now(),
        }
    }

    /// The time of the result with this number; `None` if the page does not have it.
    fn made(&self, seq: u64) -> Option<u64> {
        let place = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.times.get(place).copied()
    }

    fn pushed(&mut self, seq: u64) {
        let Some(made) = self.made(seq).filter(|made| *made > 0) else { return };
        let now = now();
        let lag = now.saturating_sub(made);
        METRICS.lag.tally(&mut self.lags, lag.saturating_mul(1000));
        // If pushing is slow, do not wait for the end of the page.
        if now.saturating_sub(self.settled) >= SETTLED_AFTER {
            self.settled = now;
            METRICS.lag.settle(&mut self.lags);
        }
    }
}

fn count(results: usize) -> u64 {
    u64::try_from(results).unwrap_or(u64::MAX)
}
