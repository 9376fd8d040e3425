//! Which peers are dead: those whose beat has not changed for a TTL, by this node's own clock.

use crate::config::Config;
use crate::incarnation::Incarnation;
use cron_engine::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// The observed beats of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    seen: BTreeMap<Incarnation, Seen>,
    /// When the last view arrived.
    viewed: Option<Time>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: i64,
    /// When the first view with this beat arrived.
    since: Time,
}

impl Liveness {
    /// Takes the beats of a view, or those between two views, that were requested at `asked` and
    /// arrived at `now`. Returns the dead nodes, each with its beat.
    ///
    /// A beat counts from the arrival of the view that showed it first until the request of the view
    /// that still shows it. The real time without a renewal is at least as long.
    ///
    /// A database that answers reads and refuses writes lets no node renew, `me` included. So no peer
    /// is dead while the own beat stands still.
    pub(crate) fn view(
        &mut self,
        (asked, now): (Time, Time),
        me: Incarnation,
        beats: impl IntoIterator<Item = (Incarnation, i64)>,
        config: &Config,
    ) -> Vec<(Incarnation, i64)> {
        // If this node saw nothing for long, the others may not have been able to renew either: the
        // database was down. Or this node was paused. Neither is a reason to bury a peer.
        let has_gap = self.viewed.is_none_or(|viewed| now.since(viewed) > config.gap());
        self.viewed = Some(now);
        let old = std::mem::take(&mut self.seen);
        let beats: Vec<_> = beats.into_iter().collect();
        let stands_still =
            |seen: &Seen| beats.contains(&(me, seen.beat)) && now.since(seen.since) > config.gap();
        let is_stalled = old.get(&me).is_some_and(stands_still);
        let mut dead = Vec::new();
        for (incarnation, beat) in beats {
            let is_anew = has_gap || (is_stalled && incarnation != me);
            let seen = match old.get(&incarnation) {
                Some(seen) if seen.beat == beat && !is_anew => *seen,
                _ => Seen { beat, since: now },
            };
            if asked.since(seen.since) >= config.ttl {
                dead.push((incarnation, beat));
            }
            self.seen.insert(incarnation, seen);
        }
        dead
    }

    /// For how long the beat of each node has not changed.
    pub(crate) fn ages(&self, now: Time) -> impl Iterator<Item = (Incarnation, Duration)> {
        self.seen.iter().map(move |(incarnation, seen)| (*incarnation, now.since(seen.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config::new(Duration::from_secs(6));
    const A: Incarnation = Incarnation([1; 16]);

    const ME: Incarnation = Incarnation([2; 16]);

    /// A view in which the own beat is new.
    fn view(liveness: &mut Liveness, at: u64, beat: i64) -> usize {
        let (now, own) = (Time::from_millis(at), i64::try_from(at).unwrap());
        liveness.view((now, now), ME, [(A, beat), (ME, own)], &CONFIG).len()
    }

    #[test]
    fn peer_whose_beat_stands_still_for_a_ttl_is_dead() {
        let mut liveness = Liveness::default();
        for at in (0..6000).step_by(250) {
            assert_eq!(view(&mut liveness, at, 1), 0, "{at}");
        }
        assert_eq!(view(&mut liveness, 6000, 1), 1);
    }

    #[test]
    fn peer_whose_beat_changes_lives() {
        let mut liveness = Liveness::default();
        for at in (0..60_000).step_by(250) {
            assert_eq!(view(&mut liveness, at, i64::try_from(at / 5000).unwrap()), 0, "{at}");
        }
    }

    #[test]
    fn gap_in_the_own_view_begins_all_timers_anew() {
        let mut liveness = Liveness::default();
        for at in (0..5500).step_by(250) {
            view(&mut liveness, at, 1);
        }
        // 3,001 ms after the last view.
        for at in (8251..14_251).step_by(250) {
            assert_eq!(view(&mut liveness, at, 1), 0, "{at}");
        }
        assert_eq!(view(&mut liveness, 14_251, 1), 1);
    }

    #[test]
    fn time_that_the_last_view_was_under_way_does_not_count() {
        let mut liveness = Liveness::default();
        for at in (0..5000).step_by(250) {
            view(&mut liveness, at, 1);
        }
        let times = (Time::from_millis(5000), Time::from_millis(7000));
        assert_eq!(liveness.view(times, ME, [(A, 1)], &CONFIG), []);
    }

    #[test]
    fn no_peer_is_dead_while_the_own_beat_stands_still() {
        let mut liveness = Liveness::default();
        let dead = |dead: &[(Incarnation, i64)]| dead.iter().any(|(node, _)| *node == A);
        let mut view = |at: u64, own: i64| {
            let now = Time::from_millis(at);
            dead(&liveness.view((now, now), ME, [(A, 1), (ME, own)], &CONFIG))
        };
        for at in (0..20_000).step_by(250) {
            assert!(!view(at, 1), "{at}");
        }
        // Its own beat goes on: from then on the peer has a TTL.
        for at in (20_000..25_750).step_by(250) {
            assert!(!view(at, i64::try_from(at).unwrap()), "{at}");
        }
        assert!(view(25_750, 25_750));
    }

    #[test]
    fn peer_that_is_gone_is_forgotten() {
        let mut liveness = Liveness::default();
        view(&mut liveness, 0, 1);
        let now = Time::from_millis(250);
        liveness.view((now, now), ME, [], &CONFIG);
        assert_eq!(liveness.ages(now).count(), 0);
    }
}
