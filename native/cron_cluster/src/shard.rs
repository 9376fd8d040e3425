//! Shards: the units of ownership, and the shard of a process.

use cron_engine::ProcessId;

/// The number of shards of a cluster, unless it is simulated.
pub const SHARDS: u16 = 4096;

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A shard in one ownership: the epoch of a shard rises whenever it gets or loses an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stake {
    /// The shard.
    pub shard: ShardId,
    /// Its epoch.
    pub epoch: i64,
}

/// The shard of a process, out of `shards`.
///
/// The function is part of the format of the database: it must never change. It is FNV-1a of 64
/// bits with the finalizer of `MurmurHash3`, reduced by multiplication.
#[must_use]
pub fn shard_of(process: &ProcessId, shards: u16) -> ShardId {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in process.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    let shard = (u128::from(hash) * u128::from(shards)) >> 64;
    ShardId(u16::try_from(shard).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(number: usize) -> ProcessId {
        ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits")
    }

    #[test]
    fn shard_of_a_process_never_changes() {
        let shards: Vec<u16> = (0..6).map(|n| shard_of(&process(n), SHARDS).0).collect();
        assert_eq!(shards, [1589, 1330, 3529, 3566, 2153, 3665]);
    }

    #[test]
    fn million_processes_are_even_within_one_percent_on_ten_nodes() {
        let mut counts = vec![0_u32; usize::from(SHARDS)];
        for number in 0..1_000_000 {
            counts[usize::from(shard_of(&process(number), SHARDS).0)] += 1;
        }
        // 4,096 shards on ten nodes: six nodes have 410, four have 409.
        let mut from = 0;
        for node in 0..10 {
            let share = if node < 6 { 410 } else { 409 };
            let on_it: u32 = counts[from..from + share].iter().sum();
            from += share;
            assert!((99_000..=101_000).contains(&on_it), "node {node}: {on_it}");
        }
        assert!(counts.iter().all(|count| (150..350).contains(count)));
    }
}
