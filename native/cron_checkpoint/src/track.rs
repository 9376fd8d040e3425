//! The acks of one registration, on their way to the writer. Noting one takes a lock that is held
//! for an assignment, and wakes nobody while the track is waiting to be written anyway.

use cron_engine::{Cursor, ProcessId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// One registration's acks.
#[derive(Debug)]
pub struct Track {
    pub(crate) process: ProcessId,
    /// Registrations of a process have rising epochs: what an older one says comes too late.
    pub(crate) epoch: u64,
    acked: Mutex<Option<(u64, Cursor)>>,
    dirty: AtomicBool,
}

impl Track {
    pub(crate) fn new(process: ProcessId, epoch: u64) -> Self {
        Self { process, epoch, acked: Mutex::new(None), dirty: AtomicBool::new(false) }
    }

    /// Notes that all is acked up to the edge with number `seq`, which has this cursor. True if
    /// the writer must be told: it does not know yet that there is something here.
    pub(crate) fn note(&self, seq: u64, cursor: Cursor) -> bool {
        let mut acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        if acked.as_ref().is_some_and(|(last, _)| *last >= seq) {
            return false;
        }
        *acked = Some((seq, cursor));
        drop(acked);
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// The number and cursor of the last edge acked, for those who look on.
    #[must_use]
    pub fn acked(&self) -> Option<(u64, Cursor)> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cursor of the last edge acked, for the writer, who knows now.
    pub(crate) fn take(&self) -> Option<Cursor> {
        // First the flag: an ack in between is one time too often with the writer, never too few.
        self.dirty.store(false, Ordering::Release);
        let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        acked.as_ref().map(|(_, cursor)| cursor.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        Cursor::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn track_tells_the_writer_once_until_it_is_taken() {
        let track = Track::new(ProcessId::new(&[b'a'; 43]).unwrap(), 1);
        assert_eq!(track.take(), None);
        assert!(track.note(1, cursor("one")));
        assert!(!track.note(2, cursor("two")));
        assert_eq!(track.take(), Some(cursor("two")));
        assert!(track.note(3, cursor("three")));
        assert_eq!(track.acked(), Some((3, cursor("three"))));
    }

    #[test]
    fn track_never_goes_back() {
        let track = Track::new(ProcessId::new(&[b'a'; 43]).unwrap(), 1);
        assert!(track.note(2, cursor("two")));
        assert_eq!(track.take(), Some(cursor("two")));
        assert!(!track.note(1, cursor("one")));
        assert!(!track.note(2, cursor("again")));
        assert_eq!(track.take(), Some(cursor("two")));
    }
}
