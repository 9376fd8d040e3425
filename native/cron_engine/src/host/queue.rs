//! Whose turn it is to fetch: first come, first served, one page a turn, within bounds that keep
//! slow and dead hosts from holding up the rest:
//!
//! * at most `max_inflight` fetches at once
//! * two lanes: monitors whose last fetch took long use the slow one, which holds at most a quarter
//!   of the places
//! * no CU host holds more than three quarters of the places, or of the slow lane's, while there is
//!   another host. That holds whether or not the other host has monitors waiting: otherwise a host
//!   that hangs would hold all places by the time the other one needs them
//! * a host whose breaker is open holds none

use crate::host::Host;
use crate::host::breaker::Breaker;
use crate::host::lane::{Lane, PerLane};
use crate::{HostId, MonitorId};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// The monitors that wait to fetch, by host and lane.
#[derive(Debug)]
pub(crate) struct Queue {
    max_inflight: usize,
    hosts: FxHashMap<HostId, Host>,
    /// The first monitor of each host that may be asked, by arrival.
    heads: PerLane<BTreeSet<(u64, HostId)>>,
    inflight: PerLane<usize>,
    arrivals: u64,
    /// Entries of monitors that are gone. They are skipped as they come up, or dropped all at once
    /// when they outnumber the others.
    stale: usize,
    waiting: usize,
    open_breakers: usize,
}

impl Queue {
    pub(crate) fn new(max_inflight: usize) -> Self {
        Self {
            max_inflight: max_inflight.max(1),
            hosts: FxHashMap::default(),
            heads: PerLane::default(),
            inflight: PerLane::default(),
            arrivals: 0,
            stale: 0,
            waiting: 0,
            open_breakers: 0,
        }
    }

    /// A monitor may ask this host from now on.
    pub(crate) fn join(&mut self, host: HostId) {
        self.hosts.entry(host).or_default().members += 1;
        self.shares_changed();
    }

    /// A monitor no longer asks this host.
    pub(crate) fn leave(&mut self, host: HostId) {
        if let Some(entry) = self.hosts.get_mut(&host) {
            entry.members = entry.members.saturating_sub(1);
            if entry.members == 0 {
                // The monitors that wait here are gone.
                for lane in Lane::BOTH {
                    let gone = std::mem::take(entry.waiting.of_mut(lane)).len();
                    self.waiting -= gone;
                    self.stale = self.stale.saturating_sub(gone);
                }
            }
            self.tidy(host);
        }
    }

    /// The monitor waits for its turn at this host.
    pub(crate) fn push(&mut self, host: HostId, lane: Lane, id: MonitorId) {
        self.arrivals += 1;
        self.waiting += 1;
        let entry = self.hosts.entry(host).or_default();
        entry.waiting.of_mut(lane).push_back((self.arrivals, id));
        self.refresh(host);
    }

    /// Removes the monitor whose turn it is, if there is a place. [`Queue::begin`] takes the place.
    pub(crate) fn pop(&mut self) -> Option<(HostId, Lane, MonitorId)> {
        if self.inflight.fast + self.inflight.slow >= self.max_inflight {
            return None;
        }
        let fast = self.heads.fast.first().map(|head| (*head, Lane::Fast));
        let slow = self.heads.slow.first().filter(|_| self.inflight.slow < self.slow_places());
        let slow = slow.map(|head| (*head, Lane::Slow));
        let ((_, host), lane) = fast.into_iter().chain(slow).min_by_key(|(head, _)| *head)?;
        let (_, id) = self.hosts.get_mut(&host)?.waiting.of_mut(lane).pop_front()?;
        self.waiting -= 1;
        self.refresh(host);
        Some((host, lane, id))
    }

    /// The monitor that came up was gone.
    pub(crate) fn dropped_stale(&mut self, host: HostId) {
        self.stale = self.stale.saturating_sub(1);
        self.tidy(host);
    }

    /// A fetch begins. True if it is a probe of its host.
    pub(crate) fn begin(&mut self, host: HostId, lane: Lane) -> bool {
        *self.inflight.of_mut(lane) += 1;
        let Some(entry) = self.hosts.get_mut(&host) else { return false };
        *entry.inflight.of_mut(lane) += 1;
        let probe = entry.breaker.begun(lane);
        self.refresh(host);
        probe
    }

    /// A fetch ended. The caller has told the host its verdict before: [`Queue::host`].
    pub(crate) fn end(&mut self, host: HostId, lane: Lane) {
        *self.inflight.of_mut(lane) -= 1;
        if let Some(entry) = self.hosts.get_mut(&host) {
            *entry.inflight.of_mut(lane) -= 1;
            self.tidy(host);
        }
    }

    /// A host, for a change. [`Queue::refresh`] or [`Queue::end`] applies the change.
    pub(crate) fn host(&mut self, host: HostId) -> Option<&mut Host> {
        self.hosts.get_mut(&host)
    }

    /// The breaker of a host.
    pub(crate) fn breaker(&self, host: HostId) -> Option<&Breaker> {
        self.hosts.get(&host).map(|host| &host.breaker)
    }

    /// How long a fetch from a host may take in the fast lane.
    pub(crate) fn patience(&self, host: HostId, probe: bool) -> Duration {
        self.hosts.get(&host).map_or(Duration::MAX, |host| host.patience(probe))
    }

    /// Removes the monitors that `moves` selects from a host's queue, in their order.
    pub(crate) fn drain(
        &mut self,
        host: HostId,
        moves: impl Fn(MonitorId) -> bool,
    ) -> Vec<MonitorId> {
        let mut taken = Vec::new();
        let Some(entry) = self.hosts.get_mut(&host) else { return taken };
        for lane in Lane::BOTH {
            entry.waiting.of_mut(lane).retain(|(_, id)| {
                let moves = moves(*id);
                if moves {
                    taken.push(*id);
                }
                !moves
            });
        }
        self.waiting -= taken.len();
        self.refresh(host);
        taken
    }

    /// The same at all hosts whose breakers are not closed. It visits all monitors that wait there,
    /// so it is for the closing of a breaker, not for each fetch.
    pub(crate) fn drain_shut(&mut self, moves: impl Fn(MonitorId) -> bool) -> Vec<MonitorId> {
        if self.open_breakers == 0 {
            return Vec::new();
        }
        let shut = self.hosts.iter().filter(|(_, host)| !host.breaker.is_closed());
        let mut shut: Vec<HostId> = shut.map(|(host, _)| *host).collect();
        // In an order that does not depend on hashing, so that a run can be repeated.
        shut.sort_unstable();
        shut.into_iter().flat_map(|host| self.drain(host, &moves)).collect()
    }

    /// A monitor that waits is gone. `alive` says which ones are not.
    pub(crate) fn forget_one(&mut self, alive: impl Fn(MonitorId) -> bool) {
        self.stale += 1;
        if self.stale <= 64 || self.stale * 2 <= self.waiting {
            return;
        }
        self.stale = 0;
        self.waiting = 0;
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        for host in hosts {
            if let Some(entry) = self.hosts.get_mut(&host) {
                for lane in Lane::BOTH {
                    entry.waiting.of_mut(lane).retain(|(_, id)| alive(*id));
                    self.waiting += entry.waiting.of(lane).len();
                }
            }
            self.tidy(host);
        }
    }

    /// The number of places that the slow lane holds.
    pub(crate) const fn slow_inflight(&self) -> usize {
        self.inflight.slow
    }

    /// Whether places are scarce: a monitor waits for one and not for a host that is shut, or a
    /// quarter of the places is taken.
    pub(crate) fn is_crowded(&self) -> bool {
        let wait = !self.heads.fast.is_empty() || !self.heads.slow.is_empty();
        wait || (self.inflight.fast + self.inflight.slow) * 4 > self.max_inflight
    }

    /// The number of hosts with a breaker that is not closed.
    pub(crate) const fn open_breakers(&self) -> usize {
        self.open_breakers
    }

    fn slow_places(&self) -> usize {
        (self.max_inflight / 4).max(1)
    }

    /// The most of `places` that one host may hold.
    fn share(&self, places: usize) -> usize {
        if self.hosts.len() > 1 { (places * 3 / 4).max(1) } else { places }
    }

    /// Updates the first monitor of this host that may go.
    pub(crate) fn refresh(&mut self, host: HostId) {
        let shares =
            PerLane { fast: self.share(self.max_inflight), slow: self.share(self.slow_places()) };
        let Some(entry) = self.hosts.get_mut(&host) else { return };
        let open = !entry.breaker.is_closed();
        self.open_breakers -= usize::from(std::mem::replace(&mut entry.counted_open, open));
        self.open_breakers += usize::from(open);
        for lane in Lane::BOTH {
            let head = entry.head(lane, &shares);
            let shown = entry.shown.of_mut(lane);
            if *shown != head {
                let heads = self.heads.of_mut(lane);
                if let Some(old) = shown.take() {
                    heads.remove(&(old, host));
                }
                heads.extend(head.map(|arrival| (arrival, host)));
                *shown = head;
            }
        }
    }

    /// Removes a host that no monitor uses any more.
    fn tidy(&mut self, host: HostId) {
        self.refresh(host);
        if self.hosts.get(&host).is_some_and(Host::is_unused) {
            let unused = self.hosts.remove(&host);
            self.open_breakers -= usize::from(unused.is_some_and(|host| host.counted_open));
            self.shares_changed();
        }
    }

    /// The share of a host depends on whether it is alone.
    fn shares_changed(&mut self) {
        if self.hosts.len() <= 2 {
            let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
            for host in hosts {
                self.refresh(host);
            }
        }
    }
}

#[cfg(test)]
mod tests;
