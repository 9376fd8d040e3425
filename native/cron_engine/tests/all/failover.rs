//! Monitors that have more than one node, or are given others: they go on with one that works at once,
//! and never ask one that fails more often for it.

use crate::util::hosted::{Behaviour, Hosted, QUICK, RATE};
use crate::util::{NOTHING, config, failure, registration};
use cron_engine::{
    Action, Class, Engine, Event, Fetched, HostId, MonitorId, Position, Registration, Time,
};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn failover_moves_all_monitors_of_a_dead_host_to_the_next_node() {
    let mut node = Hosted::new(64);
    node.start(0..1000, &[1, 2]);
    node.run_for(RATE * 2);
    assert_eq!(node.asked(2), 0, "the first one is good enough");
    node.hosts.insert(1, Behaviour::Refuses);
    let seen = node.delays[&MonitorId(7)].len();
    node.run_for(RATE * 6);
    assert!(node.asked(2) >= 1000 * 5);
    assert!(node.worst(0..1000, seen) <= QUICK * 6, "{:?}", node.worst(0..1000, seen));
}

#[test]
fn failover_of_who_waits_for_a_host_that_is_shut_is_at_once() {
    let mut engine = Engine::new(config(1));
    let mut tell = |event| {
        engine.handle_event(Time::ZERO, event);
        std::iter::from_fn(|| engine.poll_action()).collect::<Vec<_>>()
    };
    for id in (1..=6).map(MonitorId) {
        let nodes = if id.0 == 6 { [1, 2].map(HostId).into() } else { [HostId(1)].into() };
        let registration = registration(id, RATE, Position::Earliest);
        tell(Event::Register(Registration { nodes, ..registration }));
        tell(Event::Poll(id));
    }
    let mut fail = |id| tell(Event::Fetched(MonitorId(id), Err(failure(Class::Connect))));
    let last = (1..=5).map(&mut fail).last().unwrap();
    let asks = |action: &Action| matches!(action, Action::Fetch { id: MonitorId(6), node: 1, .. });
    assert!(last.iter().any(asks), "{last:?}");
}

#[test]
fn failover_to_a_node_that_fails_while_the_other_is_left_alone_waits_before_it_is_asked_again() {
    for other in [Behaviour::Busy(Duration::from_mins(2)), Behaviour::Refuses] {
        let mut node = Hosted::new(64);
        node.hosts.insert(1, other);
        node.hosts.insert(2, Behaviour::Garbage);
        // Those of the first host alone keep its breaker open.
        node.start(10..30, &[1]);
        node.run_for(RATE);
        node.start(0..1, &[1, 2]);
        node.run_for(Duration::from_mins(2));
        let asked = &node.requests[&HostId(2)];
        assert!(asked.len() >= 5, "{asked:?}");
        let at_once = asked.windows(2).filter(|pair| pair[1].since(pair[0]) <= QUICK).count();
        assert_eq!(at_once, 0, "asked twice in a row: {other:?}, {asked:?}");
    }
}

#[test]
fn failover_either_host_that_comes_back_serves_who_waits_for_the_one_that_opens_sooner() {
    for back in [1, 2] {
        let mut engine = Engine::new(config(64));
        let mut tell = |event| {
            engine.handle_event(Time::ZERO, event);
            std::iter::from_fn(|| engine.poll_action()).collect::<Vec<_>>()
        };
        let registered = |id: u64, nodes: &[u64]| {
            let nodes = nodes.iter().copied().map(HostId).collect();
            let registration = registration(MonitorId(id), RATE, Position::Earliest);
            Event::Register(Registration { nodes, ..registration })
        };
        // Of each host one fetch, the first, is under way from before it was shut.
        for (host, monitor) in [1, 2].into_iter().flat_map(|host| (0..6).map(move |n| (host, n))) {
            tell(registered(host * 10 + monitor, &[host]));
            assert_eq!(tell(Event::Poll(MonitorId(host * 10 + monitor))).len(), 1);
        }
        for id in (11..=15).chain(21..=25) {
            tell(Event::Fetched(MonitorId(id), Err(failure(Class::Connect))));
        }
        tell(registered(7, &[1, 2]));
        assert_eq!(tell(Event::Poll(MonitorId(7))), NOTHING, "both are shut");
        let actions = tell(Event::Fetched(MonitorId(back * 10), Ok(Fetched::EmptyPage)));
        let node = usize::try_from(back - 1).unwrap();
        let asks = |action: &Action| matches!(action, Action::Fetch { id: MonitorId(7), node: asked, .. } if *asked == node);
        assert!(actions.iter().any(asks), "host {back} is back: {actions:?}");
    }
}

#[test]
fn moved_to_nodes_of_the_same_hosts_a_monitor_keeps_its_turn() {
    let mut engine = Engine::new(config(1));
    for id in (1..=3).map(MonitorId) {
        let registration = registration(id, RATE, Position::Earliest);
        engine.handle_event(Time::ZERO, Event::Register(registration));
        engine.handle_event(Time::ZERO, Event::Poll(id));
    }
    let same: Arc<[HostId]> = Arc::from([HostId(0)]);
    engine.handle_event(Time::ZERO, Event::Moved(MonitorId(2), same));
    let mut order = Vec::new();
    while let Some(Action::Fetch { id, .. }) = engine.poll_action() {
        order.push(id.0);
        engine.handle_event(Time::ZERO, Event::Fetched(id, Ok(Fetched::EmptyPage)));
    }
    assert_eq!(order, [1, 2, 3]);
    assert_eq!(engine.counters().queued, 0);
}

#[test]
fn moved_to_another_host_a_monitor_that_waits_for_a_dead_one_is_served_at_once() {
    let mut node = Hosted::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..50, &[1]);
    node.run_for(Duration::from_mins(1));
    let queued = node.engine.counters().queued;
    let hosts: Arc<[HostId]> = Arc::from([HostId(2)]);
    node.nodes.insert(MonitorId(7), Arc::clone(&hosts));
    node.tell(Event::Moved(MonitorId(7), hosts));
    node.run_for(QUICK);
    assert_eq!(node.asked(2), 1);
    assert_eq!(node.engine.counters().queued, queued - 1);
}
