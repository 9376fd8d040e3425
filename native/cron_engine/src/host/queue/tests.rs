//! The queue by itself: places, lanes, shares, and what it keeps of those who are gone. That what it decides
//! is fair to many monitors of many hosts is seen in the tests of whole nodes.

use super::*;
use crate::Time;
use crate::host::verdict::Verdict;
use fastrand::Rng;

const A: HostId = HostId(1);
const B: HostId = HostId(2);
const C: HostId = HostId(3);

/// A queue with this many places, and a monitor at each of these hosts.
fn queue(places: usize, hosts: &[HostId]) -> Queue {
    let mut queue = Queue::new(places);
    for host in hosts {
        queue.join(*host);
    }
    queue
}

/// These monitors wait at the host, in this order.
fn push(queue: &mut Queue, host: HostId, lane: Lane, ids: impl IntoIterator<Item = u64>) {
    ids.into_iter().for_each(|id| queue.push(host, lane, MonitorId(id)));
}

/// This many fetches are under way.
fn begin(queue: &mut Queue, host: HostId, lane: Lane, fetches: usize) {
    (0..fetches).for_each(|_| assert!(!queue.begin(host, lane), "no probe"));
}

fn pop(queue: &mut Queue) -> Option<u64> {
    queue.pop().map(|(.., MonitorId(id))| id)
}

/// Who is still in the queue, in whatever order.
fn waiting(queue: &Queue) -> usize {
    let lens = |host: &Host| host.waiting.fast.len() + host.waiting.slow.len();
    queue.hosts.values().map(lens).sum()
}

/// The breaker of the host opens.
fn shut(queue: &mut Queue, host: HostId) {
    let mut rng = Rng::with_seed(1);
    let entry = queue.host(host).unwrap();
    for _ in 0..100 {
        entry.breaker.ended(Time::ZERO, &mut rng, None, Verdict::Failed(None));
    }
    assert!(!entry.breaker.is_closed());
    queue.refresh(host);
}

#[test]
fn waiting_at_any_host_in_any_lane_are_served_by_when_they_came() {
    let mut queue = queue(8, &[A, B]);
    push(&mut queue, A, Lane::Slow, [1]);
    push(&mut queue, B, Lane::Fast, [2]);
    push(&mut queue, A, Lane::Fast, [3]);
    push(&mut queue, B, Lane::Slow, [4]);
    assert_eq!(queue.waiting, 4);
    let served: Vec<u64> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert_eq!(served, [1, 2, 3, 4]);
    assert_eq!(queue.waiting, 0);
}

#[test]
fn places_that_are_taken_in_both_lanes_leave_none_until_a_fetch_ends() {
    for (ends, fast) in [(Lane::Fast, 2), (Lane::Slow, 3)] {
        let mut queue = queue(4, &[A]);
        begin(&mut queue, A, Lane::Fast, 3);
        begin(&mut queue, A, Lane::Slow, 1);
        push(&mut queue, A, Lane::Fast, [1, 2]);
        assert_eq!(pop(&mut queue), None);
        queue.end(A, ends);
        assert_eq!((queue.inflight.fast, queue.slow_inflight()), (fast, 3 - fast));
        assert_eq!(pop(&mut queue), Some(1));
    }
}

#[test]
fn slow_places_are_a_quarter_and_one_at_least() {
    for (places, slow) in [(1, 1), (3, 1), (8, 2), (64, 16)] {
        let mut queue = queue(places, &[A, B, C]);
        // No host holds all of them.
        begin(&mut queue, A, Lane::Slow, slow / 2);
        begin(&mut queue, B, Lane::Slow, slow - slow / 2 - 1);
        push(&mut queue, C, Lane::Slow, [1]);
        assert_eq!(pop(&mut queue), Some(1), "{places} places");
        begin(&mut queue, C, Lane::Slow, 1);
        push(&mut queue, B, Lane::Slow, [2]);
        assert_eq!(pop(&mut queue), None, "{places} places");
    }
}

#[test]
fn share_of_a_host_is_three_quarters_while_there_is_another() {
    let mut queue = queue(8, &[A]);
    push(&mut queue, A, Lane::Fast, [1, 2]);
    begin(&mut queue, A, Lane::Fast, 5);
    queue.join(B);
    assert_eq!(pop(&mut queue), Some(1), "a sixth place");
    begin(&mut queue, A, Lane::Fast, 1);
    assert_eq!(pop(&mut queue), None);
    queue.leave(B);
    assert_eq!(pop(&mut queue), Some(2), "it is alone again");
}

#[test]
fn share_of_the_slow_places_is_three_quarters_of_these() {
    let mut queue = queue(16, &[A, B]);
    begin(&mut queue, A, Lane::Slow, 2);
    push(&mut queue, A, Lane::Slow, [1, 2]);
    assert_eq!(pop(&mut queue), Some(1));
    begin(&mut queue, A, Lane::Slow, 1);
    assert_eq!(pop(&mut queue), None);
    push(&mut queue, A, Lane::Fast, [3]);
    push(&mut queue, B, Lane::Slow, [4]);
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(3), Some(4)));
}

#[test]
fn share_of_a_host_that_others_join_is_the_same_however_many_they_are() {
    let mut queue = queue(8, &[A, B, C]);
    begin(&mut queue, A, Lane::Fast, 6);
    push(&mut queue, A, Lane::Fast, [1]);
    assert_eq!(pop(&mut queue), None);
    queue.leave(C);
    assert_eq!(pop(&mut queue), None);
    queue.leave(B);
    assert_eq!(pop(&mut queue), Some(1));
}

#[test]
fn crowded_is_a_queue_with_more_than_a_quarter_of_its_places_taken() {
    let mut queue = queue(8, &[A]);
    assert!(!queue.is_crowded());
    begin(&mut queue, A, Lane::Fast, 2);
    assert!(!queue.is_crowded());
    begin(&mut queue, A, Lane::Slow, 1);
    assert!(queue.is_crowded());
}

#[test]
fn crowded_is_a_queue_with_a_monitor_that_waits_for_a_usable_host() {
    for lane in Lane::BOTH {
        let mut queue = queue(8, &[A]);
        push(&mut queue, A, lane, [1]);
        assert!(queue.is_crowded());
        shut(&mut queue, A);
        assert!(!queue.is_crowded());
    }
}

#[test]
fn host_that_the_last_monitor_leaves_has_an_empty_queue() {
    let mut queue = queue(8, &[A, A]);
    push(&mut queue, A, Lane::Fast, [1, 2]);
    push(&mut queue, A, Lane::Slow, [3]);
    queue.forget_one(|_| false);
    queue.leave(A);
    assert_eq!((waiting(&queue), queue.waiting, queue.stale), (3, 3, 1));
    queue.leave(A);
    assert_eq!((queue.hosts.len(), queue.waiting, queue.stale), (0, 0, 0));
    assert_eq!(pop(&mut queue), None);
}

#[test]
fn host_that_is_left_while_its_breaker_is_open_is_counted_no_more() {
    let mut queue = queue(8, &[A, B]);
    shut(&mut queue, A);
    shut(&mut queue, B);
    assert_eq!(queue.open_breakers(), 2);
    queue.leave(A);
    assert_eq!(queue.open_breakers(), 1);
}

#[test]
fn gone_who_outnumber_the_living_are_dropped_together() {
    for (count, purge) in [(100, 65), (1000, 501)] {
        let mut queue = queue(8, &[A, B]);
        push(&mut queue, A, Lane::Fast, 1..=count / 2);
        push(&mut queue, B, Lane::Slow, count / 2 + 1..=count);
        let all = usize::try_from(count).unwrap();
        for gone in 1..purge {
            queue.forget_one(|MonitorId(id)| id > gone);
            assert_eq!((waiting(&queue), queue.waiting), (all, all), "{gone} of {count}");
        }
        queue.forget_one(|MonitorId(id)| id > purge);
        let left = all - usize::try_from(purge).unwrap();
        assert_eq!((waiting(&queue), queue.waiting, queue.stale), (left, left, 0));
        assert_eq!(pop(&mut queue), Some(purge + 1));
    }
}

#[test]
fn gone_who_came_up_are_not_counted_again() {
    let mut queue = queue(8, &[A]);
    push(&mut queue, A, Lane::Fast, [1, 2]);
    queue.forget_one(|id| id == MonitorId(2));
    assert_eq!(pop(&mut queue), Some(1));
    queue.dropped_stale(A);
    assert_eq!((queue.stale, queue.waiting), (0, 1));
}

#[test]
fn drained_are_those_who_move_and_the_others_stay_as_they_are() {
    let mut queue = queue(8, &[A, B]);
    push(&mut queue, A, Lane::Fast, 1..=4);
    push(&mut queue, B, Lane::Fast, [5]);
    let even = |MonitorId(id): MonitorId| id % 2 == 0;
    assert_eq!(queue.drain(A, even), [MonitorId(2), MonitorId(4)]);
    assert_eq!((waiting(&queue), queue.waiting), (3, 3));
    assert_eq!(queue.drain_shut(|_| true), [], "no host is shut");
    shut(&mut queue, A);
    assert_eq!(queue.drain_shut(|_| true), [MonitorId(1), MonitorId(3)]);
    assert_eq!(pop(&mut queue), Some(5));
}
