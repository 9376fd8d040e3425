//! One monitor of a Compute Unit (CU) that evaluates only if it is asked, over a [`Plan`]. The same plan is
//! played with any timing.

use super::cu::{Cu, Row};
use super::plan::{Kind, Plan};
use super::term::{Term, edges};
use super::{config, failure, process};
use cron_engine::{
    Action, Class, Counters, Engine, Event, Fetched, Interval, MonitorId, PageRequest, Position,
    Registration, Request, Snapshot, Time, Timing, decode_latest, page,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A result that was pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pushed {
    /// When the request was sent that brought it.
    pub(crate) sent: Time,
    /// Whether the monitor had seen its cron since it started.
    pub(crate) known: bool,
}

/// A run.
pub(crate) struct Polled {
    plan: Plan,
    engine: Engine,
    now: Time,
    cu: Cu,
    /// The rows of the CU by their cursors.
    rows: BTreeMap<Vec<u8>, Row>,
    timing: Timing,
    /// The crons of the process, if its tags are known.
    told: Option<Arc<[Interval]>>,
    pub(crate) id: MonitorId,
    position: Position,
    /// The request under way: when its answer comes, and when it was sent.
    under_way: Option<(Time, Time, Request)>,
    evaluated: u64,
    seen: BTreeSet<String>,
    received: u64,
    /// Whether results are acked.
    pub(crate) acks: bool,
    pub(crate) pushed: BTreeMap<Row, Pushed>,
    pub(crate) requests: usize,
    /// How many of them made the CU evaluate.
    pub(crate) evaluations: usize,
    /// The longest a request took.
    pub(crate) slowest: Duration,
}

impl Polled {
    /// Plays the plan.
    pub(crate) fn run(plan: &Plan, timing: Timing) -> Self {
        Self::play(plan, timing, None)
    }

    /// Plays the plan with a monitor that knows the crons of the plan.
    pub(crate) fn run_told(plan: &Plan, timing: Timing) -> Self {
        let crons = plan.crons.iter().map(|cron| Interval::read(&cron.tag)).collect();
        Self::play(plan, timing, Some(crons))
    }

    /// Plays the plan with a monitor that takes these for the crons of its process.
    pub(crate) fn play(plan: &Plan, timing: Timing, told: Option<Arc<[Interval]>>) -> Self {
        let cu = Cu::new(plan.rows());
        // It begins with what could be read an instant before it starts.
        let visible = plan.visible(Time::ZERO);
        let last = cu.rows.iter().rfind(|row| row.timestamp <= visible && !row.error);
        let position = last.map_or(Position::Earliest, |row| Position::After(row.cursor("ASC")));
        let cursors = cu.rows.iter().map(|row| row.cursor("ASC").as_bytes().to_vec());
        let rows = cursors.zip(cu.rows.iter().cloned()).collect();
        let mut polled = Self {
            plan: plan.clone(),
            rows,
            engine: Engine::new(config(4)),
            now: Time::ZERO,
            cu,
            timing,
            told,
            id: MonitorId(1),
            position,
            under_way: None,
            evaluated: visible,
            seen: BTreeSet::new(),
            received: 0,
            acks: true,
            pushed: BTreeMap::new(),
            requests: 0,
            evaluations: 0,
            slowest: Duration::ZERO,
        };
        polled.register();
        let mut restarts = plan.restarts.clone();
        restarts.sort();
        for restart in restarts {
            polled.run_until(Time::ZERO + restart);
            polled.under_way = None;
            polled.tell(Event::Removed(polled.id));
            polled.engine = Engine::new(config(4));
            polled.id = MonitorId(polled.id.0 + 1);
            polled.register();
        }
        polled.run_until(plan.end);
        polled
    }

    fn register(&mut self) {
        let (rate, position) = (self.plan.rate, self.position.clone());
        self.seen.clear();
        self.received = 0;
        let registration = Registration::new(self.id, process(1), rate, position);
        let (timing, page_limit) = (self.timing, self.plan.page_limit);
        self.tell(Event::Register(Registration { timing, page_limit, ..registration }));
        if let Some(crons) = self.told.clone() {
            self.tell(Event::Crons(self.id, crons));
        }
    }

    fn run_until(&mut self, end: Time) {
        loop {
            let answer = self.under_way.as_ref().map(|(at, ..)| *at);
            let Some(next) = self.engine.poll_timeout().into_iter().chain(answer).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            match self.under_way.take_if(|(at, ..)| *at <= next) {
                Some((_, sent, request)) => self.answer(sent, &request),
                None => self.engine.handle_timeout(self.now),
            }
            self.act();
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// A user asks for a poll.
    pub(crate) fn poll(&mut self) {
        self.tell(Event::Poll(self.id));
    }

    pub(crate) fn counters(&self) -> Counters {
        self.engine.counters()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.engine.snapshot(self.now, self.id).expect("a monitor")
    }

    /// How long until the next result is expected.
    pub(crate) fn next_result(&self) -> Option<Duration> {
        self.snapshot().next_result
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => self.engine.handle_event(self.now, Event::Poll(id)),
                Action::Fetch { request, .. } => self.fetch(request),
                Action::Report { .. } | Action::Breaker { .. } => {}
                Action::Save { .. } => panic!("the position is known"),
            }
        }
    }

    fn fetch(&mut self, request: Request) {
        assert!(self.under_way.is_none(), "one fetch at a time");
        self.requests += 1;
        let visible = self.plan.visible(self.now);
        let before = |time| self.cu.rows.partition_point(|row| row.timestamp <= time);
        let new = before(visible).saturating_sub(before(self.evaluated));
        let new = u32::try_from(new).expect("few");
        self.evaluations += usize::from(new > 0);
        let evaluation = match self.plan.kind {
            Kind::Before => self.plan.evaluation * new,
            Kind::Afterwards => Duration::ZERO,
        };
        let takes = Duration::from_millis(5) + evaluation;
        self.slowest = self.slowest.max(takes);
        self.under_way = Some((self.now + takes, self.now, request));
    }

    fn answer(&mut self, sent: Time, request: &Request) {
        let visible = self.plan.visible(sent);
        let before = self.evaluated;
        self.evaluated = before.max(visible);
        let given = if self.plan.kind == Kind::Before { visible } else { before };
        let outcome = if self.plan.fails(sent) {
            Err(failure(Class::Status))
        } else {
            let body = self.cu.answer(request, given);
            Ok(match request {
                Request::Latest | Request::Look => {
                    Fetched::Latest(decode_latest(&body, u64::MAX).unwrap())
                }
                Request::First(_) => Fetched::First(decode_latest(&body, u64::MAX).unwrap()),
                Request::Page(page) => self.page(sent, &body, page),
            })
        };
        self.engine.handle_event(self.now, Event::Fetched(self.id, outcome));
        if self.acks {
            self.engine.handle_event(self.now, Event::Acked(self.id, self.received));
        }
    }

    fn page(&mut self, sent: Time, body: &[u8], request: &PageRequest) -> Fetched {
        let page = page::decode(body, request, &mut Vec::new()).unwrap();
        let edges = edges(&page);
        let Some(last) = page.last else { return Fetched::EmptyPage };
        let mut new = BTreeSet::new();
        for edge in &edges {
            let Term::Binary(cursor) = edge.get("cursor") else { panic!("a cursor") };
            let row = self.rows.get(cursor).expect("a row of this CU").clone();
            let cron = row.cron.clone().expect("a cron");
            let known = self.seen.contains(&cron);
            new.insert(cron);
            let pushed = self.pushed.insert(row, Pushed { sent, known });
            assert!(pushed.is_none(), "it is pushed once");
        }
        self.seen.extend(new);
        self.position = Position::After(last.clone());
        self.received += page.edges;
        let (trail, bytes) = (Arc::new(page.trail), page.memory);
        Fetched::Page { edges: page.edges, last, trail, bytes, cut: page.cut, more: page.more }
    }
}
