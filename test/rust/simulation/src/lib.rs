//! A node in deterministic simulation: engine, checkpoint, disk, Compute Unit and monitor processes,
//! all in one thread, every choice drawn from one seed. Between any two steps anything may happen:
//! an answer comes late, twice, out of order or not at all, a push fails, the clock jumps, a process is
//! started, stopped and forgotten at once, a monitor is killed, the engine is restarted, the node
//! crashes and its disk loses what was not synced.
//!
//! What must always hold is checked at every step; a broken rule panics with the seed that breaks
//! it. The real sockets, threads and the BEAM are not in here: those have tests of their own.
#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a simulation says by a panic what rule was broken"
)]

mod calls;
mod disk;
mod expected;
mod kept;
mod monitor;
mod node;
mod schedule;
mod totals;

pub use schedule::{Size, run};
pub use totals::Totals;
