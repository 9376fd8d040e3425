//! The state machine of a node.

mod membership;
mod scenario;
mod views;
