//! The engine behind `hb_process_monitor`: it decides when each monitor ticks, what is fetched
//! from its Compute Unit (CU) and when, and how a page of results becomes Erlang terms.
//!
//! # In scope
//! * the grid of ticks, one per monitor ([`Grid`])
//! * the state machine of each monitor and its credit of pages ([`Engine`])
//! * what is done when a Compute Unit is slow, dead or wrong: backoff, breaker, lanes, the walk
//!   past a run of errors ([`Trail`])
//! * the paths that are asked for ([`request`]) and the bodies that come back ([`page`])
//! * whether events should gather before they are served ([`pace`])
//! * durations, counted in buckets ([`histogram`])
//! * the classes of errors ([`PageError`], [`Failure`]) and which repeats are reported
//!
//! # Out of scope
//! Sockets, threads, clocks and the BEAM. Time is an argument ([`Time`]), what happened is an
//! [`Event`], and what to do is an [`Action`]:
//!
//! ```
//! use cron_engine::{Action, Config, Engine, Event, MonitorId, Position, ProcessId, Registration, Time};
//! use std::time::Duration;
//!
//! let mut engine =
//!     Engine::new(Config { max_inflight: 64, max_buffered: 1 << 28, seed: 1 });
//! let id = MonitorId(1);
//! let process = ProcessId::new(b"0123456789012345678901234567890123456789abc").expect("43 characters");
//! let rate = Duration::from_secs(10);
//! let registration = Registration::new(id, process, rate, Position::Earliest);
//! engine.handle_event(Time::ZERO, Event::Register(registration));
//! let due = engine.poll_timeout().expect("the first tick is planned");
//! engine.handle_timeout(due);
//! assert_eq!(engine.poll_action(), Some(Action::Tick { id }));
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod decode;
mod engine;
pub mod histogram;
mod host;
mod monitor;
pub mod pace;
mod time;

pub use decode::interval::Interval;
pub use decode::latest::decode as decode_latest;
pub use decode::page_error::PageError;
pub use decode::request::{MAX_LIMIT, PageRequest};
pub use decode::{page, request};
pub use engine::event::{Action, Config, Counters, Event, Fetched, Registration, Report, Request};
pub use engine::failure::{Class, Failure};
pub use engine::{Census, Engine};
pub use host::breaker::BreakerState;
pub use host::id::HostId;
pub use monitor::asks::{Asks, Unexpected};
pub use monitor::expected::Timing;
pub use monitor::grid::Grid;
pub use monitor::id::MonitorId;
pub use monitor::position::{Cursor, CursorError, MAX_CURSOR_BYTES, Position};
pub use monitor::process::ProcessId;
pub use monitor::trail::Trail;
pub use monitor::{Doing, Snapshot, Trouble};
pub use time::Time;
