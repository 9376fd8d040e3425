//! A server that is frozen, killed, or down at the start.

use crate::node::{Node, process, until, url};
use cron_cluster::{SHARDS, Verdict};
use cron_postgres::{CommitError, DatabaseError, Outcome, now};
use postgres_server::Server;
use std::time::Duration;

/// Two nodes on a server of their own, each with its share.
fn two(server: &Server) -> [Node; 2] {
    let url = url(server, &server.create_database());
    let nodes = ["a", "b"].map(|name| Node::start(&url, name));
    until("the shards are even", || {
        nodes.iter().all(|node| node.read() == usize::from(SHARDS / 2) && node.status().moving == 0)
    });
    nodes
}

fn all_may_push(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| node.cluster.lease().allows(Duration::ZERO))
}

fn none_may_push(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| !node.cluster.lease().allows(Duration::ZERO))
}

/// No node was buried, and no shard was lost.
fn nothing_was_lost(nodes: &[Node]) {
    for node in nodes {
        let status = node.status();
        assert_eq!((status.counters.burials, status.counters.evictions), (0, 0), "{status:?}");
        assert_eq!(node.told.lost.lock().unwrap().len(), 0);
        assert_eq!(node.read(), usize::from(SHARDS / 2));
    }
}

#[test]
fn frozen_server_stops_pushes_which_resume_by_themselves() {
    let server = Server::start(&["fsync=off"], &[]);
    let nodes = two(&server);
    nodes[0].begin(process(1));
    let owner = &nodes[usize::from(!until_either(&nodes))];
    let acked = owner.acked(process(1), 1);
    server.freeze();
    let (lease, unsaved) = (owner.cluster.lease(), now());
    // A commit has no answer, so pushing stops long before the lease ends.
    assert!(owner.cluster.commit(vec![acked.clone()]).is_err());
    assert!(!lease.allows(now().since(unsaved)));
    until("leases end", || none_may_push(&nodes));
    assert!(nodes.iter().all(|node| !node.status().connected));
    server.thaw();
    let saved = [(process(1), Outcome::Judged(Verdict::Saved))];
    until("a commit succeeds", || {
        owner.cluster.commit(vec![acked.clone()]).is_ok_and(|outcome| outcome == saved)
    });
    until("leases begin again", || all_may_push(&nodes));
    until("all is well", || nodes.iter().all(|node| node.status().connected));
    nothing_was_lost(&nodes);
}

/// Whether the first node has read the process 1; or the second one has.
fn until_either(nodes: &[Node; 2]) -> bool {
    let mut first = false;
    until("one has read it", || {
        first = nodes[0].row(process(1)).is_some();
        first || nodes[1].row(process(1)).is_some()
    });
    first
}

#[test]
fn killed_server_stops_pushes_until_it_runs_again() {
    let server = Server::start(&[], &[]);
    let nodes = two(&server);
    server.kill();
    until("leases end", || none_may_push(&nodes));
    let (error, lasts) = nodes[0].status().last_error.unwrap();
    assert!(lasts && error.contains("database"), "{error}");
    server.run();
    until("leases begin again", || all_may_push(&nodes));
    nothing_was_lost(&nodes);
}

#[test]
fn server_that_is_down_at_the_start_is_tried_until_it_runs() {
    let server = Server::start(&["fsync=off"], &[]);
    let url = url(&server, &server.create_database());
    server.kill();
    let node = Node::start(&url, "early");
    until("it knows an error", || node.status().last_error.is_some());
    assert!(!node.cluster.lease().allows(Duration::ZERO));
    server.run();
    until("it owns everything", || node.read() == usize::from(SHARDS));
    let status = node.status();
    assert!(status.connected && status.failures > 0, "{status:?}");
}

#[test]
fn frozen_host_is_passed_over_for_the_next_one() {
    let (frozen, server) = (Server::start(&[], &[]), Server::shared());
    frozen.freeze();
    let (one, two) = (frozen.port(), server.port());
    let hosts = format!("127.0.0.1:1,127.0.0.1:{one},127.0.0.1:{two}");
    let database = server.create_database();
    let url = format!("postgresql://postgres@{hosts}/{database}?sslmode=disable");
    let node = Node::start(&url, "a");
    until("it owns everything", || node.read() == usize::from(SHARDS));
    until("all is well", || node.status().connected);
}

#[test]
fn cancelled_wait_for_a_replica_is_a_failed_commit() {
    let server = Server::start(&["fsync=off"], &[]);
    let database = server.create_database();
    let node = Node::alone(&url(&server, &database));
    node.begin(process(1));
    let acked = node.acked(process(1), 1);
    server.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'missing'");
    server.execute("postgres", "SELECT pg_reload_conf()");
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND query LIKE '%given_up AS%'";
    let committed = std::thread::scope(|scope| {
        let commit = scope.spawn(|| node.cluster.commit(vec![acked.clone()]));
        until("a commit was cancelled", || server.execute("postgres", cancel) != "0");
        commit.join().unwrap()
    });
    let warned = |error: &_| matches!(error, CommitError::Database(DatabaseError::Warned(text)) if text.contains("canceling"));
    assert!(committed.as_ref().is_err_and(warned), "{committed:?}");
    server.execute("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    server.execute("postgres", "SELECT pg_reload_conf()");
    let saved = Ok(vec![(process(1), Outcome::Judged(Verdict::Saved))]);
    until("a commit succeeds", || node.cluster.commit(vec![acked.clone()]) == saved);
}
