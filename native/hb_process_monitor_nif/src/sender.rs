//! Sends messages to monitors. The loop alone has a sender, so a monitor gets its messages in the order in which
//! the engine decided on them.

use crate::atoms;
use crate::last_message::LastMessage;
use crate::registration::Registration;
use crate::terms::{class_term, position_term};
use cron_engine::{Position, Report};
use rustler::{Encoder, Env, Term};

/// The bytes that the messages of a slice may take. They stay in the memory of the loop's process until the slice
/// ends: a slice that sends 2,000 messages a second ends after 2.5 seconds.
const MAX_BYTES: usize = 8 << 20;

/// The bytes of a message without its text: for the terms of each the VM allocates a fragment of 200 words
/// (`MIN_HEAP_FRAG_SZ`) or more, since sending a message closes the fragment before it.
const MESSAGE_BYTES: usize = 1664;

/// The sender of one slice.
pub(crate) struct Sender<'e> {
    env: Env<'e>,
    /// The bytes that its messages take.
    bytes: usize,
}

impl<'e> Sender<'e> {
    pub(crate) const fn new(env: Env<'e>) -> Self {
        Self { env, bytes: 0 }
    }

    /// The slice is to end, so that its terms are freed.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Sends `tick`. An atom takes no memory.
    pub(crate) fn tick(&self, to: &Registration) {
        if !to.is_closed() {
            // If the process has ended, its handle tells the loop.
            let _ = self.env.send(&to.pid, atoms::tick());
        }
    }

    /// Says that a page is there.
    pub(crate) fn page(&mut self, to: &Registration) {
        self.send(to, atoms::page(), 0);
    }

    /// Says where the monitor begins.
    pub(crate) fn resolved(&mut self, to: &Registration, position: &Position) {
        let bytes = position.cursor().map_or(0, |cursor| cursor.as_bytes().len());
        self.send(to, (atoms::resolved(), position_term(self.env, position)), bytes);
    }

    /// Says what became of fetches.
    pub(crate) fn report(&mut self, to: &Registration, report: &Report) {
        let bytes = match report {
            Report::Failed { failure, .. } => failure.detail.len(),
            Report::Recovered { .. } | Report::Passed { .. } => 0,
        };
        self.send(to, report_term(self.env, report), bytes);
    }

    /// Sends the last message of a registration.
    pub(crate) fn last(&mut self, message: LastMessage) {
        self.bytes += MESSAGE_BYTES;
        message.send(self.env);
    }

    fn send(&mut self, to: &Registration, content: impl Encoder, text_bytes: usize) {
        if !to.is_closed() {
            self.bytes += MESSAGE_BYTES + text_bytes;
            // As above.
            let _ = self.env.send(&to.pid, to.message(self.env, content));
        }
    }
}

fn report_term<'a>(env: Env<'a>, report: &Report) -> Term<'a> {
    match report {
        Report::Failed { failure, repeats } => {
            let class = class_term(env, failure.class);
            (atoms::failed(), class, failure.detail.as_str(), *repeats).encode(env)
        }
        Report::Recovered { failures } => (atoms::recovered(), *failures).encode(env),
        Report::Passed { from, to } => (atoms::passed(), *from, *to).encode(env),
    }
}
