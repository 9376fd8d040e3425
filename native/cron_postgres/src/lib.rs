//! Input and output of a cluster ([`cron_cluster`]) on PostgreSQL: connections, statements, and the
//! thread that drives the protocol. All of it runs and is tested without the BEAM.
//!
//! # In scope
//! * [`ClusterUrl`]: the checked URL of the database
//! * [`Cluster`]: a node, driven by one thread with five connections
//! * [`Owner`]: what the cluster calls when shards are gained, lost and handed over
//! * [`Lease`]: whether a push may begin, readable from any thread
//! * [`Acked`] and [`Outcome`]: saving cursors and dead letters
//! * [`Request`] and [`Answer`]: what users and operators ask for, on any node
//! * [`Status`]: what this node knows, without a statement
//!
//! # Out of scope
//! Decisions of the protocol and the text of statements: see [`cron_cluster`]. Monitors, and what
//! options, positions and errors mean: those are bytes here.
//!
//! # Rules
//! * A statement is never cancelled. After its time limit the connection is dropped, and whether it
//!   was executed is unknown.
//! * Statements are unnamed and depend on no session, so they work through a pooler in transaction
//!   mode.
//! * A write that the server answers with a warning has failed: after a cancelled wait for a replica
//!   it may be undone.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod asked;
mod check;
mod clock;
mod cluster;
mod connection;
mod connector;
mod cursors;
mod driver;
mod error;
mod health;
mod input;
mod lane;
mod lane_kind;
mod lanes;
mod lease;
mod letters;
mod listing;
mod owner;
mod process_row;
mod protocol;
mod random;
mod request;
mod requests;
mod row;
mod shared;
mod starts;
mod status;
mod tls;
mod url;
mod url_error;
mod users;

pub use clock::now;
pub use cluster::{Cluster, Settings, StartError};
pub use cursors::{Acked, NewLetter, Outcome};
pub use error::DatabaseError;
pub use lane_kind::LaneKind;
pub use lanes::CommitError;
pub use lease::Lease;
pub use owner::Owner;
pub use process_row::ProcessRow;
pub use request::{
    Answer, Import, Known, Located, NodeRow, Request, RequestError, SavedLetter, Start, Totals,
    WishState,
};
pub use status::{PeerStatus, Status};
pub use tls::CertificatesError;
pub use url::{ClusterUrl, SslMode};
pub use url_error::UrlError;
