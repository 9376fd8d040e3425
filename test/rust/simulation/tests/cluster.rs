//! A sample of schedules of several nodes for every test run. `make simulate` runs a million.
//!
//! The simulation is believed because it finds what is wrong with statements that look safe.

#![allow(clippy::expect_used, reason = "helpers of tests fail by a panic")]

use simulation::cluster::{Claims, ClusterTotals, Commits, Numbers, Rules, run};
use std::panic::catch_unwind;

/// The first of these seeds that breaks a rule, and what it says.
fn broken(rules: Rules) -> Option<(u64, String)> {
    (0..5000).find_map(|seed| {
        let panic = catch_unwind(|| run(seed, rules)).err()?;
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Some((seed, said.expect("an assertion says what it is")))
    })
}

#[track_caller]
fn assert_broken(rules: Rules, expected: &[&str]) {
    let (seed, said) = broken(rules).expect("a world in which this goes wrong");
    assert!(expected.iter().any(|text| said.contains(text)), "seed {seed}: {said}");
}

#[test]
fn clusters_break_no_rule() {
    let mut totals = ClusterTotals::default();
    for seed in 0..1500 {
        totals.add(run(seed, Rules::SAFE));
    }
    // The rules would also hold in a world in which nothing happens.
    assert!(totals.pushes > 50_000 && totals.commits > 20_000, "{totals:?}");
    assert!(totals.kills > 2000 && totals.pauses > 2000, "{totals:?}");
    assert!(totals.crashes > 1000 && totals.roll_backs > 50, "{totals:?}");
    assert!(totals.evictions > 50 && totals.burials > 2000, "{totals:?}");
    assert!(totals.fenced > 50 && totals.lost_answers > 1000, "{totals:?}");
    assert!(totals.hand_overs > 500 && totals.wishes > 5000, "{totals:?}");
    assert!(totals.repeats > 200, "take-overs repeat what was not saved: {totals:?}");
    // The limit is 500 ms, and a push takes at least 50 ms.
    assert!(totals.most_repeated <= 12, "{totals:?}");
    assert!(totals.slowest_take_over < 7200 && totals.longest_pause < 2000, "{totals:?}");
}

#[test]
fn commit_that_joins_the_epoch_moves_cursors_back() {
    let rules = Rules { commits: Commits::FromEpoch, ..Rules::SAFE };
    assert_broken(rules, &["a cursor went back"]);
}

#[test]
fn commit_where_the_epoch_exists_moves_cursors_back() {
    let rules = Rules { commits: Commits::ExistsEpoch, ..Rules::SAFE };
    assert_broken(rules, &["a cursor went back"]);
}

#[test]
fn fenced_commit_without_seq_moves_cursors_back() {
    let rules = Rules { commits: Commits::WithoutSeq, ..Rules::SAFE };
    assert_broken(rules, &["a cursor went back"]);
}

#[test]
fn commit_without_generation_moves_the_row_of_another_start() {
    let rules = Rules { commits: Commits::WithoutGeneration, ..Rules::SAFE };
    assert_broken(
        rules,
        &["a cursor went back", "a cursor passed", "a cursor of another generation"],
    );
}

#[test]
fn claim_of_shards_without_a_node_steals_from_a_node_that_joined() {
    let rules = Rules { claims: Claims::ByNotExists, ..Rules::SAFE };
    assert_broken(rules, &["a push of a process that belongs to another"]);
}

#[test]
fn numbers_that_count_are_used_twice_after_a_roll_back() {
    let rules = Rules { numbers: Numbers::Sequence, ..Rules::SAFE };
    assert_broken(rules, &["a result was skipped", "a cursor", "have no owner"]);
}

#[test]
fn schedule_of_a_cluster_is_always_the_same() {
    assert_eq!(run(42, Rules::SAFE), run(42, Rules::SAFE));
}
