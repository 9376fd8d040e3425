//! How a node reads the processes of its shards, and how it saves their cursors.

use super::{Channel, Node};
use crate::cluster::monitor::Monitor;
use crate::cluster::statement::{Known, Saving, Statement};
use crate::cluster::wire::Wire;
use cron_cluster::{Event, Verdict};

impl Node {
    /// The processes of shards were read: their monitors start, and others end.
    pub(super) fn read(&mut self, processes: &[Known], marks: &[i64], wire: &mut Wire) {
        for (stake, mark) in std::mem::take(&mut self.reading).into_iter().zip(marks) {
            self.member.handle_event(self.now(wire), Event::Read(stake, *mark));
            if !self.member.holds(stake) {
                continue;
            }
            let shards = wire.database.tables.shards.len();
            let of_shard = |known: &&Known| known.process % shards == usize::from(stake.shard.0);
            let known: Vec<&Known> = processes.iter().filter(of_shard).collect();
            let kept = |monitor: &Monitor| {
                let same = |it: &&Known| {
                    it.process == monitor.process && it.generation == monitor.generation
                };
                known.iter().any(same)
            };
            self.end(|monitor| {
                monitor.stake.shard == stake.shard && (monitor.stake != stake || !kept(monitor))
            });
            for known in known {
                if !self.monitors.contains_key(&known.process) {
                    let Known { process, generation, position, .. } = *known;
                    let repeats = wire.truth.started(process, generation, position);
                    wire.totals.most_repeated = wire.totals.most_repeated.max(repeats);
                    self.monitors.insert(process, Monitor::new(stake, known));
                }
            }
        }
    }

    /// Commits what is unsaved and held now.
    pub(crate) fn flush(&mut self, wire: &mut Wire) {
        let Some(me) = self.member.incarnation() else { return };
        if self.pending.contains_key(&Channel::Cursors) {
            return;
        }
        let saving: Vec<Saving> = self.monitors.values().filter_map(Monitor::saving).collect();
        if !saving.is_empty() {
            self.saving = (Some(me), saving.clone());
            self.send(Channel::Cursors, Statement::Commit(me, saving), None, wire);
        }
    }

    pub(super) fn committed(&mut self, processes: &[usize], wire: &mut Wire) {
        let (saved, missing): (Vec<Saving>, Vec<Saving>) =
            self.saving.1.iter().partition(|saving| processes.contains(&saving.process));
        for saving in saved {
            self.judge(&saving, Verdict::Saved, wire);
        }
        wire.totals.fenced += u64::try_from(missing.len()).expect("few");
        if let (Some(me), false) = (self.saving.0, missing.is_empty()) {
            let asked = missing.iter().map(|saving| saving.process).collect();
            self.saving.1 = missing;
            self.send(Channel::Cursors, Statement::Ask(me, asked), None, wire);
        }
        self.proceed(wire);
    }

    pub(super) fn judge(&mut self, saving: &Saving, verdict: Verdict, wire: &mut Wire) {
        let now = self.now(wire);
        let monitor = self.monitors.get_mut(&saving.process).filter(|it| it.made(saving));
        match (verdict, monitor) {
            (Verdict::Evicted, _) => {
                let me = self.saving.0.expect("it was sent by an incarnation");
                self.member.handle_event(now, Event::Evicted(me));
            }
            (Verdict::Saved, Some(monitor)) => monitor.saved(saving),
            (Verdict::Gone, Some(monitor)) => {
                let stake = monitor.stake;
                self.end(|monitor| monitor.process == saving.process);
                self.reads.push_back(vec![stake]);
            }
            (Verdict::Disowned, Some(monitor)) => {
                let stake = monitor.stake;
                self.member.handle_event(now, Event::Disowned(stake));
            }
            (Verdict::Again, _) | (_, None) => {}
        }
        while let Some(action) = self.member.poll_action() {
            self.carry_out(action, wire);
        }
    }
}
