//! Room for large bodies. The engine's budget counts pages once they are there; what is still on
//! its way counts here, so that many large answers at once do not take many times the budget. The
//! first MiB of each is free: small pages never ask.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of all bodies under way, beyond the first MiB of each.
#[derive(Debug)]
pub struct Room {
    budget: u64,
    taken: AtomicU64,
}

/// What one body has taken of it. It is given back at the end.
#[derive(Debug)]
pub struct Share<'r> {
    room: &'r Room,
    bytes: u64,
}

impl Room {
    /// Room for `budget` bytes.
    #[must_use]
    pub const fn new(budget: u64) -> Self {
        Self { budget, taken: AtomicU64::new(0) }
    }

    /// The share of a body that is about to come.
    #[must_use]
    pub const fn share(&self) -> Share<'_> {
        Share { room: self, bytes: 0 }
    }
}

impl Share<'_> {
    /// Takes this many bytes more, while pages take `buffered`. False if that would be beyond the
    /// budget, unless this is the only large body: one page is always allowed.
    pub fn grow(&mut self, bytes: u64, buffered: u64) -> bool {
        let before = self.room.taken.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        let all = before.saturating_add(bytes).saturating_add(buffered);
        all <= self.room.budget || before + bytes == self.bytes
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_many_bodies_ends_at_the_budget() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.share(), room.share());
        assert!(first.grow(4, 0) && second.grow(6, 0));
        assert!(!first.grow(1, 0));
        drop(first);
        assert!(second.grow(4, 0));
    }

    #[test]
    fn room_is_shared_with_the_pages_that_wait() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.share(), room.share());
        assert!(first.grow(1, 0));
        assert!(!second.grow(1, 9));
    }

    #[test]
    fn only_body_is_always_allowed_and_the_next_one_is_not() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.share(), room.share());
        assert!(first.grow(100, 1000));
        assert!(!second.grow(1, 0));
        drop((first, second));
        assert!(room.share().grow(1, 0));
        assert_eq!(room.taken.load(Ordering::Acquire), 0);
    }
}
