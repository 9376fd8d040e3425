//! A sample of schedules for every test run. `make simulate` runs a million.

use simulation::{Size, Totals, run};

#[test]
fn small_worlds_break_no_rule() {
    let mut totals = Totals::default();
    for seed in 0..1500 {
        totals.add(run(seed, Size::Small));
    }
    // The rules would also hold in a world in which nothing happens.
    assert!(totals.delivered > 20_000, "{totals:?}");
    assert!(totals.crashes > 500 && totals.restarts > 500, "{totals:?}");
    assert!(totals.commits > 1000 && totals.ticks > 1000, "{totals:?}");
    assert!(totals.quiet_ticks > 100, "{totals:?}");
    assert!(totals.starts > 10_000 && totals.stops > 500 && totals.kills > 1000, "{totals:?}");
    assert!(totals.forgotten > 100 && totals.monitored > 50, "{totals:?}");
    assert!(totals.repeats > 100, "crashes repeat what was not durable: {totals:?}");
}

#[test]
fn large_world_breaks_no_rule() {
    let totals = run(7, Size::Large);
    assert!(totals.delivered > 1000, "{totals:?}");
}

#[test]
fn schedule_of_a_seed_is_always_the_same() {
    assert_eq!(run(42, Size::Small), run(42, Size::Small));
}
