//! How many shards a node should have.

use crate::incarnation::Incarnation;
use crate::view::Peer;
use std::cmp::Reverse;

/// The share of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// The number of shards that it should have.
    pub(crate) wanted: usize,
    /// Its rank among the nodes that share, and their number.
    pub(crate) rank: usize,
    pub(crate) nodes: usize,
}

/// The share of `me`; `None` if it does not take part.
///
/// All nodes get the same number of shards; the first ones by rank get the remainder, one each. The
/// nodes with the most shards come first, so that a node that has one of the remainder keeps it, and
/// a join or a death moves as few shards as possible.
pub(crate) fn share(me: Incarnation, peers: &[Peer], shards: u16) -> Option<Share> {
    let mut ranked: Vec<_> = peers.iter().filter(|peer| !peer.leaving).collect();
    ranked.sort_by_key(|peer| (Reverse(peer.owned), peer.incarnation));
    let rank = ranked.iter().position(|peer| peer.incarnation == me)?;
    let (shards, nodes) = (usize::from(shards), ranked.len());
    let wanted = shards / nodes + usize::from(rank < shards % nodes);
    Some(Share { wanted, rank, nodes })
}

/// Whether all nodes have their share, as far as a view shows.
pub(crate) fn is_even(peers: &[Peer]) -> bool {
    let owned = || peers.iter().filter(|peer| !peer.leaving).map(|peer| peer.owned);
    let (least, most) = (owned().min().unwrap_or(0), owned().max().unwrap_or(0));
    most - least <= 1 && peers.iter().all(|peer| !peer.leaving)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(owned: &[usize]) -> Vec<Peer> {
        let peer = |(index, owned): (usize, &usize)| Peer {
            incarnation: Incarnation([u8::try_from(index).unwrap(); 16]),
            beat: 0,
            leaving: false,
            owned: *owned,
        };
        owned.iter().enumerate().map(peer).collect()
    }

    fn wanted(peers: &[Peer], shards: u16) -> Vec<usize> {
        let wanted = |peer: &Peer| share(peer.incarnation, peers, shards).map_or(0, |it| it.wanted);
        peers.iter().map(wanted).collect()
    }

    #[test]
    fn shares_of_all_nodes_make_up_all_shards() {
        for nodes in 1..30 {
            let wanted = wanted(&peers(&vec![0; nodes]), 4096);
            assert_eq!(wanted.iter().sum::<usize>(), 4096);
            assert!(wanted.iter().max().unwrap() - wanted.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn join_moves_only_the_share_of_the_new_node() {
        // The second has the one more.
        let owned = [455, 456, 455, 455, 455, 455, 455, 455, 455, 0];
        let wanted = wanted(&peers(&owned), 4096);
        let moved: usize = owned.iter().zip(&wanted).map(|(has, gets)| has - has.min(gets)).sum();
        assert_eq!(moved, 409);
        assert_eq!(wanted.last(), Some(&409));
    }

    #[test]
    fn even_cluster_keeps_its_shards() {
        for owned in [[2, 1, 1], [1, 2, 1], [1, 1, 2]] {
            assert_eq!(wanted(&peers(&owned), 4), owned);
        }
    }

    #[test]
    fn shares_that_differ_by_one_are_even() {
        assert!(is_even(&peers(&[2, 1, 2])));
        assert!(is_even(&peers(&[4])));
        assert!(!is_even(&peers(&[3, 1])));
        let mut leaving = peers(&[2, 2]);
        leaving[0].leaving = true;
        assert!(!is_even(&leaving));
    }

    #[test]
    fn node_that_leaves_has_no_share() {
        let mut peers = peers(&[2, 2]);
        peers[0].leaving = true;
        assert_eq!(share(peers[0].incarnation, &peers, 4), None);
        assert_eq!(wanted(&peers, 4), [0, 4]);
    }
}
