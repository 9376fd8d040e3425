//! One fetch, on a thread of the pool: it sends the request, decodes the answer, leaves a page with its monitor, and
//! reports the outcome to the loop.

use crate::events;
use crate::inbox::{Command, Inbox};
use crate::metrics::METRICS;
use crate::nodes::Nodes;
use crate::noted::Noted;
use crate::registration::Registration;
use cron_engine::{
    Class, Event, Failure, Fetched, PageRequest, Request, decode_latest,
    page::{self, Page, PageError},
    request,
};
use cron_io::{Client, Limits, PageBudget, Pool, Share, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The threads for fetches. All engines of the library share them, so `cron_max_inflight` bounds the host node.
pub(crate) static POOL: LazyLock<Pool<Job>> = LazyLock::new(|| Pool::new("hb_cron_fetch"));

/// The memory of a buffer that a thread keeps for its next fetch. The rest is freed.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// What all fetches of an engine share.
pub(crate) struct Fetching {
    inbox: Arc<Inbox>,
    pub(crate) client: Client,
    pub(crate) budget: Arc<PageBudget>,
}

impl Fetching {
    pub(crate) fn new(inbox: Arc<Inbox>, client: Client, max_buffered: u64) -> Self {
        Self { inbox, client, budget: PageBudget::new(max_buffered) }
    }
}

/// One fetch.
pub(crate) struct Job {
    pub(crate) fetching: Arc<Fetching>,
    pub(crate) registration: Arc<Registration>,
    pub(crate) nodes: Arc<Nodes>,
    /// The index of the node to ask.
    pub(crate) node: usize,
    pub(crate) request: Request,
    /// How long it may take before other fetches need its place more.
    pub(crate) patience: Option<Duration>,
}

/// The buffers that a thread keeps.
#[derive(Default)]
pub(crate) struct Scratch {
    body: Vec<u8>,
    terms: Vec<u8>,
}

/// A successful fetch: its outcome for the engine, and its page for the monitor.
struct Brought {
    fetched: Fetched,
    /// With the number of its first result.
    page: Option<(u64, Box<Page>)>,
}

impl From<Fetched> for Brought {
    fn from(fetched: Fetched) -> Self {
        Self { fetched, page: None }
    }
}

impl cron_io::Job for Job {
    type Scratch = Scratch;

    fn run(self, scratch: &mut Scratch) {
        if self.registration.is_closed() {
            let gone = Failure::new(Class::Internal, "the monitor is gone");
            return self.answer(Err(gone));
        }
        let mut share = Arc::clone(&self.fetching.budget).share();
        let since = self.note_start();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.fetch(scratch, &mut share)))
            .unwrap_or_else(|_| Err(Failure::new(Class::Internal, "a fetch panicked")))
            .map_err(|failure| self.with_place(failure));
        self.note_end(since.elapsed(), outcome.as_ref());
        match outcome {
            Ok(Brought { fetched, page: Some((first_seq, page)) }) => {
                empty(&mut scratch.body);
                self.leave_page(fetched, first_seq, *page, share);
            }
            Ok(Brought { fetched, page: None }) => self.answer(Ok(fetched)),
            Err(failure) => self.answer(Err(failure)),
        }
        empty(&mut scratch.body);
        empty(&mut scratch.terms);
    }

    fn refuse(self, error: &std::io::Error) {
        let since = self.note_start();
        let failure = Failure::new(Class::Internal, format!("no thread for a fetch: {error}"));
        let failure = self.with_place(failure);
        self.note_end(since.elapsed(), Err(&failure));
        self.answer(Err(failure));
    }
}

impl Job {
    fn answer(&self, outcome: Result<Fetched, Failure>) {
        self.fetching.inbox.push(Command::Event(Event::Fetched(self.registration.id, outcome)));
    }

    fn note_start(&self) -> Instant {
        events::note(|| self.noted("start"));
        Instant::now()
    }

    fn note_end(&self, took: Duration, outcome: Result<&Brought, &Failure>) {
        METRICS.fetch.observe(took);
        match outcome {
            Ok(Brought { fetched, .. }) => {
                let (brought, results) = match fetched {
                    Fetched::Page { edges, .. } => ("page", *edges),
                    Fetched::EmptyPage => ("empty_page", 0),
                    Fetched::Latest(_) | Fetched::First(_) => ("cursor", 0),
                    Fetched::TooSlow => ("too_slow", 0),
                };
                METRICS.fetched(results);
                events::note(|| {
                    let noted = self.noted("stop").took(took).measure("results", results);
                    noted.about("brought", brought)
                });
            }
            Err(failure) => {
                METRICS.failed(failure.class);
                events::note(|| {
                    let noted = self.noted("exception").took(took);
                    noted
                        .about("reason", failure.class.name())
                        .about("detail", failure.detail.clone())
                });
            }
        }
    }

    fn noted(&self, phase: &'static str) -> Noted {
        let node = self.target().map(ToString::to_string).unwrap_or_default();
        let (asked, _) = self.request_name();
        Noted::new("poll", phase)
            .of(&self.registration.process)
            .about("node", node)
            .about("asked", asked)
    }

    /// The name of the request in events, and in words.
    const fn request_name(&self) -> (&'static str, &'static str) {
        match self.request {
            Request::Latest | Request::Look => ("latest", "latest cursor"),
            Request::First(_) => ("first", "first cursor"),
            Request::Page(_) => ("page", "page"),
        }
    }

    /// Adds the request and the CU host to a failure's text, without the cursor.
    fn with_place(&self, mut failure: Failure) -> Failure {
        let (_, what) = self.request_name();
        let at = self.target().map(ToString::to_string).unwrap_or_default();
        failure.detail = format!("{what} from {at}: {}", failure.detail);
        failure
    }

    fn target(&self) -> Option<&Target> {
        self.nodes.targets.get(self.node)
    }

    fn fetch(&self, scratch: &mut Scratch, share: &mut Share) -> Result<Brought, Failure> {
        let process = &self.registration.process;
        let path = match &self.request {
            Request::Latest | Request::Look => request::latest_path(process, 1),
            Request::First(reach) => request::first_path(process, *reach),
            Request::Page(page) => request::page_path(process, page),
        };
        let target = self.target().ok_or_else(|| Failure::new(Class::Internal, "no node"))?;
        let patience = self.patience.filter(|patience| *patience < self.registration.limits.total);
        let limits = match patience {
            Some(total) => Limits { total, ..self.registration.limits },
            None => self.registration.limits,
        };
        let since = Instant::now();
        let get = |path: &str, body: &mut Vec<u8>, share: &mut Share| {
            let room = &mut |bytes| share.grow(bytes);
            match self.fetching.client.get(target, path, &limits, body, room) {
                Err(failure) if is_late(&failure, since, patience) => Ok(false),
                Err(failure) => Err(failure),
                Ok(()) => Ok(true),
            }
        };
        if !get(&path, &mut scratch.body, share)? {
            return Ok(Fetched::TooSlow.into());
        }
        let horizon = self.registration.horizon();
        let latest = match &self.request {
            Request::Page(request) => {
                let request = PageRequest { horizon, ..request.clone() };
                return page(&request, scratch, share);
            }
            Request::First(_) => {
                return Ok(Fetched::First(decode_latest(&scratch.body, horizon)?).into());
            }
            Request::Latest | Request::Look => match decode_latest(&scratch.body, horizon) {
                Err(PageError::Ahead { .. }) => {
                    // The newest result may be too far ahead: look for an older one among more results.
                    let path = request::latest_path(process, request::LATEST_REACH);
                    if !get(&path, &mut scratch.body, share)? {
                        return Ok(Fetched::TooSlow.into());
                    }
                    decode_latest(&scratch.body, horizon)?
                }
                latest => latest?,
            },
        };
        Ok(Fetched::Latest(latest).into())
    }

    /// Leaves the page with its monitor, and reports it to the loop, which tells the monitor.
    fn leave_page(&self, fetched: Fetched, first_seq: u64, page: Page, share: Share) {
        let Registration { in_hand, process, .. } = &*self.registration;
        in_hand.add(process, first_seq, page, || {
            let event = Event::Fetched(self.registration.id, Ok(fetched));
            self.fetching.inbox.push(if share.is_empty() {
                Command::Event(event)
            } else {
                Command::LargePage(event, share)
            });
        });
    }
}

/// Decodes the page in `scratch`, which takes its share of the budget.
fn page(
    request: &PageRequest,
    scratch: &mut Scratch,
    share: &mut Share,
) -> Result<Brought, Failure> {
    let since = Instant::now();
    // The body stays until the page is complete.
    let body = scratch.body.len() as u64;
    let room = &mut |parts: u64| share.cover(body.saturating_add(parts));
    let mut page = page::decode_within(&scratch.body, request, &mut scratch.terms, room)?;
    let Some(last) = page.last.take() else {
        return Ok(Fetched::EmptyPage.into());
    };
    METRICS.decode.observe(since.elapsed());
    // Small values take several times the memory of their JSON.
    if !share.cover(page.memory) {
        return Err(PageError::NoRoom(page.memory).into());
    }
    let trail = Arc::new(std::mem::take(&mut page.trail));
    let Page { edges, memory: bytes, cut, more, .. } = page;
    let fetched = Fetched::Page { edges, last, trail, bytes, cut, more };
    Ok(Brought { fetched, page: Some((request.first_seq, Box::new(page))) })
}

/// Empties a buffer, and frees what is not kept.
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(MAX_KEPT_BYTES);
}

/// Whether a fetch failed because its patience was shorter than its monitor's own limit.
fn is_late(failure: &Failure, since: Instant, patience: Option<Duration>) -> bool {
    let timed_out =
        matches!(failure.class, Class::Timeout | Class::FirstByteTimeout | Class::ConnectTimeout);
    timed_out && patience.is_some_and(|patience| since.elapsed() >= patience)
}
