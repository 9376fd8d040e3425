//! Input and output for [`cron_engine`]: HTTP requests to Compute Units, and the threads for them.
//! All of it runs and is tested without the BEAM.
//!
//! # In scope
//! * [`Target`]: the checked base URL of a Compute Unit
//! * [`Client`]: one GET within [`Limits`] of time, size and place
//! * [`Pool`]: a bounded, elastic pool of threads
//!
//! # Out of scope
//! When to fetch, which URL, and the meaning of an answer: see the engine. Messages to Erlang
//! processes: see the NIF crate.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod body;
mod chunk;
mod client;
mod connector;
mod failure;
mod head;
mod idle_connection;
mod limits;
mod page_budget;
mod plain;
mod pool;
mod proxy;
mod resolver;
mod roots;
mod target;
mod target_error;
mod tcp;
mod url;

pub use client::{Client, ClientOptions};
pub use head::MAX_RETRY_AFTER;
pub use limits::Limits;
pub use page_budget::{PageBudget, Share};
pub use pool::{Job, Lease, Pool};
pub use roots::CaFileError;
pub use target::{RedirectError, Target};
pub use target_error::TargetError;
