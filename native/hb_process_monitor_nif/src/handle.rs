//! The resource by which a monitor's Erlang process holds its registration. The registration ends with
//! the process, however that ends.

use crate::atoms;
use crate::inbox::Command;
use crate::last_message::LastMessage;
use crate::registration::Registration;
use crate::resources::Resources;
use cron_checkpoint::Waiter;
use cron_engine::Event;
use rustler::{Atom, Env, LocalPid, Monitor, Resource};
use std::sync::Arc;

/// A monitor's registration with one engine.
pub(crate) struct Handle {
    pub(crate) resources: Arc<Resources>,
    pub(crate) registration: Arc<Registration>,
}

impl Handle {
    /// Passes an event to the engine, unless the registration has ended.
    pub(crate) fn event(&self, event: Event) -> Atom {
        if !self.registration.is_closed() {
            self.resources.inbox.push(Command::Event(event));
        }
        atoms::ok()
    }

    /// Notes that the monitor is through with all edges up to `seq`: it has pushed that one, or given it up.
    /// The last edge of a page gives the engine credit for another page.
    pub(crate) fn passed(&self, seq: u64, pushed: bool, ends_page: bool) -> Atom {
        let registration = &self.registration;
        registration.in_hand.acked(&registration.process, seq, pushed, ends_page);
        if ends_page {
            return self.event(Event::Acked(registration.id, seq));
        }
        atoms::ok()
    }

    /// Whether another push may begin: `ok`; `held`: not at present; `lost`: never, since another host node owns the
    /// process.
    pub(crate) fn may_push(&self) -> Atom {
        if self.registration.track.is_lost() {
            atoms::lost()
        } else if self.resources.may_push() {
            atoms::ok()
        } else {
            atoms::held()
        }
    }

    /// Ends the registration; true for the first caller. `watched` says whether the process is to be resumed
    /// later. The process gets `{hb_cron, Epoch, durable}` once this and all its acks are durable.
    pub(crate) fn remove(&self, watched: bool) -> bool {
        let Registration { pid, id, .. } = *self.registration;
        let inbox = Arc::clone(&self.resources.inbox);
        let waiter = move || inbox.push(Command::Last(LastMessage::new(pid, id)));
        self.close(watched, Some(Box::new(waiter)))
    }

    fn close(&self, watched: bool, waiter: Option<Waiter>) -> bool {
        let first = self.registration.close();
        if first {
            // First, since `waiter` sends the last message by way of the same inbox.
            self.resources.inbox.push(Command::Event(Event::Removed(self.registration.id)));
            self.resources.checkpoint.ended(&self.registration.track, watched, waiter);
        }
        first
    }

    fn owner_gone(&self) {
        if self.close(true, None) {
            log::debug!("monitor of {} ended without a stop", self.registration.process);
        }
    }
}

#[rustler::resource_impl]
impl Resource for Handle {
    fn down<'a>(&'a self, _: Env<'a>, _: LocalPid, _: Monitor) {
        self.owner_gone();
    }
}

/// When a process dies its handle may be freed before `down` is called.
impl Drop for Handle {
    fn drop(&mut self) {
        self.owner_gone();
    }
}
