//! The driver: it tells the protocol what happened, and carries out what the protocol decides. It is
//! one task; the lanes are others of the same thread.

use crate::asked::Asked;
use crate::clock;
use crate::input::Input;
use crate::lanes::{Commit, Depot};
use crate::owner::Owner;
use crate::process_row::ShardRead;
use crate::status::PeerStatus;
use cron_cluster::{Action, Config, Event, Incarnation, Member, Peer, ShardId, Stake};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// The number of shards that one statement reads.
const READ_AT_ONCE: usize = 128;

/// What a caller wants.
pub(crate) enum Command {
    Event(Event),
    Commit(Commit),
    Request(Asked),
    /// Read all held shards again.
    ReadAgain,
    /// End without leaving.
    Halt,
}

/// The driver of a node.
pub(crate) struct Driver {
    depot: Depot,
    inputs: UnboundedReceiver<Input>,
    owner: Arc<dyn Owner>,
    member: Member,
    /// The nodes of the last view, and their names.
    peers: Vec<Peer>,
    names: BTreeMap<Incarnation, String>,
    /// Shards to read, in order and without duplicates.
    to_read: VecDeque<Stake>,
    queued: BTreeSet<Stake>,
    reading: bool,
    left: bool,
    lanes: Option<Senders>,
}

/// The jobs of the lanes.
struct Senders {
    renewals: UnboundedSender<(Incarnation, bool)>,
    protocol: UnboundedSender<Action>,
    cursors: UnboundedSender<Commit>,
    reads: UnboundedSender<Vec<Stake>>,
    requests: UnboundedSender<Asked>,
}

impl Senders {
    /// Whether a lane has ended, which none does before the driver.
    fn is_broken(&self) -> bool {
        self.renewals.is_closed()
            || self.protocol.is_closed()
            || self.cursors.is_closed()
            || self.reads.is_closed()
            || self.requests.is_closed()
    }
}

impl Driver {
    pub(crate) fn new(
        depot: Depot,
        inputs: UnboundedReceiver<Input>,
        owner: Arc<dyn Owner>,
    ) -> Self {
        let member = Member::new(clock::now(), Config::new(depot.ttl));
        Self {
            depot,
            inputs,
            owner,
            member,
            peers: Vec::new(),
            names: BTreeMap::new(),
            to_read: VecDeque::new(),
            queued: BTreeSet::new(),
            reading: false,
            left: false,
            lanes: None,
        }
    }

    /// Runs until this node has left or is halted, or until a lane has ended by a panic. Returns
    /// whether it is the latter.
    pub(crate) async fn run(&mut self, commands: &mut UnboundedReceiver<Command>) -> bool {
        self.lanes = Some(self.start_lanes());
        self.member.handle_timeout(clock::now());
        loop {
            self.proceed();
            if self.left {
                return false;
            }
            // What it was to answer would never come.
            if self.lanes.as_ref().is_some_and(Senders::is_broken) {
                return true;
            }
            let wait = self.member.poll_timeout().map(|at| at.since(clock::now()));
            // A lane that has ended must be noticed.
            let wait = wait.unwrap_or(Duration::MAX).min(self.depot.ttl);
            let next = timeout(wait, self.next(commands)).await;
            match next {
                Ok(Next::Input(input)) => self.handle(input),
                Ok(Next::Command(Command::Event(event))) => self.tell(event),
                Ok(Next::Command(Command::Commit(commit))) => {
                    self.pass(|lanes| lanes.cursors.send(commit).is_ok());
                }
                Ok(Next::Command(Command::Request(asked))) => {
                    self.pass(|lanes| lanes.requests.send(asked).is_ok());
                }
                Ok(Next::Command(Command::ReadAgain)) => {
                    let held: Vec<Stake> = self.member.stakes().collect();
                    self.queue(held);
                }
                Ok(Next::Command(Command::Halt) | Next::End) => return false,
                Err(_) => self.member.handle_timeout(clock::now()),
            }
        }
    }

    /// After a panic: all shards are lost. Returns them for the owner.
    pub(crate) fn abandon(&self) -> Vec<Stake> {
        self.depot.shared.lease.set(None);
        self.member.stakes().collect()
    }

    fn start_lanes(&self) -> Senders {
        let (renewals, renewal_jobs) = unbounded_channel();
        let (protocol, protocol_jobs) = unbounded_channel();
        let (cursors, cursor_jobs) = unbounded_channel();
        let (reads, read_jobs) = unbounded_channel();
        let (requests, request_jobs) = unbounded_channel();
        spawn_local(self.depot.clone().renew(renewal_jobs));
        spawn_local(self.depot.clone().protocol(protocol_jobs));
        spawn_local(self.depot.clone().commit(cursor_jobs));
        spawn_local(self.depot.clone().read(read_jobs));
        spawn_local(self.depot.clone().request(request_jobs));
        Senders { renewals, protocol, cursors, reads, requests }
    }

    /// The next input or command.
    async fn next(&mut self, commands: &mut UnboundedReceiver<Command>) -> Next {
        let inputs = &mut self.inputs;
        poll_fn(|cx| {
            if let Poll::Ready(Some(input)) = inputs.poll_recv(cx) {
                return Poll::Ready(Next::Input(input));
            }
            commands.poll_recv(cx).map(|command| command.map_or(Next::End, Next::Command))
        })
        .await
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.tell(event),
            Input::Looked(looked) => {
                let view = looked.map(|looked| {
                    self.names = looked.names.into_iter().collect();
                    self.peers.clone_from(&looked.view.peers);
                    looked.view
                });
                self.tell(Event::Viewed(view));
            }
            Input::Read(stakes, read) => self.read(stakes, read),
            Input::Gone(stake) => self.queue([stake]),
            Input::Nothing => {}
        }
    }

    /// Tells the protocol what happened. The lease is right before anything follows from it.
    fn tell(&mut self, event: Event) {
        self.member.handle_event(clock::now(), event);
        self.depot.shared.lease.set(self.member.leased_until());
    }

    /// Carries out what the protocol decided.
    fn proceed(&mut self) {
        self.publish();
        while let Some(action) = self.member.poll_action() {
            match action {
                Action::Renew { incarnation, leaving } => {
                    self.pass(|lanes| lanes.renewals.send((incarnation, leaving)).is_ok());
                }
                Action::Gained(stakes) | Action::Reread(stakes) => self.queue(stakes),
                Action::Lost(stakes) => self.owner.lost(&stakes),
                Action::Stop(stakes) => self.owner.stop(&stakes),
                Action::Left => {
                    self.left = true;
                    self.publish();
                    self.owner.left();
                }
                action => self.pass(|lanes| lanes.protocol.send(action).is_ok()),
            }
        }
        self.begin_to_read();
    }

    /// Sends a job. If the lane has ended, that is noticed soon.
    fn pass(&self, send: impl FnOnce(&Senders) -> bool) {
        let _sent = self.lanes.as_ref().is_some_and(send);
    }

    fn queue(&mut self, stakes: impl IntoIterator<Item = Stake>) {
        for stake in stakes {
            if self.queued.insert(stake) {
                self.to_read.push_back(stake);
            }
        }
    }

    /// Begins to read shards. One statement is under way at a time, so none is overtaken by an older
    /// one.
    fn begin_to_read(&mut self) {
        while !self.reading && !self.to_read.is_empty() {
            let count = self.to_read.len().min(READ_AT_ONCE);
            let mut stakes: Vec<Stake> = self.to_read.drain(..count).collect();
            for stake in &stakes {
                self.queued.remove(stake);
            }
            stakes.retain(|stake| self.member.holds(*stake));
            if !stakes.is_empty() {
                self.reading = true;
                self.pass(|lanes| lanes.reads.send(stakes).is_ok());
            }
        }
    }

    fn read(&mut self, stakes: Vec<Stake>, read: Option<BTreeMap<ShardId, ShardRead>>) {
        self.reading = false;
        let Some(mut read) = read else {
            return self.queue(stakes);
        };
        for stake in stakes {
            let ShardRead { mark, processes } = read.remove(&stake.shard).unwrap_or_default();
            self.tell(Event::Read(stake, mark));
            if self.member.holds(stake) {
                self.owner.read(stake, mark, processes);
            }
        }
    }

    fn publish(&self) {
        let now = clock::now();
        let ages: BTreeMap<Incarnation, Duration> = self.member.ages(now).collect();
        let peers = self.peers.iter().map(|peer| PeerStatus {
            incarnation: peer.incarnation,
            name: self.names.get(&peer.incarnation).cloned().unwrap_or_default(),
            age: ages.get(&peer.incarnation).copied().unwrap_or_default(),
            leaving: peer.leaving,
            shards: peer.owned,
        });
        let mut published = self.depot.shared.published();
        published.incarnation = self.member.incarnation();
        published.peers = peers.collect();
        published.at = now;
        (published.held, published.moving) = self.member.shards();
        published.unread = self.to_read.len();
        published.counters = self.member.counters();
        published.ended = self.left;
    }
}

/// What the driver does next.
enum Next {
    Input(Input),
    Command(Command),
    /// All callers have gone.
    End,
}
