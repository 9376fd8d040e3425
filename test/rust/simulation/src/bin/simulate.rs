//! Runs schedules: `simulate COUNT [SEED]`, or that of one seed: `simulate --seed SEED [--large]`.
//! A hundredth of a percent of COUNT, at least one, are large. A broken rule ends the run and
//! prints the seed.

use simulation::{Size, Totals, run};
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One schedule of this many has thousands of monitors.
const LARGE_EVERY: u64 = 10_000;

fn size(number: u64) -> Size {
    if number % LARGE_EVERY == LARGE_EVERY / 2 { Size::Large } else { Size::Small }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if arguments.first().is_some_and(|first| first == "--seed") {
        let large = arguments.iter().any(|argument| argument == "--large");
        let size = if large { Size::Large } else { Size::Small };
        println!("{:?}", run(numbers.first().copied().unwrap_or(0), size));
        return ExitCode::SUCCESS;
    }
    let count = numbers.first().copied().unwrap_or(10_000);
    let first = numbers.get(1).copied().unwrap_or(1);
    println!("simulate: {count} schedules, seeds {first} to {}", first + count - 1);
    let started = Instant::now();
    let (totals, broken) = all(first, count);
    println!("simulate: {totals:?} in {:.1} s", started.elapsed().as_secs_f64());
    if let Some((seed, size)) = broken {
        let large = if size == Size::Large { " --large" } else { "" };
        println!("simulate: a rule is broken: simulate --seed {seed}{large}");
        return ExitCode::FAILURE;
    }
    println!("{count} passed, 0 failed");
    ExitCode::SUCCESS
}

/// Runs schedules on all cores, until a rule is broken.
fn all(first: u64, count: u64) -> (Totals, Option<(u64, Size)>) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let worker = || {
        let mut totals = Totals::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return (totals, None);
            }
            let (seed, size) = (first + number, size(number));
            let Ok(one) = catch_unwind(|| run(seed, size)) else {
                next.store(count, Ordering::Relaxed);
                return (totals, Some((seed, size)));
            };
            totals.add(one);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = (Totals::default(), None);
        for (totals, broken) in workers.into_iter().filter_map(|worker| worker.join().ok()) {
            all.0.add(totals);
            all.1 = all.1.or(broken);
        }
        all
    })
}
