//! Joining, sharing, leaving and dying.

use crate::node::{Node, TTL, Told, fresh, process, until};
use cron_cluster::{SHARDS, Stake};
use cron_postgres::{Answer, Cluster, Owner, ProcessRow, Request, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn three_nodes_share_evenly_and_survive_one() {
    let (_server, url) = fresh();
    let mut nodes: Vec<_> = ["a", "b", "c"].iter().map(|name| Node::start(&url, name)).collect();
    until("the shards are even", || {
        let mut held: Vec<_> = nodes.iter().map(Node::read).collect();
        held.sort_unstable();
        held == [1365, 1365, 1366] && nodes.iter().all(|node| node.status().moving == 0)
    });
    for node in &nodes {
        let status = node.status();
        let names: Vec<_> = status.peers.iter().map(|peer| peer.name.as_str()).collect();
        assert!(["a", "b", "c"].iter().all(|name| names.contains(name)), "{names:?}");
        assert!(status.connected && node.cluster.lease().allows(Duration::ZERO), "{status:?}");
    }
    // It dies without a word.
    let dead = nodes.pop().unwrap();
    let incarnation = dead.status().incarnation.unwrap();
    dead.cluster.halt();
    assert!(!dead.cluster.lease().allows(Duration::ZERO));
    until("the others have everything", || {
        nodes.iter().map(Node::read).sum::<usize>() == usize::from(SHARDS)
    });
    let buried: u64 = nodes.iter().map(|node| node.status().counters.burials).sum();
    assert_eq!(buried, 1);
    assert!(nodes.iter().all(|node| node.told.lost.lock().unwrap().is_empty()));
    let Ok(Answer::Cluster(rows, totals)) = nodes[0].ask(Request::Cluster) else { panic!() };
    assert!(rows.iter().all(|row| row.incarnation != incarnation), "{rows:?}");
    assert_eq!((rows.len(), totals.orphans), (2, 0));
}

#[test]
fn node_that_leaves_hands_everything_over() {
    let (_server, url) = fresh();
    let leaving = Node::alone(&url);
    for number in 0..10 {
        leaving.begin(process(number));
    }
    let other = Node::start(&url, "other");
    until("the other one has its share", || other.read() == usize::from(SHARDS / 2));
    leaving.cluster.leave();
    until("it has left", || leaving.told.left.get().is_some());
    until("the other one has everything", || other.read() == usize::from(SHARDS));
    let (status, lost) = (leaving.status(), leaving.told.lost.lock().unwrap());
    assert!(status.ended && status.incarnation.is_none() && lost.is_empty(), "{status:?}");
    assert_eq!(leaving.told.stopped.lock().unwrap().len(), usize::from(SHARDS));
    assert!(!leaving.cluster.lease().allows(Duration::ZERO));
    assert_eq!(other.status().counters.burials, 0, "its row is gone");
    for number in 0..10 {
        assert!(other.row(process(number)).is_some());
    }
    // What comes later is answered.
    assert!(leaving.ask(Request::Cluster).is_err());
}

/// Panics at the first read.
#[derive(Default)]
struct Panics {
    has: AtomicBool,
    told: Told,
}

impl Owner for Panics {
    fn read(&self, stake: Stake, mark: i64, processes: Vec<ProcessRow>) {
        assert!(self.has.swap(true, Ordering::Relaxed), "as the test wants it");
        self.told.read(stake, mark, processes);
    }

    fn lost(&self, stakes: &[Stake]) {
        self.told.lost(stakes);
    }

    fn stop(&self, stakes: &[Stake]) {
        self.told.stop(stakes);
    }

    fn left(&self) {
        self.told.left();
    }
}

#[test]
fn node_whose_owner_panics_begins_anew() {
    let (_server, url) = fresh();
    let owner = Arc::new(Panics::default());
    let settings = Settings { url: url.parse().unwrap(), name: "a".into(), ttl: TTL };
    let cluster = Cluster::start(settings, Arc::clone(&owner) as Arc<dyn Owner>).unwrap();
    until("it owns everything", || owner.told.shards.lock().unwrap().len() == usize::from(SHARDS));
    assert_eq!(cluster.status().restarts, 1);
    assert_eq!(owner.told.lost.lock().unwrap().len(), usize::from(SHARDS));
    assert!(cluster.lease().allows(Duration::ZERO));
    cluster.halt();
}
