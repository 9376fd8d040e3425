//! A bounded, elastic thread pool. It grows while jobs wait and no thread is free, and shrinks when
//! idle. All users in an OS process share it, so the unfinished jobs of a dead engine count against
//! the bound of its successor.
//!
//! The thread that became idle last is woken first: it and its connection are warm, and the threads
//! that only a burst needed stay idle and end. Jobs start one at a time: the next one starts when
//! the previous one waits for the network. Therefore few threads serve a fast peer, and a slow one
//! gets as many as there are jobs. With 2,000 monitors at one tick a second this saves a twelfth of
//! the CPU time per result.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long an idle thread stays.
const MAX_IDLE: Duration = Duration::from_secs(10);

/// A pool of threads for jobs of type `J`.
pub struct Pool<J> {
    inner: Arc<Inner<J>>,
}

/// One user's lease on a pool, with the bound that the user requested.
pub struct Lease<J: Job> {
    inner: Arc<Inner<J>>,
    max_threads: usize,
}

struct Inner<J> {
    state: Mutex<State<J>>,
    name: &'static str,
}

struct State<J> {
    jobs: VecDeque<J>,
    threads: usize,
    /// The bounds of all leases. The largest one applies.
    bounds: Vec<usize>,
    /// Threads that wait for a job and were not woken, the latest last.
    idle: Vec<Thread>,
    /// The number of threads that were woken or started for a job, or run one, and have not waited
    /// for the network since. While a job waits there is at least one, unless all threads that the
    /// bound allows run jobs.
    starting: usize,
}

/// A unit of work.
pub trait Job: Send + 'static {
    /// State that a thread keeps between jobs.
    type Scratch: Default;

    /// Runs the job.
    fn run(self, scratch: &mut Self::Scratch);

    /// Called instead of `run` if no thread can be started.
    fn refuse(self, error: &std::io::Error);
}

/// A pool, whatever its jobs. It is notified when a thread waits for the network.
trait Starter {
    fn start_next(self: Arc<Self>);
}

thread_local! {
    /// The pool to notify when the current job first waits; empty if it was notified.
    static STARTER: Cell<Option<Arc<dyn Starter>>> = const { Cell::new(None) };
}

/// Call this before waiting for the network: it lets the pool of this thread, if any, start the
/// next job. A job that waits without it delays later jobs.
pub(crate) fn before_wait() {
    if let Some(pool) = STARTER.take() {
        pool.start_next();
    }
}

impl<J: Job> Pool<J> {
    /// A pool without threads. Its threads will be named `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            threads: 0,
            bounds: Vec::new(),
            idle: Vec::new(),
            starting: 0,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), name }) }
    }

    /// A lease for up to `max_threads` threads. Threads that run jobs of other users count.
    #[must_use]
    pub fn lease(&self, max_threads: usize) -> Lease<J> {
        let max_threads = max_threads.max(1);
        self.inner.lock().bounds.push(max_threads);
        Lease { inner: Arc::clone(&self.inner), max_threads }
    }
}

impl<J: Job> Lease<J> {
    /// Runs `job` on a thread.
    pub fn submit(&self, job: J) {
        let mut state = self.inner.lock();
        state.jobs.push_back(job);
        self.inner.start(state);
    }

    /// Drops matching jobs that have not started.
    pub fn cancel(&self, is_cancelled: impl Fn(&J) -> bool) {
        let mut state = self.inner.lock();
        let jobs = std::mem::take(&mut state.jobs);
        let (cancelled, kept): (VecDeque<J>, _) = jobs.into_iter().partition(is_cancelled);
        state.jobs = kept;
        drop(state);
        drop(cancelled);
    }

    /// Tries again to start a thread that the system refused earlier. Call it periodically.
    pub fn retry(&self) {
        let state = self.inner.lock();
        self.inner.start(state);
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.inner.lock().threads
    }
}

impl<J: Job> Drop for Lease<J> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if let Some(at) = state.bounds.iter().position(|bound| *bound == self.max_threads) {
            state.bounds.swap_remove(at);
        }
    }
}

impl<J: Job> Starter for Inner<J> {
    fn start_next(self: Arc<Self>) {
        let mut state = self.lock();
        state.starting -= 1;
        self.start(state);
    }
}

impl<J: Job> Inner<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes or starts a thread if a job waits and no other thread is on its way.
    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, State<J>>) {
        if state.jobs.is_empty() || state.starting > 0 {
            return;
        }
        if let Some(thread) = state.idle.pop() {
            state.starting += 1;
            drop(state);
            return thread.unpark();
        }
        if state.threads >= state.bounds.iter().copied().max().unwrap_or(1) {
            return;
        }
        let inner = Arc::clone(self);
        let thread = thread::Builder::new().name(self.name.into());
        match thread.spawn(move || inner.work()) {
            Ok(_) => {
                state.threads += 1;
                state.starting += 1;
            }
            // An existing thread takes the job, or `retry` starts another one.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let job = state.jobs.pop_back();
                drop(state);
                if let Some(job) = job {
                    job.refuse(&error);
                }
            }
        }
    }

    fn work(self: Arc<Self>) {
        let mut scratch = J::Scratch::default();
        let mut is_starting = true;
        while let Some(job) = self.next(is_starting) {
            STARTER.set(Some(Arc::clone(&self) as Arc<dyn Starter>));
            // Jobs report their own panics. Catching one here keeps the thread counts right.
            if catch_unwind(AssertUnwindSafe(|| job.run(&mut scratch))).is_err() {
                scratch = J::Scratch::default();
            }
            is_starting = STARTER.take().is_some();
        }
    }

    /// The next job for this thread, which `is_starting` says is still counted as starting. `None`
    /// ends the thread, which is then no longer counted.
    fn next(&self, is_starting: bool) -> Option<J> {
        let me = thread::current();
        let mut state = self.lock();
        if !is_starting {
            state.starting += 1;
        }
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.starting -= 1;
            state.idle.push(me.clone());
            let woken;
            (state, woken) = self.sleep(state, &me);
            if !woken {
                if state.jobs.is_empty() {
                    state.threads -= 1;
                    return None;
                }
                state.starting += 1;
            }
        }
    }

    /// Waits until this thread is woken. Returns true if it was: it is then off the idle list and
    /// counted as starting. After [`MAX_IDLE`] it removes itself from the list and returns
    /// false.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<J>>,
        me: &Thread,
    ) -> (MutexGuard<'a, State<J>>, bool) {
        let until = Instant::now() + MAX_IDLE;
        loop {
            drop(state);
            // `park_timeout` may also return spuriously.
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
            state = self.lock();
            let Some(at) = state.idle.iter().position(|thread| thread.id() == me.id()) else {
                return (state, true);
            };
            if Instant::now() >= until {
                state.idle.remove(at);
                return (state, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    enum TestJob {
        Answer(Sender<()>),
        Block(Sender<()>, Receiver<()>),
        Panic,
    }

    impl Job for TestJob {
        type Scratch = ();

        fn run(self, (): &mut ()) {
            match self {
                Self::Answer(done) => done.send(()).unwrap(),
                Self::Block(started, go) => {
                    before_wait();
                    started.send(()).unwrap();
                    let _ = go.recv();
                }
                Self::Panic => panic!("a job's fault"),
            }
        }

        fn refuse(self, _: &std::io::Error) {}
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn pool_grows_with_the_jobs_and_stops_at_its_bound() {
        let pool = Pool::new("test").lease(3);
        let (started, starts) = channel();
        let gates: Vec<_> = (0..5)
            .map(|_| {
                let (gate, go) = channel();
                pool.submit(TestJob::Block(started.clone(), go));
                gate
            })
            .collect();
        for _ in 0..3 {
            starts.recv_timeout(LONG).unwrap();
        }
        assert_eq!(pool.threads(), 3);
        assert!(starts.try_recv().is_err());
        drop(gates);
        for _ in 0..2 {
            starts.recv_timeout(LONG).unwrap();
        }
    }

    #[test]
    fn pool_whose_jobs_do_not_wait_needs_one_thread_for_all() {
        let pool = Pool::new("test").lease(3);
        let (done, answers) = channel();
        for _ in 0..100 {
            pool.submit(TestJob::Answer(done.clone()));
            pool.submit(TestJob::Panic);
        }
        for _ in 0..100 {
            answers.recv_timeout(LONG).unwrap();
        }
        assert_eq!(pool.threads(), 1);
    }

    #[test]
    fn pool_survives_a_job_that_panics() {
        let pool = Pool::new("test").lease(1);
        let (done, answers) = channel();
        pool.submit(TestJob::Panic);
        pool.submit(TestJob::Answer(done));
        answers.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn jobs_that_are_cancelled_are_dropped_and_others_run() {
        let pool = Pool::new("test").lease(1);
        let (started, starts) = channel();
        let (gate, go) = channel();
        let (done, answers) = channel();
        pool.submit(TestJob::Block(started, go));
        starts.recv_timeout(LONG).unwrap();
        pool.submit(TestJob::Panic);
        pool.submit(TestJob::Answer(done));
        pool.submit(TestJob::Panic);
        pool.cancel(|job| matches!(job, TestJob::Panic));
        assert_eq!(pool.inner.lock().jobs.len(), 1);
        drop(gate);
        answers.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn users_of_a_pool_share_its_threads_whichever_of_them_goes() {
        let pool = Pool::new("test");
        let (started, starts) = channel();
        let mut gates = Vec::new();
        let mut block = |user: &Lease<TestJob>| {
            let (gate, go) = channel();
            user.submit(TestJob::Block(started.clone(), go));
            gates.push(gate);
        };
        let users: Vec<_> = (0..5).map(|_| pool.lease(3)).collect();
        for user in &users {
            (0..3).for_each(|_| block(user));
        }
        for _ in 0..3 {
            starts.recv_timeout(LONG).unwrap();
        }
        drop(users);
        let (small, large) = (pool.lease(2), pool.lease(4));
        assert_eq!(small.threads(), 3);
        block(&large);
        starts.recv_timeout(LONG).unwrap();
        assert_eq!(large.threads(), 4);
        drop(large);
        block(&small);
        assert_eq!(small.threads(), 4);
        assert!(starts.try_recv().is_err());
    }
}
