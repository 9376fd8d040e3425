//! Name resolution for the HTTP client. A cache and a few threads serve all clients of this OS
//! process. The client's own resolver spawns a thread for each new connection with a time limit; a
//! hundred thousand monitors on one host need only a lookup now and then.

use crate::pool;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is used. Short enough to follow a host that moves.
const MAX_AGE: Duration = Duration::from_secs(30);

/// How many lookups may be under way at once. A lookup cannot be interrupted. Hanging lookups delay
/// other names, but never the monitors of a cached name.
const MAX_THREADS: usize = 4;

/// How many names are cached.
const MAX_NAMES: usize = 1024;

/// How often to try again to start a thread that the system refused, while a name waits.
const RETRY: Duration = Duration::from_millis(100);

type Lookup = fn(&str) -> std::io::Result<Vec<SocketAddr>>;

/// Starts a thread that does the waiting lookups.
type Spawn = fn(Arc<Inner>) -> std::io::Result<()>;

/// A resolver with a cache.
#[derive(Debug, Clone)]
pub(crate) struct CachingResolver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lookup: Lookup,
    spawn: Spawn,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, Answer>,
    /// Names that wait for a thread.
    waiting: VecDeque<String>,
    /// Names that wait or are being looked up, each at most once.
    asked: Vec<String>,
    threads: usize,
    /// The system refused a thread, and names wait.
    short: bool,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    /// Empty if the lookup failed.
    addresses: Vec<SocketAddr>,
}

static OF_PROCESS: LazyLock<CachingResolver> = LazyLock::new(|| {
    CachingResolver::with_lookup(|name| name.to_socket_addrs().map(Iterator::collect))
});

impl CachingResolver {
    /// The resolver that all clients share. It bounds hanging lookups even if their client is gone.
    pub(crate) fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    fn with_lookup(lookup: Lookup) -> Self {
        Self::with(lookup, |inner| {
            let thread = std::thread::Builder::new().name("hb_cron_resolve".into());
            thread.spawn(move || inner.work()).map(drop)
        })
    }

    fn with(lookup: Lookup, spawn: Spawn) -> Self {
        let (state, answered) = (Mutex::default(), Condvar::new());
        Self { inner: Arc::new(Inner { lookup, spawn, state, answered }) }
    }

    /// The addresses of `name`, a host and port: from the cache, or from a lookup within `limit`.
    fn addresses(&self, name: &str, limit: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
        let asked_at = Instant::now();
        let mut state = self.inner.lock();
        loop {
            match state.answers.get(name) {
                Some(answer) if answer.at >= asked_at && answer.addresses.is_empty() => {
                    return Err(ureq::Error::HostNotFound);
                }
                Some(answer) if !answer.addresses.is_empty() && answer.at.elapsed() < MAX_AGE => {
                    return Ok(answer.addresses.clone());
                }
                _ => self.ask(&mut state, name)?,
            }
            let left = limit.saturating_sub(asked_at.elapsed());
            if left.is_zero() {
                return Err(ureq::Error::Timeout(ureq::Timeout::Resolve));
            }
            pool::before_wait();
            let pause = if state.short { left.min(RETRY) } else { left };
            let waited = self.inner.answered.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Requests a lookup, unless one is under way. Fails if there is no thread at all.
    fn ask(&self, state: &mut State, name: &str) -> std::io::Result<()> {
        let known = state.asked.iter().any(|asked| asked == name);
        if !known {
            state.asked.push(name.to_owned());
            state.waiting.push_back(name.to_owned());
        }
        if (known && !state.short) || state.waiting.is_empty() || state.threads >= MAX_THREADS {
            return Ok(());
        }
        let Err(error) = (self.inner.spawn)(Arc::clone(&self.inner)) else {
            state.threads += 1;
            state.short = false;
            return Ok(());
        };
        if state.threads > 0 {
            // Existing threads take the name, unless they hang.
            state.short = true;
            return Ok(());
        }
        // Others that wait for these names request them again, and get the same error.
        state.waiting.clear();
        state.asked.clear();
        self.inner.answered.notify_all();
        let detail = format!("cannot start a thread for name resolution: {error}");
        Err(std::io::Error::new(error.kind(), detail))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does lookups until no name waits.
    fn work(&self) {
        let mut state = self.lock();
        while let Some(name) = state.waiting.pop_front() {
            drop(state);
            let addresses = (self.lookup)(&name).unwrap_or_default();
            state = self.lock();
            state.asked.retain(|asked| *asked != name);
            if state.answers.len() >= MAX_NAMES {
                state.answers.retain(|_, answer| answer.at.elapsed() < MAX_AGE);
            }
            state.answers.insert(name, Answer { at: Instant::now(), addresses });
            self.answered.notify_all();
        }
        state.short = false;
        state.threads -= 1;
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let bad_uri = || ureq::Error::BadUri("no scheme, host or port".into());
        let (scheme, authority) = uri.scheme().zip(uri.authority()).ok_or_else(bad_uri)?;
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or_else(bad_uri)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let addresses = match host.parse::<IpAddr>() {
            Ok(_) => name.to_socket_addrs()?.collect(),
            Err(_) => self.addresses(&name, *timeout.after)?,
        };
        let mut resolved = self.empty();
        // `ResolvedSocketAddrs` holds at most 16.
        for address in config.ip_family().keep_wanted(addresses.into_iter()).take(16) {
            resolved.push(address);
        }
        if resolved.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(resolved) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn name_asked_many_times_at_once_is_looked_up_once() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![([127, 0, 0, 1], 80).into()])
        });
        let threads: Vec<_> = (0..32)
            .map(|_| {
                let resolver = resolver.clone();
                std::thread::spawn(move || resolver.addresses("host:80", LONG).unwrap())
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn name_that_does_not_resolve_is_an_error_and_asked_again() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Err(std::io::Error::other("no such host"))
        });
        for _ in 0..2 {
            let error = resolver.addresses("nowhere:80", LONG).unwrap_err();
            assert!(matches!(error, ureq::Error::HostNotFound));
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn lookup_that_hangs_is_a_timeout() {
        let resolver = CachingResolver::with_lookup(|_| {
            std::thread::park();
            Ok(Vec::new())
        });
        let error = resolver.addresses("slow:80", Duration::from_millis(1)).unwrap_err();
        assert!(matches!(error, ureq::Error::Timeout(ureq::Timeout::Resolve)));
    }

    fn spawn(inner: Arc<Inner>) -> std::io::Result<()> {
        std::thread::Builder::new().spawn(move || inner.work()).map(drop)
    }

    fn loopback() -> Vec<SocketAddr> {
        vec![([127, 0, 0, 1], 80).into()]
    }

    #[test]
    fn name_for_which_no_thread_could_be_had_is_an_error_and_asked_again() {
        static REFUSED: AtomicBool = AtomicBool::new(true);
        let resolver = CachingResolver::with(
            |_| Ok(loopback()),
            |inner| {
                if REFUSED.load(Ordering::SeqCst) {
                    return Err(std::io::Error::other("refused"));
                }
                spawn(inner)
            },
        );
        for _ in 0..2 {
            let error = resolver.addresses("host:80", LONG).unwrap_err().to_string();
            assert!(
                error.contains("cannot start a thread for name resolution: refused"),
                "{error}"
            );
        }
        REFUSED.store(false, Ordering::SeqCst);
        assert_eq!(resolver.addresses("host:80", LONG).unwrap().len(), 1);
    }

    #[test]
    fn name_behind_a_lookup_that_hangs_gets_its_thread_once_one_can_be_had() {
        static SPAWNS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with(
            |name| {
                if name == "hangs:80" {
                    std::thread::park();
                }
                Ok(loopback())
            },
            // The system grants the first thread and refuses the next two.
            |inner| match SPAWNS.fetch_add(1, Ordering::SeqCst) {
                1 | 2 => Err(std::io::Error::other("refused")),
                _ => spawn(inner),
            },
        );
        let first = resolver.addresses("hangs:80", Duration::from_millis(1));
        assert!(matches!(first, Err(ureq::Error::Timeout(ureq::Timeout::Resolve))));
        assert_eq!(resolver.addresses("host:80", LONG).unwrap().len(), 1);
        assert_eq!(SPAWNS.load(Ordering::SeqCst), 4);
    }

    struct Lookup(CachingResolver, &'static str);

    impl pool::Job for Lookup {
        type Scratch = ();

        fn run(self, (): &mut ()) {
            let _ = self.0.addresses(self.1, LONG);
        }

        fn refuse(self, error: &std::io::Error) {
            unreachable!("{error}");
        }
    }

    #[test]
    fn name_whose_lookup_hangs_lets_the_next_job_of_the_pool_set_out() {
        static BOTH: std::sync::Barrier = std::sync::Barrier::new(3);
        let resolver = CachingResolver::with_lookup(|_| {
            BOTH.wait();
            Ok(Vec::new())
        });
        let pool = pool::Pool::new("test").lease(2);
        pool.submit(Lookup(resolver.clone(), "one:80"));
        pool.submit(Lookup(resolver, "two:80"));
        let (met, meeting) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BOTH.wait();
            met.send(()).unwrap();
        });
        meeting.recv_timeout(LONG / 2).expect("a hanging lookup held up another one");
    }
}
