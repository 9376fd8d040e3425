//! A request that waits for its answer. Whatever happens, it gets one.

use crate::request::{Answer, Request, RequestError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most requests that wait.
pub(crate) const MOST_WAITING: usize = 1_000;

/// What an answer is given to.
pub(crate) type Reply = Box<dyn FnOnce(Result<Answer, RequestError>) + Send>;

/// A request that waits.
pub(crate) struct Asked {
    pub(crate) request: Request,
    reply: Option<Reply>,
    waiting: Arc<AtomicUsize>,
}

impl Asked {
    /// Answers at once if too many wait.
    pub(crate) fn new(request: Request, reply: Reply, waiting: &Arc<AtomicUsize>) -> Option<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            return Some(Self { request, reply: Some(reply), waiting: Arc::clone(waiting) });
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        reply(Err(RequestError::Busy));
        None
    }

    pub(crate) fn answer(mut self, answer: Result<Answer, RequestError>) {
        self.give(answer);
    }

    /// A panic of the caller's function must not end the lane.
    fn give(&mut self, answer: Result<Answer, RequestError>) {
        if let Some(reply) = self.reply.take()
            && catch_unwind(AssertUnwindSafe(|| reply(answer))).is_err()
        {
            log::error!("cluster: the receiver of an answer panicked (internal error)");
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.give(Err(RequestError::Interrupted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn reply() -> (Reply, Receiver<Result<Answer, RequestError>>) {
        let (sender, receiver) = channel();
        (Box::new(move |answer| sender.send(answer).unwrap()), receiver)
    }

    #[test]
    fn request_that_is_dropped_is_answered() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (reply, answer) = reply();
        drop(Asked::new(Request::Cluster, reply, &waiting).unwrap());
        assert_eq!(answer.recv().unwrap(), Err(RequestError::Interrupted));
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn reply_that_panics_is_contained() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let reply: Reply = Box::new(|_| panic!("as the test wants it"));
        let asked = Asked::new(Request::Cluster, reply, &waiting).unwrap();
        asked.answer(Ok(Answer::Changed(true)));
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn request_beyond_the_limit_is_answered_at_once() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (first, _answer) = reply();
        let first = Asked::new(Request::Cluster, first, &waiting).unwrap();
        waiting.store(MOST_WAITING, Ordering::Relaxed);
        let (second, answer) = reply();
        assert!(Asked::new(Request::Cluster, second, &waiting).is_none());
        assert_eq!(answer.recv().unwrap(), Err(RequestError::Busy));
        first.answer(Ok(Answer::Changed(true)));
        assert_eq!(waiting.load(Ordering::Relaxed), MOST_WAITING - 1);
    }
}
