//! The checks of the engine: whatever happens in whatever order, it keeps its promises to the node
//! (limits of fetches, hosts and memory), to the CU (breakers, no page twice at once) and to each
//! monitor (ticks on the grid, edges numbered through, never forgotten). When everything works
//! again, every monitor is served; when all are gone, nothing is left.

use super::steps::{Ack, Answer, Nodes, Run, Start, Step, Stray};
use super::watch::{Monitor, Watch};
use cron_engine::{
    Class, Config, Cursor, Event, Failure, Fetched, HostId, MonitorId, Position, ProcessId,
    Registration, Request, Time, Trail,
};
use std::sync::Arc;
use std::time::Duration;

/// The memory of a page, if it is one page's.
pub(crate) const PAGE_BYTES: u64 = 1000;

/// The most monitors, and the most steps: a run takes milliseconds.
const MAX_MONITORS: usize = 8;
const MAX_STEPS: usize = 400;

/// How long it may take until all monitors are served when everything works: the longest backoff of
/// a monitor, what a host may have asked for, and turns of answers that take their time.
const SETTLED: Duration = Duration::from_secs(300 + 255 + 300);

/// How long answers take then, in ms: next to nothing, or longer than some hosts are given.
const TAKE: [u64; 3] = [0, 400, 3000];

/// The most ticks of a monitor in a second, and what else it may want done.
const MAX_RATE: u8 = 10 + 2;

/// The time of the result in second 0, in ms since 1970.
const EPOCH: u64 = 1_760_000_000_000;

/// Checks a whole run.
pub(crate) fn check(run: &Run) {
    let config = Config {
        max_inflight: usize::from(run.max_inflight % 12),
        max_buffered: if run.max_buffered == 255 {
            u64::MAX
        } else {
            u64::from(run.max_buffered) * PAGE_BYTES
        },
        seed: run.seed.into(),
    };
    let mut watch = Watch::new(config, run.checkpoint);
    for step in run.steps.iter().take(MAX_STEPS) {
        take(&mut watch, step);
    }
    settle(&mut watch, Duration::from_millis(TAKE[usize::from(run.seed) % TAKE.len()]));
    leave(&mut watch);
}

fn take(watch: &mut Watch, step: &Step) {
    match step {
        Step::Register { .. } if watch.monitors.len() >= MAX_MONITORS => {}
        Step::Register { start, durable, rate, nodes, page_limit, walk_after } => {
            let id = watch.new_id();
            let rate = Duration::from_millis(100 + 37 * u64::from(*rate));
            let process = format!("{:0>43}", id.0);
            let process = ProcessId::new(process.as_bytes()).expect("43 digits");
            watch.register(Registration {
                durable: *durable,
                nodes: hosts(nodes),
                page_limit: u32::from(*page_limit) * 5,
                walk_after: Duration::from_secs(1 + u64::from(*walk_after)),
                ..Registration::new(id, process, rate, position(start))
            });
        }
        Step::Poll(which) => watch.with(*which, Event::Poll),
        Step::Saved(which) => watch.with(*which, Event::Saved),
        Step::Acked(which, ack) => {
            let Some(id) = watch.pick(*which) else { return };
            let monitor = &watch.monitors[&id];
            let held = monitor.received.max(monitor.acked);
            let seq = match ack {
                Ack::Page => monitor.unacked.front().map_or(held, |page| page.0),
                Ack::All => held,
                Ack::Some(more) => held.min(monitor.acked + u64::from(*more)),
                Ack::Again => monitor.acked,
            };
            watch.tell(Event::Acked(id, seq));
        }
        Step::Moved(which, nodes) => watch.with(*which, |id| Event::Moved(id, hosts(nodes))),
        Step::Removed(which) => watch.with(*which, Event::Removed),
        Step::Fetched(which, answer) => {
            let count = watch.fetches.len();
            if count > 0 {
                end(watch, usize::from(*which) % count, answer);
            }
        }
        Step::Wait(ms) => watch.pass(Duration::from_millis((*ms).into())),
        Step::Due => watch.due(Duration::ZERO),
        Step::Late(ms) => watch.due(Duration::from_millis((*ms).into())),
        Step::Stray(stray) => self::stray(watch, stray),
        Step::Twice(which, answer) => {
            let count = watch.fetches.len();
            if count > 0 {
                twice(watch, usize::from(*which) % count, answer);
            }
        }
        Step::Down(host, true) => drop(watch.down.insert(host_id(*host))),
        Step::Down(host, false) => drop(watch.down.remove(&host_id(*host))),
    }
}

fn hosts(Nodes(first, second, third): &Nodes) -> Arc<[HostId]> {
    let all = [Some(first), second.as_ref(), third.as_ref()].into_iter().flatten();
    all.map(|host| host_id(*host)).collect()
}

fn host_id(host: u8) -> HostId {
    HostId(u64::from(host % 5))
}

fn position(start: &Start) -> Position {
    match start {
        Start::Unresolved => Position::Unresolved,
        Start::Earliest => Position::Earliest,
        Start::After(second) => Position::After(cursor(EPOCH + u64::from(*second) * 1000)),
        Start::Opaque => Position::After(Cursor::new(b"opaque").expect("a cursor")),
    }
}

/// The cursor of the result of a time in ms since 1970.
fn cursor(time: u64) -> Cursor {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let json = format!(r#"{{"timestamp":{time},"ordinate":"1","cron":"0-1-second"}}"#);
    Cursor::new(BASE64_STANDARD.encode(json).as_bytes()).expect("a cursor")
}

/// The time at which a monitor stands, for a CU that goes on from there.
fn time(position: &Position) -> u64 {
    Trail::at(position).timestamp().unwrap_or(EPOCH)
}

/// Ends one of the fetches under way, of a monitor that may be gone.
fn end(watch: &mut Watch, index: usize, answer: &Answer) {
    let outcome = outcome(watch, index, answer);
    watch.ended(index, outcome);
}

fn twice(watch: &mut Watch, index: usize, answer: &Answer) {
    let id = watch.fetches[index].id;
    let outcome = outcome(watch, index, answer);
    watch.ended(index, outcome.clone());
    match watch.fetches.iter().position(|fetch| fetch.id == id) {
        Some(next) => watch.ended(next, outcome),
        None => watch.tell(Event::Fetched(id, outcome)),
    }
}

/// What this answer is to that fetch.
fn outcome(watch: &mut Watch, index: usize, answer: &Answer) -> Result<Fetched, Failure> {
    let fetch = watch.fetches[index].clone();
    let standing = watch.monitors.get(&fetch.id).map(|monitor| monitor.position.clone());
    let from = standing.map_or(EPOCH, |position| time(&position));
    match (&fetch.request, answer) {
        (_, Answer::TooSlow) if fetch.patience.is_some() => Ok(Fetched::TooSlow),
        (_, Answer::Failed { class, retry_after }) => {
            let all: Vec<Class> = Class::all().collect();
            let mut failure = Failure::new(all[usize::from(*class) % all.len()], "on purpose");
            failure.retry_after = retry_after.map(|secs| Duration::from_secs(secs.into()));
            Err(failure)
        }
        _ if watch.down.contains(&fetch.host) => Err(Failure::new(Class::Connect, "it is down")),
        (_, Answer::Unasked(what)) => Ok(unasked(&fetch.request, *what)),
        (Request::Page(page), Answer::Page { edges, seconds, pages_of_bytes, acked_first }) => {
            let edges = u64::from(*edges).clamp(1, page.limit.into());
            let last = cursor(page.at.unwrap_or(from).max(from) + 1000 * u64::from(*seconds) + 1);
            let end = page.first_seq - 1 + edges;
            if *acked_first && watch.monitors.contains_key(&fetch.id) {
                watch.tell(Event::Acked(fetch.id, end));
            }
            let trail = Arc::new(Trail::at(&Position::After(last.clone())));
            Ok(Fetched::Page {
                edges,
                last,
                trail,
                bytes: u64::from(*pages_of_bytes) * PAGE_BYTES,
                cut: false,
                more: false,
            })
        }
        (Request::Page(_), _) => Ok(Fetched::EmptyPage),
        (Request::Latest | Request::Look, Answer::Ahead(seconds)) => {
            Ok(Fetched::Latest(Some(cursor(from + 1000 * u64::from(*seconds)))))
        }
        (Request::First(_), Answer::Ahead(seconds)) => {
            Ok(Fetched::First(Some(cursor(EPOCH + 1000 * u64::from(*seconds)))))
        }
        (Request::Latest | Request::Look, Answer::Opaque) => {
            Ok(Fetched::Latest(Some(Cursor::new(b"opaque, too").expect("a cursor"))))
        }
        (Request::Latest | Request::Look, _) => Ok(Fetched::Latest(None)),
        (Request::First(_), _) => Ok(Fetched::First(None)),
    }
}

fn unasked(request: &Request, what: u8) -> Fetched {
    let last = cursor(EPOCH);
    let trail = Arc::new(Trail::default());
    match request {
        Request::Page(_) if what.is_multiple_of(2) => Fetched::Latest(Some(last)),
        Request::Page(_) => Fetched::First(None),
        _ if what.is_multiple_of(2) => Fetched::EmptyPage,
        _ => Fetched::Page { edges: 1, last, trail, bytes: PAGE_BYTES, cut: false, more: false },
    }
}

/// What is said of a monitor that is gone changes nothing.
fn stray(watch: &mut Watch, stray: &Stray) {
    let id = watch.gone();
    let event = match stray {
        Stray::Poll => Event::Poll(id),
        Stray::Saved => Event::Saved(id),
        Stray::Acked(seq) => Event::Acked(id, *seq),
        Stray::Moved(nodes) => Event::Moved(id, hosts(nodes)),
        Stray::Removed => Event::Removed(id),
        // Its last fetch may be under way still: that one is answered once, elsewhere.
        Stray::Fetched if watch.fetches.iter().any(|fetch| fetch.id == id) => return,
        Stray::Fetched => Event::Fetched(id, Ok(Fetched::EmptyPage)),
    };
    let before = watch.engine.counters();
    watch.tell(event);
    assert_eq!(watch.engine.counters(), before, "a stray event counts");
}

/// From now on every host answers, after `took`, that there is nothing more, every page is acked, and
/// every tick is polled until all are served: which they must be, and without many calls.
fn settle(watch: &mut Watch, took: Duration) {
    let began = watch.now;
    let mut calls = 0;
    watch.down.clear();
    for monitor in watch.monitors.values_mut() {
        monitor.served = false;
    }
    loop {
        react(watch);
        let waits = watch.monitors.iter().filter(|(_, monitor)| !monitor.served);
        let waits: Vec<MonitorId> = waits.map(|(id, _)| *id).collect();
        if waits.is_empty() && watch.fetches.is_empty() && watch.engine.counters().queued == 0 {
            return;
        }
        let over = watch.now.since(began);
        assert!(over <= SETTLED, "{waits:?} are not served: {:?}", watch.engine);
        let busy = (over.as_secs() + 10)
            * (u64::from(MAX_RATE) * u64::try_from(watch.monitors.len()).expect("a few") + 20);
        assert!(calls <= busy, "{calls} calls in {over:?}");
        let ends = watch.fetches.iter().enumerate().map(|(index, fetch)| {
            let patience = fetch.patience.filter(|patience| *patience < took);
            (fetch.since + patience.unwrap_or(took), index, patience.is_some())
        });
        let next = ends.min();
        let due = watch.engine.poll_timeout();
        if let Some((at, index, late)) = next.filter(|(at, ..)| due.is_none_or(|due| *at <= due)) {
            watch.now = watch.now.max(at);
            end(watch, index, if late { &Answer::TooSlow } else { &Answer::Empty });
        } else {
            assert!(due.is_some(), "nothing is planned: {:?}", watch.engine);
            watch.due(Duration::ZERO);
            calls += 1;
        }
    }
}

/// Does all that monitors do at once, until nothing is left. Who is served polls no more.
fn react(watch: &mut Watch) {
    loop {
        let of = |wants: fn(&Monitor) -> bool| {
            watch.monitors.iter().find(|(_, monitor)| wants(monitor)).map(|(id, _)| *id)
        };
        if let Some(id) = of(|monitor| monitor.saving) {
            watch.tell(Event::Saved(id));
        } else if let Some(id) = of(|monitor| !monitor.unacked.is_empty()) {
            let end = watch.monitors[&id].received;
            watch.tell(Event::Acked(id, end));
        } else if let Some(id) = of(|monitor| monitor.ticked && !monitor.served) {
            watch.tell(Event::Poll(id));
        } else {
            return;
        }
    }
}

/// All monitors go, and nothing is left of them.
fn leave(watch: &mut Watch) {
    while let Some(id) = watch.pick(0) {
        watch.tell(Event::Removed(id));
    }
    while !watch.fetches.is_empty() {
        end(watch, 0, &Answer::Empty);
    }
    while watch.engine.poll_timeout().is_some() {
        watch.due(Duration::ZERO);
    }
    let left = watch.engine.counters();
    let now = (left.monitors, left.inflight, left.slow, left.queued, left.open_breakers);
    assert_eq!((now, left.buffered), ((0, 0, 0, 0, 0), 0));
    assert!(watch.now < Time::from_micros(u64::MAX), "the clock is still good");
}
