//! The nodes of a monitor, as the fetch threads and the engine know them: base URLs to ask, and a
//! number for the host that each is at.

use cron_engine::HostId;
use cron_io::{Target, TargetError};
use rustler::Binary;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The nodes of a monitor. Nearly all monitors have the same ones, and share them.
#[derive(PartialEq, Eq)]
pub(crate) struct Nodes {
    pub(crate) targets: Vec<Target>,
    pub(crate) hosts: Arc<[HostId]>,
}

impl Nodes {
    /// Takes base URLs. `Err` with the one that is none.
    pub(crate) fn new<'a>(urls: &[Binary<'a>]) -> Result<Self, Binary<'a>> {
        let mut targets = Vec::with_capacity(urls.len());
        for url in urls {
            targets.push(target(url).map_err(|_| *url)?);
        }
        let hosts = targets.iter().map(host).collect();
        Ok(Self { targets, hosts })
    }
}

/// A base URL.
pub(crate) fn target(url: &[u8]) -> Result<Target, TargetError> {
    Target::new(std::str::from_utf8(url).map_err(|_| TargetError::Malformed)?)
}

/// A target is shown as its origin: equal for equal hosts, whatever path or user is in the URL.
fn host(target: &Target) -> HostId {
    let mut hasher = DefaultHasher::new();
    target.to_string().hash(&mut hasher);
    HostId(hasher.finish())
}
