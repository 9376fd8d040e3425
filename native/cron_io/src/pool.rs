//! A bounded, elastic pool of threads: it grows while jobs wait and no thread is free, and shrinks
//! when there is nothing to do. All users in an OS process share it: jobs that a dead engine left
//! unfinished count towards the bound of its successor.
//!
//! The thread that went idle last is woken first: it and its connection are warm, and those that a
//! burst needed are idle for long enough to end. Of a burst's jobs one sets out at a time, and sends
//! the next one out once it waits for the network. So a fast peer is asked by few threads, and a slow
//! one by as many as there are jobs. With 2,000 monitors at a tick a second that
//! takes a twelfth off the CPU time of a result.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a thread without a job stays.
const MAX_IDLE: Duration = Duration::from_secs(10);

/// A pool of threads for jobs of type `J`.
pub struct Pool<J> {
    inner: Arc<Inner<J>>,
}

/// A user's share of a pool, with the bound that it asked for.
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
    /// The bounds that users asked for. The largest one applies.
    bounds: Vec<usize>,
    /// Those that wait for a job and that nothing has woken, the latest last.
    idle: Vec<Thread>,
    /// How many were woken or made for a job, or are at one, and have not waited since. While a job
    /// waits there is one, unless all threads there may be are at jobs.
    setting_out: usize,
}

/// A unit of work.
pub trait Job: Send + 'static {
    /// What a thread keeps from one job to the next.
    type Scratch: Default;

    /// Does the work.
    fn run(self, scratch: &mut Self::Scratch);

    /// No thread could be had for the job.
    fn refuse(self, error: &std::io::Error);
}

/// Who is to know that a thread waits.
trait Watcher {
    fn waits(self: Arc<Self>);
}

thread_local! {
    /// The pool that has not heard yet that this thread waits in the job that it is at.
    static UNTOLD: Cell<Option<Arc<dyn Watcher>>> = const { Cell::new(None) };
}

/// To be called before a wait for the network: lets the pool whose thread this is, if any, send the next job out.
/// A job that waits without it holds up those that come after it.
pub(crate) fn waits() {
    if let Some(pool) = UNTOLD.take() {
        pool.waits();
    }
}

impl<J: Job> Pool<J> {
    /// A pool without threads yet; those it gets bear `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            threads: 0,
            bounds: Vec::new(),
            idle: Vec::new(),
            setting_out: 0,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), name }) }
    }

    /// A share for a user that needs up to `max_threads`. Threads that other users' jobs hold count.
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
        self.inner.send_out(state);
    }

    /// Drops jobs that wait for a thread.
    pub fn cancel(&self, is_cancelled: impl Fn(&J) -> bool) {
        let mut state = self.inner.lock();
        let jobs = std::mem::take(&mut state.jobs);
        let (cancelled, kept): (VecDeque<J>, _) = jobs.into_iter().partition(is_cancelled);
        state.jobs = kept;
        drop(state);
        drop(cancelled);
    }

    /// To be called periodically: asks again for a thread that the system refused earlier.
    pub fn retry(&self) {
        let state = self.inner.lock();
        self.inner.send_out(state);
    }

    /// How many threads there are.
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

impl<J: Job> Watcher for Inner<J> {
    fn waits(self: Arc<Self>) {
        let mut state = self.lock();
        state.setting_out -= 1;
        self.send_out(state);
    }
}

impl<J: Job> Inner<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a thread out if a job waits and none is on its way.
    fn send_out(self: &Arc<Self>, mut state: MutexGuard<'_, State<J>>) {
        if state.jobs.is_empty() || state.setting_out > 0 {
            return;
        }
        if let Some(thread) = state.idle.pop() {
            state.setting_out += 1;
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
                state.setting_out += 1;
            }
            // An existing thread takes the job, or `retry` gets another one.
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
        let mut sets_out = true;
        while let Some(job) = self.next(sets_out) {
            UNTOLD.set(Some(Arc::clone(&self) as Arc<dyn Watcher>));
            // A job reports its own panics; this one only keeps the counts of threads true.
            if catch_unwind(AssertUnwindSafe(|| job.run(&mut scratch))).is_err() {
                scratch = J::Scratch::default();
            }
            sets_out = UNTOLD.take().is_some();
        }
    }

    /// The next job for a thread that sets out still or, having waited, anew; `None` ends it, and it is
    /// uncounted by then.
    fn next(&self, sets_out: bool) -> Option<J> {
        let me = thread::current();
        let mut state = self.lock();
        if !sets_out {
            state.setting_out += 1;
        }
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.setting_out -= 1;
            state.idle.push(me.clone());
            let woken;
            (state, woken) = self.sleep(state, &me);
            if !woken {
                if state.jobs.is_empty() {
                    state.threads -= 1;
                    return None;
                }
                state.setting_out += 1;
            }
        }
    }

    /// Waits until this thread is woken: then it is off the list and counted as setting out. False if it
    /// is not for long: then it has taken itself off.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<J>>,
        me: &Thread,
    ) -> (MutexGuard<'a, State<J>>, bool) {
        let until = Instant::now() + MAX_IDLE;
        loop {
            drop(state);
            // Returns for no reason, too.
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
                    waits();
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
