//! The engine behind `hb_process_monitor`: it decides when each monitor ticks, what is fetched
//! from its Compute Unit (CU) and when, and how a page of results becomes Erlang terms.
//!
//! # In scope
//! * the grid of ticks, one per monitor ([`Grid`])
//! * the state machine of each monitor and its credit of pages ([`Engine`])
//! * the paths that are asked for ([`request`]) and the bodies that come back ([`page`])
//! * which errors there are ([`PageError`], [`Failure`]) and which repeats are worth a report
//!
//! # Out of scope
//! Sockets, threads, clocks and the BEAM. Time comes in as an argument ([`Time`]), what happened
//! comes in as an [`Event`], and what is to be done goes out as an [`Action`]:
//!
//! ```
//! use cron_engine::{Action, Config, Engine, Event, MonitorId, Position, ProcessId, Time};
//! use std::time::Duration;
//!
//! let mut engine = Engine::new(Config { max_inflight: 64, max_buffered: 1 << 28, checkpoint: false });
//! let id = MonitorId(1);
//! let process = ProcessId::new(b"0123456789012345678901234567890123456789abc").expect("43 characters");
//! engine.handle_event(Time::ZERO, Event::Register {
//!     id, process, rate: Duration::from_secs(10), position: Position::Earliest, durable: true,
//! });
//! let due = engine.poll_timeout().expect("the first tick is planned");
//! engine.handle_timeout(due);
//! assert_eq!(engine.poll_action(), Some(Action::Tick { id }));
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod edges;
mod engine;
mod failure;
mod grid;
mod json;
mod latest;
mod monitor;
pub mod page;
mod position;
mod process;
pub mod request;
mod terms;
mod time;
mod timers;

pub use engine::{Action, Config, Counters, Engine, Event, Report};
pub use failure::{Class, Failure};
pub use grid::Grid;
pub use latest::decode as decode_latest;
pub use monitor::{Fetched, MonitorId, Request};
pub use page::PageError;
pub use position::{Cursor, CursorError, MAX_CURSOR_BYTES, Position};
pub use process::ProcessId;
pub use time::Time;
