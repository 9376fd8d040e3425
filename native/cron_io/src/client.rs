//! One HTTP GET to a Compute Unit, within limits of time, size and place. A Compute Unit is not
//! trusted: whatever it sends ends as a body or as a [`Failure`]. What the body means is not
//! looked at here.

use crate::resolver::CachingResolver;
use crate::target::Target;
use cron_engine::{Class, Failure};
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::unversioned::transport::DefaultConnector;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// The most header bytes taken. Compute Units send under 1 KiB.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How long a connection may rest and be used again. Compute Units close theirs after 72 s.
const MAX_IDLE_AGE: Duration = Duration::from_mins(1);

/// How much of the body of an error or redirect is read so that its connection can be used again.
const MAX_DISCARDED_BYTES: u64 = 16 * 1024;

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection, name resolution included.
    pub connect: Duration,
    /// For everything, from the first byte sent to the last one received.
    pub total: Duration,
    /// Of the decoded body.
    pub max_bytes: u64,
}

/// The client of a node: one pool of connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
}

impl Client {
    /// A client that keeps up to `connections` connections for use again.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(MAX_IDLE_AGE)
            .max_response_header_size(MAX_HEADER_BYTES)
            .user_agent(concat!("hb_process_monitor/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .build();
        let agent =
            Agent::with_parts(config, DefaultConnector::default(), CachingResolver::default());
        Self { agent }
    }

    /// Fetches `path` of `target` into `body`.
    ///
    /// # Errors
    /// [`Failure`] whatever goes wrong; `body` then holds nothing of use.
    pub fn get(
        &self,
        target: &Target,
        path: &str,
        limits: &Limits,
        body: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limits.total;
        let mut url = target.join(path);
        for _ in 0..=MAX_REDIRECTS {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.hop(&url, target.authorization(), limits, left, body)? {
                Hop::Whole => return Ok(()),
                Hop::Redirect(location) => {
                    url = target.redirect(&location).ok_or_else(|| {
                        let to = printable(&location);
                        Failure::new(Class::Redirect, format!("a redirect elsewhere: {to}"))
                    })?;
                }
            }
        }
        Err(Failure::new(Class::Redirect, format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn hop(
        &self,
        url: &str,
        authorization: Option<&str>,
        limits: &Limits,
        left: Duration,
        body: &mut Vec<u8>,
    ) -> Result<Hop, Failure> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .config()
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            // Zero would mean no limit at all.
            .timeout_global(Some(left.max(Duration::from_millis(1))))
            .build();
        let mut response = request.call().map_err(|error| failure(&error))?;
        if response.status() != StatusCode::OK {
            let discard = response.body_mut().with_config().limit(MAX_DISCARDED_BYTES);
            // What cannot be read costs a new connection, nothing else.
            let _ = std::io::copy(&mut discard.reader(), &mut std::io::sink());
            return redirect(response.status(), response.headers());
        }
        body.clear();
        let expected = response.body().content_length().unwrap_or(0).min(limits.max_bytes);
        body.reserve(usize::try_from(expected.min(1 << 20)).unwrap_or(0));
        let mut reader = response.body_mut().with_config().limit(limits.max_bytes).reader();
        reader.read_to_end(body).map_err(|error| failure(&error.into()))?;
        Ok(Hop::Whole)
    }
}

enum Hop {
    Whole,
    Redirect(String),
}

fn redirect(status: StatusCode, headers: &HeaderMap) -> Result<Hop, Failure> {
    if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let missing = || Failure::new(Class::Redirect, format!("status {status} and no location"));
        return location.map(|to| Hop::Redirect(to.to_owned())).ok_or_else(missing);
    }
    Err(Failure::new(Class::Status, format!("status {status}")))
}

fn failure(error: &ureq::Error) -> Failure {
    use std::io::ErrorKind;
    let class = match error {
        ureq::Error::Timeout(_) => Class::Timeout,
        ureq::Error::HostNotFound => Class::Resolve,
        ureq::Error::BodyExceedsLimit(_) => Class::BodyTooLarge,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Class::Tls,
        ureq::Error::Io(io) => match io.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Class::Timeout,
            // How the TLS layer says that it could not make sense of what it read.
            ErrorKind::InvalidData => Class::Tls,
            _ => Class::Connect,
        },
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => Class::Connect,
        _ => Class::Protocol,
    };
    Failure::new(class, printable(&error.to_string()))
}

/// Remote text as it may be logged: escaped, and no more than a line of it.
fn printable(text: &str) -> String {
    let mut escaped: String = text.escape_debug().take(200).collect();
    if text.len() > 200 {
        escaped.push('…');
    }
    escaped
}
