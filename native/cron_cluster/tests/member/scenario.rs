//! A scenario of one node, event by event, on a simulated clock. The TTL is 6 s and there are 8 shards.

use cron_cluster::{Action, Beat, Config, Event, Incarnation, Member, Peer, ShardId, Stake, View};
use cron_engine::Time;
use std::time::Duration;

pub(crate) const ME: Incarnation = Incarnation([1; 16]);
pub(crate) const PEER: Incarnation = Incarnation([2; 16]);
pub(crate) const NEXT: Incarnation = Incarnation([3; 16]);

pub(crate) struct Scenario {
    pub(crate) member: Member,
    pub(crate) now: Time,
}

pub(crate) fn stakes(shards: impl IntoIterator<Item = u16>, epoch: i64) -> Vec<Stake> {
    shards.into_iter().map(|shard| Stake { shard: ShardId(shard), epoch }).collect()
}

pub(crate) fn with_wishes(stakes: &[Stake]) -> Vec<(Stake, i64)> {
    stakes.iter().map(|stake| (*stake, 0)).collect()
}

pub(crate) fn peer(incarnation: Incarnation, beat: i64, owned: usize) -> Peer {
    Peer { incarnation, beat, leaving: false, owned }
}

/// A view of this node alone.
pub(crate) fn alone(mine: &[Stake], orphans: Vec<Stake>) -> View {
    View { peers: vec![peer(ME, 1, mine.len())], orphans, mine: with_wishes(mine) }
}

/// A view of this node and one other.
pub(crate) fn both(mine: &[Stake], beat: i64, owned: usize, orphans: Vec<Stake>) -> View {
    let peers = vec![peer(ME, 1, mine.len()), peer(PEER, beat, owned)];
    View { peers, orphans, mine: with_wishes(mine) }
}

/// The same view after more renewals of this node.
pub(crate) fn renewed(mut view: View, beat: i64) -> View {
    for peer in view.peers.iter_mut().filter(|peer| peer.incarnation == ME) {
        peer.beat = beat;
    }
    view
}

impl Scenario {
    pub(crate) fn new() -> Self {
        let now = Time::from_millis(1000);
        let config = Config { shards: 8, ..Config::new(Duration::from_secs(6)) };
        let mut scenario = Self { member: Member::new(now, config), now };
        assert_eq!(scenario.wait(0), [Action::Join]);
        assert_eq!(scenario.on(Event::Joined(Some(ME))), [Action::Look(ME)]);
        scenario
    }

    /// A node that holds these shards, with no statement under way.
    pub(crate) fn holding(shards: impl IntoIterator<Item = u16>) -> (Self, Vec<Stake>) {
        let mut scenario = Self::new();
        let mine = stakes(shards, 5);
        assert_eq!(scenario.on(view(alone(&mine, vec![]))), [Action::Gained(mine.clone())]);
        (scenario, mine)
    }

    pub(crate) fn on(&mut self, event: Event) -> Vec<Action> {
        self.member.handle_event(self.now, event);
        self.actions()
    }

    pub(crate) fn wait(&mut self, millis: u64) -> Vec<Action> {
        self.now = self.now + Duration::from_millis(millis);
        self.member.handle_timeout(self.now);
        self.actions()
    }

    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.member.poll_action()).collect()
    }

    /// Waits for the next look at the beats or for the next view, in which renewals succeed, and
    /// answers it. Returns what follows, and whether it was a view.
    pub(crate) fn watch(&mut self, view: &View) -> (Vec<Action>, bool) {
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
    pub(crate) fn look(&mut self, view: &View) -> Vec<Action> {
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
pub(crate) fn beats(view: &View, mark: i64) -> Vec<Beat> {
    let beat = |peer: &Peer| Beat {
        incarnation: peer.incarnation,
        beat: peer.beat,
        leaving: peer.leaving,
        mark,
    };
    view.peers.iter().map(beat).collect()
}

pub(crate) fn view(view: View) -> Event {
    Event::Viewed(Some(view))
}
