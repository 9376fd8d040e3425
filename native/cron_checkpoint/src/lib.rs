//! Where each monitor stands, kept on disk: its cursor, whether it is to be resumed, and the
//! results that could not be pushed.
//!
//! # In scope
//! * [`Checkpoint`]: the book of a node, written by one thread in group commits
//! * [`Track`]: one registration's acks, noted without waiting
//! * [`Store`]: the redb file, and what each of its errors means
//! * [`COMMITS`]: what is counted of all commits
//!
//! # Out of scope
//! Deciding anything: what is acked, when a result is given up and where a monitor begins is said
//! by the callers. There is no BEAM in here.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod book;
mod checkpoint;
mod file_identity;
mod meter;
#[cfg(test)]
mod power_tests;
mod record;
mod rewrite;
mod store;
mod track;
mod writer;

pub use batch::Batch;
pub use book::{Full, LetterLimits, Monitored};
pub use checkpoint::{
    Begun, Checkpoint, LettersAnswer, Settings, Status, UNWRITTEN_LETTERS, Waiter, now,
};
pub use meter::{COMMITS, Commit, Meter};
pub use record::{Letter, Record};
pub use store::{OpenError, Page, Store, StoreError};
pub use track::Track;
pub use writer::{Turn, Writer};
