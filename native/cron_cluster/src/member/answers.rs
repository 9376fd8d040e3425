//! What a member does when statements are answered, or fail.

use super::Member;
use crate::balance::{is_even, share};
use crate::incarnation::Incarnation;
use crate::lane::Request;
use crate::shard::Stake;
use crate::view::{Beat, View};
use cron_engine::Time;
use std::collections::VecDeque;

impl Member {
    pub(super) fn joined(&mut self, now: Time, answer: Option<Incarnation>) {
        let Some((_, asked)) = self.lane.end(|it| *it == Request::Join) else { return };
        match answer {
            Some(incarnation) if self.leaving => {
                self.lane.waiting.push_back(Request::Retire(incarnation));
            }
            Some(incarnation) => {
                self.me = Some(incarnation);
                self.counters.joins += 1;
                self.lease.renew(asked);
                self.next_renewal = asked + self.config.renew_every();
                self.next_look = now;
                self.mark = None;
            }
            None if self.leaving => self.leave_for_good(),
            None => {
                // If the row was inserted, the others bury it.
                self.lane.waiting.push_back(Request::Join);
                self.lane.wait(now, self.config.watch_every());
            }
        }
    }

    pub(super) fn renewed(&mut self, now: Time, answer: Option<bool>) {
        let Some((incarnation, started)) = self.renewing.take() else { return };
        if self.me != Some(incarnation) {
            return;
        }
        match answer {
            Some(true) => self.lease.renew(started),
            Some(false) => self.lose_all(),
            None => self.next_renewal = now.max(started + self.config.watch_every()),
        }
    }

    pub(super) fn viewed(&mut self, now: Time, answer: Option<View>) {
        let Some((request, asked)) = self.lane.end(|it| matches!(it, Request::Look(_))) else {
            return;
        };
        let Some(view) = answer else {
            return self.lane.wait(now, self.config.watch_every());
        };
        let Some(me) = self.me.filter(|me| request == Request::Look(*me)) else { return };
        if !view.peers.iter().any(|peer| peer.incarnation == me) {
            return self.lose_all();
        }
        let beats = view.peers.iter().map(|peer| (peer.incarnation, peer.beat));
        let dead = self.liveness.view((asked, now), me, beats, &self.config);
        self.seen = view.peers.iter().map(|peer| (peer.incarnation, peer.leaving)).collect();
        // The view may be older than what a commit has found since.
        let mine = view.mine.iter().filter(|(stake, _)| !self.disowned.contains(stake));
        let mine: Vec<_> = mine.copied().collect();
        let given = self.holdings.replace(&mine, self.leaving, &mut self.actions);
        self.count_given(given);
        self.plan(me, &view, dead);
        // While shards move, the next step of each must not wait for long.
        let settled = view.orphans.is_empty() && is_even(&view.peers);
        if !settled || self.holdings.moving() > 0 {
            self.next_look = self.next_look.min(asked + self.config.watch_every());
        }
    }

    pub(super) fn watched(&mut self, now: Time, answer: Option<Vec<Beat>>) {
        let Some((request, asked)) = self.lane.end(|it| matches!(it, Request::Watch(_))) else {
            return;
        };
        let Some(beats) = answer else {
            return self.lane.wait(now, self.config.watch_every());
        };
        let Some(me) = self.me.filter(|me| request == Request::Watch(*me)) else { return };
        let Some(mine) = beats.iter().find(|beat| beat.incarnation == me) else {
            return self.lose_all();
        };
        let seen = beats.iter().map(|beat| (beat.incarnation, beat.leaving)).collect();
        // The first mark may be older or newer than the last view, so a view follows that, too.
        if seen != self.seen || self.mark != Some(mine.mark) {
            self.next_look = now;
        }
        (self.seen, self.mark) = (seen, Some(mine.mark));
        let beats = beats.iter().map(|beat| (beat.incarnation, beat.beat));
        let dead = self.liveness.view((asked, now), me, beats, &self.config);
        self.lane.waiting = burials(me, dead).collect();
    }

    /// Plans the statements that follow from a view.
    fn plan(&mut self, me: Incarnation, view: &View, dead: Vec<(Incarnation, i64)>) {
        let share = if self.leaving { None } else { share(me, &view.peers, self.config.shards) };
        let (held, wanted) = (self.holdings.held(), share.map_or(0, |share| share.wanted));
        let moves = self.config.moves_at_once().saturating_sub(self.holdings.moving());
        self.holdings.hand_over(held.saturating_sub(wanted).min(moves), &mut self.actions);
        let mut plan: VecDeque<Request> = burials(me, dead).collect();
        let given = self.holdings.to_give();
        if !given.is_empty() {
            plan.push_back(Request::Give(me, given));
        }
        if let Some(share) = share.filter(|share| share.wanted > held) {
            // Each node begins elsewhere, so that few claim the same shards.
            let from = view.orphans.len() * share.rank / share.nodes;
            let (before, after) = view.orphans.split_at(from.min(view.orphans.len()));
            let mut claimed: Vec<Stake> =
                after.iter().chain(before).take(share.wanted - held).copied().collect();
            claimed.sort_unstable();
            if !claimed.is_empty() {
                plan.push_back(Request::Claim(me, claimed));
            }
        }
        if self.leaving && self.holdings.len() == 0 {
            plan.push_back(Request::Retire(me));
        }
        self.lane.waiting = plan;
    }

    pub(super) fn claimed(&mut self, now: Time, answer: Option<Vec<Stake>>) {
        let is_it = |it: &Request| matches!(it, Request::Claim(..));
        let Some((request, _)) = self.lane.end(is_it) else { return };
        let Some(claimed) = answer else {
            return self.lane.wait(now, self.config.watch_every());
        };
        // Of a lost incarnation: its row is gone or will be, so these are orphans.
        if matches!((request, self.me), (Request::Claim(by, _), Some(me)) if by == me) {
            self.counters.claims += u64::try_from(claimed.len()).unwrap_or(0);
            self.holdings.gained(claimed, self.leaving, &mut self.actions);
        }
    }

    pub(super) fn given(&mut self, now: Time, answer: Option<()>) {
        let is_it = |it: &Request| matches!(it, Request::Give(..));
        let Some((Request::Give(by, stakes), _)) = self.lane.end(is_it) else { return };
        if answer.is_none() {
            return self.lane.wait(now, self.config.watch_every());
        }
        // What was not given now was given by an earlier attempt, or has been lost.
        if self.me == Some(by) {
            let given = self.holdings.given(&stakes);
            self.count_given(given);
            if self.leaving {
                self.next_look = now;
            }
        }
    }

    pub(super) fn buried(&mut self, now: Time, answer: Option<bool>) {
        let is_it = |it: &Request| matches!(it, Request::Bury(..));
        if self.lane.end(is_it).is_none() {
            return;
        }
        match answer {
            Some(buried) => {
                self.counters.burials += u64::from(buried);
                // Its shards are orphans in the next view.
                self.next_look = now;
            }
            None => self.lane.wait(now, self.config.watch_every()),
        }
    }

    pub(super) fn retired(&mut self, now: Time, answer: Option<()>) {
        let is_it = |it: &Request| matches!(it, Request::Retire(_));
        let Some((request, _)) = self.lane.end(is_it) else { return };
        if answer.is_none() {
            // Until it is gone, its share of shards has no owner.
            self.lane.wait(now, self.config.watch_every());
            self.lane.waiting.push_front(request);
        } else if self.leaving {
            self.leave_for_good();
        }
    }

    fn count_given(&mut self, given: usize) {
        self.counters.hand_overs += u64::try_from(given).unwrap_or(0);
    }
}

/// The dead are buried, but not by themselves.
fn burials(me: Incarnation, dead: Vec<(Incarnation, i64)>) -> impl Iterator<Item = Request> {
    let others = dead.into_iter().filter(move |(node, _)| *node != me);
    others.map(|(node, beat)| Request::Bury(node, beat))
}
