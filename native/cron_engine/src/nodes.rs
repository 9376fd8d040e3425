//! The nodes of one monitor: which of its CU hosts is asked next. It stays with the one that
//! answers, goes on to the next when that fails, and passes over those that cannot be asked now.

use crate::{HostId, Time};
use std::sync::Arc;
use std::time::Duration;

/// Where to send the next fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this node, which is at this host.
    To(usize, HostId),
    /// To none of them before this time: that is what they asked for.
    Wait(Time),
}

/// The nodes of a monitor.
#[derive(Debug)]
pub(crate) struct Nodes {
    hosts: Arc<[HostId]>,
    /// Which is asked next.
    next: usize,
    /// Failures since one of them answered.
    failures: u64,
    /// Nodes that asked to be left alone until a time. Nearly always none.
    held: Vec<(usize, Time)>,
}

impl Nodes {
    pub(crate) const fn new(hosts: Arc<[HostId]>) -> Self {
        Self { hosts, next: 0, failures: 0, held: Vec::new() }
    }

    pub(crate) fn hosts(&self) -> &Arc<[HostId]> {
        &self.hosts
    }

    /// Which is asked next.
    pub(crate) const fn next(&self) -> usize {
        self.next
    }

    /// Picks the node to ask. `opens` says until when a host is not to be asked at all, if so.
    pub(crate) fn route(&mut self, now: Time, opens: impl Fn(HostId) -> Option<Time>) -> Route {
        self.held.retain(|(_, until)| *until > now);
        let count = self.hosts.len().max(1);
        let mut soonest: Option<(Time, bool, usize, HostId)> = None;
        for node in (0..count).map(|offset| (self.next + offset) % count) {
            let Some(host) = self.hosts.get(node).copied() else { continue };
            let held = self.held.iter().find(|(held, _)| *held == node).map(|(_, until)| *until);
            let Some(until) = opens(host).into_iter().chain(held).max() else {
                self.next = node;
                return Route::To(node, host);
            };
            if soonest.is_none_or(|(best, ..)| until < best) {
                soonest = Some((until, held.is_some(), node, host));
            }
        }
        match soonest {
            // In the queue of a host whose breaker is open it is served as soon as that closes.
            Some((_, false, node, host)) => {
                self.next = node;
                Route::To(node, host)
            }
            Some((until, true, ..)) => Route::Wait(until),
            None => Route::Wait(now + Duration::from_secs(1)),
        }
    }

    /// Which node to ask at this host: the one that was picked, if it is there.
    pub(crate) fn at(&self, host: HostId) -> usize {
        if self.hosts.get(self.next) == Some(&host) {
            return self.next;
        }
        self.hosts.iter().position(|other| *other == host).unwrap_or(0)
    }

    /// The node asked last answered.
    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// The node asked last failed, and asks not to be asked again before a time, if it does. Says
    /// how often all of them have failed in turn; `None` if there is one that has not.
    pub(crate) fn failed(&mut self, node: usize, host: HostId, until: Option<Time>) -> Option<u64> {
        if self.hosts.get(node) != Some(&host) {
            // It was replaced meanwhile: that says nothing of the others.
            return None;
        }
        self.held.extend(until.map(|until| (node, until)));
        let count = self.hosts.len().max(1);
        self.failures = self.failures.saturating_add(1);
        self.next = (node + 1) % count;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.failures.is_multiple_of(count).then(|| self.failures / count)
    }

    /// There are other nodes from now on.
    pub(crate) fn replace(&mut self, hosts: Arc<[HostId]>) {
        *self = Self { failures: self.failures, ..Self::new(hosts) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1000);
    const A: HostId = HostId(1);
    const B: HostId = HostId(2);

    fn nodes() -> Nodes {
        Nodes::new(Arc::from([A, B]))
    }

    #[test]
    fn node_that_answers_is_kept_and_one_that_fails_is_left() {
        let mut nodes = nodes();
        assert_eq!(nodes.route(NOW, |_| None), Route::To(0, A));
        assert_eq!(nodes.failed(0, A, None), None, "there is another");
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
        nodes.answered();
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
    }

    #[test]
    fn nodes_that_all_failed_are_counted_by_rounds() {
        let mut nodes = nodes();
        let rounds: Vec<_> =
            (0..6).map(|failure| nodes.failed(failure % 2, [A, B][failure % 2], None)).collect();
        assert_eq!(rounds, [None, Some(1), None, Some(2), None, Some(3)]);
    }

    #[test]
    fn node_whose_breaker_is_open_is_passed_over() {
        let later = Time::from_millis(5000);
        let mut nodes = nodes();
        assert_eq!(nodes.route(NOW, |host| (host == A).then_some(later)), Route::To(1, B));
        let both = |host| Some(if host == A { NOW } else { later });
        assert_eq!(nodes.route(NOW, both), Route::To(0, A), "the one that opens first");
    }

    #[test]
    fn node_that_asked_to_be_left_alone_is_not_asked_before() {
        let [soon, late] = [2000, 9000].map(Time::from_millis);
        let mut nodes = nodes();
        nodes.failed(0, A, Some(late));
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
        nodes.failed(1, B, Some(soon));
        assert_eq!(nodes.route(NOW, |_| None), Route::Wait(soon));
        assert_eq!(nodes.route(soon, |_| None), Route::To(1, B));
        assert_eq!(nodes.route(late, |_| None), Route::To(1, B));
    }

    #[test]
    fn nodes_that_are_replaced_are_asked_from_the_first_on() {
        let mut nodes = nodes();
        nodes.failed(0, A, Some(Time::from_millis(9000)));
        nodes.replace(Arc::from([B]));
        assert_eq!(nodes.route(NOW, |_| None), Route::To(0, B));
    }
}
