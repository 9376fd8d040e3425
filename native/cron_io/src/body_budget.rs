//! The memory budget of large bodies. The engine's budget counts complete pages; this one also
//! counts bodies that are still arriving, so that many large answers at once cannot take many times
//! the budget. The first MiB of each body is free, so small pages never need a share.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of each body that need no share.
pub(crate) const FREE_BYTES: u64 = 1 << 20;

/// The budget for all bodies under way, without the first MiB of each.
#[derive(Debug)]
pub struct BodyBudget {
    bytes: u64,
    taken: AtomicU64,
}

/// The share of one body, returned when it is dropped.
#[derive(Debug)]
pub struct Share<'b> {
    budget: &'b BodyBudget,
    bytes: u64,
}

impl BodyBudget {
    /// A budget of `bytes`.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, taken: AtomicU64::new(0) }
    }

    /// A share for a body that is about to arrive.
    #[must_use]
    pub const fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }
}

impl Share<'_> {
    /// Raises the share to at least `bytes`, less the first MiB, while complete pages take
    /// `buffered`. A decoded body takes more memory than the body itself. Returns false as
    /// [`Share::grow`] does.
    pub fn cover(&mut self, bytes: u64, buffered: u64) -> bool {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        more == 0 || self.grow(more, buffered)
    }

    /// Adds this many bytes to the share, while complete pages take `buffered`. Returns false if
    /// that exceeds the budget, unless this is the only large body: one page is always allowed.
    pub fn grow(&mut self, bytes: u64, buffered: u64) -> bool {
        let before = self.budget.taken.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        let all = before.saturating_add(bytes).saturating_add(buffered);
        all <= self.budget.bytes || before + bytes == self.bytes
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_many_bodies_ends_at_the_budget() {
        let budget = BodyBudget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(4, 0) && second.grow(6, 0));
        assert!(!first.grow(1, 0));
        drop(first);
        assert!(second.grow(4, 0));
    }

    #[test]
    fn room_is_shared_with_the_pages_that_wait() {
        let budget = BodyBudget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(1, 0));
        assert!(!second.grow(1, 9));
    }

    #[test]
    fn share_covers_what_a_body_takes_decoded_beyond_what_it_has() {
        let budget = BodyBudget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(4, 0) && first.cover(FREE_BYTES + 3, 0));
        assert_eq!(budget.taken.load(Ordering::Acquire), 4);
        assert!(first.cover(FREE_BYTES + 8, 0) && second.cover(FREE_BYTES, 0));
        assert!(!second.cover(FREE_BYTES + 3, 0));
        assert_eq!(
            budget.taken.load(Ordering::Acquire),
            11,
            "what was refused is given back later"
        );
        drop(second);
        assert_eq!(budget.taken.load(Ordering::Acquire), 8);
    }

    #[test]
    fn only_body_is_always_allowed_and_the_next_one_is_not() {
        let budget = BodyBudget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(100, 1000));
        assert!(!second.grow(1, 0));
        drop((first, second));
        assert!(budget.share().grow(1, 0));
        assert_eq!(budget.taken.load(Ordering::Acquire), 0);
    }
}
