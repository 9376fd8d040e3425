//! What the clusters of this OS process have counted since the library was loaded. The counters of one membership
//! begin at zero with it, and a counter that an operator sees must not go back.

use cron_engine::histogram::{DURATIONS, Snapshot};
use cron_postgres::{Cluster, Status};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of commits that the database did not save.
static FENCED: AtomicU64 = AtomicU64::new(0);

/// The membership whose counters are read, and what those before it have counted.
static COUNTED: Mutex<Counted> = Mutex::new(Counted { past: Totals::ZERO, now: None });

struct Counted {
    past: Totals,
    now: Option<Cluster>,
}

fn counted() -> MutexGuard<'static, Counted> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counted {
    fn close(&mut self) {
        if let Some(cluster) = self.now.take() {
            self.past.add(&cluster.status());
        }
    }
}

/// Counts since the library was loaded.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    pub(crate) joins: u64,
    pub(crate) evictions: u64,
    pub(crate) burials: u64,
    pub(crate) claims: u64,
    pub(crate) hand_overs: u64,
    pub(crate) fenced: u64,
    pub(crate) statements: u64,
    pub(crate) failures: u64,
    pub(crate) restarts: u64,
    /// How long statements took, by [`DURATIONS`].
    latencies: [u64; DURATIONS.len()],
    over: u64,
    sum: u64,
}

impl Totals {
    const ZERO: Self = Self {
        joins: 0,
        evictions: 0,
        burials: 0,
        claims: 0,
        hand_overs: 0,
        fenced: 0,
        statements: 0,
        failures: 0,
        restarts: 0,
        latencies: [0; DURATIONS.len()],
        over: 0,
        sum: 0,
    };

    fn add(&mut self, status: &Status) {
        self.joins += status.counters.joins;
        self.evictions += status.counters.evictions;
        self.burials += status.counters.burials;
        self.claims += status.counters.claims;
        self.hand_overs += status.counters.hand_overs;
        self.statements += status.statements;
        self.failures += status.failures;
        self.restarts += status.restarts;
        for (_, lane) in &status.latencies {
            for (count, (_, more)) in self.latencies.iter_mut().zip(&lane.buckets) {
                *count += more;
            }
            self.over += lane.over;
            self.sum += lane.sum;
        }
    }

    /// How long the statements of all lanes took.
    pub(crate) fn latency(&self) -> Snapshot {
        let buckets = DURATIONS.into_iter().zip(self.latencies).collect();
        Snapshot { buckets, over: self.over, sum: self.sum }
    }
}

/// The counts of `cluster` are read from now on.
pub(super) fn begin(cluster: Cluster) {
    let mut counted = counted();
    counted.close();
    counted.now = Some(cluster);
}

/// The membership has ended: its counts are kept.
pub(super) fn end() {
    counted().close();
}

/// The database did not save this many rows of a commit.
pub(super) fn fenced(rows: usize) {
    FENCED.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// All counts. Outside a cluster they are zero.
pub(crate) fn totals() -> Totals {
    let counted = counted();
    let mut all = counted.past.clone();
    if let Some(cluster) = &counted.now {
        all.add(&cluster.status());
    }
    all.fenced = FENCED.load(Ordering::Relaxed);
    all
}
