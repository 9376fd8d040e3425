//! Counts and durations of all engines since the library was loaded. An engine's own counters start at zero with
//! it, and a counter that an operator sees must not go back. `hb_cron_metrics` defines the names and units that an
//! operator sees.

use crate::cluster::totals::totals;
use cron_checkpoint::COMMITS;
use cron_engine::histogram::{DURATIONS, Histogram, LAGS, Snapshot};
use cron_engine::{Class, Counters};
use rustler::{Atom, Encoder, Env, NifResult, Term};
use std::sync::atomic::{AtomicU64, Ordering};

/// The metrics of all engines together.
pub(crate) struct Metrics {
    engines: AtomicU64,
    ticks: AtomicU64,
    missed_ticks: AtomicU64,
    quiet_ticks: AtomicU64,
    fetches: AtomicU64,
    demotions: AtomicU64,
    breaker_opens: AtomicU64,
    results: AtomicU64,
    events_dropped: AtomicU64,
    failures: [AtomicU64; Class::COUNT],
    /// From the request to its outcome.
    pub(crate) fetch: Histogram<18>,
    /// From when a monitor has a page in hand to its last ack.
    pub(crate) page: Histogram<18>,
    /// Decoding a page.
    pub(crate) decode: Histogram<18>,
    /// Making the terms of a part.
    pub(crate) terms: Histogram<18>,
    /// From when a tick is due to when it is sent.
    pub(crate) lateness: Histogram<18>,
    /// From the time of a result to its ack.
    pub(crate) lag: Histogram<17>,
}

/// The library's metrics.
pub(crate) static METRICS: Metrics = Metrics {
    engines: AtomicU64::new(0),
    ticks: AtomicU64::new(0),
    missed_ticks: AtomicU64::new(0),
    quiet_ticks: AtomicU64::new(0),
    fetches: AtomicU64::new(0),
    demotions: AtomicU64::new(0),
    breaker_opens: AtomicU64::new(0),
    results: AtomicU64::new(0),
    events_dropped: AtomicU64::new(0),
    failures: [const { AtomicU64::new(0) }; Class::COUNT],
    fetch: Histogram::new(DURATIONS),
    page: Histogram::new(DURATIONS),
    decode: Histogram::new(DURATIONS),
    terms: Histogram::new(DURATIONS),
    lateness: Histogram::new(DURATIONS),
    lag: Histogram::new(LAGS),
};

impl Metrics {
    /// An engine's loop begins.
    pub(crate) fn engine_started(&self) {
        add(&self.engines, 1);
    }

    /// Adds what an engine's counters have gained between `before` and `now`.
    pub(crate) fn absorb(&self, before: &Counters, now: &Counters) {
        add(&self.ticks, now.ticks.saturating_sub(before.ticks));
        add(&self.missed_ticks, now.missed_ticks.saturating_sub(before.missed_ticks));
        add(&self.quiet_ticks, now.quiet_ticks.saturating_sub(before.quiet_ticks));
        add(&self.fetches, now.fetches.saturating_sub(before.fetches));
        add(&self.demotions, now.demotions.saturating_sub(before.demotions));
    }

    /// A fetch failed.
    pub(crate) fn failed(&self, class: Class) {
        if let Some(count) = self.failures.get(class.index()) {
            add(count, 1);
        }
    }

    /// A fetch brought this many results.
    pub(crate) fn fetched(&self, results: u64) {
        add(&self.results, results);
    }

    /// A closed breaker opened.
    pub(crate) fn breaker_opened(&self) {
        add(&self.breaker_opens, 1);
    }

    /// An event was dropped.
    pub(crate) fn event_dropped(&self) {
        add(&self.events_dropped, 1);
    }
}

/// Adds to a counter. Mostly there is nothing to add: then the counter stays in the caches of other cores.
fn add(count: &AtomicU64, more: u64) {
    if more > 0 {
        count.fetch_add(more, Ordering::Relaxed);
    }
}

/// All metrics by name: a count, a histogram `{Buckets, Over, SumUs}` with `{UpperBoundUs, Count}` for each
/// bucket, or `[{Class, Count}]`.
#[rustler::nif]
fn metrics(env: Env<'_>) -> NifResult<Term<'_>> {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed).encode(env);
    let failures = Class::all()
        .zip(&METRICS.failures)
        .map(|(class, failures)| Ok((Atom::from_str(env, class.name())?, count(failures))))
        .collect::<NifResult<Vec<_>>>()?;
    let cluster = totals();
    let all = [
        ("engines", count(&METRICS.engines)),
        ("ticks", count(&METRICS.ticks)),
        ("missed_ticks", count(&METRICS.missed_ticks)),
        ("quiet_ticks", count(&METRICS.quiet_ticks)),
        ("fetches", count(&METRICS.fetches)),
        ("demotions", count(&METRICS.demotions)),
        ("breaker_opens", count(&METRICS.breaker_opens)),
        ("results", count(&METRICS.results)),
        ("events_dropped", count(&METRICS.events_dropped)),
        ("failures", failures.encode(env)),
        ("commit_failures", COMMITS.failures().encode(env)),
        ("checkpoint_replacements", COMMITS.replacements().encode(env)),
        ("cluster_joins", cluster.joins.encode(env)),
        ("cluster_evictions", cluster.evictions.encode(env)),
        ("cluster_burials", cluster.burials.encode(env)),
        ("cluster_claims", cluster.claims.encode(env)),
        ("cluster_hand_overs", cluster.hand_overs.encode(env)),
        ("cluster_fenced", cluster.fenced.encode(env)),
        ("cluster_statements", cluster.statements.encode(env)),
        ("cluster_statement_failures", cluster.failures.encode(env)),
        ("cluster_statement", histogram(env, &cluster.latency())),
        ("fetch", histogram(env, &METRICS.fetch.snapshot())),
        ("page", histogram(env, &METRICS.page.snapshot())),
        ("decode", histogram(env, &METRICS.decode.snapshot())),
        ("terms", histogram(env, &METRICS.terms.snapshot())),
        ("lateness", histogram(env, &METRICS.lateness.snapshot())),
        ("lag", histogram(env, &METRICS.lag.snapshot())),
        ("commit", histogram(env, &COMMITS.time.snapshot())),
    ];
    let mut map = Term::map_new(env);
    for (name, value) in all {
        map = map.map_put(Atom::from_str(env, name)?, value)?;
    }
    Ok(map)
}

fn histogram<'a>(env: Env<'a>, Snapshot { buckets, over, sum }: &Snapshot) -> Term<'a> {
    (buckets, *over, *sum).encode(env)
}
