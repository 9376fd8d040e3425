//! Many monitors in one engine: they share the places for fetches fairly, always return them, and
//! tick on their own grids, which never move.

use crate::util::watched::{Answer, Watched};
use crate::util::world::World;
use crate::util::{RATE, after, config, failure, page_to, process, registration};
use cron_engine::{
    Action, Class, Engine, Event, Fetched, MonitorId, Position, Registration, Request, Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// An engine with `count` monitors from 1 on, without a world around it.
fn engine_of(count: u64, max_inflight: usize, rate: Duration) -> Engine {
    let mut engine = Engine::new(config(max_inflight));
    for number in 1..=count {
        let registration = registration(MonitorId(number), rate, Position::Earliest);
        engine.handle_event(Time::ZERO, Event::Register(registration));
    }
    engine
}

/// What the engine wants done, each with the monitor it is for.
fn actions(engine: &mut Engine) -> Vec<(&'static str, u64)> {
    let action = |engine: &mut Engine| {
        Some(match engine.poll_action()? {
            Action::Tick { id } => ("tick", id.0),
            Action::Fetch { id, .. } => ("fetch", id.0),
            Action::Save { id, .. } => ("save", id.0),
            Action::Report { id, .. } => ("report", id.0),
            Action::Breaker { id, .. } => ("breaker", id.0),
        })
    };
    std::iter::from_fn(|| action(engine)).collect()
}

fn tell(engine: &mut Engine, event: Event) -> Vec<(&'static str, u64)> {
    engine.handle_event(Time::ZERO, event);
    actions(engine)
}

fn empty(id: u64) -> Event {
    Event::Fetched(MonitorId(id), Ok(Fetched::EmptyPage))
}

#[test]
fn node_with_one_place_serves_a_page_a_turn() {
    let mut world = World::new(1);
    let mut started = vec![world.start(1, RATE * 1000, Watched::new(5000, 10))];
    started.extend((2..=6).map(|n| world.start(n, RATE * 1000, Watched::new(30, 10))));
    for id in &started {
        world.poll(*id);
    }
    // The long backlog gets one page at a time, like all others.
    assert!(world.drive(5000, |world| world.turns.len() >= 24));
    for round in world.turns.chunks(6).take(4) {
        assert_eq!(round, started, "first come, first served");
    }
    for id in &started[1..] {
        assert_eq!(world.watched[id].delivered.len(), 30);
    }
    assert_eq!(world.watched[&started[0]].delivered.len(), 40);
    assert_eq!(world.most_inflight, 1);
}

#[test]
fn node_serves_those_who_wait_in_the_order_they_came() {
    let mut engine = engine_of(5, 1, RATE);
    for id in [4, 2, 5, 1, 3] {
        tell(&mut engine, Event::Poll(MonitorId(id)));
    }
    assert_eq!(engine.counters().queued, 4);
    for (answered, next) in [(4, 2), (2, 5), (5, 1), (1, 3)] {
        assert_eq!(tell(&mut engine, empty(answered)), [("fetch", next)]);
    }
    assert_eq!(tell(&mut engine, empty(3)), []);
    assert_eq!((engine.counters().inflight, engine.counters().queued), (0, 0));
}

#[test]
fn node_never_has_more_fetches_under_way_than_allowed() {
    for limit in [1, 7, 64] {
        let mut world = World::new(limit);
        for number in 1..=200 {
            let mut watched = Watched::new(number % 50, 7);
            watched.latency = Duration::from_millis(300 + number * 7 % 90);
            watched.answers = (0..number % 4).map(|_| Answer::Fail(Class::Timeout)).collect();
            world.start(number, RATE, watched);
        }
        // The world checks the limit at each fetch.
        world.run_until(Time::ZERO + RATE * 10);
        assert_eq!(world.most_inflight, limit, "and all places are made use of");
    }
}

#[test]
fn node_with_no_place_allowed_has_one() {
    let mut engine = engine_of(2, 0, RATE);
    assert_eq!(tell(&mut engine, Event::Poll(MonitorId(1))), [("fetch", 1)]);
    assert_eq!(tell(&mut engine, Event::Poll(MonitorId(2))), []);
    assert_eq!(tell(&mut engine, empty(1)), [("fetch", 2)]);
}

#[test]
fn node_skips_a_monitor_that_was_removed_while_queued() {
    let mut engine = engine_of(4, 1, RATE);
    for id in 1..=4 {
        tell(&mut engine, Event::Poll(MonitorId(id)));
    }
    assert_eq!(tell(&mut engine, Event::Removed(MonitorId(2))), []);
    assert_eq!(tell(&mut engine, Event::Removed(MonitorId(3))), []);
    assert_eq!(tell(&mut engine, empty(1)), [("fetch", 4)]);
    assert_eq!(tell(&mut engine, empty(4)), []);
    let counters = engine.counters();
    assert_eq!((counters.inflight, counters.queued, counters.fetches), (0, 0, 2));
}

#[test]
fn node_does_not_count_a_removed_monitor_as_queued() {
    let mut engine = engine_of(2, 1, RATE);
    tell(&mut engine, Event::Poll(MonitorId(1)));
    tell(&mut engine, Event::Poll(MonitorId(2)));
    assert_eq!(engine.counters().queued, 1);
    tell(&mut engine, Event::Removed(MonitorId(2)));
    assert_eq!(engine.counters().queued, 0);
}

#[test]
fn node_keeps_the_place_of_a_removed_monitor_until_its_fetch_ended() {
    for outcome in [Ok(Fetched::EmptyPage), Err(failure(Class::Internal))] {
        let mut engine = engine_of(2, 1, RATE);
        tell(&mut engine, Event::Poll(MonitorId(1)));
        tell(&mut engine, Event::Poll(MonitorId(2)));
        assert_eq!(tell(&mut engine, Event::Removed(MonitorId(1))), [], "the socket is busy yet");
        assert_eq!(engine.counters().inflight, 1);
        let answer = Event::Fetched(MonitorId(1), outcome);
        assert_eq!(tell(&mut engine, answer), [("fetch", 2)], "and nothing is reported");
    }
}

#[test]
fn node_whose_monitors_come_and_go_at_all_times_loses_no_place() {
    let mut world = World::new(3);
    let mut running = Vec::new();
    for number in 1..=1000 {
        let position = if number % 3 == 0 { Position::Unresolved } else { Position::Earliest };
        running.push(world.start(number, RATE, Watched::new(25, 10).beginning(position)));
        world.poll(MonitorId(number));
        world.run_until(world.now + Duration::from_millis(number * 13 % 11));
        if number > 20 {
            let index = usize::try_from(number * 7).unwrap() % running.len();
            world.stop(running.swap_remove(index));
        }
    }
    for id in running {
        world.stop(id);
    }
    world.run_until(world.now + RATE * 5);
    let counters = world.engine.counters();
    assert_eq!((counters.monitors, counters.inflight, counters.queued), (0, 0, 0));
    assert_eq!(world.engine.poll_timeout(), None);
    assert_eq!(world.most_inflight, 3);
}

#[test]
fn node_drops_the_answers_for_an_old_registration() {
    let mut engine = Engine::new(config(4));
    let same = process(7);
    for id in [MonitorId(1), MonitorId(2)] {
        let position = Position::Earliest;
        tell(&mut engine, Event::Register(Registration::new(id, same, RATE, position)));
        assert_eq!(tell(&mut engine, Event::Poll(id)), [("fetch", id.0)]);
        if id == MonitorId(1) {
            tell(&mut engine, Event::Removed(id));
        }
    }
    let page = |last| Ok(page_to(3, last, 300));
    assert_eq!(tell(&mut engine, Event::Fetched(MonitorId(1), page("old"))), []);
    engine.handle_event(Time::ZERO, Event::Fetched(MonitorId(2), page("new")));
    let Some(Action::Fetch { request, .. }) = engine.poll_action() else { panic!("no fetch") };
    let Request::Page(asked) = request else { panic!("no page") };
    assert_eq!((asked.from, asked.first_seq), (after("new"), 4));
}

#[test]
fn node_spreads_the_first_ticks_of_10_000_monitors() {
    let rate = Duration::from_secs(10);
    let mut engine = engine_of(10_000, 64, rate);
    let mut seconds = [0_u32; 10];
    let mut ticked = std::collections::BTreeSet::new();
    while let Some(due) = engine.poll_timeout().filter(|due| *due <= Time::ZERO + rate) {
        engine.handle_timeout(due);
        for (what, id) in actions(&mut engine) {
            assert_eq!(what, "tick");
            assert!(ticked.insert(id), "{id} ticked twice within its first rate");
            seconds[usize::try_from((due.as_micros() - 1) / 1_000_000).unwrap()] += 1;
        }
    }
    assert_eq!(ticked.len(), 10_000);
    assert!(seconds.iter().all(|count| (850..1150).contains(count)), "{seconds:?}");
}

#[test]
fn node_gives_a_process_the_same_phase_each_time_it_starts() {
    let phase = |start: Time| {
        let mut engine = Engine::new(config(1));
        let (id, process, position) = (MonitorId(start.as_micros()), process(5), after("x"));
        engine.handle_event(start, Event::Register(Registration::new(id, process, RATE, position)));
        engine.poll_timeout().unwrap().since(start)
    };
    assert_eq!(phase(Time::ZERO), phase(Time::from_millis(98_765)));
}

#[test]
fn node_skips_the_ticks_it_missed() {
    let mut watched = Watched::new(0, 10);
    watched.latency = Duration::from_millis(3500);
    let mut world = World::new(1);
    let id = world.start(1, RATE, watched);
    world.run_until(Time::ZERO + RATE * 41);
    let ticks = &world.watched[&id].ticks;
    let gaps: Vec<Duration> = ticks.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert_eq!(gaps, vec![RATE * 4; 10], "every fourth point, and never two at once");
    assert_eq!(world.engine.counters().missed_ticks, 30);
}

#[test]
fn node_that_is_called_late_ticks_once_for_all_that_was_due() {
    let mut engine = engine_of(1, 1, RATE);
    let first = engine.poll_timeout().unwrap();
    engine.handle_timeout(first + Duration::from_millis(5300));
    assert_eq!(actions(&mut engine), [("tick", 1)]);
    assert_eq!(engine.counters().missed_ticks, 5);
    assert_eq!(engine.poll_timeout(), Some(first + RATE * 6));
}

#[test]
fn node_that_is_always_called_late_does_not_drift() {
    let mut engine = engine_of(1, 1, RATE);
    let first = engine.poll_timeout().unwrap();
    for k in 0..1000 {
        let due = engine.poll_timeout().unwrap();
        assert_eq!(due, first + RATE * k);
        engine.handle_timeout(due + Duration::from_micros(u64::from(k) * 997));
        assert_eq!(actions(&mut engine), [("tick", 1)]);
        assert_eq!(tell(&mut engine, Event::Poll(MonitorId(1))), [("fetch", 1)]);
        assert_eq!(tell(&mut engine, empty(1)), []);
    }
    assert_eq!(engine.counters().missed_ticks, 0);
}

#[test]
fn node_with_monitors_of_many_rates_wakes_each_at_its_own() {
    let mut engine = Engine::new(config(64));
    for number in 1..=20 {
        let (id, process) = (MonitorId(number), process(number));
        let (rate, position) = (Duration::from_millis(number), Position::Earliest);
        engine.handle_event(
            Time::ZERO,
            Event::Register(Registration::new(id, process, rate, position)),
        );
    }
    let mut ticks: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some(due) = engine.poll_timeout().filter(|due| *due <= Time::from_millis(1000)) {
        engine.handle_timeout(due);
        for (_, id) in actions(&mut engine) {
            *ticks.entry(id).or_default() += 1;
            tell(&mut engine, Event::Poll(MonitorId(id)));
            tell(&mut engine, empty(id));
        }
    }
    for (id, count) in ticks {
        assert!((1000 / id..=1000 / id + 1).contains(&count), "{count} ticks every {id} ms");
    }
}

#[test]
fn node_starts_an_unresolved_monitor_behind_what_is_there() {
    let mut world = World::new(4);
    let id = world.start(1, RATE, Watched::new(100, 10).beginning(Position::Unresolved));
    world.run_until(Time::ZERO + RATE * 3);
    assert!(world.of(id).delivered.is_empty());
    world.of(id).results = 125;
    world.run_until(world.now + RATE * 2);
    assert!(world.of(id).delivered.iter().copied().eq(101..=125));
    let none_yet = world.start(2, RATE, Watched::new(0, 10).beginning(Position::Unresolved));
    world.run_until(world.now + RATE);
    world.of(none_yet).results = 3;
    world.run_until(world.now + RATE * 2);
    assert_eq!(world.of(none_yet).delivered, [1, 2, 3]);
}

#[test]
fn node_says_when_the_ticks_it_just_decided_on_were_due() {
    let mut engine = engine_of(3, 4, RATE);
    let first = engine.poll_timeout().unwrap();
    let late = first + RATE;
    engine.handle_timeout(late);
    assert_eq!(engine.ticks_due().len(), 3);
    assert!(engine.ticks_due().is_sorted());
    assert_eq!(engine.ticks_due().first(), Some(&first));
    // Those that were not polled for since are missed, not late.
    engine.handle_timeout(late + RATE);
    assert!(engine.ticks_due().is_empty());
}
