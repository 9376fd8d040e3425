//! The loop: it feeds events to the engine and carries out the engine's actions. It runs in slices on a dirty
//! scheduler: between two slices its process can be stopped, traced and collected.

use crate::events;
use crate::fetcher::Job;
use crate::inbox::{Command, Inbox};
use crate::inquiry::{Asked, Found, Inspected};
use crate::metrics::METRICS;
use crate::nodes::Nodes;
use crate::noted::Noted;
use crate::registration::Registration;
use crate::resources::Resources;
use crate::sender::Sender;
use crate::suspends::Suspends;
use crate::terms::millis;
use cron_checkpoint::Waiter;
use cron_engine::pace::{Came, Pace, TICKS_APART};
use cron_engine::{Action, Class, Config, Engine, Event, Failure, Fetched, MonitorId, Time};
use cron_io::Share;
use rustc_hash::FxHashMap;
use rustler::Env;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the messages of the loop's process may wait while a slice runs.
pub(crate) const MAIL_LIMIT: Duration = Duration::from_millis(500);

/// How a slice ended.
pub(crate) enum Slice {
    /// Its time was up, or it was interrupted: the next one is to run.
    Over,
    /// The engine is stopped: there is no next one.
    Stopped,
}

/// A callback for the checkpoint: it tells the engine that a starting point is durable.
pub(crate) fn saved(inbox: &Arc<Inbox>, id: MonitorId) -> Waiter {
    let inbox = Arc::clone(inbox);
    Box::new(move || inbox.push(Command::Event(Event::Saved(id))))
}

/// The engine, and the registrations of its monitors.
pub(crate) struct Runner {
    engine: Engine,
    /// Whether a slice has run. An engine that only probes has none, and is not counted.
    has_run: bool,
    /// When the engine's clock started.
    started: Instant,
    suspended: Suspends,
    registrations: FxHashMap<MonitorId, (Arc<Registration>, Arc<Nodes>)>,
    commands: Vec<Command>,
    /// The shares of large pages that the engine has counted since the last step.
    counted: Vec<Share>,
    pace: Pace,
    /// When the last step began.
    stepped: Instant,
    /// When ticks were last sent.
    ticked: Instant,
    /// CU hosts whose breakers are open, and since when.
    open_breakers: FxHashMap<String, Instant>,
}

impl Runner {
    pub(crate) fn new(config: Config) -> Self {
        let engine = Engine::new(config);
        Self {
            engine,
            has_run: false,
            started: Instant::now(),
            suspended: Suspends::new(),
            registrations: FxHashMap::default(),
            commands: Vec::new(),
            counted: Vec::new(),
            pace: Pace::default(),
            stepped: Instant::now(),
            ticked: Instant::now(),
            open_breakers: FxHashMap::default(),
        }
    }

    /// Runs the loop for at most `length`.
    pub(crate) fn slice(&mut self, env: Env<'_>, resources: &Resources, length: Duration) -> Slice {
        let began = Instant::now();
        let (end, mail_from) = (began + length, began + MAIL_LIMIT);
        let mut sender = Sender::new(env);
        let mut retry_from = began;
        loop {
            if resources.inbox.is_stopped() {
                // Handles live until their monitors have registered anew and collected garbage.
                for (registration, _) in self.registrations.values() {
                    registration.clear();
                }
                let config = Config { max_inflight: 1, max_buffered: 1, seed: 0 };
                *self = Self::new(config);
                return Slice::Stopped;
            }
            if !std::mem::replace(&mut self.has_run, true) {
                METRICS.engine_started();
            }
            self.step(&mut sender, resources);
            resources.publish(self.engine.counters(), &mut self.counted);
            let now = Instant::now();
            if now >= retry_from {
                resources.retry_threads();
                retry_from = now + MAIL_LIMIT;
            }
            let left = end.saturating_duration_since(now).min(MAIL_LIMIT);
            let mail = now >= mail_from && resources.inbox.take_mail();
            if resources.inbox.take_interrupt() || mail || left.is_zero() || sender.is_full() {
                return Slice::Over;
            }
            let next = self.until_due(left);
            if !next.is_zero() {
                resources.inbox.wait(next.min(left));
                if let Some(pause) = self.pace.gather(|| self.until_due(left)) {
                    std::thread::sleep(pause);
                }
            }
        }
    }

    /// Now, on the engine's clock.
    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// The time until the next timer is due, `longest` if there is none, at least until the next
    /// round of ticks may be sent.
    fn until_due(&self, longest: Duration) -> Duration {
        let due = self.engine.poll_timeout().map_or(longest, |at| at.since(self.now()));
        due.max(TICKS_APART.saturating_sub(self.ticked.elapsed()))
    }

    fn step(&mut self, sender: &mut Sender<'_>, resources: &Resources) {
        let mut commands = std::mem::take(&mut self.commands);
        resources.inbox.take(&mut commands);
        let before = std::mem::replace(&mut self.stepped, Instant::now());
        let now = self.now();
        if self.suspended.has_passed() {
            self.engine.handle_event(now, Event::Suspended);
        }
        let mut came = Came::default();
        for command in commands.drain(..) {
            let event = match command {
                Command::Register { registration, nodes, monitor } => {
                    self.registrations.insert(registration.id, (registration, nodes));
                    Event::Register(monitor)
                }
                Command::Moved { id, nodes } => self.moved(id, nodes),
                Command::Event(event) => event,
                Command::LargePage(event, share) => {
                    self.counted.push(share);
                    event
                }
                Command::Inspect(inquiry) => {
                    let found = self.find(now, resources, &inquiry.asked);
                    inquiry.answer(found);
                    continue;
                }
                Command::Last(message) => {
                    sender.last(message);
                    continue;
                }
            };
            match &event {
                Event::Poll(_) => came.polls += 1,
                Event::Register(_) => came.registrations += 1,
                Event::Fetched(id, Ok(Fetched::Page { .. })) => self.announce(sender, *id),
                Event::Removed(id) => self.remove(*id),
                _ => {}
            }
            self.engine.handle_event(now, event);
        }
        self.commands = commands;
        self.pace.came(came, self.stepped - before);
        self.engine.handle_timeout(now);
        while let Some(action) = self.engine.poll_action() {
            if let Some(unanswered) = self.perform(sender, resources, action) {
                self.engine.handle_event(now, unanswered);
            }
        }
        let due = self.engine.ticks_due();
        if !due.is_empty() {
            self.ticked = Instant::now();
            let sent = self.now();
            for due in due {
                METRICS.lateness.observe(sent.since(*due));
            }
        }
    }

    /// Tells a monitor of a page, if it waits for one.
    fn announce(&self, sender: &mut Sender<'_>, id: MonitorId) {
        if let Some((registration, _)) = self.registrations.get(&id)
            && registration.in_hand.announce()
        {
            sender.page(registration);
        }
    }

    fn moved(&mut self, id: MonitorId, nodes: Arc<Nodes>) -> Event {
        let hosts = Arc::clone(&nodes.hosts);
        if let Some((_, old)) = self.registrations.get_mut(&id) {
            *old = nodes;
        }
        Event::Moved(id, hosts)
    }

    fn remove(&mut self, id: MonitorId) {
        if let Some((registration, _)) = self.registrations.remove(&id) {
            // The monitor's handle may live for long.
            registration.clear();
        }
    }

    fn find(&self, now: Time, resources: &Resources, asked: &Asked) -> Found {
        match asked {
            Asked::Monitors(ids) => {
                Found::Monitors(resources.checkpoint.clone(), self.inspect(now, ids))
            }
            Asked::Census => Found::Census(self.engine.census()),
        }
    }

    fn inspect(&self, now: Time, ids: &[MonitorId]) -> Vec<Inspected> {
        let inspected = |id: &MonitorId| {
            let (registration, nodes) = self.registrations.get(id)?;
            let snapshot = self.engine.snapshot(now, *id)?;
            Some(Inspected {
                registration: Arc::clone(registration),
                nodes: Arc::clone(nodes),
                snapshot,
                now,
            })
        };
        ids.iter().filter_map(inspected).collect()
    }

    /// Carries out an action. If the monitor has been removed since the engine decided on it, there is nothing to
    /// do, except for a fetch: its outcome gives its place back.
    fn perform(
        &mut self,
        sender: &mut Sender<'_>,
        resources: &Resources,
        action: Action,
    ) -> Option<Event> {
        match action {
            Action::Tick { id } => {
                if let Some((registration, _)) = self.registrations.get(&id) {
                    sender.tick(registration);
                }
            }
            Action::Fetch { id, request, node, patience } => {
                let Some((registration, nodes)) = self.registrations.get(&id) else {
                    let gone = Failure::new(Class::Internal, "the monitor is gone");
                    return Some(Event::Fetched(id, Err(gone)));
                };
                let (registration, nodes) = (Arc::clone(registration), Arc::clone(nodes));
                let fetching = Arc::clone(&resources.fetching);
                let job = Job { fetching, registration, nodes, node, request, patience };
                resources.pool.submit(job);
            }
            Action::Save { id, position } => {
                if let Some((registration, _)) = self.registrations.get(&id) {
                    sender.resolved(registration, &position);
                    let waiter = saved(&resources.inbox, id);
                    resources.checkpoint.located(&registration.track, position, waiter);
                }
            }
            Action::Breaker { id, node, open_for } => {
                let nodes = self.registrations.get(&id).map(|(_, nodes)| nodes);
                if let Some(target) = nodes.and_then(|nodes| nodes.targets.get(node)) {
                    match open_for {
                        Some(pause) => log::warn!(
                            "breaker open for {target}, next probe in {} ms",
                            pause.as_millis()
                        ),
                        None => log::info!("breaker closed for {target}"),
                    }
                    let host = target.to_string();
                    self.breaker_changed(host, open_for);
                }
            }
            Action::Report { id, report } => {
                if let Some((registration, _)) = self.registrations.get(&id) {
                    sender.report(registration, &report);
                }
            }
        }
        None
    }

    /// Notes that a breaker opened or closed. If it opens while it is open, its probe has failed.
    fn breaker_changed(&mut self, host: String, open_for: Option<Duration>) {
        let Some(pause) = open_for else {
            if let Some(since) = self.open_breakers.remove(&host) {
                let took = since.elapsed();
                events::note(|| Noted::new("breaker", "stop").took(took).about("host", host));
            }
            return;
        };
        let pause = millis(pause);
        if let Some(since) = self.open_breakers.get(&host) {
            events::note(|| {
                Noted::new("breaker", "exception")
                    .took(since.elapsed())
                    .measure("pause_ms", pause)
                    .about("reason", "probe_failed")
                    .about("host", host)
            });
        } else {
            METRICS.breaker_opened();
            events::note(|| {
                let noted = Noted::new("breaker", "start").measure("pause_ms", pause);
                noted.about("host", host.clone())
            });
            self.open_breakers.insert(host, Instant::now());
        }
    }
}
