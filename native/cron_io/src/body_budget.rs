//! Room for large bodies. The engine's budget counts pages once they are there; what is still on
//! its way counts here, so that many large answers at once do not take many times the budget. The
//! first MiB of each is free: small pages never ask.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of each body that need no room.
pub(crate) const FREE_BYTES: u64 = 1 << 20;

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
    /// Has the share cover at least `bytes`, less the first MiB, while pages take `buffered`: what
    /// came takes more memory decoded than as a body. False as of [`Share::grow`].
    pub fn cover(&mut self, bytes: u64, buffered: u64) -> bool {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        more == 0 || self.grow(more, buffered)
    }

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
    fn share_covers_what_a_body_takes_decoded_beyond_what_it_has() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.share(), room.share());
        assert!(first.grow(4, 0) && first.cover(FREE_BYTES + 3, 0));
        assert_eq!(room.taken.load(Ordering::Acquire), 4);
        assert!(first.cover(FREE_BYTES + 8, 0) && second.cover(FREE_BYTES, 0));
        assert!(!second.cover(FREE_BYTES + 3, 0));
        assert_eq!(room.taken.load(Ordering::Acquire), 11, "what was refused is given back later");
        drop(second);
        assert_eq!(room.taken.load(Ordering::Acquire), 8);
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
