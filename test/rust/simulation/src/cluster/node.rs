//! A node of the simulated cluster: the real protocol, and the driver around it, which takes the
//! place of the IO side, of the writer of cursors and of the monitors.

mod cursors;

use super::database::Ticket;
use super::monitor::{MIN_PUSH, Monitor, Push};
use super::statement::{Answer, Saving, Statement};
use super::wire::{TTL, Wire};
use cron_cluster::{
    Action, Config, Event, Incarnation, Member, Stake, UNSAVED_LIMIT, judge, may_push,
};
use cron_engine::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The connections of a node. One statement at a time is under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Channel {
    Renewals,
    Protocol,
    Cursors,
    Reads,
}

/// A statement whose answer a node waits for.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    sent: Time,
    /// What the protocol hears if there is no answer.
    failure: Option<Event>,
}

#[derive(Debug)]
pub(crate) struct Node {
    index: usize,
    /// Its clock: an offset, and the rate in thousandths of the world's.
    offset: u64,
    rate: u64,
    /// Time that its clock has missed.
    hidden: u64,
    pub(crate) member: Member,
    pending: BTreeMap<Channel, Pending>,
    pub(crate) monitors: BTreeMap<usize, Monitor>,
    /// Pushes whose monitors were ended.
    abandoned: Vec<Push>,
    reads: VecDeque<Vec<Stake>>,
    reading: Vec<Stake>,
    saving: (Option<Incarnation>, Vec<Saving>),
    stopping: BTreeSet<Stake>,
    /// It takes no step before this time.
    pub(crate) paused: u64,
    /// Nothing that it sends arrives before this time, and no answer reaches it.
    pub(crate) cut: u64,
    leaving: bool,
    pub(crate) left: bool,
}

impl Node {
    pub(crate) fn start(index: usize, shards: u16, wire: &mut Wire) -> Self {
        let config = Config { shards, ..Config::new(TTL) };
        let (offset, rate) = (wire.rng.u64(0..1_000_000_000), wire.rng.u64(970..=1030));
        let now = local(offset, rate, wire.now);
        Self {
            index,
            offset,
            rate,
            hidden: 0,
            member: Member::new(now, config),
            pending: BTreeMap::new(),
            monitors: BTreeMap::new(),
            abandoned: Vec::new(),
            reads: VecDeque::new(),
            reading: Vec::new(),
            saving: (None, Vec::new()),
            stopping: BTreeSet::new(),
            paused: 0,
            cut: 0,
            leaving: false,
            left: false,
        }
    }

    fn now(&self, wire: &Wire) -> Time {
        local(self.offset, self.rate, wire.now - self.hidden)
    }

    /// Whether it takes steps.
    pub(crate) const fn runs(&self, wire: &Wire) -> bool {
        !self.left && wire.now >= self.paused
    }

    /// It leaves or has left.
    pub(crate) const fn is_leaving(&self) -> bool {
        self.left || self.leaving
    }

    /// It is paused, and its clock does not notice.
    pub(crate) fn pause_hidden(&mut self, by: u64, wire: &mut Wire) {
        wire.truth.hidden_pause = true;
        self.paused = wire.now + by;
        self.hidden += by;
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self, wire: &mut Wire) {
        let now = self.now(wire);
        let late = |pending: &Pending| now.since(pending.sent) > TTL / 4;
        while let Some(channel) = self.pending.iter().find(|(_, it)| late(it)).map(|(c, _)| *c) {
            self.fail(channel, wire);
        }
        self.member.handle_timeout(now);
        self.proceed(wire);
    }

    /// An answer arrives.
    pub(crate) fn receive(&mut self, ticket: Ticket, answer: Option<Answer>, wire: &mut Wire) {
        if wire.now < self.cut {
            return;
        }
        let channel = self.pending.iter().find(|(_, it)| it.ticket == ticket).map(|(c, _)| *c);
        let Some(channel) = channel else { return };
        let Some(answer) = answer else { return self.fail(channel, wire) };
        self.pending.remove(&channel);
        let event = match answer {
            Answer::Joined(incarnation) => Event::Joined(Some(incarnation)),
            Answer::Renewed(renewed) => Event::Renewed(Some(renewed)),
            Answer::View(view) => Event::Viewed(Some(view)),
            Answer::Beats(beats) => Event::Watched(Some(beats)),
            Answer::Claimed(stakes) => Event::Claimed(Some(stakes)),
            Answer::Given => Event::Given(Some(())),
            Answer::Buried(buried) => Event::Buried(Some(buried)),
            Answer::Retired => Event::Retired(Some(())),
            Answer::Committed(processes) => return self.committed(&processes, wire),
            Answer::Found(found) => {
                let saving = std::mem::take(&mut self.saving.1);
                for (process, found) in found {
                    let sent = saving.iter().find(|saving| saving.process == process);
                    let sent = sent.expect("no other row was requested");
                    self.judge(sent, judge(sent.sent(), found), wire);
                }
                return self.proceed(wire);
            }
            Answer::Processes(processes, marks) => {
                self.read(&processes, &marks, wire);
                return self.proceed(wire);
            }
            Answer::Done => return,
        };
        self.member.handle_event(self.now(wire), event);
        self.proceed(wire);
    }

    fn fail(&mut self, channel: Channel, wire: &mut Wire) {
        let pending = self.pending.remove(&channel).expect("a statement under way");
        if let Some(event) = pending.failure {
            self.member.handle_event(self.now(wire), event);
        }
        if channel == Channel::Reads {
            let again = std::mem::take(&mut self.reading);
            self.reads.push_front(again);
        }
        self.proceed(wire);
    }

    /// Carries out what the protocol decided.
    fn proceed(&mut self, wire: &mut Wire) {
        self.stop(wire);
        while let Some(action) = self.member.poll_action() {
            self.carry_out(action, wire);
        }
        if !self.pending.contains_key(&Channel::Reads)
            && let Some(stakes) = self.reads.pop_front()
        {
            let shards = stakes.iter().map(|stake| usize::from(stake.shard.0)).collect();
            self.reading = stakes;
            self.send(Channel::Reads, Statement::Read(shards), None, wire);
        }
    }

    fn carry_out(&mut self, action: Action, wire: &mut Wire) {
        let (channel, statement, failure) = match action {
            Action::Gained(stakes) | Action::Reread(stakes) => return self.reads.push_back(stakes),
            Action::Lost(stakes) => return self.end(|monitor| stakes.contains(&monitor.stake)),
            Action::Stop(stakes) => {
                self.stopping.extend(stakes);
                return self.stop(wire);
            }
            Action::Left => {
                self.left = true;
                return;
            }
            Action::Renew { incarnation: me, leaving } => {
                let statement = Statement::Renew { me, leaving };
                (Channel::Renewals, statement, Event::Renewed(None))
            }
            Action::Join => {
                let me = Incarnation(wire.rng.u128(..).to_be_bytes());
                (Channel::Protocol, Statement::Join(me), Event::Joined(None))
            }
            Action::Look(me) => (Channel::Protocol, Statement::Look(me), Event::Viewed(None)),
            Action::Watch(_) => (Channel::Protocol, Statement::Watch, Event::Watched(None)),
            Action::Claim(me, stakes) => {
                (Channel::Protocol, Statement::Claim(me, stakes), Event::Claimed(None))
            }
            Action::Give(me, stakes) => {
                (Channel::Protocol, Statement::Give(me, stakes), Event::Given(None))
            }
            Action::Bury(node, beat) => {
                (Channel::Protocol, Statement::Bury(node, beat), Event::Buried(None))
            }
            Action::Retire(me) => (Channel::Protocol, Statement::Retire(me), Event::Retired(None)),
        };
        self.send(channel, statement, Some(failure), wire);
    }

    fn send(
        &mut self,
        channel: Channel,
        statement: Statement,
        failure: Option<Event>,
        wire: &mut Wire,
    ) {
        let ticket = wire.send(self.index, statement, wire.now < self.cut);
        let pending = Pending { ticket, sent: self.now(wire), failure };
        assert!(self.pending.insert(channel, pending).is_none(), "two statements at once");
    }

    /// Ends monitors. Their pushes go on.
    fn end(&mut self, ends: impl Fn(&Monitor) -> bool) {
        let abandoned = &mut self.abandoned;
        self.monitors.retain(|_, monitor| {
            let ends = ends(monitor);
            if ends {
                abandoned.extend(monitor.push);
            }
            !ends
        });
    }

    /// Reports the shards whose monitors have stopped.
    fn stop(&mut self, wire: &mut Wire) {
        let busy = |stake: Stake| {
            let mut monitors = self.monitors.values().filter(|it| it.stake == stake);
            monitors.any(|monitor| monitor.push.is_some() || !monitor.acks.is_empty())
        };
        let stopped: Vec<Stake> = self.stopping.iter().copied().filter(|it| !busy(*it)).collect();
        for stake in stopped {
            self.stopping.remove(&stake);
            self.end(|monitor| monitor.stake == stake);
            self.member.handle_event(self.now(wire), Event::Stopped(stake));
        }
    }

    /// A push begins, if it may.
    pub(crate) fn begin_push(&mut self, process: usize, wire: &mut Wire) {
        let now = self.now(wire);
        let oldest = self.monitors.values().filter_map(|it| it.oldest_after(0)).min();
        let unsaved_for = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        if !may_push(now, self.member.leased_until(), unsaved_for) {
            return;
        }
        let Some(monitor) = self.monitors.get_mut(&process) else { return };
        let has_result = monitor.position < wire.truth.processes[process].results;
        if monitor.push.is_some() || !has_result || !self.member.holds(monitor.stake) {
            return;
        }
        let tables = &wire.database.tables;
        if !wire.truth.rolled_back && !wire.truth.hidden_pause {
            let me = self.member.incarnation().expect("it has joined");
            assert!(tables.is_owned_by(process, me), "a push of a process that belongs to another");
            let row = tables.processes.get(&process);
            if let Some(row) = row.filter(|row| row.generation == monitor.generation) {
                let unsaved = monitor.oldest_after(row.seq);
                let in_time = unsaved.is_none_or(|since| now.since(since) < UNSAVED_LIMIT);
                assert!(in_time, "a push although earlier ones cannot be saved");
            }
        }
        let push = monitor.begin(now);
        let repeated = wire.truth.begun(process, push.generation, push.number);
        wire.totals.pushes += 1;
        wire.totals.repeats += u64::from(repeated);
    }

    /// Pushes end that have taken long enough.
    pub(crate) fn end_pushes(&mut self, process: Option<usize>, wire: &mut Wire) {
        let now = self.now(wire);
        let is_over = |push: &Push| now.since(push.began) >= MIN_PUSH;
        for push in self.abandoned.extract_if(.., |push| is_over(push)) {
            wire.truth.ended(push.process, push.generation, push.number);
        }
        for monitor in self.monitors.values_mut() {
            let chosen = process.is_none_or(|process| process == monitor.process);
            if let Some(push) = monitor.push.filter(|push| chosen && is_over(push)) {
                wire.truth.ended(push.process, push.generation, push.number);
                monitor.ack(now);
            }
        }
        self.proceed(wire);
    }

    pub(crate) fn leave(&mut self, wire: &mut Wire) {
        self.leaving = true;
        self.member.handle_event(self.now(wire), Event::Leave);
        self.proceed(wire);
    }
}

fn local(offset: u64, rate: u64, world: u64) -> Time {
    Time::from_micros(offset + world * rate / 1000)
}
