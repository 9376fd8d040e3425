//! The allocations for a page: almost none per edge, once the buffer for its terms has grown to
//! such a page. It runs in a separate OS process, because its allocator counts everything.
#![allow(clippy::unwrap_used, reason = "test code: what is not as expected must end the test")]

use bench::page::{Kind, Results};
use cron_engine::{PageRequest, Position, page};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, with a counter of allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator cannot be counted otherwise")]
// SAFETY: all calls go unchanged to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above, and the pointer came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EDGES: u64 = 1000;

/// The allocations for decoding one page after `after`, into a buffer that has held such a page
/// before.
fn allocations(kind: Kind) -> u64 {
    let results = Results::new(kind);
    let first = results.page(0, EDGES, 2 * EDGES);
    let next = results.page(EDGES, EDGES, 2 * EDGES);
    let mut buffer = Vec::new();
    let page = page::decode(&first, &PageRequest::new(Position::Earliest), &mut buffer).unwrap();
    let mut request = PageRequest::new(Position::After(page.last.unwrap()));
    request.trail = Some(page.trail.into());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let page = page::decode(&next, &request, &mut buffer).unwrap();
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(page.edges, EDGES);
    made
}

/// A single test, so that no other test allocates meanwhile.
#[test]
fn page_in_a_used_buffer_allocates_a_bounded_number_of_times() {
    for (name, kind) in [("data of 400 bytes", Kind::Data(400)), ("30 tags", Kind::Tags(30))] {
        let made = allocations(kind);
        println!("{name}: {made} allocations for a page of {EDGES} edges");
        assert!(made < EDGES / 10, "{name}: {made} allocations for {EDGES} edges");
    }
}
