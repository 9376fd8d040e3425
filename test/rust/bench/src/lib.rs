//! What the project is measured with: a Compute Unit that is fast enough not to be what is measured,
//! and the client side of it that the floor under any drain needs. No part of what ships, and no
//! double for tests: it cannot be scripted and checks next to nothing.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod page;
pub mod server;
