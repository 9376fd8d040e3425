//! A node in simulation: the engine, a CU that serves results as JSON, and monitor processes that
//! poll, push and ack on their own. Between them only the sockets and the BEAM are left out, so
//! what goes wrong between engine, decoder and acks goes wrong here.
//!
//! All runs on a simulated clock that jumps from one thing to the next. Rules that always hold
//! are checked at every step: the limit of fetches, the credit of pages, and the order of edges.

use super::term::{Term, edges};
use super::watched::{Answer, Watched};
use super::{config, registration};
use cron_engine::{
    Action, Class, Engine, Event, Failure, Fetched, MonitorId, PageRequest, Position, Request,
    Time, decode_latest, page,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

/// Pages that a monitor may hold: the one being pushed and one ahead of it.
const CREDIT: usize = 2;

/// From a push that failed to its next try.
const RETRY: Duration = Duration::from_millis(300);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    Answer,
    Told,
    Push,
}

/// A fetch from its start until the engine learns of its end.
struct Fetch {
    id: MonitorId,
    request: Request,
    outcome: Option<Result<Fetched, Failure>>,
}

/// What becomes of an answer: what the engine is given, and the page's edges.
fn decode(
    watched: &Watched,
    request: &Request,
    answer: Answer,
) -> Result<(Fetched, Vec<Term>), Failure> {
    let body = match answer {
        Answer::Good => watched.body(request),
        Answer::Body(body) => body,
        Answer::Fail(class) => return Err(Failure::new(class, "it went wrong")),
    };
    let Request::Page(request) = request else {
        return Ok((Fetched::Latest(decode_latest(&body, u64::MAX)?), Vec::new()));
    };
    let page = page::decode(&body, request, &mut Vec::new())?;
    let edges = edges(&page);
    let trail = Arc::new(page.trail);
    let fetched = match page.last {
        Some(last) => Fetched::Page {
            edges: page.edges,
            last,
            trail,
            bytes: page.memory,
            cut: page.cut,
            more: page.more,
        },
        None => Fetched::EmptyPage,
    };
    Ok((fetched, edges))
}

/// The simulated node.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) engine: Engine,
    pub(crate) watched: BTreeMap<MonitorId, Watched>,
    /// Whose pages came, in order.
    pub(crate) turns: Vec<MonitorId>,
    /// The most fetches that were under way at once.
    pub(crate) most_inflight: usize,
    max_inflight: usize,
    /// What is asked of the CU right now. A fetch outlives its monitor.
    inflight: BTreeMap<u64, Fetch>,
    /// What comes next: when, in which order, what, and of which monitor.
    pending: BinaryHeap<Reverse<(Time, u64, Pending, MonitorId)>>,
    count: u64,
}

impl World {
    pub(crate) fn new(max_inflight: usize) -> Self {
        Self {
            now: Time::ZERO,
            engine: Engine::new(config(max_inflight)),
            watched: BTreeMap::new(),
            turns: Vec::new(),
            most_inflight: 0,
            max_inflight,
            inflight: BTreeMap::new(),
            pending: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Starts a monitor.
    pub(crate) fn start(&mut self, number: u64, rate: Duration, watched: Watched) -> MonitorId {
        let id = MonitorId(number);
        let position = watched.position.clone();
        assert!(self.watched.insert(id, watched).is_none(), "an id is given once");
        self.tell(Event::Register(registration(id, rate, position)));
        id
    }

    /// Stops a monitor, whatever it is about.
    pub(crate) fn stop(&mut self, id: MonitorId) {
        self.watched.remove(&id);
        self.tell(Event::Removed(id));
    }

    /// A user asks for a poll.
    pub(crate) fn poll(&mut self, id: MonitorId) {
        self.tell(Event::Poll(id));
    }

    pub(crate) fn of(&mut self, id: MonitorId) -> &mut Watched {
        self.watched.get_mut(&id).expect("a monitor that was started")
    }

    /// Jumps to what comes next, and lets it happen. `false` if nothing will ever come.
    pub(crate) fn step(&mut self) -> bool {
        let pending = self.pending.peek().map(|next| next.0.0);
        let timeout = self.engine.poll_timeout();
        let Some(next) = pending.into_iter().chain(timeout).min() else { return false };
        self.now = self.now.max(next);
        if pending.is_none_or(|at| at > self.now) {
            self.engine.handle_timeout(self.now);
            self.act();
            return true;
        }
        let Some(Reverse((_, order, what, id))) = self.pending.pop() else {
            return false;
        };
        match what {
            Pending::Answer => self.answer(order),
            Pending::Told => self.told(order),
            Pending::Push => self.push(id),
        }
        true
    }

    /// Steps until `done`; says whether that was within `steps`.
    pub(crate) fn drive(&mut self, steps: usize, done: impl Fn(&Self) -> bool) -> bool {
        (0..steps).any(|_| done(self) || !self.step()) || done(self)
    }

    /// Steps through all that happens up to `end`.
    pub(crate) fn run_until(&mut self, end: Time) {
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// When something happens next.
    fn next(&self) -> Option<Time> {
        let pending = self.pending.peek().map(|next| next.0.0);
        pending.into_iter().chain(self.engine.poll_timeout()).min()
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act();
    }

    fn after(&mut self, wait: Duration, what: Pending, id: MonitorId) -> u64 {
        self.count += 1;
        self.pending.push(Reverse((self.now + wait, self.count, what, id)));
        self.count
    }

    /// Does what the engine asks for. What comes of it may ask for more, which is in the same
    /// queue.
    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => self.tick(id),
                Action::Fetch { id, request, .. } => self.fetch(id, request),
                Action::Save { id, .. } => self.engine.handle_event(self.now, Event::Saved(id)),
                Action::Breaker { .. } => {}
                Action::Report { id, report } => {
                    if let Some(watched) = self.watched.get_mut(&id) {
                        watched.reports.push(report);
                    }
                }
            }
        }
        assert_eq!(self.engine.counters().inflight, self.inflight.len());
    }

    fn tick(&mut self, id: MonitorId) {
        let now = self.now;
        let watched = self.of(id);
        watched.ticks.push(now);
        self.engine.handle_event(now, Event::Poll(id));
    }

    fn fetch(&mut self, id: MonitorId, request: Request) {
        let now = self.now;
        let mut latency = Duration::from_millis(1);
        // A fetch may have been asked for just before its monitor went.
        if let Some(watched) = self.watched.get_mut(&id) {
            watched.fetched_at.push(now);
            latency = watched.latency;
            assert!(watched.pages.len() < CREDIT, "a fetch without credit");
            if let Request::Page(PageRequest { from, first_seq, .. }) = &request {
                assert_ne!(*from, Position::Unresolved, "nothing is fetched from nowhere");
                let next = watched.delivered.len() + watched.held() + 1;
                assert_eq!(usize::try_from(*first_seq), Ok(next), "edges are numbered through");
            }
        }
        assert!(
            !self.inflight.values().any(|fetch| fetch.id == id),
            "one fetch of a monitor at a time"
        );
        let order = self.after(latency, Pending::Answer, id);
        self.inflight.insert(order, Fetch { id, request, outcome: None });
        self.most_inflight = self.most_inflight.max(self.inflight.len());
        assert!(self.inflight.len() <= self.max_inflight, "too many fetches at once");
    }

    /// Ends a fetch as the node's fetcher does: the monitor gets its page, and only then the
    /// engine learns of it. In between the monitor may have pushed and acked already.
    fn answer(&mut self, order: u64) {
        let Fetch { id, request, .. } = self.inflight.remove(&order).expect("a fetch under way");
        let mut told_after = Duration::ZERO;
        let mut outcome = Err(Failure::new(Class::Internal, "the monitor is gone"));
        if let Some(watched) = self.watched.get_mut(&id) {
            told_after = watched.told_after;
            let answer = watched.answers.pop_front().unwrap_or(Answer::Good);
            outcome = decode(watched, &request, answer);
        }
        let fetched = outcome.map(|(fetched, edges)| {
            if let Request::Page(PageRequest { first_seq, .. }) = request {
                self.turns.push(id);
                self.receive(id, first_seq, &edges);
            }
            fetched
        });
        let order = self.after(told_after, Pending::Told, id);
        self.inflight.insert(order, Fetch { id, request, outcome: Some(fetched) });
    }

    fn told(&mut self, order: u64) {
        let fetch = self.inflight.remove(&order).expect("a fetch under way");
        self.tell(Event::Fetched(fetch.id, fetch.outcome.expect("an answer")));
    }

    fn receive(&mut self, id: MonitorId, first_seq: u64, edges: &[Term]) {
        if edges.is_empty() {
            return;
        }
        let results = edges.iter().map(|edge| {
            let n = edge.get("cursor").text()[1..].parse().expect("a cursor of this CU");
            assert_eq!(edge.get("Output"), &Term::integer(n), "a node keeps its cursor");
            n
        });
        let watched = self.of(id);
        watched.pages.push_back((first_seq, results.collect()));
        assert!(watched.pages.len() <= CREDIT, "a page without credit");
        self.go_on(id);
    }

    fn go_on(&mut self, id: MonitorId) {
        let watched = self.of(id);
        let wait = watched.push_time;
        if !watched.pages.is_empty() && !std::mem::replace(&mut watched.pushing, true) {
            self.after(wait, Pending::Push, id);
        }
    }

    fn push(&mut self, id: MonitorId) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        watched.pushing = false;
        let attempt = watched.pushes;
        watched.pushes += 1;
        if (watched.push_fails)(attempt) {
            // Tried again a while later; a page that comes meanwhile does not change that.
            watched.pushing = true;
            self.after(RETRY, Pending::Push, id);
            return;
        }
        let (seq, results) = watched.pages.front_mut().expect("something to push");
        watched.delivered.push(results.pop_front().expect("something to push"));
        let acked = *seq;
        *seq += 1;
        let ends_page = results.is_empty();
        if ends_page {
            watched.pages.pop_front();
        }
        if ends_page || watched.acks_each {
            self.tell(Event::Acked(id, acked));
        }
        self.go_on(id);
    }
}
