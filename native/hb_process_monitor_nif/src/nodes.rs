//! The nodes of a monitor: base URLs for the fetch threads, and numbers of their CU hosts for the engine.

use cron_engine::HostId;
use cron_io::{Target, TargetError};
use rustler::Binary;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The nodes of a monitor. Nearly all monitors have the same nodes, and share this value.
pub(crate) struct Nodes {
    pub(crate) targets: Vec<Target>,
    pub(crate) hosts: Arc<[HostId]>,
}

impl Nodes {
    /// Parses base URLs; `Err` holds the first invalid one.
    pub(crate) fn new<'a>(urls: &[Binary<'a>]) -> Result<Self, Binary<'a>> {
        let mut targets = Vec::with_capacity(urls.len());
        for url in urls {
            targets.push(target(url).map_err(|_| *url)?);
        }
        let hosts = targets.iter().map(host).collect();
        Ok(Self { targets, hosts })
    }
}

/// Parses a base URL.
pub(crate) fn target(url: &[u8]) -> Result<Target, TargetError> {
    Target::new(std::str::from_utf8(url).map_err(|_| TargetError::Malformed)?)
}

/// The number of a target's CU host. A target is printed as its origin, without path and user, so URLs of the same
/// host have the same number.
fn host(target: &Target) -> HostId {
    let mut hasher = DefaultHasher::new();
    target.to_string().hash(&mut hasher);
    HostId(hasher.finish())
}
