//! Tools of the benchmarks: a Compute Unit that is fast enough not to limit a measurement, and the
//! client for the minimum cost of a drain. It does not ship and is not a test double: it cannot be
//! scripted and checks almost nothing.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod page;
pub mod server;
