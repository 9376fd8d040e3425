//! The queue of commands to an engine's loop, and the flags that end a slice or the engine. Threads,
//! handles and the checkpoint's writer hold it without holding what the loop owns.

use crate::inquiry::Inquiry;
use crate::last_message::LastMessage;
use crate::nodes::Nodes;
use crate::registration::Registration;
use cron_engine::{Event, MonitorId};
use cron_io::Share;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A command to the loop.
pub(crate) enum Command {
    /// Adds a monitor.
    Register {
        registration: Arc<Registration>,
        nodes: Arc<Nodes>,
        monitor: cron_engine::Registration,
    },
    /// Replaces the nodes of a monitor.
    Moved { id: MonitorId, nodes: Arc<Nodes> },
    /// Passes an event to the engine.
    Event(Event),
    /// Passes a page of more than 1 MiB to the engine, and its share of the budget until the engine counts it.
    LargePage(Event, Share),
    /// Answers an inspection. The process that asked may have stopped waiting.
    Inspect(Inquiry),
    /// Sends the last message of a registration that has ended.
    Last(LastMessage),
}

/// The commands that the loop has not taken yet.
#[derive(Default)]
struct Queue {
    commands: Vec<Command>,
    /// The loop waits, and no command has woken it yet. Waking costs a system call, whether or not a
    /// thread waits.
    asleep: bool,
    stopped: bool,
}

/// What the loop reads between two steps.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// As in the queue, without its lock.
    stopped: AtomicBool,
    interrupted: AtomicBool,
    /// The loop's process has messages: its slice is to end, but not at once.
    mail: AtomicBool,
}

impl Inbox {
    /// A panic leaves no command half written: a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command, and wakes the loop. Drops the command if the engine has stopped.
    pub(crate) fn push(&self, command: Command) {
        let mut queue = self.lock();
        if queue.stopped {
            drop(queue);
            return drop(command);
        }
        queue.commands.push(command);
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Swaps the queued commands into `commands`, which must be empty.
    pub(crate) fn take(&self, commands: &mut Vec<Command>) {
        std::mem::swap(&mut self.lock().commands, commands);
    }

    /// Waits until there is a command or a flag, at most for `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut queue = self.lock();
        queue.asleep = true;
        let idle = |queue: &mut Queue| {
            queue.commands.is_empty() && !queue.stopped && !self.interrupted.load(Ordering::Acquire)
        };
        let woken = self.wake.wait_timeout_while(queue, limit, idle);
        let (mut queue, _) = woken.unwrap_or_else(PoisonError::into_inner);
        queue.asleep = false;
    }

    /// Has the loop return from its slice soon.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        drop(self.lock());
        self.wake.notify_one();
    }

    /// Whether the loop is to return from its slice. Clears the flag.
    pub(crate) fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Has the loop end its slice once that is old enough. Does not wake the loop.
    pub(crate) fn mail(&self) {
        self.mail.store(true, Ordering::Release);
    }

    /// Whether the loop's process has messages. Clears the flag.
    pub(crate) fn take_mail(&self) -> bool {
        self.mail.swap(false, Ordering::AcqRel)
    }

    /// Ends the loop and drops its commands; true for the first caller.
    pub(crate) fn stop(&self) -> bool {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.stopped, true) {
            return false;
        }
        self.stopped.store(true, Ordering::Release);
        let dropped = std::mem::take(&mut queue.commands);
        drop(queue);
        self.wake.notify_all();
        // Inquiries and last messages are answered when they are dropped, which takes the outbox's lock.
        drop(dropped);
        true
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}
