//! What is known of the connections: latencies, counts, the last error. An error is logged when it
//! appears, and not again while it lasts.

use crate::error::DatabaseError;
use crate::lane_kind::LaneKind;
use cron_engine::histogram::{DURATIONS, Histogram, Snapshot};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is known of the connections.
#[derive(Debug)]
pub(crate) struct Health {
    statements: AtomicU64,
    failures: AtomicU64,
    latencies: [Histogram<{ DURATIONS.len() }>; LaneKind::ALL.len()],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The lanes whose last statement had no answer.
    failing: BTreeMap<LaneKind, DatabaseError>,
    /// A statement had an answer since the start.
    answered: bool,
    last_error: Option<DatabaseError>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            statements: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latencies: [const { Histogram::new(DURATIONS) }; LaneKind::ALL.len()],
            state: Mutex::default(),
        }
    }

    /// A statement has ended.
    pub(crate) fn noted(&self, lane: LaneKind, took: Duration, error: Option<&DatabaseError>) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        if let Some(histogram) = self.latencies.get(lane as usize) {
            histogram.observe(took);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            state.answered = true;
            if state.failing.remove(&lane).is_some() && state.failing.is_empty() {
                log::info!("cluster: the database answers again");
            }
            return;
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        // What another transaction or a value causes says nothing about the connection.
        if error.is_lock_timeout() || error.is_conflict() || error.is_of_data() {
            return;
        }
        if !state.failing.values().any(|known| known.is_alike(error)) {
            log::warn!("cluster: {error} ({})", lane.name());
        }
        state.failing.insert(lane, error.clone());
        state.last_error = Some(error.clone());
    }

    /// Whether the last statement of each lane had an answer.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answered && state.failing.is_empty()
    }

    /// The last error, and whether it lasts.
    pub(crate) fn last_error(&self) -> Option<(String, bool)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_error.as_ref().map(|error| (error.to_string(), !state.failing.is_empty()))
    }

    /// The number of statements, and of those without an answer.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.statements.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// How long statements took, by lane.
    pub(crate) fn latencies(&self) -> Vec<(LaneKind, Snapshot)> {
        LaneKind::ALL.into_iter().zip(self.latencies.iter().map(Histogram::snapshot)).collect()
    }
}
