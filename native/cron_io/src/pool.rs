//! A bounded, elastic pool of threads: it grows while jobs wait and no thread is free, and shrinks
//! when there is nothing to do. The engine bounds how many jobs there are; the pool's own bound
//! is a second line.
//!
//! The thread that went idle last is woken first: it and its connection are warm, and those that a
//! burst needed are idle for long enough to end.

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
    name: &'static str,
    max_threads: usize,
}

struct Inner<J> {
    state: Mutex<State<J>>,
}

struct State<J> {
    jobs: VecDeque<J>,
    threads: usize,
    /// Those that wait and that nobody has woken, the latest last.
    idle: Vec<Thread>,
    /// Those that were woken for a job and have not looked for it yet.
    woken: usize,
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

impl<J: Job> Pool<J> {
    /// A pool without threads yet; those it gets bear `name`.
    #[must_use]
    pub fn new(name: &'static str, max_threads: usize) -> Self {
        let (jobs, idle) = (VecDeque::new(), Vec::new());
        let state = State { jobs, threads: 0, idle, woken: 0, stopped: false };
        let inner = Arc::new(Inner { state: Mutex::new(state) });
        Self { inner, name, max_threads: max_threads.max(1) }
    }

    /// Runs `job` on a thread. After [`Pool::stop`] it is dropped.
    pub fn submit(&self, job: J) {
        let mut state = self.inner.lock();
        if state.stopped {
            return;
        }
        state.jobs.push_back(job);
        if state.jobs.len() <= state.woken {
            return;
        }
        if let Some(thread) = state.idle.pop() {
            state.woken += 1;
            drop(state);
            return thread.unpark();
        }
        if state.threads >= self.max_threads {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let thread = thread::Builder::new().name(self.name.into());
        match thread.spawn(move || inner.work()) {
            Ok(_) => state.threads += 1,
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

    /// Drops the jobs that wait and ends the threads as they get free.
    pub fn stop(&self) {
        let mut state = self.inner.lock();
        state.stopped = true;
        let jobs = std::mem::take(&mut state.jobs);
        let idle = std::mem::take(&mut state.idle);
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

impl<J: Job> Inner<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut scratch = J::Scratch::default();
        while let Some(job) = self.next() {
            // A job reports its own panics; this one only keeps the count of threads true.
            if catch_unwind(AssertUnwindSafe(|| job.run(&mut scratch))).is_err() {
                scratch = J::Scratch::default();
            }
        }
    }

    /// The next job; `None` ends the thread, which is uncounted by then.
    fn next(&self) -> Option<J> {
        let me = thread::current();
        let mut state = self.lock();
        loop {
            if state.stopped {
                state.threads -= 1;
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle.push(me.clone());
            let woken;
            (state, woken) = self.sleep(state, &me);
            if woken {
                state.woken = state.woken.saturating_sub(1);
            } else if state.jobs.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Waits until somebody wakes this thread, who takes it off the list; false if nobody does for
    /// long, and it has taken itself off.
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
