//! Idle connections that are reused. Distinguishes a connection that the server closed while it was
//! idle from a failure of the request, and a full buffer from the end of the connection.

use crate::pool;
use std::io;
use thiserror::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// A connection that can be reused.
#[derive(Debug)]
pub(crate) struct Reusable<T> {
    inner: T,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No response has arrived on it yet.
    New,
    /// It was idle, and nothing has arrived since.
    Rested,
    /// A response is arriving.
    Answered,
}

impl<T> Reusable<T> {
    /// A new connection.
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, state: State::New }
    }

    /// If a connection that was idle ends before the first byte of an answer, it was closed while
    /// idle.
    fn classify<R>(&self, outcome: Result<R, ureq::Error>) -> Result<R, ureq::Error> {
        outcome.map_err(|error| match (&self.state, &error) {
            // Closed, or not acknowledged. An error of TLS has an inner error, which shows that
            // data arrived.
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

impl<T: Transport> Transport for Reusable<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let sent = self.inner.transmit_output(amount, timeout);
        self.classify(sent)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.inner.buffers().input_append_buf().is_empty() {
            // The buffer is full. A read of zero bytes would look like the end of the connection.
            return Err(Trouble::Endless.into());
        }
        pool::before_wait();
        let input = self.inner.await_input(timeout);
        match (self.classify(input)?, &self.state) {
            (true, _) => self.state = State::Answered,
            (false, State::Rested) => return Err(Trouble::Closed.into()),
            (false, _) => return Ok(false),
        }
        Ok(true)
    }

    /// Called before the connection becomes idle and before it is reused. A connection with
    /// unexpected bytes counts as closed; checking for them on reuse is sufficient.
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

/// Errors that are passed through the HTTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Trouble {
    #[error("the connection was closed while idle")]
    Closed,
    #[error("the head, or a line of the body, is too long")]
    Endless,
}

impl From<Trouble> for ureq::Error {
    fn from(trouble: Trouble) -> Self {
        Self::Other(Box::new(trouble))
    }
}

/// Whether the connection was closed before the request arrived.
pub(crate) fn is_stale(error: &ureq::Error) -> bool {
    let ureq::Error::Other(other) = error else { return false };
    other.downcast_ref() == Some(&Trouble::Closed)
}
