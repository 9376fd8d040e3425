//! The statements on a real PostgreSQL server, which the tests start in a temporary directory and
//! stop again. `make setup` installs it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

mod commits;
mod concurrent;
mod nodes;
mod session;
mod starts;
mod tables;
mod wishes;
mod world;
