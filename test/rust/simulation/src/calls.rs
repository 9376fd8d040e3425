//! The calls of users, monitors and the restarter that take several steps: start, stop and forget a
//! process, register again with a new engine. Between two steps anything may happen, including
//! steps of other calls for the same process. The steps are those of the Erlang modules
//! `hb_cron_start`, `hb_cron_stop` and `hb_cron_registration`.

use crate::monitor::{Monitor, Pid, Process};
use crate::node::Node;
use cron_engine::{MonitorId, Position};

/// The requested start position.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) position: Position,
    /// Applies only if the checkpoint has no record of the process.
    pub(crate) go_on: bool,
}

impl Wanted {
    /// The stored position, otherwise the latest result.
    pub(crate) const STORED: Self = Self { position: Position::Unresolved, go_on: true };

    /// The start position for a stored record.
    pub(crate) fn choose(&self, stored: Option<&Position>) -> Position {
        match stored.filter(|stored| **stored != Position::Unresolved) {
            Some(stored) if self.go_on || self.position == Position::Unresolved => stored.clone(),
            _ => self.position.clone(),
        }
    }
}

/// A call under way, at its next step.
pub(crate) enum Call {
    /// A user starts a monitor, which claims its process unless another monitor has.
    Start { process: usize, wanted: Wanted },
    /// A monitor of a dead engine ends its registration, to register again.
    Detach { id: MonitorId },
    /// A registration begins in the checkpoint, unless a planned restart was cancelled.
    Begin { pid: Pid, process: usize, wanted: Wanted, restart: bool },
    /// The engine gets the registration.
    Register { monitor: Box<Monitor>, durable: bool },
    /// After that, the checkpoint is asked when the start is durable.
    Flush { id: MonitorId },
    /// A user stops a monitor. The number is that of the next registration.
    Fence { pid: Pid, process: usize },
    /// The process is released.
    Release { pid: Pid, process: usize, fence: u64 },
    /// The checkpoint gets the stop.
    Stopped { pid: Pid, process: usize, fence: u64 },
    /// The monitor ends, perhaps after the current push.
    End { pid: Pid, pushes: bool },
    /// A user forgets a process, which must not be monitored.
    Forget { process: usize },
    /// The checkpoint decides.
    Forgotten { process: usize },
}

/// The result of a step.
pub(crate) enum Next {
    /// The next step.
    Then(Call),
    /// It waits for other calls.
    Waits(Call),
    /// It is done.
    Over,
}

/// Totals of calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) starts: u64,
    pub(crate) stops: u64,
    pub(crate) forgotten: u64,
    /// How often only the checkpoint knew that the process is monitored.
    pub(crate) monitored: u64,
}

/// Calls under way, and totals of finished ones.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) under_way: Vec<Call>,
    pub(crate) counts: Counts,
    /// A start does not wait for the end of an older monitor of its process, as if the application
    /// had been restarted meanwhile.
    pub(crate) overlap: bool,
    last_pid: u64,
}

impl Calls {
    /// Runs one step of a call. Returns false if it waits for others.
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

    /// Runs all calls to their ends.
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
                // A stopped start still begins, and ends afterwards. It must never replace its
                // successor.
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

    /// Whether the process has an older monitor than this one, which is about to end: a stop
    /// released the process.
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
    /// Whether this call is about to register a monitor.
    fn is_start_of(&self, of: Pid) -> bool {
        match self {
            Self::Begin { pid, restart, .. } => *pid == of && !*restart,
            Self::Register { monitor, .. } => monitor.pid == of,
            _ => false,
        }
    }
}
