//! What the crates take by themselves, without a BEAM, a socket or a disk: a page made into the external
//! term format, and the engine's part of a tick whose page is empty. `make bench` is about the whole.
#![allow(clippy::unwrap_used, reason = "a benchmark: what is not as expected must end it")]
#![allow(missing_docs, reason = "criterion's macros make a function without any")]

use bench::page::{Kind, Results};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use cron_engine::{
    Action, Config, Engine, Event, Fetched, HostId, MonitorId, PageRequest, Position, ProcessId,
    Registration, Time, page,
};
use std::time::Duration;

const EDGES: u64 = 1000;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page of 1000 edges");
    group.throughput(Throughput::Elements(EDGES));
    for (name, kind) in [("400 bytes of data", Kind::Data(400)), ("20 tags", Kind::Tags(20))] {
        let body = Results::new(kind).page(0, EDGES, EDGES);
        let request = PageRequest::new(Position::Earliest);
        let mut buffer = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let page = page::decode(&body, &request, std::mem::take(&mut buffer)).unwrap();
                assert_eq!(page.edges, EDGES);
                buffer = page.terms;
                buffer.clear();
            });
        });
    }
    group.finish();
}

/// An engine whose monitors tick once a second.
fn engine(monitors: u64) -> Engine {
    let config = Config { max_inflight: 64, max_buffered: 1 << 30, checkpoint: false, seed: 1 };
    let mut engine = Engine::new(config);
    for id in 0..monitors {
        let registration = Registration {
            id: MonitorId(id),
            process: ProcessId::new(format!("{id:043}").as_bytes()).unwrap(),
            rate: Duration::from_secs(1),
            position: Position::Earliest,
            nodes: [HostId(1)].into(),
            page_limit: 1000,
            walk_after: Duration::from_hours(1),
            durable: true,
            paused: false,
        };
        engine.handle_event(Time::ZERO, Event::Register(registration));
    }
    while engine.poll_action().is_some() {}
    engine
}

/// A second of it: each monitor ticks, polls, and gets an empty page.
fn second(engine: &mut Engine, begin: Time) -> u64 {
    let end = begin + Duration::from_secs(1);
    let mut pages = 0;
    while let Some(now) = engine.poll_timeout().filter(|at| *at <= end) {
        engine.handle_timeout(now);
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Tick { id } => engine.handle_event(now, Event::Poll(id)),
                Action::Fetch { id, .. } => {
                    pages += 1;
                    engine.handle_event(now, Event::Fetched(id, Ok(Fetched::EmptyPage)));
                }
                _ => {}
            }
        }
    }
    pages
}

fn ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick, poll and empty page");
    group.sample_size(20);
    for monitors in [1000, 10_000, 100_000] {
        group.throughput(Throughput::Elements(monitors));
        group.bench_function(format!("{monitors} monitors"), |bencher| {
            bencher.iter_batched_ref(
                || engine(monitors),
                |engine| assert_eq!(second(engine, Time::ZERO), monitors),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(crates, decode, ticks);
criterion_main!(crates);
