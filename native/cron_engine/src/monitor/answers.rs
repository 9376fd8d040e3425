//! What an answer of a Compute Unit (CU) means for a monitor: its position, and its next state.
//! What the answer says about the host is decided elsewhere.

use super::{Monitor, Stage, Step};
use crate::decode::request::MAX_LIMIT;
use crate::engine::event::Fetched;
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

impl Monitor {
    /// The fetch under way succeeded. `Err` if the answer does not fit the question.
    pub(crate) fn fetched(&mut self, now: Time, fetched: Fetched) -> Result<Outcome, Unasked> {
        let (mut passed, mut cut) = (None, false);
        let step = match (self.stage, fetched) {
            (Stage::Resolving, Fetched::Latest(latest)) => {
                self.position = latest.map_or(Position::Earliest, Position::After);
                self.stage = Stage::Saving;
                Step::Save
            }
            (
                Stage::Fetching | Stage::Rechecking(_) | Stage::Walking,
                Fetched::Page { edges, last, trail, bytes, cut: ahead },
            ) => {
                cut = ahead;
                passed = (self.stage == Stage::Walking).then(|| self.gap.passed());
                self.gap.closed(now);
                self.trail = Some(trail);
                self.page(edges, last, bytes)
            }
            (Stage::Fetching, Fetched::EmptyPage) => self.empty_page(now),
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

    fn page(&mut self, edges: u64, last: Cursor, bytes: u64) -> Step {
        self.wide = false;
        self.position = Position::After(last);
        self.credit.page(edges, bytes);
        if self.credit.is_left() { self.fetch() } else { self.rest(Stage::Full) }
    }

    fn empty_page(&mut self, now: Time) -> Step {
        if !std::mem::replace(&mut self.wide, false) && self.page_limit < MAX_LIMIT {
            self.wide = true;
            return self.ask(Stage::Fetching);
        }
        if !self.again && !self.credit.is_whole() {
            return self.rest(Stage::Draining);
        }
        // Even if a poll was requested meanwhile, which comes afterwards: otherwise a user who
        // polls without end would keep the monitor from ever passing a gap.
        if self.credit.is_whole() && self.gap.is_due(now) {
            return self.ask(Stage::Looking);
        }
        self.end_poll()
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

    fn known_trail(&self) -> Trail {
        self.trail.as_deref().cloned().unwrap_or_else(|| Trail::at(&self.position))
    }

    fn step(&self) -> u64 {
        self.trail.as_deref().map_or(0, |trail| trail.step(MAX_LIMIT))
    }
}
