//! The acks of one registration, on their way to the writer. Noting an ack takes one short lock. It
//! notifies the writer at most twice between two commits: at the first ack, and once many results
//! are at stake.

use cron_engine::{Cursor, ProcessId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A crash of the host node repeats the pushes acked since the last commit. Once a process has this
/// many, the writer commits after the short interval instead of the long one.
const AT_STAKE: u64 = 100;

/// The acks of one registration.
#[derive(Debug)]
pub struct Track {
    pub(crate) process: ProcessId,
    /// Orders the registrations of a process: acks of an older one are ignored.
    pub(crate) epoch: u64,
    acked: Mutex<Acked>,
    dirty: AtomicBool,
    /// Another host node owns the process now, or it was started anew or forgotten.
    lost: AtomicBool,
}

#[derive(Debug, Default)]
struct Acked {
    /// The number and the cursor of the last acked edge.
    last: Option<(u64, Cursor)>,
    /// The number up to which the writer has taken acks.
    taken: u64,
}

/// Whether the writer must be notified of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// No: it knows that this track has acks.
    Known,
    /// Yes: this is the track's first ack since the last commit.
    First,
    /// Yes: many results of this track are not durable.
    AtStake,
}

impl Track {
    pub(crate) const fn new(process: ProcessId, epoch: u64) -> Self {
        let acked = Mutex::new(Acked { last: None, taken: 0 });
        Self { process, epoch, acked, dirty: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    /// Acknowledges all edges up to number `seq`, whose cursor this is.
    pub(crate) fn note(&self, seq: u64, cursor: Cursor) -> Noted {
        let mut acked = self.lock();
        if acked.last.as_ref().is_some_and(|(last, _)| *last >= seq) {
            return Noted::Known;
        }
        let before = acked.last.replace((seq, cursor)).map_or(0, |(last, _)| last);
        let limit = acked.taken.saturating_add(AT_STAKE);
        drop(acked);
        if !self.dirty.swap(true, Ordering::AcqRel) {
            return Noted::First;
        }
        if before < limit && seq >= limit { Noted::AtStake } else { Noted::Known }
    }

    /// The number and the cursor of the last acked edge.
    #[must_use]
    pub fn acked(&self) -> Option<(u64, Cursor)> {
        self.lock().last.clone()
    }

    /// Whether this registration must not push: see [`crate::Checkpoint::lost`]. Its acks are ignored.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Takes the number and the cursor of the last acked edge, if the writer has not taken it yet.
    pub(crate) fn take(&self) -> Option<(u64, Cursor)> {
        // Clear the flag first: an ack in between then notifies the writer once too often instead
        // of never.
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut acked = self.lock();
        let (seq, cursor) = acked.last.clone()?;
        acked.taken = seq;
        drop(acked);
        Some((seq, cursor))
    }

    fn lock(&self) -> MutexGuard<'_, Acked> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        Cursor::new(text.as_bytes()).unwrap()
    }

    fn track() -> Track {
        Track::new(ProcessId::new(&[b'a'; 43]).unwrap(), 1)
    }

    #[test]
    fn track_calls_on_the_writer_once_until_it_is_taken() {
        let track = track();
        assert_eq!(track.take(), None);
        assert_eq!(track.note(1, cursor("one")), Noted::First);
        assert_eq!(track.note(2, cursor("two")), Noted::Known);
        assert_eq!(track.take(), Some((2, cursor("two"))));
        assert_eq!(track.take(), None, "it was taken");
        assert_eq!(track.note(3, cursor("three")), Noted::First);
        assert_eq!(track.acked(), Some((3, cursor("three"))));
    }

    #[test]
    fn track_with_many_acks_since_it_was_taken_says_so_once() {
        let track = track();
        for round in 0..2 {
            let said: Vec<_> = (1..=3 * AT_STAKE)
                .map(|n| track.note(round * 3 * AT_STAKE + n, cursor("c")))
                .collect();
            assert_eq!(said.iter().filter(|noted| **noted == Noted::First).count(), 1);
            assert_eq!(said.iter().filter(|noted| **noted == Noted::AtStake).count(), 1);
            assert!(track.take().is_some());
        }
    }

    #[test]
    fn track_never_goes_back() {
        let track = track();
        assert_eq!(track.note(2, cursor("two")), Noted::First);
        assert_eq!(track.take(), Some((2, cursor("two"))));
        assert_eq!(track.note(1, cursor("one")), Noted::Known);
        assert_eq!(track.note(2, cursor("again")), Noted::Known);
        assert_eq!(track.take(), None);
        assert_eq!(track.acked(), Some((2, cursor("two"))));
    }
}
