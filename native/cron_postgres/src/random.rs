//! Random numbers of the operating system. Incarnations, generations and marks must never occur
//! twice in a cluster.

use cron_cluster::Incarnation;
use rustls::crypto::ring::default_provider;

/// An incarnation; `None` if the operating system has no random numbers.
pub(crate) fn incarnation() -> Option<Incarnation> {
    let mut bytes = [0; 16];
    default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(Incarnation(bytes))
}

/// A mark, which is not 0; `None` if the operating system has no random numbers.
pub(crate) fn mark() -> Option<i64> {
    let mut bytes = [0; 8];
    default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(i64::from_le_bytes(bytes)).filter(|mark| *mark != 0)
}
