//! How many results a monitor has received and acked, and the credit that remains: two pages may be
//! unacked at once, the one being pushed and one ahead of it.

use std::collections::VecDeque;

/// Pages that may be unacked at once.
const PAGES: usize = 2;

/// A page that is not acked.
#[derive(Debug, Clone, Copy)]
struct Unacked {
    /// The sequence number of its last edge.
    end: u64,
    bytes: u64,
}

/// The account of one monitor.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    /// The sequence number of the last edge received.
    received: u64,
    /// The sequence number of the last edge acked. It may be ahead of `received`, because a page
    /// may be pushed before the engine learns of it.
    acked: u64,
    unacked: VecDeque<Unacked>,
}

impl Credit {
    /// A page has arrived.
    pub(crate) fn page(&mut self, edges: u64, bytes: u64) {
        self.received = self.received.saturating_add(edges);
        if self.received > self.acked {
            self.unacked.push_back(Unacked { end: self.received, bytes });
        }
    }

    /// All edges up to `seq` are acked.
    pub(crate) fn acked(&mut self, seq: u64) {
        self.acked = self.acked.max(seq);
        while self.unacked.front().is_some_and(|page| page.end <= self.acked) {
            self.unacked.pop_front();
        }
    }

    /// Whether one more page may be fetched.
    pub(crate) fn is_left(&self) -> bool {
        self.unacked.len() < PAGES
    }

    /// Whether every page is acked.
    pub(crate) fn is_whole(&self) -> bool {
        self.unacked.is_empty()
    }

    /// The sequence number of the next edge.
    pub(crate) fn next_seq(&self) -> u64 {
        self.received.saturating_add(1)
    }

    /// The bytes of the pages that are not acked.
    pub(crate) fn buffered(&self) -> u64 {
        self.unacked.iter().map(|page| page.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_used_up_by_two_pages_and_given_back_by_the_last_ack_of_one() {
        let mut credit = Credit::default();
        credit.page(10, 100);
        assert!(credit.is_left() && !credit.is_whole());
        credit.page(5, 50);
        assert!(!credit.is_left());
        assert_eq!((credit.buffered(), credit.next_seq()), (150, 16));
        credit.acked(9);
        assert!(!credit.is_left());
        credit.acked(10);
        assert!(credit.is_left());
        credit.acked(15);
        assert!(credit.is_whole());
    }

    #[test]
    fn page_acked_before_it_is_told_of_uses_none() {
        let mut credit = Credit::default();
        credit.acked(10);
        credit.acked(1);
        credit.page(10, 100);
        assert!(credit.is_whole());
        credit.page(10, 100);
        assert_eq!(credit.buffered(), 100);
    }
}
