//! Hosts that are dead, slow or busy: their monitors wait without costing much, and the monitors of
//! other hosts, and the other monitors of the same host, keep their ticks.

use crate::util::hosted::{Behaviour, Hosted, LIMIT, QUICK, RATE};
use crate::util::{config, failure, registration};
use cron_engine::{
    Action, Class, Engine, Event, Fetched, HostId, MonitorId, Position, Registration, Time,
};
use std::time::Duration;

#[test]
fn dead_host_of_a_thousand_monitors_costs_a_request_now_and_then() {
    let mut node = Hosted::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1000, &[1]);
    node.start(1000..2000, &[2]);
    node.run_for(RATE);
    assert!(node.asked(1) < 30, "before and after the breaker opened: {}", node.asked(1));
    let before = node.asked(1);
    node.run_for(Duration::from_mins(10));
    let rate = node.asked(1) - before;
    assert!((60..=240).contains(&rate), "one probe every 5 s or so: {rate}");
    assert_eq!(node.engine.counters().open_breakers, 1);
    assert!(node.worst(1000..2000, 0) <= QUICK * 4, "{:?}", node.worst(1000..2000, 0));
}

#[test]
fn dead_host_of_hundreds_does_not_hurry_the_monitors_of_another() {
    let mut node = Hosted::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1000, &[1]);
    node.start(1000..1010, &[2]);
    node.run_for(Duration::from_mins(1));
    node.processes.insert(MonitorId(1010), Behaviour::Slow(Duration::from_secs(1)));
    node.start(1010..1011, &[2]);
    node.run_for(Duration::from_mins(1));
    assert!(node.delays[&MonitorId(1010)].len() >= 5);
    assert_eq!(node.engine.counters().demotions, 0, "who waits for a dead host needs no place");
}

#[test]
fn dead_host_that_comes_back_is_noticed_soon_and_serves_all_that_waited() {
    let mut node = Hosted::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1000, &[1]);
    node.run_for(Duration::from_mins(30));
    node.hosts.insert(1, Behaviour::Good);
    node.run_for(Duration::from_secs(11));
    let answered =
        node.requests[&HostId(1)].iter().filter(|at| **at > Time::ZERO + Duration::from_mins(30));
    assert!(answered.count() >= 1000);
    assert_eq!(node.engine.counters().open_breakers, 0);
    assert_eq!(node.engine.counters().queued, 0);
    assert_eq!(node.breakers.last().map(|(opened, _)| *opened), Some(false));
}

#[test]
fn dead_host_that_comes_back_slower_than_it_was_is_noticed_soon() {
    for time in [Duration::from_millis(300), Duration::from_secs(3), Duration::from_secs(20)] {
        let mut node = Hosted::new(64);
        node.start(0..1000, &[1]);
        node.run_for(RATE);
        node.hosts.insert(1, Behaviour::Refuses);
        node.run_for(Duration::from_mins(10));
        node.hosts.insert(1, Behaviour::Slow(time));
        node.run_for(Duration::from_mins(2));
        assert_eq!(node.engine.counters().open_breakers, 0, "{time:?}");
    }
}

#[test]
fn dead_host_of_one_monitor_is_probed_every_few_seconds() {
    let mut node = Hosted::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1, &[1]);
    node.run_for(Duration::from_mins(30));
    let asked = &node.requests[&HostId(1)];
    let gaps = asked.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.max().unwrap() <= Duration::from_secs(17), "its own backoff before it opened");
}

#[test]
fn host_that_hangs_for_all_leaves_the_others_their_places() {
    let mut node = Hosted::new(64);
    node.start(0..1000, &[1]);
    node.start(1000..2000, &[2]);
    node.run_for(RATE * 2);
    node.hosts.insert(1, Behaviour::Hangs);
    let seen = node.delays[&MonitorId(1000)].len();
    node.run_for(Duration::from_mins(10));
    assert_eq!(node.engine.counters().open_breakers, 1);
    assert!(node.worst(1000..2000, seen) <= QUICK * 4, "{:?}", node.worst(1000..2000, seen));
    assert!(node.asked(1) < 6000, "{}", node.asked(1));
}

#[test]
fn processes_that_hang_do_not_hold_up_the_good_ones_of_the_same_host() {
    let mut node = Hosted::new(64);
    // A fifth of them hangs, a tenth is garbage; all from the first moment on.
    for id in 0..5000 {
        let behaviour = match id % 10 {
            0 | 1 => Behaviour::Hangs,
            2 => Behaviour::Garbage,
            _ => Behaviour::Good,
        };
        node.processes.insert(MonitorId(id), behaviour);
    }
    node.start(0..5000, &[1]);
    node.run_for(Duration::from_mins(5));
    let counters = node.engine.counters();
    assert_eq!(counters.open_breakers, 0);
    assert!(counters.demotions >= 900, "{}", counters.demotions);
    // What hangs is known after half a minute.
    let mut late = 0;
    for id in (0..5000).filter(|id| id % 10 > 2) {
        let delays = &node.delays[&MonitorId(id)];
        assert!(delays.len() >= 25, "{id}: {}", delays.len());
        late += delays.iter().skip(4).filter(|delay| **delay > QUICK * 4).count();
    }
    assert_eq!(late, 0, "polls that were held up");
}

#[test]
fn processes_that_time_out_together_do_not_open_the_breaker_of_a_host_that_answers_others() {
    let mut node = Hosted::new(64);
    for id in 0..10 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..20, &[1]);
    // All at once, with places to spare: no fetch is cut short, and all that hang end together.
    (0..20).for_each(|id| node.tell(Event::Poll(MonitorId(id))));
    node.run_for(LIMIT + RATE);
    assert_eq!(node.breakers, []);
    assert!(node.worst(10..20, 0) <= QUICK * 2);
}

#[test]
fn processes_that_start_while_hundreds_hang_are_served_within_seconds() {
    let mut node = Hosted::new(64);
    for id in 0..1000 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..1000, &[1]);
    node.run_for(Duration::from_secs(7));
    node.start(1000..4500, &[1]);
    node.run_for(Duration::from_mins(2));
    for id in 1000..4500 {
        let delays = &node.delays[&MonitorId(id)];
        assert!(delays.len() >= 9, "{id}: {}", delays.len());
        assert!(delays.iter().skip(2).all(|delay| *delay <= QUICK * 4), "{id}: {delays:?}");
    }
}

#[test]
fn one_good_process_among_many_that_hang_is_not_stopped_by_the_breaker_for_long() {
    let mut node = Hosted::new(64);
    for id in 0..20 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..21, &[1]);
    node.run_for(Duration::from_mins(30));
    let good = &node.delays[&MonitorId(20)];
    assert!(good.len() > 160, "{}", good.len());
    assert!(good.iter().skip(10).all(|delay| *delay <= QUICK * 2), "{:?}", good.iter().max());
}

#[test]
fn process_that_recovers_from_slowness_is_fast_again() {
    let mut node = Hosted::new(4);
    node.processes.insert(MonitorId(0), Behaviour::Hangs);
    node.start(0..8, &[1]);
    node.run_for(Duration::from_mins(5));
    node.processes.clear();
    node.run_for(Duration::from_mins(12));
    let seen = node.delays[&MonitorId(0)].len();
    node.run_for(Duration::from_mins(5));
    assert!(node.worst(0..8, seen) <= QUICK * 4);
    assert_eq!(node.engine.counters().slow, 0);
}

#[test]
fn host_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let mut node = Hosted::new(64);
    let pause = Duration::from_secs(90);
    node.hosts.insert(1, Behaviour::Busy(pause));
    node.start(0..1000, &[1]);
    node.start(1000..1100, &[2]);
    node.run_for(Duration::from_mins(15));
    // Five to open the breaker, then a probe each time it is over; monitors that waited on their
    // own are among them.
    assert!(node.asked(1) <= 5 + 10, "{}", node.asked(1));
    assert!(node.worst(1000..1100, 0) <= QUICK * 4);
}

#[test]
fn unused_hosts_are_forgotten_while_monitors_come_and_go() {
    let mut node = Hosted::new(4);
    for round in 0..2000_u64 {
        node.hosts.insert(round, Behaviour::Refuses);
        node.start(round..round + 1, &[round]);
        node.tell(Event::Poll(MonitorId(round)));
        node.run_for(Duration::from_millis(3));
        node.nodes.remove(&MonitorId(round));
        node.tell(Event::Removed(MonitorId(round)));
    }
    node.run_for(Duration::from_mins(20));
    let counters = node.engine.counters();
    assert_eq!((counters.monitors, counters.queued, counters.open_breakers), (0, 0, 0));
    assert_eq!(node.engine.poll_timeout(), None);
}

#[test]
fn monitors_that_stop_while_their_host_is_dead_leave_nothing_in_its_queue() {
    let mut node = Hosted::new(4);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..10, &[1]);
    node.run_for(Duration::from_mins(2));
    for id in 100..20_000 {
        node.start(id..id + 1, &[1]);
        node.tell(Event::Poll(MonitorId(id)));
        node.tell(Event::Removed(MonitorId(id)));
    }
    assert_eq!(node.engine.counters().queued, 10 - node.engine.counters().inflight);
    node.hosts.insert(1, Behaviour::Good);
    node.run_for(Duration::from_mins(2));
    assert!(node.worst(0..10, 0) < Duration::from_mins(5));
    assert_eq!(node.engine.counters().queued, 0);
}

#[test]
fn host_that_is_shut_keeps_the_turns_of_those_who_wait_for_it() {
    let mut engine = Engine::new(config(1));
    let mut tell = |at, event| {
        engine.handle_event(at, event);
        engine.handle_timeout(at);
        let actions = std::iter::from_fn(|| engine.poll_action());
        let fetch = |action| if let Action::Fetch { id, .. } = action { Some(id.0) } else { None };
        actions.filter_map(fetch).collect::<Vec<_>>()
    };
    for (id, host) in (1..=8).map(|id| (MonitorId(id), if id > 6 { 2 } else { 1 })) {
        let registration = registration(id, RATE * 3600, Position::Earliest);
        let nodes = [HostId(host)].into();
        tell(Time::ZERO, Event::Register(Registration { nodes, ..registration }));
        tell(Time::ZERO, Event::Poll(id));
    }
    for (id, next) in (1..=5).zip([2, 3, 4, 5, 7]) {
        let failed = Event::Fetched(MonitorId(id), Err(failure(Class::Connect)));
        assert_eq!(tell(Time::ZERO, failed), [next], "after five it is shut");
    }
    let later = Time::ZERO + Duration::from_secs(11);
    tell(later, Event::Poll(MonitorId(99)));
    assert_eq!(tell(later, Event::Fetched(MonitorId(7), Ok(Fetched::EmptyPage))), [6], "and not 8");
}
