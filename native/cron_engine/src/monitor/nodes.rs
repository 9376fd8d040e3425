//! The nodes of one monitor: which CU is asked next. The monitor stays with a node that answers,
//! moves to the next one if it fails, and skips nodes that cannot be asked now.

use crate::{HostId, Time};
use std::sync::Arc;
use std::time::Duration;

/// Where to send the next fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this node, at this host.
    To(usize, HostId),
    /// To none of them before this time, as they asked.
    Wait(Time),
}

/// The nodes of a monitor.
#[derive(Debug)]
pub(crate) struct Nodes {
    hosts: Arc<[HostId]>,
    /// The node that is asked next.
    next: usize,
    /// How often all nodes that could be asked have failed in turn, since one of them answered.
    rounds: u32,
    /// Failures in the round under way.
    tried: u32,
    /// Nodes that asked not to be called until a time. Nearly always none.
    held: Vec<(usize, Time)>,
}

impl Nodes {
    pub(crate) const fn new(hosts: Arc<[HostId]>) -> Self {
        Self { hosts, next: 0, rounds: 0, tried: 0, held: Vec::new() }
    }

    pub(crate) fn hosts(&self) -> &Arc<[HostId]> {
        &self.hosts
    }

    /// The node that is asked next.
    pub(crate) const fn next(&self) -> usize {
        self.next
    }

    /// Picks the node to ask. `opens` returns until when a host is not asked at all, if so.
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
            // Queued at a host whose breaker is open, the monitor is served as soon as the breaker
            // closes.
            Some((_, false, node, host)) => {
                self.next = node;
                Route::To(node, host)
            }
            Some((until, true, ..)) => Route::Wait(until),
            None => Route::Wait(now + Duration::from_secs(1)),
        }
    }

    /// The node to ask at this host: the one that was picked, if it is there.
    pub(crate) fn at(&self, host: HostId) -> usize {
        if self.hosts.get(self.next) == Some(&host) {
            return self.next;
        }
        self.hosts.iter().position(|other| *other == host).unwrap_or(0)
    }

    /// The node that was asked last answered.
    pub(crate) const fn answered(&mut self) {
        self.rounds = 0;
        self.tried = 0;
    }

    /// The node that was asked last failed at `now`, and may ask not to be called before a time.
    /// Returns how often all nodes have failed in turn; `None` if one has not and can be asked.
    /// `opens` is as for [`Nodes::route`].
    pub(crate) fn failed(
        &mut self,
        now: Time,
        node: usize,
        host: HostId,
        until: Option<Time>,
        opens: impl Fn(HostId) -> Option<Time>,
    ) -> Option<u32> {
        if self.hosts.get(node) != Some(&host) {
            // The node was replaced meanwhile, which says nothing about the others.
            return None;
        }
        self.held.extend(until.map(|until| (node, until)));
        let count = self.hosts.len().max(1);
        self.next = (node + 1) % count;
        self.tried = self.tried.saturating_add(1);
        let held = |node| self.held.iter().any(|(held, until)| *held == node && *until > now);
        let mut others = self.hosts.iter().enumerate().filter(|(other, _)| *other != node);
        // Otherwise the one that just failed would be asked again at once, instead of one that is
        // shut.
        let another = others.any(|(other, host)| !held(other) && opens(*host).is_none());
        if another && usize::try_from(self.tried).is_ok_and(|tried| tried < count) {
            return None;
        }
        self.tried = 0;
        self.rounds = self.rounds.saturating_add(1);
        Some(self.rounds)
    }

    /// There are other nodes from now on.
    pub(crate) fn replace(&mut self, hosts: Arc<[HostId]>) {
        *self = Self { rounds: self.rounds, ..Self::new(hosts) };
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

    /// One of the nodes fails while the breakers of both are closed.
    fn failed(nodes: &mut Nodes, node: usize, until: Option<Time>) -> Option<u32> {
        nodes.failed(NOW, node, [A, B][node], until, |_| None)
    }

    #[test]
    fn node_that_fails_while_the_others_cannot_be_asked_ends_a_round() {
        let later = Time::from_millis(5000);
        let mut shut = nodes();
        let rounds: Vec<_> = (0..3)
            .map(|_| shut.failed(NOW, 1, B, None, |host| (host == A).then_some(later)))
            .collect();
        assert_eq!(rounds, [Some(1), Some(2), Some(3)], "the other one's breaker is open");
        let mut held = nodes();
        assert_eq!(failed(&mut held, 0, Some(later)), None);
        assert_eq!(failed(&mut held, 1, None), Some(1));
        assert_eq!(failed(&mut held, 1, None), Some(2), "the other one is to be left alone");
        assert_eq!(held.failed(later, 1, B, None, |_| None), None, "and now it may be asked");
        held.answered();
        assert_eq!(held.failed(later, 1, B, None, |_| None), None);
        assert_eq!(held.failed(later, 0, A, None, |_| None), Some(1));
    }

    #[test]
    fn node_that_answers_is_kept_and_one_that_fails_is_left() {
        let mut nodes = nodes();
        assert_eq!(nodes.route(NOW, |_| None), Route::To(0, A));
        assert_eq!(failed(&mut nodes, 0, None), None, "there is another");
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
        nodes.answered();
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
    }

    #[test]
    fn nodes_that_all_failed_are_counted_by_rounds() {
        let mut nodes = nodes();
        let rounds: Vec<_> = (0..6).map(|failure| failed(&mut nodes, failure % 2, None)).collect();
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
        failed(&mut nodes, 0, Some(late));
        assert_eq!(nodes.route(NOW, |_| None), Route::To(1, B));
        failed(&mut nodes, 1, Some(soon));
        assert_eq!(nodes.route(NOW, |_| None), Route::Wait(soon));
        assert_eq!(nodes.route(soon, |_| None), Route::To(1, B));
        assert_eq!(nodes.route(late, |_| None), Route::To(1, B));
    }

    #[test]
    fn nodes_that_are_replaced_are_asked_from_the_first_on() {
        let mut nodes = nodes();
        failed(&mut nodes, 0, Some(Time::from_millis(9000)));
        nodes.replace(Arc::from([B]));
        assert_eq!(nodes.route(NOW, |_| None), Route::To(0, B));
    }

    #[test]
    fn node_of_those_that_open_together_is_the_one_whose_turn_it_is() {
        let mut nodes = nodes();
        assert_eq!(nodes.route(NOW, |_| Some(NOW)), Route::To(0, A));
    }

    #[test]
    fn node_after_one_that_failed_is_shown_as_the_next_and_the_first_after_the_last() {
        let mut nodes = nodes();
        failed(&mut nodes, 0, None);
        assert_eq!(nodes.next(), 1);
        failed(&mut nodes, 1, None);
        assert_eq!(nodes.next(), 0);
    }

    #[test]
    fn node_at_a_host_is_the_one_picked_or_else_the_first_there() {
        let mut nodes = Nodes::new(Arc::from([A, B, A]));
        assert_eq!(nodes.at(B), 1);
        nodes.failed(NOW, 1, B, None, |_| None);
        assert_eq!([A, B, HostId(3)].map(|host| nodes.at(host)), [2, 1, 0]);
    }

    #[test]
    fn node_to_be_left_alone_holds_up_no_third_one() {
        let mut nodes = Nodes::new(Arc::from([A, B, HostId(3)]));
        assert_eq!(failed(&mut nodes, 0, Some(Time::from_millis(9000))), None);
        assert_eq!(failed(&mut nodes, 1, None), None, "there is the third");
        assert_eq!(nodes.route(NOW, |_| None), Route::To(2, HostId(3)));
    }

    #[test]
    fn nodes_that_are_replaced_do_not_end_the_rounds_of_failures() {
        let mut nodes = nodes();
        failed(&mut nodes, 0, None);
        assert_eq!(failed(&mut nodes, 1, None), Some(1));
        nodes.replace(Arc::from([B]));
        assert_eq!(nodes.failed(NOW, 0, B, None, |_| None), Some(2));
    }
}
