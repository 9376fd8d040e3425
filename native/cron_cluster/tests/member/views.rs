//! What follows from views, and from the beats between them.

use crate::scenario::{ME, NEXT, Scenario, alone, beats, both, peer, stakes, view};
use cron_cluster::{Action, Event, View};

#[test]
fn claim_whose_answer_was_lost_is_adopted_from_the_view() {
    let mut it = Scenario::new();
    it.on(view(alone(&[], stakes(0..8, 0))));
    assert_eq!(it.on(Event::Claimed(None)), []);
    let mine = stakes(0..8, 1);
    assert_eq!(it.look(&alone(&mine, vec![])), [Action::Gained(mine)]);
}

#[test]
fn held_shard_that_the_view_lacks_is_lost() {
    let (mut it, mine) = Scenario::holding(0..8);
    let kept = &mine[1..];
    assert_eq!(
        it.look(&both(kept, 1, 1, vec![])),
        [
            Action::Lost(stakes([0], 5)),
            // The other node has a share.
            Action::Stop(stakes([7], 5)),
        ]
    );
}

#[test]
fn shard_at_another_epoch_is_lost_and_gained() {
    let (mut it, mut mine) = Scenario::holding(0..8);
    mine[3].epoch = 7;
    assert_eq!(
        it.look(&alone(&mine, vec![])),
        [Action::Lost(stakes([3], 5)), Action::Gained(stakes([3], 7)),]
    );
    // A late answer of a commit in the old epoch.
    assert_eq!(it.on(Event::Disowned(stakes([3], 5)[0])), []);
}

#[test]
fn disowned_shard_is_not_adopted_from_an_older_view() {
    let (mut it, mine) = Scenario::holding(0..8);
    assert!(it.wait(1000).contains(&Action::Look(ME)));
    assert_eq!(it.on(Event::Disowned(mine[2])), [Action::Lost(vec![mine[2]])]);
    assert_eq!(it.on(view(alone(&mine, vec![]))), []);
    assert!(!it.member.holds(mine[2]));
    // A view that was requested after that counts.
    assert_eq!(it.look(&alone(&mine, vec![])), [Action::Gained(vec![mine[2]])]);
}

#[test]
fn settled_member_views_less_often_than_it_watches() {
    let (mut it, mine) = Scenario::holding(0..8);
    let view = alone(&mine, vec![]);
    // The first one, because nothing is known of the marks.
    assert_eq!(it.watch(&view), (vec![], true));
    let views: Vec<bool> = (0..12).map(|_| it.watch(&view).1).collect();
    let rare = [false, false, false, true];
    assert_eq!(views, [rare, rare, rare].concat());
}

#[test]
fn member_views_often_while_shards_are_uneven() {
    let (mut it, mine) = Scenario::holding(0..8);
    let view = both(&mine, 1, 0, vec![]);
    it.look(&view);
    assert!((0..12).all(|_| it.watch(&view).1));
}

#[test]
fn change_between_two_views_makes_a_view_follow_at_once() {
    let mine = stakes(0..4, 5);
    let settled = both(&mine, 1, 4, vec![]);
    let is_looked_at = |changed: &View, mark| {
        let mut it = Scenario::new();
        it.on(view(settled.clone()));
        it.look(&settled);
        assert!(it.wait(250).contains(&Action::Watch(ME)));
        it.on(Event::Watched(Some(beats(changed, mark)))).contains(&Action::Look(ME))
    };
    assert!(!is_looked_at(&settled, 0));
    assert!(!is_looked_at(&both(&mine, 2, 4, vec![]), 0));
    assert!(is_looked_at(&settled, 77), "a wish");
    let mut changed = settled.clone();
    changed.peers[1].leaving = true;
    assert!(is_looked_at(&changed, 0), "one leaves");
    changed.peers[1] = peer(NEXT, 0, 0);
    assert!(is_looked_at(&changed, 0), "one joined");
    changed.peers.pop();
    assert!(is_looked_at(&changed, 0), "one is gone");
}

#[test]
fn watch_that_fails_is_tried_again_after_a_delay() {
    let (mut it, mine) = Scenario::holding(0..8);
    it.look(&alone(&mine, vec![]));
    assert!(it.wait(250).contains(&Action::Watch(ME)));
    assert_eq!(it.on(Event::Watched(None)), []);
    assert_eq!(it.wait(249), []);
    assert_eq!(it.wait(1), [Action::Watch(ME)]);
}

#[test]
fn wish_makes_the_owner_read_the_shard_again() {
    let (mut it, mine) = Scenario::holding(0..8);
    let mut wished = alone(&mine, vec![]);
    wished.mine[5].1 = 77;
    // The read that the claim led to is still under way.
    assert_eq!(it.look(&wished), []);
    assert_eq!(it.on(Event::Read(mine[5], 0)), []);
    assert_eq!(it.look(&wished), [Action::Reread(vec![mine[5]])]);
    assert_eq!(it.look(&wished), []);
    assert_eq!(it.on(Event::Read(mine[5], 77)), []);
    assert_eq!(it.look(&wished), []);
}

#[test]
fn shard_that_was_read_in_a_state_the_database_lost_is_read_again() {
    let (mut it, mine) = Scenario::holding(0..8);
    it.on(Event::Read(mine[5], 77));
    // After a fail-over the mark is older.
    assert_eq!(it.look(&alone(&mine, vec![])), [Action::Reread(vec![mine[5]])]);
}
