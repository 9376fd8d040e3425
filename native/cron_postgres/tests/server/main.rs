//! Nodes on a real PostgreSQL server, which the tests start in a temporary directory and stop again.
//! `make setup` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

mod commits;
mod faults;
mod members;
mod node;
mod pooler;
mod requests;
mod security;
mod starts;
