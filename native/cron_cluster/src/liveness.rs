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
    pub(crate) fn view(
        &mut self,
        (asked, now): (Time, Time),
        beats: impl IntoIterator<Item = (Incarnation, i64)>,
        config: &Config,
    ) -> Vec<(Incarnation, i64)> {
        // If this node saw nothing for long, the others may not have been able to renew either: the
        // database was down. Or this node was paused. Neither is a reason to bury a peer.
        let has_gap = self.viewed.is_none_or(|viewed| now.since(viewed) > config.gap());
        self.viewed = Some(now);
        let old = std::mem::take(&mut self.seen);
        let mut dead = Vec::new();
        for (incarnation, beat) in beats {
            let seen = match old.get(&incarnation) {
                Some(seen) if seen.beat == beat && !has_gap => *seen,
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

    fn view(liveness: &mut Liveness, at: u64, beat: i64) -> usize {
        let now = Time::from_millis(at);
        liveness.view((now, now), [(A, beat)], &CONFIG).len()
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
        assert_eq!(liveness.view(times, [(A, 1)], &CONFIG), []);
    }

    #[test]
    fn peer_that_is_gone_is_forgotten() {
        let mut liveness = Liveness::default();
        view(&mut liveness, 0, 1);
        let now = Time::from_millis(250);
        liveness.view((now, now), [], &CONFIG);
        assert_eq!(liveness.ages(now).count(), 0);
    }
}
