//! The parts of pages that a monitor has not got yet, as the engine wrote them. It takes one at a time, and
//! its terms are made then, on its own heap: what lies there stays small, however large the page, and so
//! does what its garbage collector has to copy. Made before, on the thread that fetched the page, they took
//! a third more CPU time and half as much memory again with 64 backlogs at once.

use crate::atoms;
use crate::metrics::METRICS;
use rustler::types::tuple::make_tuple;
use rustler::{Encoder, Env, Term};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The most bytes of which terms are made on a normal scheduler: twice what a part has, unless a single
/// result is larger. It takes a tenth of a millisecond or two.
const MAX_BYTES: usize = 64 * 1024;

/// What the VM compares with a process's limit, at most, is so many times what was put on its heap: a garbage
/// collection holds the old and the new copy, and the new one has room to grow.
const HEAP_COPIES: u64 = 4;

/// At how many bytes the VM kills a process; 0 if it does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeapLimit {
    pub(crate) bytes: u64,
    /// Binaries outside of the heap count, too.
    pub(crate) with_binaries: bool,
}

impl HeapLimit {
    /// Whether a process may take this part without being killed for that.
    fn allows(self, part: &Part) -> bool {
        let outside = if self.with_binaries { part.memory.saturating_sub(part.heap) } else { 0 };
        let needed = part.heap.saturating_mul(HEAP_COPIES).saturating_add(outside);
        self.bytes == 0 || needed <= self.bytes
    }
}

/// Some results of a page.
pub(crate) struct Part {
    /// The number of the first one.
    pub(crate) seq: u64,
    /// A list of them, as an external term.
    pub(crate) terms: Vec<u8>,
    /// How many bytes they take, roughly.
    pub(crate) memory: u64,
    /// How many of these are on the heap of their process.
    pub(crate) heap: u64,
    pub(crate) ends_page: bool,
}

impl Part {
    /// `{Seq, Results, EndsPage}`; `None` if the BEAM refuses it.
    fn term<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let since = Instant::now();
        let (results, _) = env.binary_to_term(&self.terms)?;
        METRICS.terms.observe(since.elapsed());
        Some(make_tuple(env, &[self.seq.encode(env), results, self.ends_page.encode(env)]))
    }
}

/// What waits for one monitor.
#[derive(Default)]
pub(crate) struct Parts(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    ready: VecDeque<Part>,
    /// The monitor has a part that it is not through with, or has been told that there is one.
    busy: bool,
    /// A part is missing, or they are over: nothing that comes after it may be taken.
    broken: bool,
}

impl Parts {
    /// Adds a page; `tell_engine` tells the engine of it. Both are done before the next page, which is asked for
    /// once the engine has heard of this one, can be added, and before an ack of this one.
    pub(crate) fn add(&self, page: Vec<Part>, tell_engine: impl FnOnce()) {
        let mut queue = self.lock();
        tell_engine();
        if !queue.broken {
            queue.ready.extend(page);
        }
    }

    /// Whether the monitor waits for a part that is there, and is to be told so. True once.
    pub(crate) fn announce(&self) -> bool {
        let mut queue = self.lock();
        !queue.ready.is_empty() && !std::mem::replace(&mut queue.busy, true)
    }

    /// The next part for the calling process, which owns these: `none`, which it has to wait for; `large`, if
    /// its terms must not be made on the normal scheduler that this is, unless `may_be_large`;
    /// `{too_large, Bytes}`, if the VM would kill the process, whose heap has this limit, for taking it; `lost`, and nothing from then on, if its terms cannot be made at all.
    pub(crate) fn take<'a>(&self, env: Env<'a>, limit: HeapLimit, may_be_large: bool) -> Term<'a> {
        let mut queue = self.lock();
        if let Some(part) = queue.ready.front().filter(|part| !limit.allows(part)) {
            return (atoms::too_large(), part.memory).encode(env);
        }
        if !may_be_large && queue.ready.front().is_some_and(|part| part.terms.len() > MAX_BYTES) {
            return atoms::large().to_term(env);
        }
        let next = queue.ready.pop_front();
        queue.busy = next.is_some();
        if queue.ready.is_empty() {
            // An idle monitor keeps no memory for parts.
            queue.ready = VecDeque::new();
        }
        drop(queue);
        let Some(part) = next else { return atoms::none().to_term(env) };
        part.term(env).unwrap_or_else(|| {
            self.clear();
            atoms::lost().to_term(env)
        })
    }

    /// Drops what waits and whatever comes after.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        queue.broken = true;
        let dropped = std::mem::take(&mut queue.ready);
        drop(queue);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
