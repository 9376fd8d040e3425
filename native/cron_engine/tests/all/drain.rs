//! The whole way of a result, in simulation: from the CU's JSON through decoder, credit and push
//! to the ack. Whatever fails on the way, results arrive in order, each exactly once, and once
//! nothing fails any more they all arrive.

use crate::util::RATE;
use crate::util::watched::{Answer, Watched};
use crate::util::world::World;
use cron_engine::{Class, MonitorId, Report, Time};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeSet;
use std::time::Duration;

const RESULTS: u64 = 100_000;

/// A node that watches this one process.
fn watching(watched: Watched) -> (World, MonitorId) {
    let mut world = World::new(4);
    let id = world.start(1, RATE, watched);
    (world, id)
}

/// Runs until all results are delivered, and checks that they are: what was delivered only ever
/// grows at its end, so that it is right now says that it was right all the time.
fn drain(world: &mut World, id: MonitorId) {
    let results = world.of(id).results;
    let all = usize::try_from(results).unwrap();
    let done = world.drive(1_000_000, |world| world.watched[&id].delivered.len() >= all);
    let delivered = &world.of(id).delivered;
    assert!(done, "{} of {results} are delivered", delivered.len());
    assert_delivered(delivered, results);
}

fn assert_delivered(delivered: &[u64], results: u64) {
    assert!(delivered.iter().copied().eq(1..=results), "not in order, or not each once");
}

#[test]
fn drain_in_pages_of_1000_takes_one_tick() {
    let (mut world, id) = watching(Watched::new(RESULTS, 1000));
    drain(&mut world, id);
    assert_eq!(world.of(id).ticks.len(), 1);
    assert_eq!(world.of(id).fetched_at.len(), 101, "100 pages, and one to see that it is all");
    assert_eq!(world.of(id).reports, []);
    assert!(world.now.since(world.of(id).ticks[0]) < RATE * 2, "a matter of latency alone");
}

#[test]
fn drain_in_pages_of_500_takes_one_tick() {
    let (mut world, id) = watching(Watched::new(RESULTS, 500));
    drain(&mut world, id);
    assert_eq!(world.of(id).ticks.len(), 1);
    assert_eq!(world.of(id).fetched_at.len(), 201);
}

#[test]
fn drain_with_an_ack_for_each_edge_asks_for_no_more_pages() {
    let mut watched = Watched::new(20_000, 1000);
    watched.acks_each = true;
    let (mut world, id) = watching(watched);
    drain(&mut world, id);
    assert_eq!(world.of(id).ticks.len(), 1);
    assert_eq!(world.of(id).fetched_at.len(), 21);
}

#[test]
fn drain_with_an_engine_that_hears_of_pages_after_their_acks_takes_one_tick() {
    let mut watched = Watched::new(20_000, 1000);
    watched.told_after = Duration::from_millis(7);
    let (mut world, id) = watching(watched);
    drain(&mut world, id);
    assert_eq!(world.of(id).ticks.len(), 1);
    world.run_until(world.now + RATE * 5);
    assert!(world.of(id).ticks.len() >= 5, "nothing counts as unacked");
    assert_eq!(world.of(id).delivered.len(), 20_000);
}

#[test]
fn drain_that_is_over_asks_once_a_tick() {
    let (mut world, id) = watching(Watched::new(2500, 1000));
    drain(&mut world, id);
    world.run_until(world.now + RATE);
    let fetches = world.of(id).fetched_at.len();
    world.run_until(world.now + RATE * 20);
    assert_eq!(world.of(id).fetched_at.len(), fetches + 20);
    assert_eq!(world.engine.counters().missed_ticks, 0);
    assert_delivered(&world.of(id).delivered, 2500);
}

#[test]
fn drain_with_slow_pushes_is_held_to_two_pages() {
    let mut watched = Watched::new(5000, 500);
    watched.push_time = Duration::from_millis(5);
    let (mut world, id) = watching(watched);
    let mut most = 0;
    while world.of(id).delivered.len() < 5000 {
        assert!(world.step());
        most = most.max(world.of(id).held());
    }
    assert!((501..=1000).contains(&most), "one page ahead of the one being pushed, not {most}");
    assert_delivered(&world.of(id).delivered, 5000);
    assert_eq!(world.of(id).ticks.len(), 1, "25 seconds long no tick disturbs it");
    // Never idle: the page ahead was always there in time.
    let pushing = world.now.since(world.of(id).ticks[0]);
    assert!(pushing < Duration::from_millis(5 * 5000 + 100), "{pushing:?}");
}

#[test]
fn drain_with_pushes_that_fail_now_and_then_still_takes_one_tick() {
    let mut watched = Watched::new(RESULTS, 1000);
    watched.push_fails = Box::new(|attempt| attempt % 7001 == 7000);
    let (mut world, id) = watching(watched);
    drain(&mut world, id);
    let failures = world.of(id).pushes - RESULTS;
    assert_eq!(failures, 14);
    assert_eq!(world.of(id).ticks.len(), 1, "who waits to try again is not idle");
}

#[test]
fn drain_with_a_push_that_fails_for_long_waits_and_loses_nothing() {
    let mut watched = Watched::new(3000, 500);
    watched.push_fails = Box::new(|attempt| (700..1000).contains(&attempt));
    let (mut world, id) = watching(watched);
    world.run_until(Time::ZERO + RATE * 40);
    assert_eq!(world.of(id).delivered.len(), 700);
    assert_eq!(world.of(id).held(), 800, "the rest of that page and the one ahead");
    assert_eq!(world.of(id).fetched_at.len(), 3, "no fetch while it waits");
    drain(&mut world, id);
}

#[test]
fn drain_with_fetches_that_fail_goes_on_where_it_was() {
    let mut watched = Watched::new(10_000, 500);
    for round in 0..30 {
        let answer = match round % 3 {
            0 => Answer::Good,
            1 => Answer::Fail(Class::Timeout),
            _ => Answer::Body(b"<html>502 Bad Gateway</html>".to_vec()),
        };
        watched.answers.push_back(answer);
    }
    let (mut world, id) = watching(watched);
    drain(&mut world, id);
    assert_eq!(world.engine.counters().failures, 20);
    let recoveries = |report: &&Report| matches!(report, Report::Recovered { failures: 2 });
    assert_eq!(world.of(id).reports.iter().filter(recoveries).count(), 10);
}

#[test]
fn drain_with_results_that_come_meanwhile_takes_them_along() {
    let (mut world, id) = watching(Watched::new(1000, 100));
    for round in 1..=10 {
        assert!(world.drive(10_000, |world| world.watched[&id].delivered.len() >= 100 * round));
        world.of(id).results += 50;
    }
    drain(&mut world, id);
    assert_eq!(world.of(id).results, 1500);
    assert_eq!(world.of(id).ticks.len(), 1, "the poll goes on until nothing is left");
}

#[test]
fn drain_of_hundreds_of_processes_at_once_is_in_order_for_each() {
    let mut world = World::new(8);
    let ids: Vec<MonitorId> =
        (1..=300).map(|n| world.start(n, RATE, Watched::new(n % 90, 1 + n % 17))).collect();
    world.run_until(Time::ZERO + RATE * 30);
    for id in ids {
        assert_delivered(&world.watched[&id].delivered, id.0 % 90);
        assert_eq!(world.watched[&id].held(), 0);
    }
    assert_eq!(world.most_inflight, 8);
    let quiet = |world: &World| {
        let counters = world.engine.counters();
        (counters.inflight, counters.queued) == (0, 0)
    };
    assert!(world.drive(10_000, quiet), "every place was given back");
}

/// What a fetch may bring in the random schedules. A page cut short must never count as a page,
/// and one that is empty by mistake just ends the poll.
fn answer() -> impl Strategy<Value = Answer> {
    let page = r#"{"pageInfo":{"hasNextPage":true},"edges":[{"node":{"Output":1},"cursor":"c1"}"#;
    let bodies =
        ["", "<html>", "{}", "null", r#"{"edges":[{"node":{}}]}"#, r#"{"edges":[]}"#, page];
    let body = prop::sample::select(bodies.to_vec());
    prop_oneof![
        4 => Just(Answer::Good),
        1 => prop::sample::select(Class::all().collect::<Vec<_>>()).prop_map(Answer::Fail),
        1 => body.prop_map(|body| Answer::Body(body.as_bytes().to_vec())),
    ]
}

/// What happens from outside while the node runs.
#[derive(Debug, Clone)]
enum Act {
    Wait(u64),
    Poll,
    Produce(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1..3000_u64).prop_map(Act::Wait),
        Just(Act::Poll),
        (1..30_u64).prop_map(Act::Produce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The world itself checks at each step that no monitor holds or fetches more than two pages,
    /// that each has one fetch at a time, and that edges are numbered through.
    #[test]
    fn drain_over_any_schedule_of_failures_delivers_everything_in_order(
        results in 0..200_u64,
        page_limit in 1..40_u64,
        latency in prop::sample::select(vec![0, 1, 300, 999, 1000, 1001, 2500]),
        told_after in prop::sample::select(vec![0, 1, 50, 1500]),
        push_time in prop::sample::select(vec![0, 1, 70, 1000]),
        acks_each in any::<bool>(),
        answers in prop::collection::vec(answer(), 0..40),
        failing in prop::collection::btree_set(0..150_u64, 0..40),
        acts in prop::collection::vec(act(), 0..30),
    ) {
        let mut watched = Watched::new(results, page_limit);
        watched.latency = Duration::from_millis(latency);
        watched.told_after = Duration::from_millis(told_after);
        watched.push_time = Duration::from_millis(push_time);
        watched.acks_each = acks_each;
        watched.answers = answers.into();
        watched.push_fails = Box::new(move |attempt| BTreeSet::contains(&failing, &attempt));
        let (mut world, id) = watching(watched);
        for act in acts {
            match act {
                Act::Wait(millis) => world.run_until(world.now + Duration::from_millis(millis)),
                Act::Poll => world.poll(id),
                Act::Produce(more) => world.of(id).results += more,
            }
            let delivered = &world.of(id).delivered;
            assert_delivered(delivered, u64::try_from(delivered.len()).unwrap());
        }
        drain(&mut world, id);
        // Nothing comes a second time, and the monitor is back in its rhythm.
        world.run_until(world.now + RATE * 50);
        // Failures may be left for empty polls to meet, each with a pause of up to minutes.
        while !world.of(id).answers.is_empty() {
            world.run_until(world.now + RATE * 10);
        }
        world.run_until(world.now + RATE * 300);
        let ticks = world.of(id).ticks.len();
        world.run_until(world.now + RATE * 20);
        let results = world.of(id).results;
        assert_delivered(&world.of(id).delivered, results);
        prop_assert!(world.of(id).ticks.len() >= ticks + 5);
    }
}
