//! What an answer of a Compute Unit (CU) means for a monitor: its position, and its next state.
//! What the answer says about the host is decided elsewhere.

use super::{Monitor, Stage, Step};
use crate::decode::request::MAX_LIMIT;
use crate::engine::event::Fetched;
use crate::monitor::expected::Answered;
use crate::monitor::gap::Look;
use crate::{Cursor, Position, Time, Trail};
use std::sync::Arc;

/// An answer to a question that was not asked.
pub(crate) struct Unasked;

/// The effect of a fetch that succeeded, and what to report.
pub(crate) struct Outcome {
    pub(crate) step: Step,
    /// This many failures are over.
    pub(crate) recovered: Option<u64>,
    /// A gap between these times was passed.
    pub(crate) passed: Option<(u64, u64)>,
}

/// The request of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// When it was sent.
    pub(crate) since: Time,
    /// Which node was asked.
    pub(crate) node: usize,
}

impl Monitor {
    /// The fetch under way succeeded. `Err` if the answer does not fit the question.
    pub(crate) fn fetched(
        &mut self,
        now: Time,
        sent: Sent,
        fetched: Fetched,
    ) -> Result<Outcome, Unasked> {
        let (mut passed, mut cut) = (None, false);
        let step = match (self.stage, fetched) {
            (Stage::Resolving, Fetched::Latest(latest)) => {
                self.position = latest.map_or(Position::Earliest, Position::After);
                self.stage = Stage::Saving;
                Step::Save
            }
            (
                Stage::Fetching | Stage::Rechecking(_) | Stage::Walking,
                Fetched::Page { edges, last, trail, bytes, cut: ahead, more },
            ) => {
                cut = ahead;
                passed = (self.stage == Stage::Walking).then(|| self.gap.passed());
                self.gap.closed();
                let before = self.trail.replace(Arc::clone(&trail));
                let before = before.as_deref();
                let go_on = self.goes_on(sent, before, &trail, edges) || more || cut;
                self.page(sent, edges, last, bytes, go_on)
            }
            (Stage::Fetching, Fetched::EmptyPage) => self.empty_page(now, sent),
            (Stage::Rechecking(look), Fetched::EmptyPage) => self.look(look),
            (Stage::Looking, Fetched::Latest(latest)) => self.looked(now, latest.as_ref()),
            (Stage::Begin, Fetched::First(first)) => {
                let time = first.and_then(|first| Trail::at(&Position::After(first)).timestamp());
                let look = self.gap.begins(now, time);
                self.look(look)
            }
            (Stage::Walking, Fetched::EmptyPage) => {
                let look = self.gap.stepped(now, self.step());
                self.look(look)
            }
            _ => return Err(Unasked),
        };
        self.nodes.answered();
        if cut {
            // The result before which the page ends is an error still.
            return Ok(Outcome { step, recovered: None, passed });
        }
        self.trouble = None;
        Ok(Outcome { step, recovered: self.outage.ended(), passed })
    }

    /// Whether a page with results calls for another request, whatever it says itself. Errors are
    /// left out after the page was cut: a full one may look half full.
    fn goes_on(&mut self, sent: Sent, before: Option<&Trail>, after: &Trail, edges: u64) -> bool {
        let plain = self.stage == Stage::Fetching && !self.wide;
        let is_full = edges.saturating_mul(2) >= u64::from(self.limit());
        let Some(expected) = &mut self.expected else { return true };
        let Sent { since, node } = sent;
        let answered = Answered { since, node, before, after, edges, plain };
        expected.page(&answered, self.grid.rate()) || !plain || is_full
    }

    fn page(&mut self, sent: Sent, edges: u64, last: Cursor, bytes: u64, go_on: bool) -> Step {
        self.wide = false;
        self.position = Position::After(last);
        self.credit.page(edges, bytes);
        // A poll that was requested meanwhile needs credit, too.
        if !go_on && !self.again {
            if let Some(expected) = &mut self.expected {
                expected.complete(sent.since);
            }
            return self.read_out();
        }
        if self.credit.is_left() { self.fetch() } else { self.rest(Stage::Full) }
    }

    /// Nothing is left to read.
    fn read_out(&mut self) -> Step {
        if !self.again && !self.credit.is_whole() {
            return self.rest(Stage::Draining);
        }
        self.end_poll()
    }

    fn empty_page(&mut self, now: Time, sent: Sent) -> Step {
        if !std::mem::replace(&mut self.wide, false) && self.page_limit < MAX_LIMIT {
            self.wide = true;
            return self.ask(Stage::Fetching);
        }
        let mut quiet = false;
        if let Some(expected) = &mut self.expected {
            quiet = expected.is_quiet(sent.since);
            expected.empty(sent.since, sent.node, self.trail.as_deref());
        }
        self.gap.empty(now, quiet);
        // Even if a poll was requested meanwhile, which comes afterwards: otherwise a user who
        // polls without end would keep the monitor from ever passing a gap.
        if self.credit.is_whole() && self.gap.is_due(now) {
            return self.ask(Stage::Looking);
        }
        self.read_out()
    }

    fn looked(&mut self, now: Time, latest: Option<&Cursor>) -> Step {
        let latest = latest.map(|latest| Trail::at(&Position::After(latest.clone())));
        let mut trail = self.known_trail();
        if let Some(latest) = &latest {
            trail.learn_from(latest);
        }
        let from = trail.timestamp();
        if from.is_none() && self.position != Position::Earliest {
            // Opaque cursors have no time to walk by.
            self.gap.put_off(now);
            return self.end_poll();
        }
        let latest = latest.and_then(|latest| latest.timestamp());
        let look = self.gap.looked(now, from, latest, trail.step(MAX_LIMIT));
        self.trail = Some(Arc::new(trail));
        match look {
            Look::Nothing => self.end_poll(),
            Look::Begin | Look::Walk(_) => self.ask(Stage::Rechecking(look)),
        }
    }

    fn look(&mut self, look: Look) -> Step {
        match look {
            Look::Nothing => self.end_poll(),
            Look::Begin => self.ask(Stage::Begin),
            Look::Walk(_) => self.ask(Stage::Walking),
        }
    }

    pub(super) fn known_trail(&self) -> Trail {
        self.trail.as_deref().cloned().unwrap_or_else(|| Trail::at(&self.position))
    }

    fn step(&self) -> u64 {
        self.trail.as_deref().map_or(0, |trail| trail.step(MAX_LIMIT))
    }
}
