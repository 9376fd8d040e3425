//! Reads the body of a good response into memory and inflates it. Its size is bounded both as sent
//! and as inflated, whatever the head announced.

use crate::failure::{failure, printable};
use crate::head;
use crate::limits::Limits;
use cron_engine::{Class, Failure};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use ureq::Body;
use ureq::http::{HeaderMap, Response, header};

/// The step in which the memory for a body grows.
const STEP: u64 = 1 << 20;

/// Reads the body of `response` into `body`. See [`crate::Client::get`].
pub(crate) fn read(
    response: &mut Response<Body>,
    limits: &Limits,
    body: &mut Vec<u8>,
    room: &mut dyn FnMut(u64) -> bool,
) -> Result<(), Failure> {
    body.clear();
    head::check_framing(response)?;
    let gzip = is_gzip(response.headers())?;
    let announced = response.body().content_length().unwrap_or(0);
    if announced > limits.max_bytes {
        return Err(too_large("is", limits));
    }
    // If the first step is certain to be needed, take it at once: an inflated body is at least as
    // large as the sent one.
    body.reserve(usize::try_from(announced.min(STEP)).unwrap_or(0));
    let reader = response.body_mut().with_config().limit(limits.max_bytes).reader();
    let mut sent = Sent { reader, limits, failure: None };
    let filled = if gzip {
        fill(&mut Members::new(BufReader::new(&mut sent)), limits, body, room)
    } else {
        fill(&mut sent, limits, body, room)
    };
    // The error of the connection appears as an error of the reader that wraps it.
    filled.map_err(|stop| sent.failure.take().unwrap_or_else(|| stop.into_failure(limits)))
}

/// Whether the body must be inflated. Any coding except a single gzip is refused, as it was not
/// requested.
fn is_gzip(headers: &HeaderMap) -> Result<bool, Failure> {
    let mut gzip = false;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let refused = |name: &str| {
            let detail = format!("content-encoding {}, asked for gzip", printable(name));
            Err(Failure::new(Class::BadEncoding, detail))
        };
        let Ok(text) = value.to_str() else {
            return refused("is not text");
        };
        for name in text.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" if !gzip => gzip = true,
                "gzip" | "x-gzip" => return refused("gzip twice"),
                _ => return refused(name),
            }
        }
    }
    Ok(gzip)
}

/// Why a body is incomplete.
enum Stop {
    TooLarge,
    NoRoom,
    /// Reading failed. If the connection did not fail, inflating did.
    Unreadable(io::Error),
}

impl Stop {
    fn into_failure(self, limits: &Limits) -> Failure {
        match self {
            Self::TooLarge => too_large("inflates to", limits),
            Self::NoRoom => Failure::new(
                Class::NoRoom,
                "no room for a page of more than 1 MiB (cron_max_buffered_bytes)",
            ),
            Self::Unreadable(error) => {
                let detail = format!("damaged gzip: {}", printable(&error.to_string()));
                Failure::new(Class::BadEncoding, detail)
            }
        }
    }
}

fn too_large(how: &str, limits: &Limits) -> Failure {
    let detail =
        format!("the body {how} more than {} bytes (cron_max_page_bytes)", limits.max_bytes);
    Failure::new(Class::BodyTooLarge, detail)
}

/// Reads all of `reader` into `body` in steps, so that memory is never more than a step ahead of
/// the data received.
fn fill(
    reader: &mut dyn Read,
    limits: &Limits,
    body: &mut Vec<u8>,
    room: &mut dyn FnMut(u64) -> bool,
) -> Result<(), Stop> {
    loop {
        let filled = body.len() as u64;
        let step = (STEP - filled % STEP).min(limits.max_bytes.saturating_sub(filled));
        let read = reader.take(step).read_to_end(body).map_err(Stop::Unreadable)?;
        if (read as u64) < step {
            return Ok(());
        }
        // The limit is reached. Read one more byte to find out whether the body goes on.
        let mut next = [0];
        loop {
            match reader.read(&mut next) {
                Ok(0) => return Ok(()),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Unreadable(error)),
            }
        }
        if body.len() as u64 >= limits.max_bytes {
            return Err(Stop::TooLarge);
        }
        let step = STEP.min(limits.max_bytes - body.len() as u64);
        if !room(step) {
            return Err(Stop::NoRoom);
        }
        body.reserve_exact(usize::try_from(step).unwrap_or(usize::MAX));
        body.extend_from_slice(&next);
    }
}

/// Inflates gzip of one or more members. Like gunzip, it ignores zeros after the last member,
/// because some servers pad bodies with them.
struct Members<R> {
    /// `None` at the end of the data.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(sent: R) -> Self {
        Self { member: Some(GzDecoder::new(sent)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let read = member.read(buffer);
            if !matches!(read, Ok(0)) {
                self.member = Some(member);
                return read;
            }
            let mut rest = member.into_inner();
            match rest.fill_buf()?.first() {
                None => {}
                Some(0) => skip_zeros(&mut rest)?,
                Some(_) => self.member = Some(GzDecoder::new(rest)),
            }
        }
        Ok(0)
    }
}

fn skip_zeros(rest: &mut impl BufRead) -> io::Result<()> {
    loop {
        let zeros = rest.fill_buf()?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the padding"));
        }
        match zeros.len() {
            0 => return Ok(()),
            count => rest.consume(count),
        }
    }
}

/// The body as sent. Keeps the error of the connection.
struct Sent<'a, R> {
    reader: R,
    limits: &'a Limits,
    failure: Option<Failure>,
}

impl<R: Read> Read for Sent<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(failure(&error.into(), self.limits));
            kind.into()
        })
    }
}
