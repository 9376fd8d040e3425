//! A host node in deterministic simulation (for several nodes see [`cluster`]): engine, checkpoint, disk, Compute Unit and monitors in
//! one thread, with all choices drawn from one seed. Between two steps anything may happen: an
//! answer arrives late, twice, out of order or never, a push fails, the clock jumps, a process is
//! started, stopped and forgotten at once, a monitor is killed, the engine restarts, the node
//! crashes and its disk loses unsynced writes.
//!
//! The invariants are checked at every step. A broken one panics with its seed. Real sockets,
//! threads and the BEAM are not simulated: they have their own tests.
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
pub mod cluster;
mod disk;
mod expected;
mod kept;
mod monitor;
mod node;
mod schedule;
mod totals;

pub use schedule::{Size, run};
pub use totals::Totals;
