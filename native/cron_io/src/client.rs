//! One GET to a Compute Unit, within limits of time, size and place. A Compute Unit is not
//! trusted: whatever it sends ends as a body or as a [`Failure`]. What the body means is not
//! looked at here.

use crate::body;
use crate::connector::connections;
use crate::failure::{failure, printable};
use crate::head;
use crate::idle_connection::is_stale;
use crate::limits::Limits;
use crate::proxy::{ProxyError, check_environment, is_exempt};
use crate::resolver::CachingResolver;
use crate::roots::{CaFileError, roots};
use crate::target::Target;
use cron_engine::{Class, Failure};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Timeout};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// The most bytes of a head: the buffer that it must fit into. Compute Units send under 1 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a connection may rest and be used again. Compute Units close theirs after 72 s.
const MAX_IDLE_AGE: Duration = Duration::from_mins(1);

/// How much of the body of an error or redirect is read so that its connection can be used again.
const MAX_DISCARDED_BYTES: u64 = 16 * 1024;

/// How a client is to be.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// How many connections are kept for use again.
    pub connections: usize,
    /// A PEM file of certificates to trust beside the built-in ones.
    pub cacertfile: Option<PathBuf>,
}

/// The client of a node: one pool of connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    proxy: Result<(), ProxyError>,
    suspects: Arc<Suspects>,
}

/// When a kept connection to an origin was last found dead. The firewall or the restarted server that
/// forgot it has most likely forgotten all that were idle at that time.
#[derive(Debug, Default)]
struct Suspects(Mutex<HashMap<String, Instant>>);

impl Suspects {
    fn add(&self, target: &Target) {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.retain(|_, since| since.elapsed() < MAX_IDLE_AGE);
        suspects.insert(target.to_string(), Instant::now());
    }

    /// How long a connection may have been idle to be used again.
    fn max_idle_age(&self, target: &Target) -> Duration {
        let suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.is_empty() {
            return MAX_IDLE_AGE;
        }
        let since = suspects.get(&target.to_string());
        since.map_or(MAX_IDLE_AGE, |since| since.elapsed().min(MAX_IDLE_AGE))
    }
}

impl Client {
    /// A client with these options.
    ///
    /// # Errors
    /// [`CaFileError`] if the file of certificates is of no use.
    pub fn new(options: &ClientOptions) -> Result<Self, CaFileError> {
        let roots = roots(options.cacertfile.as_deref())?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(options.connections)
            .max_idle_connections_per_host(options.connections)
            .max_idle_age(MAX_IDLE_AGE)
            .input_buffer_size(MAX_HEAD_BYTES)
            .max_response_header_size(MAX_HEAD_BYTES)
            .user_agent(concat!("hb_process_monitor/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .accept_encoding("gzip")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let resolver = CachingResolver::of_process();
        let agent = Agent::with_parts(config, connections(), resolver);
        Ok(Self { agent, proxy: check_environment(), suspects: Arc::default() })
    }

    /// Fetches `path` of `target` into `body`.
    ///
    /// `body_budget` is asked before the body in memory grows past a further MiB beyond the first, with
    /// the number of bytes that it is about to grow by; `false` ends the fetch.
    ///
    /// # Errors
    /// [`Failure`] whatever goes wrong; `body` then holds nothing of use.
    pub fn get(
        &self,
        target: &Target,
        path: &str,
        limits: &Limits,
        body: &mut Vec<u8>,
        room: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limits.total;
        let mut url = target.join(path);
        for _ in 0..=MAX_REDIRECTS {
            let mut response = self.ask(target, &url, limits, deadline)?;
            if response.status() == StatusCode::OK {
                return body::read(&mut response, limits, body, room);
            }
            let location = head::location(&response);
            discard(&mut response);
            let location = location?;
            url = target
                .redirect(&location)
                .map_err(|error| Failure::new(Class::Redirect, printable(&error.to_string())))?;
        }
        Err(Failure::new(Class::Redirect, format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Shuts all connections down and makes no more. Fetches that wait for an answer fail at once;
    /// those that are connecting fail within their time for that.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends one request and takes the head of its response. A kept connection may have been closed
    /// by the other side just now: that is no failure, it costs a new connection.
    fn ask(
        &self,
        target: &Target,
        url: &str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Response<Body>, Failure> {
        if let Err(error) = &self.proxy
            && !target.is_loopback()
            && !is_exempt(url)
        {
            return Err(Failure::new(Class::Connect, error.to_string()));
        }
        let call = |max_idle_age| {
            let mut request = self.agent.get(url);
            if let Some(authorization) = target.authorization() {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut config = request
                .config()
                .timeout_resolve(Some(limits.connect))
                .timeout_connect(Some(limits.connect))
                .timeout_recv_response(Some(limits.first_byte))
                // Zero would mean no limit at all.
                .timeout_global(Some(left.max(Duration::from_millis(1))))
                .max_idle_age(max_idle_age);
            if target.is_loopback() {
                // A proxy is on the way to other hosts, not to this one.
                config = config.proxy(None);
            }
            config.build().call()
        };
        match call(self.suspects.max_idle_age(target)) {
            Err(error) if is_stale(&error) => {
                self.suspects.add(target);
                call(Duration::ZERO)
            }
            Err(error @ ureq::Error::Timeout(Timeout::RecvResponse | Timeout::Global)) => {
                // It may have been a kept connection, and the kernel may not have noticed.
                self.suspects.add(target);
                Err(error)
            }
            answered => answered,
        }
        .map_err(|error| failure(&error, limits))
    }
}

/// Reads the body of an error or redirect away. What cannot be read costs a new connection,
/// nothing else.
fn discard(response: &mut Response<Body>) {
    if head::check_framing(response).is_ok() {
        let body = response.body_mut().with_config().limit(MAX_DISCARDED_BYTES);
        let _ = std::io::copy(&mut body.reader(), &mut std::io::sink());
    }
}
