//! Runs schedules: `simulate COUNT [SEED]`, or that of one seed: `simulate --seed SEED [--large]`.
//! A hundredth of a percent of COUNT, at least one, are large. With `--cluster` the schedules are
//! those of several nodes on one database. A broken rule ends the run and prints the seed.

use simulation::cluster::{self, ClusterTotals, Rules};
use simulation::{Size, Totals};
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One schedule of this many has thousands of monitors.
const LARGE_EVERY: u64 = 10_000;

fn is_large(number: u64) -> bool {
    number % LARGE_EVERY == LARGE_EVERY / 2
}

fn run_one(seed: u64, large: bool) -> Totals {
    simulation::run(seed, if large { Size::Large } else { Size::Small })
}

fn run_cluster(seed: u64, _: bool) -> ClusterTotals {
    cluster::run(seed, Rules::SAFE)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if has("--seed") {
        let seed = numbers.first().copied().unwrap_or(0);
        if has("--cluster") {
            println!("{:?}", run_cluster(seed, false));
        } else {
            println!("{:?}", run_one(seed, has("--large")));
        }
        return ExitCode::SUCCESS;
    }
    let count = numbers.first().copied().unwrap_or(10_000);
    let first = numbers.get(1).copied().unwrap_or(1);
    if has("--cluster") {
        simulate((first, count), " --cluster", run_cluster, ClusterTotals::add)
    } else {
        simulate((first, count), "", run_one, Totals::add)
    }
}

/// Runs schedules and prints their totals.
fn simulate<T: Debug + Default + Send>(
    (first, count): (u64, u64),
    option: &str,
    run: impl Fn(u64, bool) -> T + Sync + RefUnwindSafe,
    add: impl Fn(&mut T, T) + Sync,
) -> ExitCode {
    println!("simulate{option}: {count} schedules, seeds {first} to {}", first + count - 1);
    let started = Instant::now();
    let (totals, broken) = all((first, count), run, add);
    println!("simulate{option}: {totals:?} in {:.1} s", started.elapsed().as_secs_f64());
    if let Some((seed, large)) = broken {
        let large = if large && option.is_empty() { " --large" } else { "" };
        println!("simulate{option}: a rule is broken: simulate{option} --seed {seed}{large}");
        return ExitCode::FAILURE;
    }
    println!("{count} passed, 0 failed");
    ExitCode::SUCCESS
}

/// Runs schedules on all cores, until a rule is broken.
fn all<T: Default + Send>(
    (first, count): (u64, u64),
    run: impl Fn(u64, bool) -> T + Sync + RefUnwindSafe,
    add: impl Fn(&mut T, T) + Sync,
) -> (T, Option<(u64, bool)>) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let worker = || {
        let mut totals = T::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return (totals, None);
            }
            let (seed, large) = (first + number, is_large(number));
            let Ok(one) = catch_unwind(|| run(seed, large)) else {
                next.store(count, Ordering::Relaxed);
                return (totals, Some((seed, large)));
            };
            add(&mut totals, one);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = (T::default(), None);
        for (totals, broken) in workers.into_iter().filter_map(|worker| worker.join().ok()) {
            add(&mut all.0, totals);
            all.1 = all.1.or(broken);
        }
        all
    })
}
