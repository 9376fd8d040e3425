//! The last message to the process of a registration that has ended: `{hb_cron, Epoch, durable}`. The loop sends
//! it, after all other messages of the registration. If the engine stops before that, the outbox sends it: the
//! process waits for it.

use crate::atoms;
use crate::outbox::OUTBOX;
use cron_engine::MonitorId;
use rustler::{Encoder, Env, LocalPid, Term};

/// A message that is sent when it is dropped, at the latest.
pub(crate) struct LastMessage {
    pid: LocalPid,
    id: MonitorId,
    sent: bool,
}

impl LastMessage {
    pub(crate) const fn new(pid: LocalPid, id: MonitorId) -> Self {
        Self { pid, id, sent: false }
    }

    /// Sends it from the process that `env` belongs to.
    pub(crate) fn send(mut self, env: Env<'_>) {
        self.sent = true;
        // The process may have ended.
        let _ = env.send(&self.pid, term(env, self.id));
    }
}

impl Drop for LastMessage {
    fn drop(&mut self) {
        if !self.sent {
            let id = self.id;
            OUTBOX.send(self.pid, move |env| term(env, id));
        }
    }
}

fn term(env: Env<'_>, id: MonitorId) -> Term<'_> {
    (atoms::hb_cron(), id.0, atoms::durable()).encode(env)
}
