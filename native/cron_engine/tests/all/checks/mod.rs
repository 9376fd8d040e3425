//! What must be true of any input whatever: shared by the fuzz targets, which make inputs up, and
//! by `corpus.rs`, which plays the kept ones on any toolchain, and by `engine_props.rs`, which makes up its own. A check panics where it fails. What
//! one certain input must lead to is not said here, but in the tests beside.
#![allow(dead_code, reason = "each fuzz target uses only its part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::option_option,
    clippy::needless_pass_by_value,
    reason = "test code: what is not as expected must end the test"
)]

pub(crate) mod engine;
mod hosts;
pub(crate) mod meaning;
pub(crate) mod page;
pub(crate) mod steps;
pub(crate) mod term;
mod watch;
