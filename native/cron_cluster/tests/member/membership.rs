//! Joining, renewing, burying, handing over and leaving.

use crate::scenario::{ME, NEXT, PEER, Scenario, alone, both, peer, renewed, stakes, view};
use cron_cluster::{Action, Config, Event, Member, View};
use cron_engine::Time;
use std::time::Duration;

#[test]
fn member_alone_claims_all_shards() {
    let mut it = Scenario::new();
    let orphans = stakes(0..8, 0);
    let actions = it.on(view(alone(&[], orphans.clone())));
    assert_eq!(actions, [Action::Claim(ME, orphans)]);
    let mine = stakes(0..8, 1);
    let actions = it.on(Event::Claimed(Some(mine.clone())));
    assert_eq!(actions, [Action::Gained(mine.clone())]);
    assert!(mine.iter().all(|stake| it.member.holds(*stake)));
    assert_eq!(it.look(&alone(&mine, vec![])), []);
}

#[test]
fn join_that_fails_is_tried_again_after_a_delay() {
    let mut member = Member::new(Time::ZERO, Config::new(Duration::from_secs(6)));
    member.handle_timeout(Time::ZERO);
    assert_eq!(member.poll_action(), Some(Action::Join));
    member.handle_event(Time::from_millis(10), Event::Joined(None));
    assert_eq!(member.poll_action(), None);
    assert_eq!(member.poll_timeout(), Some(Time::from_millis(260)));
    member.handle_timeout(Time::from_millis(260));
    assert_eq!(member.poll_action(), Some(Action::Join));
}

#[test]
fn renewal_counts_from_its_start_and_one_that_fails_not_at_all() {
    let (mut it, _) = Scenario::holding(0..8);
    assert_eq!(it.member.leased_until(), Some(Time::from_millis(1000 + 5400)));
    let renew = Action::Renew { incarnation: ME, leaving: false };
    assert!(it.wait(1000).contains(&renew));
    it.now = it.now + Duration::from_millis(400);
    it.on(Event::Renewed(Some(true)));
    assert_eq!(it.member.leased_until(), Some(Time::from_millis(2000 + 5400)));
    assert!(it.wait(600).contains(&renew));
    it.on(Event::Renewed(None));
    assert_eq!(it.member.leased_until(), Some(Time::from_millis(2000 + 5400)));
    assert_eq!(it.wait(249), []);
    assert_eq!(it.wait(1), [renew]);
}

#[test]
fn renewal_without_a_row_loses_all_and_joins_again() {
    let (mut it, mine) = Scenario::holding(0..8);
    // The answer to this view comes when its incarnation is lost already.
    assert!(it.wait(1000).contains(&Action::Look(ME)));
    assert_eq!(it.on(Event::Renewed(Some(false))), [Action::Lost(mine.clone())]);
    assert_eq!(it.member.leased_until(), None);
    assert_eq!(it.on(view(alone(&mine, vec![]))), [Action::Retire(ME)]);
    assert_eq!(it.on(Event::Retired(Some(()))), [Action::Join]);
    let began = it.now;
    assert_eq!(it.on(Event::Joined(Some(NEXT))), [Action::Look(NEXT)]);
    assert_eq!(it.member.leased_until(), Some(began + Duration::from_millis(5400)));
    assert_eq!(it.member.counters().evictions, 1);
}

#[test]
fn view_and_commit_that_both_miss_the_row_lose_once() {
    let (mut it, mine) = Scenario::holding(0..8);
    let without_me = View { peers: vec![peer(PEER, 1, 8)], ..View::default() };
    assert_eq!(it.watch(&without_me).0, [Action::Lost(mine), Action::Retire(ME)]);
    assert_eq!(it.on(Event::Evicted(ME)), []);
    assert_eq!(it.on(Event::Retired(Some(()))), [Action::Join]);
    it.on(Event::Joined(Some(NEXT)));
    // A commit of the old life.
    assert_eq!(it.on(Event::Evicted(ME)), []);
    assert_eq!(it.member.incarnation(), Some(NEXT));
    assert_eq!(it.member.counters().evictions, 1);
}

#[test]
fn silent_peer_is_buried_and_its_shards_are_claimed() {
    let mut it = Scenario::new();
    let mine = stakes(0..4, 5);
    it.on(view(both(&mine, 9, 4, vec![])));
    for own in 2..25 {
        assert_eq!(it.watch(&renewed(both(&mine, 9, 4, vec![]), own)).0, []);
    }
    let actions = it.watch(&renewed(both(&mine, 9, 4, vec![]), 25)).0;
    assert_eq!(actions, [Action::Bury(PEER, 9)]);
    // The next view follows at once.
    assert_eq!(it.on(Event::Buried(Some(true))), [Action::Look(ME)]);
    let orphans = stakes(4..8, 3);
    let actions = it.on(view(alone(&mine, orphans.clone())));
    assert_eq!(actions, [Action::Claim(ME, orphans)]);
    assert_eq!(it.member.counters().burials, 1);
}

#[test]
fn silent_peer_is_not_buried_while_no_one_can_renew() {
    let mut it = Scenario::new();
    let mine = stakes(0..4, 5);
    it.on(view(both(&mine, 9, 4, vec![])));
    // The database accepts no writes.
    for _ in 0..60 {
        assert_eq!(it.watch(&both(&mine, 9, 4, vec![])).0, []);
    }
    // The own renewals reach it before those of the peer.
    assert_eq!(it.watch(&renewed(both(&mine, 9, 4, vec![]), 2)).0, []);
}

#[test]
fn member_never_buries_itself() {
    let (mut it, mine) = Scenario::holding(0..8);
    for _ in 0..60 {
        assert_eq!(it.look(&alone(&mine, vec![])), []);
    }
}

#[test]
fn peer_that_joins_gets_its_share_one_batch_at_a_time() {
    let (mut it, mine) = Scenario::holding(0..8);
    // A sixteenth of the shards, but at least one, is handed over at once.
    assert_eq!(it.look(&both(&mine, 1, 0, vec![])), [Action::Stop(vec![mine[7]])]);
    assert_eq!(it.look(&both(&mine, 2, 0, vec![])), []);
    assert!(!it.member.holds(mine[7]));
    // As soon as its monitors have stopped, it is given.
    let give = Action::Give(ME, vec![mine[7]]);
    assert_eq!(it.on(Event::Stopped(mine[7])), [give]);
    assert_eq!(it.on(Event::Given(Some(()))), []);
    let orphans = stakes([7], 6);
    // It is not this node that claims it.
    assert_eq!(it.look(&both(&mine[..7], 3, 0, orphans)), [Action::Stop(vec![mine[6]])]);
    assert_eq!(it.member.counters().hand_overs, 1);
}

#[test]
fn shard_that_may_be_given_is_never_held_again() {
    let (mut it, mine) = Scenario::holding(0..8);
    it.look(&both(&mine, 1, 0, vec![]));
    it.on(Event::Stopped(mine[7]));
    assert_eq!(it.on(Event::Given(None)), []);
    // The peer has gone, so this node should have it. But the statement may still be executed.
    let give = Action::Give(ME, vec![mine[7]]);
    assert_eq!(it.look(&alone(&mine, vec![])), [give]);
    assert_eq!(it.on(Event::Given(None)), []);
    // It was. Now it can be claimed.
    let orphans = stakes([7], 6);
    assert_eq!(it.look(&alone(&mine[..7], orphans.clone())), [Action::Claim(ME, orphans)]);
}

#[test]
fn shard_whose_monitors_run_is_not_given() {
    let (mut it, mine) = Scenario::holding(0..8);
    assert_eq!(it.on(Event::Stopped(mine[7])), []);
    assert!(it.member.holds(mine[7]));
    assert_eq!(it.look(&alone(&mine, vec![])), []);
}

#[test]
fn leaving_member_hands_over_everything_and_deletes_its_row() {
    let mut it = Scenario::new();
    let mine = stakes([3], 5);
    it.on(view(both(&mine, 1, 7, vec![])));
    assert_eq!(
        it.on(Event::Leave),
        [Action::Renew { incarnation: ME, leaving: true }, Action::Look(ME),]
    );
    it.on(Event::Renewed(Some(true)));
    let mut seen = both(&mine, 1, 7, vec![]);
    seen.peers[0].leaving = true;
    assert_eq!(it.on(view(seen)), [Action::Stop(mine.clone())]);
    assert_eq!(it.on(Event::Stopped(mine[0])), [Action::Give(ME, mine)]);
    let actions = it.on(Event::Given(Some(())));
    assert_eq!(actions, [Action::Look(ME)]);
    let orphans = stakes([3], 6);
    assert_eq!(it.on(view(both(&[], 2, 7, orphans))), [Action::Retire(ME)]);
    assert_eq!(it.on(Event::Retired(None)), []);
    assert_eq!(it.wait(250), [Action::Retire(ME)]);
    assert_eq!(it.on(Event::Retired(Some(()))), [Action::Left]);
    assert_eq!(it.member.poll_timeout(), None);
    assert_eq!(it.member.leased_until(), None);
}

#[test]
fn member_that_leaves_while_it_joins_deletes_its_row() {
    let mut member = Member::new(Time::ZERO, Config::new(Duration::from_secs(6)));
    member.handle_timeout(Time::ZERO);
    member.handle_event(Time::ZERO, Event::Leave);
    assert_eq!(member.poll_action(), Some(Action::Join));
    assert_eq!(member.poll_action(), None);
    member.handle_event(Time::ZERO, Event::Joined(Some(ME)));
    assert_eq!(member.poll_action(), Some(Action::Retire(ME)));
    member.handle_event(Time::ZERO, Event::Retired(Some(())));
    assert_eq!(member.poll_action(), Some(Action::Left));
}

#[test]
fn answer_that_was_not_requested_changes_nothing() {
    let (mut it, mine) = Scenario::holding(0..8);
    for event in [
        Event::Joined(Some(NEXT)),
        Event::Renewed(Some(false)),
        view(View::default()),
        Event::Claimed(Some(mine.clone())),
        Event::Given(Some(())),
        Event::Buried(Some(true)),
        Event::Retired(Some(())),
    ] {
        assert_eq!(it.on(event), []);
    }
    assert_eq!((it.member.incarnation(), it.member.shards()), (Some(ME), (8, 0)));
}
