//! What the model knows of hosts: which are shut and until when, and what may be asked of them. Whether
//! a host answers is the run's to say.

use super::watch::Fetch;
use cron_engine::{HostId, MonitorId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A host whose breaker is not closed.
struct Shut {
    until: Time,
    /// Whose fetches were under way when it opened: none of them is a probe.
    older: BTreeSet<MonitorId>,
}

/// All hosts of a node.
#[derive(Default)]
pub(super) struct Hosts {
    shut: BTreeMap<HostId, Shut>,
}

impl Hosts {
    /// How many are known to be shut.
    pub(super) fn shut(&self) -> usize {
        self.shut.len()
    }

    /// Nothing is to be asked of it before this time.
    pub(super) fn opened(&mut self, host: HostId, until: Time, fetches: &[Fetch]) {
        let here = fetches.iter().filter(|fetch| fetch.host == host);
        let older = here.map(|fetch| fetch.id).collect();
        // What was under way when it opened again is known as a probe, or as older, already.
        self.shut.entry(host).or_insert(Shut { until, older }).until = until;
    }

    /// It may be asked again; the report of that is optional.
    pub(super) fn closed(&mut self, host: HostId) {
        self.shut.remove(&host);
    }

    /// The fetch of this monitor ended.
    pub(super) fn ended(&mut self, id: MonitorId) {
        for shut in self.shut.values_mut() {
            shut.older.remove(&id);
        }
    }

    /// A host without monitors and fetches is forgotten.
    pub(super) fn keep(&mut self, asked: &BTreeSet<HostId>) {
        self.shut.retain(|host, _| asked.contains(host));
    }

    /// The last one of these has just begun: it must be none of a host that is shut, or its only
    /// probe in that lane. A probe without a limit is in the slow one.
    pub(super) fn check(&self, now: Time, fetches: &[Fetch]) {
        let begun = fetches.last().expect("it has just begun");
        let Some(shut) = self.shut.get(&begun.host) else { return };
        assert!(shut.until <= now, "{:?} is asked while its breaker is open", begun.host);
        let probes = fetches.iter().filter(|fetch| {
            fetch.host == begun.host
                && !shut.older.contains(&fetch.id)
                && fetch.patience.is_none() == begun.patience.is_none()
        });
        assert_eq!(probes.count(), 1, "probes of {:?} in one lane", begun.host);
    }
}
