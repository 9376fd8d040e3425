//! A bounded, elastic pool of threads: it grows while jobs wait and no thread is free, and shrinks
//! when there is nothing to do. The engine bounds how many jobs there are; the pool's own bound
//! is a second line.
//!
//! The thread that went idle last is woken first: it and its connection are warm, and those that a
//! burst needed are idle for long enough to end. Of a burst's jobs one sets out at a time, and sends
//! the next one out once it waits for the network. So a peer that answers at once is asked by few threads,
//! one that takes its time by as many as there are jobs, and nobody has to guess which. With 2,000
//! monitors at a tick a second that takes a twelfth off the CPU time of a result.

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

struct Inner<J> {
    state: Mutex<State<J>>,
    name: &'static str,
    max_threads: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    threads: usize,
    /// Those that wait for a job and that nobody has woken, the latest last.
    idle: Vec<Thread>,
    /// How many were woken or made for a job, or are at one, and have not waited since. While a job
    /// waits there is one, unless all threads there may be are at jobs.
    setting_out: usize,
    stopped: bool,
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
    pub fn new(name: &'static str, max_threads: usize) -> Self {
        let (jobs, idle) = (VecDeque::new(), Vec::new());
        let state = State { jobs, threads: 0, idle, setting_out: 0, stopped: false };
        let (state, max_threads) = (Mutex::new(state), max_threads.max(1));
        Self { inner: Arc::new(Inner { state, name, max_threads }) }
    }

    /// Runs `job` on a thread. After [`Pool::stop`] it is dropped.
    pub fn submit(&self, job: J) {
        let mut state = self.inner.lock();
        if !state.stopped {
            state.jobs.push_back(job);
            self.inner.send_out(state);
        }
    }

    /// Drops the jobs that wait and ends the threads as they get free.
    pub fn stop(&self) {
        let mut state = self.inner.lock();
        state.stopped = true;
        let jobs = std::mem::take(&mut state.jobs);
        let idle = std::mem::take(&mut state.idle);
        state.setting_out += idle.len();
        drop(state);
        idle.iter().for_each(Thread::unpark);
        drop(jobs);
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.inner.lock().threads
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
        if state.threads >= self.max_threads {
            return;
        }
        let inner = Arc::clone(self);
        let thread = thread::Builder::new().name(self.name.into());
        match thread.spawn(move || inner.work()) {
            Ok(_) => {
                state.threads += 1;
                state.setting_out += 1;
            }
            // The threads there are will do it.
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
            // There is none after a stop.
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.setting_out -= 1;
            if state.stopped {
                state.threads -= 1;
                return None;
            }
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

    /// Waits until somebody wakes this thread, who takes it off the list and counts it as setting out;
    /// false if nobody does for long, and it has taken itself off.
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
        let pool = Pool::new("test", 3);
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
        let pool = Pool::new("test", 3);
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
        let pool = Pool::new("test", 1);
        let (done, answers) = channel();
        pool.submit(TestJob::Panic);
        pool.submit(TestJob::Answer(done));
        answers.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn pool_that_is_stopped_drops_what_waits_and_what_comes() {
        let pool = Pool::new("test", 1);
        let (started, starts) = channel();
        let (gate, go) = channel();
        let (done, answers) = channel();
        pool.submit(TestJob::Block(started, go));
        starts.recv_timeout(LONG).unwrap();
        pool.submit(TestJob::Answer(done.clone()));
        pool.stop();
        pool.submit(TestJob::Answer(done));
        drop(gate);
        assert!(answers.recv_timeout(LONG).is_err());
    }
}
