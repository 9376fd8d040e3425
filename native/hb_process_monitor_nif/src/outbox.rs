//! The thread that sends log records, events and answers to Erlang: the loop must not make large terms, and a log
//! call must not wait for a process. It also shuts down the connections of engines that ended, which is I/O and
//! must not run on a scheduler. Monitors get their messages from the loop.

use crate::atoms;
use crate::metrics::METRICS;
use crate::noted::Noted;
use cron_io::Client;
use log::Level;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most records that wait. Further ones are counted and dropped: logging must not fill memory.
const MAX_RECORDS: usize = 1024;

/// The most events that wait, likewise.
const MAX_EVENTS: usize = 8192;

/// The most events of one message.
const BATCH: usize = 256;

/// One log record.
pub(crate) struct Record {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) text: String,
}

/// A function that makes the term of a message.
type Build = Box<dyn for<'a> FnOnce(Env<'a>) -> Term<'a> + Send>;

/// The queue to the thread. The library has one, as it has one `log`.
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    records: VecDeque<Record>,
    /// Bounded by the processes that wait for an answer.
    messages: VecDeque<(LocalPid, Build)>,
    dropped: u64,
    sink: Option<LocalPid>,
    events: VecDeque<Noted>,
    /// The process that has asked for events since it got the last ones. So they do not pile up in the mailbox
    /// of a slow one.
    asked: Option<LocalPid>,
    /// Clients of engines that ended.
    closing: Vec<Client>,
    /// Whether the thread runs. It starts when there is something to send, and again after the system refused it.
    running: bool,
}

/// The library's outbox.
pub(crate) static OUTBOX: Outbox = Outbox {
    state: Mutex::new(State {
        records: VecDeque::new(),
        messages: VecDeque::new(),
        dropped: 0,
        sink: None,
        events: VecDeque::new(),
        asked: None,
        closing: Vec::new(),
        running: false,
    }),
    wake: Condvar::new(),
};

/// Notes that the thread has ended. Only a panic ends it.
struct Running(&'static Outbox);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running = false;
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends log records to `pid` from now on.
    pub(crate) fn set_sink(&'static self, pid: LocalPid) {
        let mut state = self.lock();
        state.sink = Some(pid);
        self.hand_over(state);
    }

    pub(crate) fn log(&'static self, record: Record) {
        let mut state = self.lock();
        if state.records.len() < MAX_RECORDS {
            state.records.push_back(record);
            self.hand_over(state);
        } else {
            state.dropped = state.dropped.saturating_add(1);
        }
    }

    /// Sends `pid` a message that `build` makes on the outbox's thread.
    pub(crate) fn send(
        &'static self,
        pid: LocalPid,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static,
    ) {
        let mut state = self.lock();
        state.messages.push_back((pid, Box::new(build)));
        self.hand_over(state);
    }

    /// Closes all connections of a client.
    pub(crate) fn close(&'static self, client: Client) {
        let mut state = self.lock();
        state.closing.push(client);
        self.hand_over(state);
    }

    /// Sends the next events to `pid` once there are any; with `None`, drops them.
    pub(crate) fn events_to(&'static self, pid: Option<LocalPid>) {
        let mut state = self.lock();
        state.asked = pid;
        if pid.is_none() {
            state.events = VecDeque::new();
        }
        self.hand_over(state);
    }

    pub(crate) fn event(&'static self, event: Noted) {
        let mut state = self.lock();
        if state.events.len() < MAX_EVENTS {
            state.events.push_back(event);
            if state.asked.is_some() {
                self.hand_over(state);
            }
        } else {
            drop(state);
            METRICS.event_dropped();
        }
    }

    /// To be called periodically: starts the thread if the system refused it earlier.
    pub(crate) fn retry(&'static self) {
        let state = self.lock();
        if !state.running {
            self.hand_over(state);
        }
    }

    /// Wakes the thread, or starts it if it does not run and has something to do.
    fn hand_over(&'static self, mut state: MutexGuard<'_, State>) {
        if state.running {
            drop(state);
            self.wake.notify_one();
        } else if !state.is_idle() {
            let thread = std::thread::Builder::new().name("hb_cron_outbox".into());
            // If the system refuses it, the queues stay within their bounds. No result waits for it.
            state.running = thread.spawn(|| self.work()).is_ok();
        }
    }

    fn work(&'static self) {
        let _running = Running(self);
        let mut env = OwnedEnv::new();
        loop {
            let mut state = self.lock();
            while state.is_idle() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let message = state.messages.pop_front();
            let sink = state.sink;
            let record = sink.and_then(|sink| Some((sink, state.records.pop_front()?)));
            let dropped = if record.is_some() { std::mem::take(&mut state.dropped) } else { 0 };
            let events = state.take_events();
            let closing = std::mem::take(&mut state.closing);
            drop(state);
            closing.iter().for_each(Client::shutdown);
            if let Some((pid, build)) = message {
                // The process may have ended.
                let _ = env.send_and_clear(&pid, build);
            }
            if let Some((asked, events)) = events {
                // If the process has ended, the next one asks again.
                let _ = env.send_and_clear(&asked, |env| events_term(env, &events));
            }
            if let Some((sink, record)) = record {
                let sent = env.send_and_clear(&sink, |env| record_term(env, &record, dropped));
                if sent.is_err() {
                    self.forget(sink);
                }
            }
        }
    }

    /// The log process has ended. Its successor sets itself as the sink.
    fn forget(&self, dead: LocalPid) {
        let mut state = self.lock();
        if state.sink == Some(dead) {
            state.sink = None;
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.messages.is_empty()
            && self.closing.is_empty()
            && (self.records.is_empty() || self.sink.is_none())
            && (self.events.is_empty() || self.asked.is_none())
    }

    fn take_events(&mut self) -> Option<(LocalPid, Vec<Noted>)> {
        let asked = self.asked.filter(|_| !self.events.is_empty())?;
        self.asked = None;
        let batch = self.events.len().min(BATCH);
        Some((asked, self.events.drain(..batch).collect()))
    }
}

fn events_term<'a>(env: Env<'a>, events: &[Noted]) -> Term<'a> {
    // All names are atoms of this library, so no event is left out.
    let events: Vec<Term<'a>> = events.iter().filter_map(|event| event.term(env).ok()).collect();
    (atoms::hb_cron_events(), events).encode(env)
}

fn record_term<'a>(env: Env<'a>, record: &Record, dropped: u64) -> Term<'a> {
    let level = match record.level {
        Level::Error => atoms::error(),
        Level::Warn => atoms::warning(),
        Level::Info => atoms::info(),
        Level::Debug | Level::Trace => atoms::debug(),
    };
    (atoms::hb_cron_log(), level, record.target.as_str(), record.text.as_str(), dropped).encode(env)
}
