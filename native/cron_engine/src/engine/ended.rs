//! What the end of a fetch means: for the CU host and its breaker, for monitors that wait for that
//! host, for the monitor, and for the log. The monitor's own reaction to an answer is in `answers`.

use super::Engine;
use crate::engine::backoff;
use crate::engine::event::{Action, Fetched, Report};
use crate::host::breaker::Change;
use crate::host::lane::Lane;
use crate::host::verdict::Verdict;
use crate::monitor::{Outcome, Sent, Trouble, Unasked};
use crate::{Class, Failure, HostId, MonitorId, Time};
use std::time::Duration;

/// A fetch under way. It may outlive its monitor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    pub(super) host: HostId,
    pub(super) node: usize,
    pub(super) lane: Lane,
    /// Whether it probes a host whose breaker is open.
    pub(super) probe: bool,
    pub(super) since: Time,
}

impl Engine {
    pub(super) fn fetched(
        &mut self,
        now: Time,
        id: MonitorId,
        fetch: Fetch,
        outcome: Result<Fetched, Failure>,
    ) {
        let took = now.since(fetch.since);
        let change = self.judge(now, fetch, &outcome, took);
        // If the monitor has moved meanwhile, its node is another one.
        let nodes = self.monitors.get(&id).map(|monitor| monitor.nodes.hosts());
        let known = nodes.is_some_and(|hosts| hosts.get(fetch.node) == Some(&fetch.host));
        if let (Some(change), true) = (change, known) {
            let open_for = match change {
                Change::Opened(until) => Some(until.since(now)),
                Change::Closed => None,
            };
            self.actions.push_back(Action::Breaker { id, node: fetch.node, open_for });
        }
        self.answered(now, id, fetch, outcome, took);
        let of = |id: MonitorId| self.monitors.get(&id).map(|monitor| monitor.nodes.hosts());
        let waiting = match change {
            None => return,
            // Monitors with another node do not wait for this host.
            Some(Change::Opened(until)) => {
                self.probes.arm(until, fetch.host);
                self.queue.drain(fetch.host, |id| of(id).is_none_or(|hosts| hosts.len() > 1))
            }
            // Nor do they wait for another host that is shut, now that this one answers.
            Some(Change::Closed) => {
                self.queue.drain_shut(|id| of(id).is_some_and(|hosts| hosts.contains(&fetch.host)))
            }
        };
        for id in waiting {
            self.line_up(now, id);
        }
    }

    /// Judges the host by a fetch that ended.
    fn judge(
        &mut self,
        now: Time,
        fetch: Fetch,
        outcome: &Result<Fetched, Failure>,
        took: Duration,
    ) -> Option<Change> {
        let probe = fetch.probe.then_some(fetch.lane);
        let host = self.queue.host(fetch.host)?;
        let others_fared_better = host.has_answered_since(fetch.since);
        let verdict = Verdict::of(outcome, fetch.lane, fetch.probe, others_fared_better);
        let change = host.breaker.ended(now, &mut self.rng, probe, verdict);
        if verdict == Verdict::Answered {
            host.answered(now, took);
        }
        self.queue.end(fetch.host, fetch.lane);
        change
    }

    /// Handles a fetch that ended, for its monitor.
    fn answered(
        &mut self,
        now: Time,
        id: MonitorId,
        fetch: Fetch,
        outcome: Result<Fetched, Failure>,
        took: Duration,
    ) {
        let Some(monitor) = self.monitors.get_mut(&id) else { return };
        let patience = self.queue.patience(fetch.host, false);
        if outcome == Ok(Fetched::TooSlow) {
            monitor.lane = Lane::Slow;
            self.counters.demotions += 1;
            let step = monitor.try_again();
            return self.take(now, id, step);
        }
        // The slow lane is for fetches that hold a place for long. A fetch that fails at once holds
        // up no other.
        monitor.lane = if took > patience { Lane::Slow } else { Lane::Fast };
        let before = monitor.buffered();
        let sent = Sent { since: fetch.since, node: fetch.node };
        let outcome = outcome.map(|fetched| monitor.fetched(now, sent, fetched));
        let after = monitor.buffered();
        match outcome {
            Ok(Ok(Outcome { step, recovered, passed })) => {
                self.buffer(before, after);
                let recovered = recovered.map(|failures| Report::Recovered { failures });
                let passed = passed.map(|(from, to)| Report::Passed { from, to });
                let reports = recovered.into_iter().chain(passed);
                self.actions.extend(reports.map(|report| Action::Report { id, report }));
                self.take(now, id, step);
            }
            Ok(Err(Unasked)) => {
                let failure = Failure::new(Class::Internal, "an answer to another question");
                self.failed(now, id, fetch, failure);
            }
            Err(failure) => self.failed(now, id, fetch, failure),
        }
    }

    fn failed(&mut self, now: Time, id: MonitorId, fetch: Fetch, failure: Failure) {
        let Some(monitor) = self.monitors.get_mut(&id) else { return };
        self.counters.failures += 1;
        let until = failure.retry_after.map(|pause| now + pause);
        let opens = |host| self.queue.breaker(host).and_then(|breaker| breaker.opens(now));
        // A host that is still half open, as after an internal error, delays no monitor.
        let shut = opens(fetch.host).is_some();
        let pause = match monitor.nodes.failed(now, fetch.node, fetch.host, until, opens) {
            Some(rounds) if !shut => backoff::FETCH.pause(rounds.into(), &mut self.rng),
            // There is another node, or the monitor waits for the breaker of this host.
            _ => Duration::ZERO,
        };
        let trouble = Trouble::new(now, &failure);
        if let Some(repeats) = monitor.outage.failed(failure.class) {
            let report = Report::Failed { failure, repeats };
            self.actions.push_back(Action::Report { id, report });
        }
        monitor.failed(now, trouble);
        self.wait(id, now + pause);
    }
}
