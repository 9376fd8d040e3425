//! The state machine of one node of the cluster. Events go in through [`Member::handle_event`] and
//! [`Member::handle_timeout`], actions come out of [`Member::poll_action`], and
//! [`Member::poll_timeout`] says when to call again. `answers` handles the answers of statements.

mod answers;

use crate::config::Config;
use crate::event::{Action, Event};
use crate::fence::Lease;
use crate::holdings::Holdings;
use crate::incarnation::Incarnation;
use crate::lane::{Lane, Request};
use crate::liveness::Liveness;
use crate::shard::Stake;
use cron_engine::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Incarnations that this node has had.
    pub joins: u64,
    /// How often this node lost everything, because it had been buried.
    pub evictions: u64,
    /// Silent nodes that this node has buried.
    pub burials: u64,
    /// Shards that this node claimed.
    pub claims: u64,
    /// Shards that this node handed over.
    pub hand_overs: u64,
}

/// One node of the cluster.
#[derive(Debug)]
pub struct Member {
    config: Config,
    /// `None` until it has joined, and after it has left.
    me: Option<Incarnation>,
    leaving: bool,
    left: bool,
    lease: Lease,
    /// The renewal under way, and when it began.
    renewing: Option<(Incarnation, Time)>,
    next_renewal: Time,
    lane: Lane,
    next_look: Time,
    next_watch: Time,
    /// The nodes that were seen last, and whether each leaves. If others appear, a view follows.
    seen: BTreeMap<Incarnation, bool>,
    /// The mark of the own row that was seen last.
    mark: Option<i64>,
    /// Shards can be given.
    gives: bool,
    /// Stakes that a commit found to have another owner, after the request of the view under way.
    disowned: BTreeSet<Stake>,
    liveness: Liveness,
    holdings: Holdings,
    counters: Counters,
    actions: VecDeque<Action>,
}

impl Member {
    /// A node that joins.
    #[must_use]
    pub fn new(now: Time, config: Config) -> Self {
        let mut lane = Lane::default();
        lane.waiting.push_back(Request::Join);
        Self {
            config,
            me: None,
            leaving: false,
            left: false,
            lease: Lease::default(),
            renewing: None,
            next_renewal: now,
            lane,
            next_look: now,
            next_watch: now,
            seen: BTreeMap::new(),
            mark: None,
            gives: false,
            disowned: BTreeSet::new(),
            liveness: Liveness::default(),
            holdings: Holdings::default(),
            counters: Counters::default(),
            actions: VecDeque::new(),
        }
    }

    /// Handles what happened at `now`.
    pub fn handle_event(&mut self, now: Time, event: Event) {
        match event {
            Event::Joined(answer) => self.joined(now, answer),
            Event::Renewed(answer) => self.renewed(now, answer),
            Event::Viewed(answer) => self.viewed(now, answer),
            Event::Watched(answer) => self.watched(now, answer),
            Event::Claimed(answer) => self.claimed(now, answer),
            Event::Given(answer) => self.given(now, answer),
            Event::Buried(answer) => self.buried(now, answer),
            Event::Retired(answer) => self.retired(now, answer),
            Event::Stopped(stake) => {
                self.holdings.stopped(stake);
                self.gives = true;
            }
            Event::Read(stake, mark) => self.holdings.read(stake, mark),
            Event::Disowned(stake) => {
                self.disowned.insert(stake);
                self.holdings.disowned(stake, &mut self.actions);
            }
            Event::Evicted(incarnation) if self.me == Some(incarnation) => self.lose_all(),
            Event::Evicted(_) => {}
            Event::Leave => self.leave(now),
        }
        self.proceed(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.proceed(now);
    }

    /// When [`Member::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let renewal = self.me.filter(|_| self.renewing.is_none()).map(|_| self.next_renewal);
        let lane = self.lane.free_from().filter(|_| !self.left).map(|from| {
            if self.lane.waiting.is_empty() && !self.gives {
                from.max(self.next_look.min(self.next_watch))
            } else {
                from
            }
        });
        renewal.into_iter().chain(lane).min()
    }

    /// The next action, in order; `None` if there is none left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When the lease of this node ends, without which [`crate::may_push`] allows no push; `None`: it
    /// has none.
    #[must_use]
    pub fn leased_until(&self) -> Option<Time> {
        self.lease.until(&self.config)
    }

    /// Whether this stake belongs to this node and is not being handed over.
    #[must_use]
    pub fn holds(&self, stake: Stake) -> bool {
        self.holdings.holds(stake)
    }

    /// All stakes of this node, also those that it is handing over.
    pub fn stakes(&self) -> impl Iterator<Item = Stake> {
        self.holdings.stakes()
    }

    /// The incarnation of this node; `None` while it joins.
    #[must_use]
    pub const fn incarnation(&self) -> Option<Incarnation> {
        self.me
    }

    /// The number of shards that this node holds, and of those that it is handing over.
    #[must_use]
    pub fn shards(&self) -> (usize, usize) {
        (self.holdings.held(), self.holdings.moving())
    }

    /// For how long the beat of each node has not changed, as far as this node has seen.
    pub fn ages(&self, now: Time) -> impl Iterator<Item = (Incarnation, Duration)> {
        self.liveness.ages(now)
    }

    /// Counts since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Begins the statements that are due.
    fn proceed(&mut self, now: Time) {
        if let Some(incarnation) = self.me
            && self.renewing.is_none()
            && now >= self.next_renewal
        {
            self.renewing = Some((incarnation, now));
            self.next_renewal = now + self.config.renew_every();
            self.actions.push_back(Action::Renew { incarnation, leaving: self.leaving });
        }
        if self.lane.is_free(now)
            && let Some(request) = self.next_request(now)
        {
            if matches!(request, Request::Look(_)) {
                self.next_look = now + self.config.look_every();
                self.disowned.clear();
            }
            if matches!(request, Request::Look(_) | Request::Watch(_)) {
                self.next_watch = now + self.config.watch_every();
            }
            let action = self.lane.begin(now, request);
            self.actions.push_back(action);
        }
    }

    /// A view plans what follows, so it comes after all of that.
    fn next_request(&mut self, now: Time) -> Option<Request> {
        if let Some(request) = self.lane.waiting.pop_front() {
            return Some(request);
        }
        let me = self.me?;
        if now >= self.next_look {
            return Some(Request::Look(me));
        }
        let given = if self.gives { self.holdings.to_give() } else { Vec::new() };
        self.gives = false;
        if !given.is_empty() {
            return Some(Request::Give(me, given));
        }
        (now >= self.next_watch).then_some(Request::Watch(me))
    }

    /// Drops everything and joins again.
    fn lose_all(&mut self) {
        let Some(me) = self.me.take() else { return };
        self.counters.evictions += 1;
        self.lease.revoke();
        self.holdings.lose_all(&mut self.actions);
        self.lane.waiting = VecDeque::from([Request::Retire(me)]);
        if !self.leaving {
            self.lane.waiting.push_back(Request::Join);
        }
    }

    fn leave(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        // The others see in its row that it has no share.
        self.next_renewal = now;
        self.next_look = now;
        if self.me.is_none() {
            // A row that is being inserted is deleted when the answer arrives.
            self.lane.waiting.retain(|request| *request != Request::Join);
            if self.lane.waiting.is_empty() && self.lane.free_from().is_some() {
                self.leave_for_good();
            }
        }
    }

    fn leave_for_good(&mut self) {
        if !self.left {
            self.left = true;
            self.me = None;
            self.lease.revoke();
            self.actions.push_back(Action::Left);
        }
    }
}
