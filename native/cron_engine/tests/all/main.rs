//! All tests of the engine that see no more of it than its users do, as one program: it is linked once,
//! and its tests run side by side. A file for each state of a monitor, and one for each thing that more
//! than one monitor, host or page has to do with; what they share is in [`util`] and [`checks`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: what is not as expected must end the test"
)]

mod budget;
mod checks;
mod corpus;
mod drain;
mod draining;
mod engine_props;
mod errors_doc;
mod expected;
mod failover;
mod fetching;
mod full;
mod hostile;
mod hosts;
mod idle;
mod node;
mod page;
mod paused;
mod reports;
mod resolving;
mod saving;
mod snapshot;
mod ticked;
mod told;
mod util;
mod values;
mod waiting;
mod walk;
