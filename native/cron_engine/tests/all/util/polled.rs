//! One monitor of a Compute Unit (CU) that has a clock of its own and evaluates only if it is asked,
//! over a plan: which crons there are, how late results can be read, when the monitor starts anew
//! and when the CU fails. The same plan is played with any timing.

use super::cu::{BASE, Cu, Row};
use super::term::{Term, edges};
use super::{config, failure, process};
use cron_engine::{
    Action, Class, Counters, Engine, Event, Fetched, Interval, MonitorId, PageRequest, Position,
    Registration, Request, Snapshot, Time, Timing, decode_latest, page,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a CU that fails does so.
const OUTAGE: Duration = Duration::from_secs(20);

/// For so long after a failure, pauses are drawn that differ from run to run.
const AFTERMATH: Duration = Duration::from_mins(6);

/// A cron of the process.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    /// The value of its tag.
    pub(crate) tag: String,
    /// When it stops.
    pub(crate) stops: Option<Duration>,
    /// How many percent of its evaluations fail.
    pub(crate) misses: u8,
}

/// How a CU evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request waits for it.
    Before,
    /// A request gives what was there, and makes the CU evaluate for the next one.
    Afterwards,
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) crons: Vec<Cron>,
    pub(crate) rate: Duration,
    /// How far the CU's clock is ahead, in ms.
    pub(crate) ahead: i64,
    /// How long after its time a result can be read.
    pub(crate) delay: Duration,
    /// How long a request takes for each evaluation.
    pub(crate) evaluation: Duration,
    pub(crate) kind: Kind,
    pub(crate) restarts: Vec<Duration>,
    pub(crate) outages: Vec<Duration>,
    pub(crate) page_limit: u32,
    pub(crate) seed: u64,
    pub(crate) end: Time,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            crons: Vec::new(),
            rate: Duration::from_secs(10),
            ahead: 0,
            delay: Duration::from_millis(300),
            evaluation: Duration::from_millis(5),
            kind: Kind::Before,
            restarts: Vec::new(),
            outages: Vec::new(),
            page_limit: 1000,
            seed: 7,
            end: Time::from_millis(2 * 3_600_000),
        }
    }
}

impl Plan {
    /// All evaluations: what a process that was there for a while has.
    fn rows(&self) -> Vec<Row> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let origin = BASE / 1000 - rng.u64(0..100_000);
        let part = rng.u64(0..1000);
        let mut crons: Vec<_> = self.crons.iter().map(|cron| (every(&cron.tag), cron)).collect();
        crons.sort_by_key(|(every, _)| *every);
        let mut rows = Vec::new();
        // Behind the time of the CU by as much as its results are late, and an hour of the past.
        let late = u64::try_from(self.delay.as_millis()).expect("short") / 1000;
        let first = BASE / 1000 - 3600 - late - 300;
        // A test may go on for an hour.
        let last = BASE / 1000 + self.end.as_micros() / 1_000_000 + 3600;
        for (index, (every, cron)) in crons.iter().enumerate() {
            let name = format!("{index}-{}", cron.tag);
            let stops = cron.stops.map_or(u64::MAX, |stops| BASE / 1000 + stops.as_secs());
            let begin = first + (every - (first - origin % every) % every) % every;
            let mut at = begin;
            while at < last.min(stops) {
                let error = rng.u8(0..100) < cron.misses;
                let timestamp = at * 1000 + part;
                rows.push(Row { timestamp, cron: Some(name.clone()), error });
                // A block comes whenever it does.
                at += if cron.tag.contains("block") { rng.u64(60..180) } else { *every };
            }
        }
        rows
    }

    /// When a row can be read.
    pub(crate) fn readable(&self, row: &Row) -> Time {
        let delay = i64::try_from(self.delay.as_millis()).expect("short");
        let at = i64::try_from(row.timestamp).expect("a time") + delay - self.ahead;
        let since = at - i64::try_from(BASE).expect("a time");
        Time::from_millis(u64::try_from(since).unwrap_or(0))
    }

    /// How far the CU is when it is asked at `now`, in ms since 1970.
    fn visible(&self, now: Time) -> u64 {
        let delay = u64::try_from(self.delay.as_millis()).expect("short");
        (BASE + now.as_micros() / 1000).saturating_add_signed(self.ahead) - delay
    }

    fn fails(&self, now: Time) -> bool {
        self.outages.iter().any(|at| now >= Time::ZERO + *at && now < Time::ZERO + *at + OUTAGE)
    }

    /// Whether the monitor starts anew between two times.
    pub(crate) fn restarts_between(&self, from: Time, to: Time) -> bool {
        self.restarts.iter().any(|at| (from..=to).contains(&(Time::ZERO + *at)))
    }

    /// Whether a failure, or pauses after one, came between two times.
    pub(crate) fn is_disturbed(&self, from: Time, to: Time) -> bool {
        self.outages.iter().any(|at| {
            let (begin, end) = (Time::ZERO + *at, Time::ZERO + *at + OUTAGE + AFTERMATH);
            from <= end && to >= begin
        })
    }
}

fn every(tag: &str) -> u64 {
    match Interval::read(tag) {
        Interval::Seconds(seconds) => seconds.into(),
        _ => 120,
    }
}

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
