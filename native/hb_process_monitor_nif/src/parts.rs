//! The parts of pages that a monitor has not got yet. It gets one at a time, as a message, and asks for
//! the next when it is through: what lies on its heap and in its mailbox stays small, however large
//! the page, and so does what its garbage collector has to copy.

use rustler::env::SavedTerm;
use rustler::sys::enif_send;
use rustler::{Env, LocalPid, OwnedEnv};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A message that is made and waits in an environment of its own.
pub(crate) struct Part {
    env: OwnedEnv,
    message: SavedTerm,
}

impl Part {
    /// A message of an environment.
    pub(crate) fn new(env: OwnedEnv, message: SavedTerm) -> Self {
        Self { env, message }
    }

    /// Sends it from a thread of our own. A process that is gone gets nothing.
    fn send(mut self, pid: LocalPid) {
        let message = self.message;
        let _ = self.env.send_and_clear(&pid, |env| message.load(env));
    }

    /// Sends it from the process that `caller` is of.
    fn send_as(mut self, caller: Env<'_>, pid: LocalPid) {
        let (from, message) =
            self.env.run(|env| (env.as_c_arg(), self.message.load(env).as_c_arg()));
        // SAFETY: `caller` is the environment of the NIF call that is under way on this thread, which
        // is what `enif_send` wants on a scheduler's thread, where `OwnedEnv::send_and_clear` panics.
        // `message` was made in `from`, a process-independent environment that `self` owns, and
        // nothing of it is used afterwards: sending invalidates its terms, and it is cleared.
        unsafe { enif_send(caller.as_c_arg(), pid.as_c_arg(), from, message) };
        self.env.clear();
    }
}

/// What waits for one monitor.
#[derive(Default)]
pub(crate) struct Parts {
    queue: Mutex<Queue>,
    turn_over: Condvar,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Part>,
    /// The monitor has a part that it is not through with.
    busy: bool,
    /// How many pages have begun to be made, and how many of them are through.
    begun: u64,
    through: u64,
    /// A page is missing, or they are over: nothing that comes after it may be handed on.
    broken: bool,
}

/// A page's place in the order of pages. The next page is fetched while the terms of this one are
/// made, and must not overtake it.
pub(crate) struct Turn<'a> {
    parts: &'a Parts,
    number: u64,
}

impl Turn<'_> {
    /// Adds the page once those before it are through. If the monitor waits for a part it gets the
    /// first one at once. For threads of our own.
    pub(crate) fn add(self, page: Vec<Part>, pid: LocalPid) {
        let mut queue = self.wait();
        if queue.broken {
            return;
        }
        queue.ready.extend(page);
        let first = if queue.busy { None } else { queue.ready.pop_front() };
        queue.busy |= first.is_some();
        drop(queue);
        if let Some(first) = first {
            first.send(pid);
        }
    }

    /// There will be no page here, though the engine goes on after it. True for the first such one:
    /// the monitor is to be told.
    pub(crate) fn fail(self) -> bool {
        let mut queue = self.wait();
        !std::mem::replace(&mut queue.broken, true)
    }

    fn wait(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.parts.lock();
        while queue.through < self.number {
            queue = self.parts.turn_over.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.wait().through += 1;
        self.parts.turn_over.notify_all();
    }
}

impl Parts {
    /// The next page's turn. To be taken in the order of pages: before the engine hears of one.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut queue = self.lock();
        let number = queue.begun;
        queue.begun += 1;
        Turn { parts: self, number }
    }

    /// The monitor, which is the calling process, is through with its part: it is sent the next one,
    /// now or when there is one. Says whether now.
    pub(crate) fn next(&self, caller: Env<'_>, pid: LocalPid) -> bool {
        let mut queue = self.lock();
        let next = queue.ready.pop_front();
        queue.busy = next.is_some();
        if queue.ready.is_empty() {
            // An idle monitor keeps no memory for parts.
            queue.ready = VecDeque::new();
        }
        drop(queue);
        let is_there = next.is_some();
        if let Some(next) = next {
            next.send_as(caller, pid);
        }
        is_there
    }

    /// Drops what waits and whatever comes after.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        queue.broken = true;
        let dropped = std::mem::take(&mut queue.ready);
        drop(queue);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
