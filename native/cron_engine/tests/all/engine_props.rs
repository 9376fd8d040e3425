//! The engine under anything that may happen: monitors of several hosts that come, move and go,
//! answers of every kind and to other questions, acks of anything, time that jumps. After each
//! step its bounds hold; once all hosts are good again nobody is stuck; and once all monitors are
//! gone nothing is left of them.

use crate::util::{config, cursor, failure, process};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use cron_engine::{
    Action, Class, Config, Cursor, Engine, Event, Failure, Fetched, HostId, MonitorId, PageRequest,
    Position, Registration, Request, Time, Trail,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The longest that a host asks to be left alone.
const LONGEST: u64 = 120;

/// How long it may take until everybody is served, once all is well, beyond that.
const SETTLED: Duration = Duration::from_mins(10);

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Register {
        hosts: Vec<u64>,
        start: Start,
        page_limit: u32,
        walk_after: u64,
        rate: u64,
    },
    Poll(Index),
    /// Of all that the monitor has, so many percent.
    Acked(Index, u64),
    Moved(Index, Vec<u64>),
    Removed(Index),
    Saved(Index),
    Answer(Index, Answer),
    /// The same answer twice: the second one is taken by the fetch that came in between, if any.
    Twice(Index, Answer),
    /// So many ms go by, and the engine is called once, late.
    Late(u64),
    /// The engine is called when it asked for.
    Wake,
    /// From now on this host gives nothing but failures, or no more.
    Down(u64, bool),
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Unresolved,
    Earliest,
    /// After an AO cursor of this time.
    Ao(u64),
    Opaque,
    NotDurable,
}

#[derive(Debug, Clone)]
enum Answer {
    Page(u64, u64),
    Empty,
    Latest(Option<u64>),
    LatestOpaque,
    First(Option<u64>),
    TooSlow,
    /// Of this class, with this Retry-After.
    Failed(Index, Option<u64>),
    /// What an answer to the question would be.
    Fitting,
}

/// A fetch under way.
#[derive(Debug, Clone)]
struct Fetch {
    host: HostId,
    request: Request,
    patience: Option<Duration>,
    since: Time,
}

/// What is known of a monitor from outside.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
struct Watch {
    hosts: Vec<HostId>,
    received: u64,
    acked: u64,
    /// Of each page that is not acked: its last sequence number, and its bytes.
    unacked: Vec<(u64, u64)>,
    ticked: bool,
    saving: bool,
    /// A fetch of it failed at some time: it may be waiting for the next try.
    failed: bool,
    /// It waits for its turn, for sure.
    waiting: bool,
    /// Pages that it asked for and got since all hosts are good.
    served: u64,
}

/// What is known of a host whose breaker is not closed.
#[derive(Debug)]
struct Shut {
    until: Time,
    /// Whose fetches were under way when it opened.
    older: BTreeSet<MonitorId>,
}

struct World {
    engine: Engine,
    config: Config,
    now: Time,
    next: u64,
    watches: BTreeMap<MonitorId, Watch>,
    inflight: BTreeMap<MonitorId, Fetch>,
    shut: BTreeMap<HostId, Shut>,
    down: BTreeSet<HostId>,
    /// All hosts are good and all monitors behave.
    settling: bool,
    /// Nobody polls any more.
    quiet: bool,
}

fn ao(time: u64) -> Cursor {
    let json = format!(r#"{{"timestamp":{time},"ordinate":"1","cron":"0-10-seconds"}}"#);
    cursor(&BASE64_STANDARD.encode(json))
}

fn hosts(numbers: &[u64]) -> Vec<HostId> {
    numbers.iter().copied().map(HostId).collect()
}

fn pick<T: Copy>(of: impl Iterator<Item = T>, index: Index) -> Option<T> {
    let all: Vec<T> = of.collect();
    (!all.is_empty()).then(|| all[index.index(all.len())])
}

impl World {
    fn new(config: Config) -> Self {
        Self {
            engine: Engine::new(config),
            config,
            now: Time::ZERO,
            next: 1,
            watches: BTreeMap::new(),
            inflight: BTreeMap::new(),
            shut: BTreeMap::new(),
            down: BTreeSet::new(),
            settling: false,
            quiet: false,
        }
    }

    fn any(&self, index: Index) -> Option<MonitorId> {
        pick(self.watches.keys().copied(), index)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Register { hosts: numbers, start, page_limit, walk_after, rate } => {
                self.register(numbers, *start, *page_limit, *walk_after, *rate);
            }
            Step::Late(ms) => {
                self.now = self.now + Duration::from_millis(*ms);
                self.call();
            }
            Step::Down(host, true) => {
                self.down.insert(HostId(*host));
            }
            Step::Down(host, false) => {
                self.down.remove(&HostId(*host));
            }
            Step::Wake => {
                if let Some(due) = self.engine.poll_timeout() {
                    self.now = self.now.max(due);
                    self.call();
                }
            }
            Step::Answer(index, answer) => {
                if let Some(id) = pick(self.inflight.keys().copied(), *index) {
                    let outcome = self.outcome(id, answer);
                    self.answer(id, outcome);
                }
            }
            Step::Twice(index, answer) => {
                if let Some(id) = pick(self.inflight.keys().copied(), *index) {
                    let outcome = self.outcome(id, answer);
                    self.answer(id, outcome.clone());
                    self.answer(id, outcome);
                }
            }
            Step::Poll(index) => {
                let Some(id) = self.any(*index) else { return };
                self.poll(id);
            }
            Step::Acked(index, percent) => {
                let Some(id) = self.any(*index) else { return };
                self.ack(id, self.watches[&id].received * percent / 100);
            }
            Step::Moved(index, numbers) => {
                let Some(id) = self.any(*index) else { return };
                let moved = hosts(numbers);
                self.watches.get_mut(&id).unwrap().hosts.clone_from(&moved);
                self.tell(Event::Moved(id, moved.into()));
            }
            Step::Removed(index) => {
                let Some(id) = self.any(*index) else { return };
                self.remove(id);
            }
            Step::Saved(index) => {
                let Some(id) = self.any(*index) else { return };
                self.save(id);
            }
        }
    }

    fn register(&mut self, numbers: &[u64], start: Start, page_limit: u32, walk: u64, rate: u64) {
        let id = MonitorId(self.next);
        self.next += 1;
        let nodes = hosts(numbers);
        let position = match start {
            Start::Unresolved => Position::Unresolved,
            Start::Earliest | Start::NotDurable => Position::Earliest,
            Start::Ao(time) => Position::After(ao(time)),
            Start::Opaque => Position::After(cursor("opaque")),
        };
        let durable = !matches!(start, Start::NotDurable);
        let saving = !durable && self.config.checkpoint;
        self.watches.insert(id, Watch { hosts: nodes.clone(), saving, ..Watch::default() });
        let rate = Duration::from_secs(rate);
        self.tell(Event::Register(Registration {
            nodes: nodes.into(),
            durable,
            page_limit,
            walk_after: Duration::from_secs(walk),
            ..Registration::new(id, process(id.0), rate, position)
        }));
    }

    fn poll(&mut self, id: MonitorId) {
        self.watches.get_mut(&id).unwrap().ticked = false;
        self.tell(Event::Poll(id));
        let fetching = self.inflight.contains_key(&id);
        if let Some(watch) = self.watches.get_mut(&id) {
            let free = watch.unacked.is_empty() && !watch.saving && !watch.failed;
            watch.waiting = free && !fetching;
        }
        self.check();
    }

    fn ack(&mut self, id: MonitorId, seq: u64) {
        let watch = self.watches.get_mut(&id).unwrap();
        watch.acked = watch.acked.max(seq);
        watch.unacked.retain(|(end, _)| *end > watch.acked);
        self.tell(Event::Acked(id, seq));
    }

    fn save(&mut self, id: MonitorId) {
        self.watches.get_mut(&id).unwrap().saving = false;
        self.tell(Event::Saved(id));
    }

    fn remove(&mut self, id: MonitorId) {
        self.watches.remove(&id);
        self.tell(Event::Removed(id));
    }

    fn outcome(&self, id: MonitorId, answer: &Answer) -> Result<Fetched, Failure> {
        let received = self.watches.get(&id).map_or(0, |watch| watch.received);
        let page = |edges, bytes| {
            let last = ao(received + edges);
            let trail = Arc::new(Trail::at(&Position::After(last.clone())));
            Ok(Fetched::Page { edges, last, trail, bytes })
        };
        match answer {
            Answer::TooSlow => Ok(Fetched::TooSlow),
            Answer::Failed(class, retry_after) => {
                let class = pick(Class::all(), *class).unwrap();
                let retry_after = retry_after.map(Duration::from_secs);
                Err(Failure { retry_after, ..failure(class) })
            }
            _ if self.down.contains(&self.inflight[&id].host) => Err(failure(Class::Connect)),
            Answer::Page(edges, bytes) => page(*edges, *bytes),
            Answer::Empty => Ok(Fetched::EmptyPage),
            Answer::Latest(time) => Ok(Fetched::Latest(time.map(ao))),
            Answer::LatestOpaque => Ok(Fetched::Latest(Some(cursor("latest")))),
            Answer::First(time) => Ok(Fetched::First(time.map(ao))),
            Answer::Fitting => match &self.inflight[&id].request {
                Request::Latest | Request::Look => {
                    Ok(Fetched::Latest(Some(ao(received + 100_000))))
                }
                Request::First(_) => Ok(Fetched::First(Some(ao(1000)))),
                Request::Page(PageRequest { at: Some(_), .. }) => Ok(Fetched::EmptyPage),
                Request::Page(_) => page(3, 300),
            },
        }
    }

    fn answer(&mut self, id: MonitorId, outcome: Result<Fetched, Failure>) {
        let fetch = self.inflight.remove(&id);
        if let (Some(fetch), Some(watch)) = (&fetch, self.watches.get_mut(&id)) {
            watch.failed |= !matches!(outcome, Ok(Fetched::EmptyPage | Fetched::Page { .. }));
            let asked = matches!(fetch.request, Request::Page(_));
            if let (true, Ok(Fetched::Page { edges, bytes, .. })) = (asked, &outcome) {
                watch.received += edges;
                if watch.received > watch.acked {
                    watch.unacked.push((watch.received, *bytes));
                }
            }
            let got = matches!(outcome, Ok(Fetched::Page { .. } | Fetched::EmptyPage));
            watch.served += u64::from(asked && got && self.settling);
        }
        // The breaker of a host is told of in the name of a monitor: nobody is told in that of one
        // that is gone.
        let ended = fetch.map(|fetch| fetch.host);
        if !self.watches.contains_key(&id) {
            ended.and_then(|host| self.shut.remove(&host));
        }
        for shut in self.shut.values_mut() {
            shut.older.remove(&id);
        }
        self.engine.handle_event(self.now, Event::Fetched(id, outcome));
        self.act(ended);
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act(None);
    }

    /// Calls the engine at this time: after that there is nothing left to be done at it.
    fn call(&mut self) {
        self.engine.handle_timeout(self.now);
        let next = self.engine.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} is not after {:?}", self.now);
        self.act(None);
    }

    /// Carries out what the engine wants, after the fetch from the host `ended`, if so.
    fn act(&mut self, ended: Option<HostId>) {
        let known = self.known();
        self.shut.retain(|host, _| known.contains(host));
        let mut ticked = Vec::new();
        let mut saving = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => {
                    let watch = self.watches.get_mut(&id).expect("a tick for one that is there");
                    assert!(!watch.ticked, "a tick is answered before the next");
                    watch.ticked = true;
                    ticked.push(id);
                }
                Action::Save { id, .. } => {
                    assert!(self.config.checkpoint);
                    self.watches.get_mut(&id).expect("a save for one that is there").saving = true;
                    saving.push(id);
                }
                Action::Report { id, .. } => assert!(self.watches.contains_key(&id)),
                Action::Breaker { id, open_for, .. } => {
                    assert!(self.watches.contains_key(&id));
                    let host = ended.expect("a fetch ended");
                    // One that nobody asks any more is forgotten at once.
                    if known.contains(&host) {
                        self.breaker(host, open_for);
                    }
                }
                Action::Fetch { id, request, node, patience } => {
                    self.begin(id, request, node, patience, known.len());
                }
            }
        }
        self.check();
        if self.settling && !self.quiet {
            for id in ticked {
                self.poll(id);
            }
        }
        if self.settling {
            for id in saving {
                self.save(id);
            }
        }
    }

    /// The hosts that somebody may ask.
    fn known(&self) -> BTreeSet<HostId> {
        self.watches.values().flat_map(|watch| watch.hosts.iter().copied()).collect()
    }

    fn breaker(&mut self, host: HostId, open_for: Option<Duration>) {
        let Some(pause) = open_for else {
            self.shut.remove(&host);
            return;
        };
        assert!(pause > Duration::ZERO);
        let at_host = self.inflight.iter().filter(|(_, fetch)| fetch.host == host);
        let older = at_host.map(|(id, _)| *id).collect();
        let until = self.now + pause;
        // What was under way when it opened again is known as a probe, or as older, already.
        self.shut.entry(host).or_insert(Shut { until, older }).until = until;
    }

    fn begin(
        &mut self,
        id: MonitorId,
        request: Request,
        node: usize,
        patience: Option<Duration>,
        known: usize,
    ) {
        let watch = self.watches.get_mut(&id).expect("a fetch for one that is there");
        watch.waiting = false;
        let host = watch.hosts[node];
        assert!(!watch.saving, "nothing is fetched before the starting point is durable");
        if let Request::Page(page) = &request {
            assert!(watch.unacked.len() < 2, "two pages are unacked");
            assert_eq!(page.first_seq, watch.received + 1);
        }
        let slow = patience.is_none();
        let fetch = Fetch { host, request, patience, since: self.now };
        assert!(self.inflight.insert(id, fetch).is_none(), "one fetch at a time");
        let here = || self.inflight.iter().filter(|(_, fetch)| fetch.host == host);
        let most = (self.config.max_inflight * 3 / 4).max(1);
        assert!(known < 2 || here().count() <= most, "more than its share for {host:?}");
        if let Some(shut) = self.shut.get(&host) {
            assert!(shut.until <= self.now, "a fetch from {host:?}, which is shut");
            let probes = here().filter(|(other, fetch)| {
                !shut.older.contains(other) && fetch.patience.is_none() == slow
            });
            assert_eq!(probes.count(), 1, "probes of {host:?} in one lane, slow: {slow}");
        }
    }

    /// The bounds that hold at all times.
    fn check(&self) {
        let counters = self.engine.counters();
        let max = self.config.max_inflight;
        assert_eq!(counters.inflight, self.inflight.len());
        assert_eq!(counters.monitors, self.watches.len());
        assert!(counters.inflight <= max);
        assert!(counters.slow <= (max / 4).max(1));
        let fetching = self.inflight.keys().filter(|id| self.watches.contains_key(id)).count();
        assert!(counters.queued + fetching <= counters.monitors, "who waits has no fetch");
        let waiting = self.watches.values().filter(|watch| watch.waiting).count();
        assert!(counters.queued >= waiting, "{} are queued, of {waiting}", counters.queued);
        let free = counters.inflight == 0 && counters.open_breakers == 0;
        let room = counters.buffered == 0 || counters.buffered < self.config.max_buffered;
        assert!(!free || !room || counters.queued == 0, "nobody waits for nothing");
        let bytes = self.watches.values().flat_map(|watch| &watch.unacked).map(|(_, bytes)| bytes);
        assert_eq!(counters.buffered, bytes.sum::<u64>());
        assert!(counters.open_breakers >= self.shut.len());
    }

    /// From now on all answer, after `took`, and everybody is served.
    fn settle(&mut self, took: Duration) {
        self.settling = true;
        self.down.clear();
        let ids: Vec<MonitorId> = self.watches.keys().copied().collect();
        for id in ids {
            self.save_and_ack(id);
            if self.watches[&id].ticked {
                self.poll(id);
            }
        }
        let end = self.now + SETTLED + Duration::from_secs(LONGEST);
        let start = self.now;
        let mut calls = 0;
        loop {
            self.quiet = self.watches.values().all(|watch| watch.served > 0);
            if self.quiet && self.inflight.is_empty() && self.engine.counters().queued == 0 {
                break;
            }
            let limit = |fetch: &Fetch| fetch.patience.map_or(took, |patience| patience.min(took));
            let ends = self.inflight.iter().map(|(id, fetch)| (fetch.since + limit(fetch), *id));
            let next = ends.min();
            let due = self.engine.poll_timeout();
            if let Some((at, id)) = next.filter(|(at, _)| due.is_none_or(|due| *at <= due)) {
                self.now = self.now.max(at);
                let late = self.inflight[&id].patience.is_some_and(|patience| patience < took);
                let answer = if late { Answer::TooSlow } else { self.good(id) };
                let outcome = self.outcome(id, &answer);
                self.answer(id, outcome);
                if self.watches.contains_key(&id) {
                    self.save_and_ack(id);
                }
            } else {
                self.now = self.now.max(due.expect("there is something to be done"));
                self.call();
                calls += 1;
            }
            let stuck: Vec<_> =
                self.watches.iter().filter(|(_, watch)| watch.served == 0).collect();
            assert!(self.now <= end, "these are stuck: {stuck:?}\n{:?}", self.engine);
            let seconds = self.now.since(start).as_secs() + 10;
            let busy = u64::try_from(self.watches.len()).unwrap() * 2 + 20;
            assert!(calls <= seconds * busy, "{calls} calls in {seconds} s");
        }
    }

    /// What a CU without news says.
    fn good(&self, id: MonitorId) -> Answer {
        match self.inflight[&id].request {
            Request::Latest | Request::Look => Answer::Latest(None),
            Request::First(_) => Answer::First(None),
            Request::Page(_) => Answer::Empty,
        }
    }

    fn save_and_ack(&mut self, id: MonitorId) {
        if self.watches[&id].saving {
            self.save(id);
        }
        if !self.watches[&id].unacked.is_empty() {
            self.ack(id, self.watches[&id].received);
        }
    }

    /// All monitors go, what is under way ends, and the timers run out.
    fn end(&mut self) {
        self.settling = false;
        while let Some(id) = self.watches.keys().next().copied() {
            self.remove(id);
        }
        assert_eq!(self.engine.counters().queued, 0);
        assert_eq!(self.engine.counters().buffered, 0);
        while let Some(id) = self.inflight.keys().next().copied() {
            self.answer(id, Err(failure(Class::Connect)));
        }
        while let Some(due) = self.engine.poll_timeout() {
            self.now = self.now.max(due);
            self.call();
        }
        let counters = self.engine.counters();
        assert_eq!((counters.monitors, counters.inflight, counters.slow), (0, 0, 0));
        assert_eq!((counters.queued, counters.buffered, counters.open_breakers), (0, 0, 0));
    }
}

fn nodes() -> impl Strategy<Value = Vec<u64>> {
    prop::sample::subsequence(vec![0_u64, 1, 2, 3], 1..=3).prop_shuffle()
}

fn index() -> impl Strategy<Value = Index> {
    any::<Index>()
}

fn answer() -> impl Strategy<Value = Answer> {
    let time = || prop::option::of(0..200_000_u64);
    let pause = prop::option::weighted(0.2, 1..=LONGEST);
    prop_oneof![
        3 => Just(Answer::Fitting),
        2 => (1..50_u64, 1..600_u64).prop_map(|(edges, bytes)| Answer::Page(edges, bytes)),
        3 => Just(Answer::Empty),
        1 => time().prop_map(Answer::Latest),
        1 => Just(Answer::LatestOpaque),
        1 => time().prop_map(Answer::First),
        2 => Just(Answer::TooSlow),
        8 => (index(), pause).prop_map(|(class, pause)| Answer::Failed(class, pause)),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Unresolved),
        Just(Start::Earliest),
        (0..100_000_u64).prop_map(Start::Ao),
        Just(Start::Opaque),
        Just(Start::NotDurable),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let limits = prop::sample::select(vec![1_u32, 50, 1000]);
    let walks = prop::sample::select(vec![0_u64, 1, 60]);
    prop_oneof![
        3 => (nodes(), start(), limits, walks, 5..60_u64).prop_map(
            |(hosts, start, page_limit, walk_after, rate)| {
                Step::Register { hosts, start, page_limit, walk_after, rate }
            }
        ),
        6 => index().prop_map(Step::Poll),
        3 => (index(), 0..=110_u64).prop_map(|(index, percent)| Step::Acked(index, percent)),
        1 => (index(), nodes()).prop_map(|(index, hosts)| Step::Moved(index, hosts)),
        1 => index().prop_map(Step::Removed),
        1 => index().prop_map(Step::Saved),
        14 => (index(), answer()).prop_map(|(index, answer)| Step::Answer(index, answer)),
        1 => (index(), answer()).prop_map(|(index, answer)| Step::Twice(index, answer)),
        2 => (0..20_000_u64).prop_map(Step::Late),
        8 => Just(Step::Wake),
        2 => (0..4_u64, any::<bool>()).prop_map(|(host, down)| Step::Down(host, down)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 300 },
        rng_seed: RngSeed::Fixed(23),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Its bounds hold, and whatever happened, all is served once all is well.
    #[test]
    fn engine_after_anything_keeps_its_bounds_and_serves_all_once_all_is_well(
        steps in prop::collection::vec(step(), 1..250),
        max_inflight in 1..9_usize,
        max_buffered in prop::sample::select(vec![0, 1000, u64::MAX]),
        checkpoint in any::<bool>(),
        took in prop::sample::select(vec![2_u64, 400, 3000]),
        settles in prop::bool::weighted(0.8),
    ) {
        let mut world = World::new(Config { max_buffered, checkpoint, ..config(max_inflight) });
        for step in &steps {
            world.step(step);
        }
        if settles {
            world.settle(Duration::from_millis(took));
        }
        world.end();
    }
}
