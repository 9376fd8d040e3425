//! The memory budget of pages: of those that wait for their pushes, as the engine counts them, and
//! of those that are being fetched or decoded. The first MiB of each fetch is free, so small pages
//! never need a share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes of each fetch that need no share.
pub(crate) const FREE_BYTES: u64 = 1 << 20;

/// The budget of all pages of an engine.
#[derive(Debug)]
pub struct PageBudget {
    bytes: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// The shares of all fetches.
    fetches: u64,
    /// The complete pages, as the engine counted them last.
    pages: u64,
}

/// The share of one fetch, returned when it is dropped. A fetch that has brought a page passes its
/// share on to the engine: until the engine counts the page, the share does.
#[derive(Debug)]
pub struct Share {
    budget: Arc<PageBudget>,
    bytes: u64,
}

impl PageBudget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { bytes, taken: Mutex::default() })
    }

    /// A share for a fetch that is about to begin.
    #[must_use]
    pub const fn share(self: Arc<Self>) -> Share {
        Share { budget: self, bytes: 0 }
    }

    /// Replaces `counted`, the shares of pages that the engine has counted, by its count of all
    /// complete pages. No page is counted twice or not at all meanwhile.
    pub fn settle(&self, pages: u64, counted: &mut Vec<Share>) {
        let mut taken = self.lock();
        for share in &mut *counted {
            taken.fetches -= std::mem::take(&mut share.bytes);
        }
        taken.pages = pages;
        drop(taken);
        counted.clear();
    }

    /// A panic leaves no number half written: a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Whether it has no bytes, as that of a small page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Raises the share to at least `bytes`, less the first MiB. Returns false as [`Share::grow`]
    /// does.
    pub fn cover(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        more == 0 || self.grow(more)
    }

    /// Adds this many bytes to the share. Returns false if that exceeds the budget, unless this is
    /// the only large fetch and the complete pages leave room: one page is always allowed.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let mut taken = self.budget.lock();
        taken.fetches = taken.fetches.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        let is_only = taken.fetches == self.bytes;
        let has_room = taken.pages == 0 || taken.pages < self.budget.bytes;
        taken.fetches.saturating_add(taken.pages) <= self.budget.bytes || (is_only && has_room)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.lock().fetches -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of ten bytes, and two shares of it.
    fn budget() -> (Arc<PageBudget>, Share, Share) {
        let budget = PageBudget::new(10);
        let share = || Arc::clone(&budget).share();
        let (first, second) = (share(), share());
        (budget, first, second)
    }

    #[test]
    fn room_for_many_bodies_ends_at_the_budget() {
        let (_, mut first, mut second) = budget();
        assert!(first.grow(4) && second.grow(6));
        assert!(!first.grow(1));
        drop(first);
        assert!(second.grow(4));
    }

    #[test]
    fn room_is_shared_with_the_pages_that_wait() {
        let (budget, mut first, mut second) = budget();
        assert!(first.grow(1));
        budget.settle(9, &mut Vec::new());
        assert!(!second.grow(1));
    }

    #[test]
    fn share_covers_what_a_body_takes_decoded_beyond_what_it_has() {
        let (budget, mut first, mut second) = budget();
        assert!(first.grow(4) && first.cover(FREE_BYTES + 3));
        assert_eq!(budget.lock().fetches, 4);
        assert!(first.cover(FREE_BYTES + 8) && second.cover(FREE_BYTES));
        assert!(!second.cover(FREE_BYTES + 3));
        assert_eq!(budget.lock().fetches, 11, "what was refused is given back later");
        drop(second);
        assert_eq!(budget.lock().fetches, 8);
    }

    #[test]
    fn only_fetch_is_always_allowed_and_the_next_one_is_not() {
        let (budget, mut first, mut second) = budget();
        budget.settle(9, &mut Vec::new());
        assert!(first.grow(100));
        assert!(!second.grow(1));
        drop((first, second));
        assert!(Arc::clone(&budget).share().grow(100));
        assert_eq!(budget.lock().fetches, 0);
    }

    #[test]
    fn only_fetch_is_refused_once_complete_pages_take_the_budget() {
        let (budget, mut first, _) = budget();
        budget.settle(10, &mut Vec::new());
        assert!(!first.grow(1));
    }

    #[test]
    fn page_counts_until_the_engine_has_counted_it() {
        let (budget, mut first, mut second) = budget();
        assert!(first.grow(100));
        let mut passed_on = vec![first];
        assert!(!second.grow(1));
        budget.settle(100, &mut passed_on);
        assert!(passed_on.is_empty());
        assert!(!second.grow(1));
        budget.settle(0, &mut passed_on);
        assert!(second.grow(1));
        assert_eq!(budget.lock().fetches, 3);
    }
}
