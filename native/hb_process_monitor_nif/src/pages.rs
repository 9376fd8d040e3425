//! The pages that a monitor has and has not acked yet: how long each takes it, and how far behind the
//! clock its results are when they are pushed. Nothing is decided by it: that is the engine's, which
//! counts pages on its own.

use crate::events;
use crate::metrics::METRICS;
use crate::noted::Noted;
use cron_checkpoint::now;
use cron_engine::ProcessId;
use cron_engine::histogram::Tally;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long, in ms, lags may wait to be counted together.
const SETTLED_AFTER: u64 = 1000;

/// A page that its monitor has in hand.
struct Page {
    first_seq: u64,
    /// When each result was made, in ms since 1970; 0 where that is not known.
    times: Vec<u64>,
    since: Instant,
    lags: Tally,
    /// When the lags were last counted, in ms since 1970.
    settled: u64,
}

/// Two at most: one in hand, and one that is fetched ahead.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Vec<Page>>);

impl Pages {
    /// A page is about to be handed on.
    pub(crate) fn handed(&self, process: &ProcessId, first_seq: u64, times: Vec<u64>) {
        let results = count(times.len());
        events::note(|| Noted::new("page", "start").of(process).measure("results", results));
        let (since, settled) = (Instant::now(), now());
        self.lock().push(Page { first_seq, times, since, lags: Tally::default(), settled });
    }

    /// The result with this number is done with: pushed, or given up. `ends_page` says that it is the
    /// last one of its page.
    pub(crate) fn acked(&self, process: &ProcessId, seq: u64, pushed: bool, ends_page: bool) {
        let mut pages = self.lock();
        let Some(index) = pages.iter().position(|page| page.made(seq).is_some()) else { return };
        if pushed && let Some(page) = pages.get_mut(index) {
            page.pushed(seq);
        }
        if !ends_page {
            return;
        }
        let mut page = pages.remove(index);
        // A monitor without a page keeps no memory for them.
        pages.shrink_to_fit();
        drop(pages);
        METRICS.lag.settle(&mut page.lags);
        let took = page.since.elapsed();
        METRICS.page.observe(took);
        let results = count(page.times.len());
        events::note(|| {
            Noted::new("page", "stop").of(process).took(took).measure("results", results)
        });
    }

    /// The monitor will ack nothing more.
    pub(crate) fn drop_all(&self, process: &ProcessId) {
        let pages = std::mem::take(&mut *self.lock());
        for mut page in pages {
            METRICS.lag.settle(&mut page.lags);
            ended_early(process, page.since.elapsed(), "unacked");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page ends in another way than by being acked.
fn ended_early(process: &ProcessId, took: Duration, reason: &'static str) {
    events::note(|| Noted::new("page", "exception").of(process).took(took).about("reason", reason));
}

impl Page {
    /// When the result with this number was made; `None` if it is none of this page.
    fn made(&self, seq: u64) -> Option<u64> {
        let place = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.times.get(place).copied()
    }

    fn pushed(&mut self, seq: u64) {
        let Some(made) = self.made(seq).filter(|made| *made > 0) else { return };
        let now = now();
        let lag = now.saturating_sub(made);
        METRICS.lag.tally(&mut self.lags, lag.saturating_mul(1000));
        // Where pushing is slow, not only once the page is through.
        if now.saturating_sub(self.settled) >= SETTLED_AFTER {
            self.settled = now;
            METRICS.lag.settle(&mut self.lags);
        }
    }
}

fn count(results: usize) -> u64 {
    u64::try_from(results).unwrap_or(u64::MAX)
}
