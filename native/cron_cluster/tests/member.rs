//! The state machine of a node, event by event, on a simulated clock. The TTL is 6 s and there are
//! 8 shards.

use cron_cluster::{Action, Beat, Config, Event, Incarnation, Member, Peer, ShardId, Stake, View};
use cron_engine::Time;
use std::time::Duration;

const ME: Incarnation = Incarnation([1; 16]);
const PEER: Incarnation = Incarnation([2; 16]);
const NEXT: Incarnation = Incarnation([3; 16]);

struct Scenario {
    member: Member,
    now: Time,
}

fn stakes(shards: impl IntoIterator<Item = u16>, epoch: i64) -> Vec<Stake> {
    shards.into_iter().map(|shard| Stake { shard: ShardId(shard), epoch }).collect()
}

fn with_wishes(stakes: &[Stake]) -> Vec<(Stake, i64)> {
    stakes.iter().map(|stake| (*stake, 0)).collect()
}

fn peer(incarnation: Incarnation, beat: i64, owned: usize) -> Peer {
    Peer { incarnation, beat, leaving: false, owned }
}

/// A view of this node alone.
fn alone(mine: &[Stake], orphans: Vec<Stake>) -> View {
    View { peers: vec![peer(ME, 1, mine.len())], orphans, mine: with_wishes(mine) }
}

/// A view of this node and one other.
fn both(mine: &[Stake], beat: i64, owned: usize, orphans: Vec<Stake>) -> View {
    let peers = vec![peer(ME, 1, mine.len()), peer(PEER, beat, owned)];
    View { peers, orphans, mine: with_wishes(mine) }
}

impl Scenario {
    fn new() -> Self {
        let now = Time::from_millis(1000);
        let config = Config { shards: 8, ..Config::new(Duration::from_secs(6)) };
        let mut scenario = Self { member: Member::new(now, config), now };
        assert_eq!(scenario.wait(0), [Action::Join]);
        assert_eq!(scenario.on(Event::Joined(Some(ME))), [Action::Look(ME)]);
        scenario
    }

    /// A node that holds these shards, with no statement under way.
    fn holding(shards: impl IntoIterator<Item = u16>) -> (Self, Vec<Stake>) {
        let mut scenario = Self::new();
        let mine = stakes(shards, 5);
        assert_eq!(scenario.on(view(alone(&mine, vec![]))), [Action::Gained(mine.clone())]);
        (scenario, mine)
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        self.member.handle_event(self.now, event);
        self.actions()
    }

    fn wait(&mut self, millis: u64) -> Vec<Action> {
        self.now = self.now + Duration::from_millis(millis);
        self.member.handle_timeout(self.now);
        self.actions()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.member.poll_action()).collect()
    }

    /// Waits for the next look at the beats or for the next view, in which renewals succeed, and
    /// answers it. Returns what follows, and whether it was a view.
    fn watch(&mut self, view: &View) -> (Vec<Action>, bool) {
        let mut actions = self.wait(250);
        if actions.iter().any(|action| matches!(action, Action::Renew { .. })) {
            actions.extend(self.on(Event::Renewed(Some(true))));
        }
        if actions.contains(&Action::Look(ME)) {
            return (self.on(Event::Viewed(Some(view.clone()))), true);
        }
        assert!(actions.contains(&Action::Watch(ME)), "{actions:?}");
        let mut actions = self.on(Event::Watched(Some(beats(view, 0))));
        let looks = actions.last() == Some(&Action::Look(ME));
        if looks {
            actions.pop();
            actions.extend(self.on(Event::Viewed(Some(view.clone()))));
        }
        (actions, looks)
    }

    /// Waits for the next view, and answers it. Returns what follows.
    fn look(&mut self, view: &View) -> Vec<Action> {
        let mut all = Vec::new();
        loop {
            let (actions, looked) = self.watch(view);
            all.extend(actions);
            if looked {
                return all;
            }
        }
    }
}

/// The beats of a view. All marks are the same.
fn beats(view: &View, mark: i64) -> Vec<Beat> {
    let beat = |peer: &Peer| Beat {
        incarnation: peer.incarnation,
        beat: peer.beat,
        leaving: peer.leaving,
        mark,
    };
    view.peers.iter().map(beat).collect()
}

fn view(view: View) -> Event {
    Event::Viewed(Some(view))
}

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
    for _ in 0..23 {
        assert_eq!(it.watch(&both(&mine, 9, 4, vec![])).0, []);
    }
    assert_eq!(it.watch(&both(&mine, 9, 4, vec![])).0, [Action::Bury(PEER, 9)]);
    // The next view follows at once.
    assert_eq!(it.on(Event::Buried(Some(true))), [Action::Look(ME)]);
    let orphans = stakes(4..8, 3);
    let actions = it.on(view(alone(&mine, orphans.clone())));
    assert_eq!(actions, [Action::Claim(ME, orphans)]);
    assert_eq!(it.member.counters().burials, 1);
}

#[test]
fn member_never_buries_itself() {
    let (mut it, mine) = Scenario::holding(0..8);
    for _ in 0..60 {
        assert_eq!(it.look(&alone(&mine, vec![])), []);
    }
}

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
