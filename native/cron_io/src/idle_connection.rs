//! Connections that are kept for use again: tells one that the other side closed in the meantime
//! from a failure of the request that found it closed, and a full buffer from the connection's end.

use crate::pool;
use std::io;
use thiserror::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// A connection that may be used again.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    inner: T,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No response has come on it yet.
    New,
    /// It has rested, and nothing has come since.
    Rested,
    /// A response is coming.
    Answered,
}

impl<T> Kept<T> {
    /// A connection that was made just now.
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, state: State::New }
    }

    /// A connection that has rested, and ends before a byte of an answer, was closed meanwhile.
    fn told<R>(&self, outcome: Result<R, ureq::Error>) -> Result<R, ureq::Error> {
        outcome.map_err(|error| match (&self.state, &error) {
            // Closed, or not acknowledged. An error of TLS has an inner error, and says that data came.
            (State::Rested, ureq::Error::Io(io)) if io.get_ref().is_none() || is_end(io) => {
                Trouble::Closed.into()
            }
            _ => error,
        })
    }
}

/// Whether the error says that the other side ended the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

impl<T: Transport> Transport for Kept<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let sent = self.inner.transmit_output(amount, timeout);
        self.told(sent)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.inner.buffers().input_append_buf().is_empty() {
            // Nothing more could be read, which looks like the end of the connection.
            return Err(Trouble::Endless.into());
        }
        pool::waits();
        let input = self.inner.await_input(timeout);
        match (self.told(input)?, &self.state) {
            (true, _) => self.state = State::Answered,
            (false, State::Rested) => return Err(Trouble::Closed.into()),
            (false, _) => return Ok(false),
        }
        Ok(true)
    }

    /// Asked before it is put away and before it is taken out again. A connection with bytes that
    /// nobody asked for counts as closed; it is time enough to look for them when it is taken out.
    fn is_open(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Rested) {
            State::Answered => true,
            State::New | State::Rested => self.inner.is_open(),
        }
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// What is told through the HTTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Trouble {
    #[error("the connection was closed while it was kept")]
    Closed,
    #[error("a head, or a line of a body, is too long")]
    Endless,
}

impl From<Trouble> for ureq::Error {
    fn from(trouble: Trouble) -> Self {
        Self::Other(Box::new(trouble))
    }
}

/// Whether the connection was closed before the request came.
pub(crate) fn is_stale(error: &ureq::Error) -> bool {
    let ureq::Error::Other(other) = error else { return false };
    other.downcast_ref() == Some(&Trouble::Closed)
}
