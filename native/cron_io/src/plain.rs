//! Rewrites responses into the plain form of HTTP/1.1 that the HTTP client accepts: heads without
//! folded lines and unused headers, chunks without extensions, bodies without trailers. A response
//! may have all of these, within limits.
//!
//! Malformed heads are passed on, and the HTTP client refuses them. Malformed chunks are refused
//! here.

use crate::chunk::{FramingError, line, size};
use crate::head;
use std::time::Instant;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// The longest line of a chunk size, including extensions.
const MAX_SIZE_LINE: usize = 4096;

/// How many bytes of lines between chunks may exceed a fair share of the chunks.
const MAX_EXCESS: u64 = 16 * 1024;

/// The most bytes of trailers.
const MAX_TRAILERS: usize = 64 * 1024;

/// The number of digits of a rewritten chunk size.
const DIGITS: usize = 8;

/// A connection whose responses are rewritten.
#[derive(Debug)]
pub(crate) struct Plain<T> {
    inner: T,
    state: State,
    /// Rewritten bytes, and how many of them have been read.
    ready: Vec<u8>,
    taken: usize,
    /// Whether the last read consumed rewritten bytes.
    progress: bool,
    /// How much of a head has been searched for its end.
    scanned: usize,
    excess: u64,
    /// A proxy was asked to connect. What follows its answer is not rewritten.
    tunnel: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Expects a head.
    Head,
    /// Passes everything on unchanged.
    Raw,
    /// Expects the line with a chunk's size.
    Size,
    /// Expects this many bytes of a chunk.
    Chunk(u64),
    /// Expects the line end after a chunk.
    ChunkEnd,
    /// Expects trailers, of which this many bytes have arrived.
    Trailers(usize),
    /// A chunked body has ended.
    Ended,
}

impl<T: Transport> Plain<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            state: State::Head,
            ready: Vec::new(),
            taken: 0,
            progress: false,
            scanned: 0,
            excess: 0,
            tunnel: false,
        }
    }

    /// Rewrites the received bytes. Returns true if the HTTP client has something to read.
    fn advance(&mut self) -> Result<bool, Error> {
        self.ready.clear();
        self.taken = 0;
        self.progress = true;
        if self.state == State::Head { self.head() } else { self.chunks() }
    }

    fn head(&mut self) -> Result<bool, Error> {
        loop {
            let buffers = self.inner.buffers();
            let input = buffers.input();
            let blank = input.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            if blank > 0 {
                buffers.input_consume(blank);
                self.scanned = 0;
                continue;
            }
            if !input.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected) {
                // Pass it on, so that it is refused now and not at the end of the head.
                self.state = State::Raw;
                return Ok(true);
            }
            let Some(length) = head::end(input, self.scanned) else {
                self.scanned = input.len();
                return Ok(false);
            };
            let plain = head::plain(input.get(..length).unwrap_or_default(), &mut self.ready);
            buffers.input_consume(length);
            self.scanned = 0;
            match plain {
                // The HTTP client does not accept interim responses from a proxy.
                head::Follows::Head if self.tunnel => self.ready.clear(),
                head::Follows::Head => return Ok(true),
                head::Follows::Chunks if !self.tunnel => {
                    (self.state, self.excess) = (State::Size, 0);
                    return Ok(true);
                }
                head::Follows::Chunks | head::Follows::Raw => {
                    self.state = State::Raw;
                    return Ok(true);
                }
            }
        }
    }

    /// Passes the received bytes of chunks on as one chunk.
    fn chunks(&mut self) -> Result<bool, Error> {
        let buffers = self.inner.buffers();
        let mut input = buffers.input();
        let before = input.len();
        self.ready.extend_from_slice(&[b'0'; DIGITS]);
        self.ready.extend_from_slice(b"\r\n");
        let mut end: &[u8] = b"";
        loop {
            match self.state {
                State::Size => {
                    let Some((line, rest)) = line(input, MAX_SIZE_LINE, FramingError::Size)? else {
                        break;
                    };
                    let size = size(line).ok_or(FramingError::Size)?;
                    let fair = size.saturating_mul(2).saturating_add(16);
                    self.excess = (self.excess + line.len() as u64).saturating_sub(fair);
                    if self.excess > MAX_EXCESS {
                        return Err(FramingError::Excess.into());
                    }
                    input = rest;
                    self.state = State::Chunk(size);
                    if size == 0 {
                        (self.state, end) = (State::Trailers(0), b"0\r\n");
                    }
                }
                State::Chunk(left) => {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    if some == 0 {
                        break;
                    }
                    let (data, rest) = input.split_at(some);
                    self.ready.extend_from_slice(data);
                    input = rest;
                    let left = left - some as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                }
                State::ChunkEnd => match input {
                    [b'\r', b'\n', rest @ ..] => (self.state, input) = (State::Size, rest),
                    [] | [b'\r'] => break,
                    _ => return Err(FramingError::ChunkEnd.into()),
                },
                State::Trailers(so_far) => {
                    let left = MAX_TRAILERS - so_far;
                    let Some((line, rest)) = line(input, left, FramingError::Trailers)? else {
                        break;
                    };
                    input = rest;
                    self.state = State::Trailers(so_far + line.len());
                    if line == b"\r\n" {
                        self.state = State::Ended;
                        end = if end.is_empty() { b"\r\n" } else { b"0\r\n\r\n" };
                    }
                }
                State::Head | State::Raw | State::Ended => break,
            }
        }
        let used = before - input.len();
        buffers.input_consume(used);
        let length = self.ready.len() - DIGITS - 2;
        if length == 0 {
            self.ready.clear();
        } else {
            let digits = format!("{length:0DIGITS$x}");
            self.ready.splice(..DIGITS, digits.bytes());
            self.ready.extend_from_slice(b"\r\n");
        }
        self.ready.extend_from_slice(end);
        Ok(!self.ready.is_empty())
    }
}

impl<T: Transport> Transport for Plain<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        let as_it_is = matches!(self.state, State::Raw | State::Ended);
        if as_it_is && self.input().is_empty() { self.inner.buffers() } else { self }
    }

    /// Starts or continues a request.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let buffers = self.inner.buffers();
        if !self.tunnel {
            if !buffers.input().is_empty() {
                return Err(FramingError::Unasked.into());
            }
            (self.state, self.scanned) = (State::Head, 0);
            self.tunnel = buffers.output().starts_with(b"CONNECT ");
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        // `None` if there is no limit, which is too far away to be an instant.
        let deadline = Instant::now().checked_add(*timeout.after);
        loop {
            if matches!(self.state, State::Raw | State::Ended) {
                return self.inner.await_input(timeout);
            }
            if !self.input().is_empty() {
                // The rewritten bytes are complete. The HTTP client did not use them, and waiting
                // adds nothing.
                return Ok(false);
            }
            if self.advance()? {
                return Ok(true);
            }
            if let Some(deadline) = deadline {
                timeout.after = deadline.saturating_duration_since(Instant::now()).into();
            }
            if timeout.after.is_zero() {
                return Err(Error::Timeout(timeout.reason));
            }
            if !self.inner.await_input(timeout)? {
                return Ok(false);
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// The buffers while a response is rewritten.
impl<T: Transport> Buffers for Plain<T> {
    fn output(&mut self) -> &mut [u8] {
        self.inner.buffers().output()
    }

    fn input(&self) -> &[u8] {
        self.ready.get(self.taken..).unwrap_or_default()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.inner.buffers().input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.inner.buffers().input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.taken += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.inner.buffers().tmp_and_output()
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}
