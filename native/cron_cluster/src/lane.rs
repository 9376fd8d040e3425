//! The statements of the protocol, of which one is under way at a time. So a view shows every
//! earlier statement that was answered.

use crate::event::Action;
use crate::incarnation::Incarnation;
use crate::shard::Stake;
use cron_engine::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Join,
    Look(Incarnation),
    Watch(Incarnation),
    Claim(Incarnation, Vec<Stake>),
    Give(Incarnation, Vec<Stake>),
    Bury(Incarnation, i64),
    Retire(Incarnation),
}

/// The statement under way, and those that follow.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    under_way: Option<(Request, Time)>,
    pub(crate) waiting: VecDeque<Request>,
    /// No statement begins before, because the last one failed.
    until: Time,
}

impl Lane {
    /// When the next statement may begin; `None` while one is under way.
    pub(crate) const fn free_from(&self) -> Option<Time> {
        if self.under_way.is_some() { None } else { Some(self.until) }
    }

    /// Whether a statement may begin.
    pub(crate) fn is_free(&self, now: Time) -> bool {
        self.under_way.is_none() && now >= self.until
    }

    /// Begins a statement.
    pub(crate) fn begin(&mut self, now: Time, request: Request) -> Action {
        self.under_way = Some((request.clone(), now));
        match request {
            Request::Join => Action::Join,
            Request::Look(me) => Action::Look(me),
            Request::Watch(me) => Action::Watch(me),
            Request::Claim(me, stakes) => Action::Claim(me, stakes),
            Request::Give(me, stakes) => Action::Give(me, stakes),
            Request::Bury(node, beat) => Action::Bury(node, beat),
            Request::Retire(node) => Action::Retire(node),
        }
    }

    /// Ends the statement under way if it is the one that an event answers. Returns it, and when it
    /// began.
    pub(crate) fn end(&mut self, is_it: impl FnOnce(&Request) -> bool) -> Option<(Request, Time)> {
        self.under_way.take_if(|(request, _)| is_it(request))
    }

    /// The last statement failed: the next one waits.
    pub(crate) fn wait(&mut self, now: Time, delay: Duration) {
        self.until = now + delay;
    }
}
