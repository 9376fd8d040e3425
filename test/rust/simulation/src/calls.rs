//! What users, monitors and the keeper do in several steps: start, stop and forget a process, register
//! anew with a new engine. Between any two steps of a call anything may happen, and steps of other
//! calls for the same process. The steps are those of the Erlang modules `_starting`, `_stopping` and
//! `_registration`.

use crate::monitor::{Monitor, Pid, Process};
use crate::node::Node;
use cron_engine::{MonitorId, Position};

/// Where a start wants to begin.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) position: Position,
    /// That is only for a process that the checkpoint does not know.
    pub(crate) go_on: bool,
}

impl Wanted {
    /// Where it was, or else at the latest result.
    pub(crate) const STORED: Self = Self { position: Position::Unresolved, go_on: true };

    /// Where to begin, given what is stored.
    pub(crate) fn choose(&self, stored: Option<&Position>) -> Position {
        match stored.filter(|stored| **stored != Position::Unresolved) {
            Some(stored) if self.go_on || self.position == Position::Unresolved => stored.clone(),
            _ => self.position.clone(),
        }
    }
}

/// A call under way, at its next step.
pub(crate) enum Call {
    /// A user starts a monitor: it takes its process, unless another one has.
    Start { process: usize, wanted: Wanted },
    /// A monitor of a dead engine ends its registration, to begin anew.
    Detach { id: MonitorId },
    /// A registration begins in the checkpoint. A planned restart may have been cancelled.
    Begin { pid: Pid, process: usize, wanted: Wanted, restart: bool },
    /// The engine is told of it.
    Register { monitor: Box<Monitor>, durable: bool },
    /// Once the engine is, it is asked when the start is durable.
    Flush { id: MonitorId },
    /// A user stops a monitor: this is the next registration.
    Fence { pid: Pid, process: usize },
    /// Its process is free.
    Release { pid: Pid, process: usize, fence: u64 },
    /// The checkpoint hears of the stop.
    Stopped { pid: Pid, process: usize, fence: u64 },
    /// The monitor ends, perhaps after the push that was under way.
    End { pid: Pid, pushes: bool },
    /// A user forgets a process: it must not be monitored.
    Forget { process: usize },
    /// The checkpoint decides.
    Forgotten { process: usize },
}

/// What becomes of a call.
pub(crate) enum Next {
    /// Its next step.
    Then(Call),
    /// It waits for other calls.
    Waits(Call),
    /// It is over.
    Over,
}

/// What calls came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) starts: u64,
    pub(crate) stops: u64,
    pub(crate) forgotten: u64,
    /// Times that the checkpoint alone knew that the process is monitored.
    pub(crate) monitored: u64,
}

/// Calls under way, and what all those before came to.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) under_way: Vec<Call>,
    pub(crate) counts: Counts,
    /// A start does not wait for an older monitor of its process to end, as if the application had been
    /// restarted meanwhile.
    pub(crate) overlap: bool,
    last_pid: u64,
}

impl Calls {
    /// One call takes one step. False if it waits for others.
    pub(crate) fn step(
        &mut self,
        index: usize,
        node: &mut Node,
        processes: &mut [Process],
    ) -> bool {
        let call = self.under_way.swap_remove(index);
        match self.next(call, node, processes) {
            Next::Then(call) => self.under_way.push(call),
            Next::Waits(call) => {
                self.under_way.push(call);
                return false;
            }
            Next::Over => {}
        }
        true
    }

    /// All calls take their steps until they are over.
    pub(crate) fn finish(&mut self, node: &mut Node, processes: &mut [Process]) {
        while !self.under_way.is_empty() {
            let count = self.under_way.len();
            let went_on = (0..count).rev().filter(|index| self.step(*index, node, processes));
            assert!(went_on.count() > 0, "calls wait for each other");
        }
    }

    fn next(&mut self, call: Call, node: &mut Node, processes: &mut [Process]) -> Next {
        match call {
            Call::Start { process, wanted } => {
                let taken_by = &mut processes[process].taken_by;
                if taken_by.is_some() {
                    return Next::Over;
                }
                self.last_pid += 1;
                let pid = *taken_by.insert(Pid(self.last_pid));
                Next::Then(Call::Begin { pid, process, wanted, restart: false })
            }
            Call::Detach { id } => {
                let Some(monitor) = node.end(id, processes, true) else { return Next::Over };
                let Monitor { pid, process, position, .. } = monitor;
                let wanted = Wanted { position, go_on: false };
                Next::Then(Call::Begin { pid, process, wanted, restart: false })
            }
            Call::Begin { pid, process, wanted, restart } => {
                // What was stopped before it began begins all the same, and ends after that; but none takes
                // the place of its successor.
                if (restart || self.overlap) && processes[process].taken_by != Some(pid) {
                    return Next::Over;
                }
                if !self.overlap && self.has_older(process, pid, node) {
                    return Next::Waits(Call::Begin { pid, process, wanted, restart });
                }
                self.counts.starts += 1;
                let (monitor, durable) =
                    node.begin((pid, process), &mut processes[process], &wanted);
                Next::Then(Call::Register { monitor: Box::new(monitor), durable })
            }
            Call::Register { monitor, durable } => {
                let id = node.register(*monitor, processes, durable);
                if durable { Next::Over } else { Next::Then(Call::Flush { id }) }
            }
            Call::Flush { id } => {
                node.flush(id);
                Next::Over
            }
            Call::Fence { pid, process } => {
                Next::Then(Call::Release { pid, process, fence: node.next_epoch() })
            }
            Call::Release { pid, process, fence } => {
                let taken_by = &mut processes[process].taken_by;
                *taken_by = taken_by.filter(|by| *by != pid);
                Next::Then(Call::Stopped { pid, process, fence })
            }
            Call::Stopped { pid, process, fence } => {
                node.kept.stopped(&mut processes[process], fence);
                Next::Then(Call::End { pid, pushes: fence.is_multiple_of(2) })
            }
            Call::End { pid, pushes } => {
                if let Some(id) = node.monitor_of(pid) {
                    if pushes && node.monitors[&id].next().is_some() {
                        node.pushed(id, processes);
                    }
                    node.end(id, processes, false);
                    self.counts.stops += 1;
                } else if self.under_way.iter().any(|call| call.is_start_of(pid)) {
                    return Next::Waits(Call::End { pid, pushes });
                }
                Next::Over
            }
            Call::Forget { process } => {
                if processes[process].taken_by.is_some() {
                    return Next::Over;
                }
                Next::Then(Call::Forgotten { process })
            }
            Call::Forgotten { process } => {
                let forgotten = node.kept.forget(&mut processes[process]);
                self.counts.forgotten += u64::from(forgotten);
                self.counts.monitored += u64::from(!forgotten);
                Next::Over
            }
        }
    }

    /// Whether a process has an older monitor than this one, which is to end: a stop had made room for this.
    fn has_older(&self, process: usize, pid: Pid, node: &Node) -> bool {
        let older = |of: usize, by: Pid| of == process && by.0 < pid.0;
        let begins = |call: &Call| match call {
            Call::Begin { pid, process, .. } => older(*process, *pid),
            Call::Register { monitor, .. } => older(monitor.process, monitor.pid),
            _ => false,
        };
        self.under_way.iter().any(begins)
            || node.monitors.values().any(|it| older(it.process, it.pid))
    }
}

impl Call {
    /// Whether a monitor is about to be registered by this call.
    fn is_start_of(&self, of: Pid) -> bool {
        match self {
            Self::Begin { pid, restart, .. } => *pid == of && !*restart,
            Self::Register { monitor, .. } => monitor.pid == of,
            _ => false,
        }
    }
}
