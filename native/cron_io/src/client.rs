//! Sends one GET to a Compute Unit, within limits of time, size and place. A Compute Unit is not
//! trusted: every answer ends as a body or as a [`Failure`]. The body is not interpreted here.

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

/// The number of redirects that are followed.
const MAX_REDIRECTS: usize = 3;

/// The size of the buffer for a head, which must hold all of it. Compute Units send under 1 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a connection may be idle and still be reused. Compute Units close theirs after 72 s.
const MAX_IDLE_AGE: Duration = Duration::from_mins(1);

/// How much of the body of an error or a redirect is read so that its connection can be reused.
const MAX_DISCARDED_BYTES: u64 = 16 * 1024;

/// Options of a client.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// How many idle connections are kept.
    pub connections: usize,
    /// A PEM file of certificates to trust in addition to the built-in ones.
    pub cacertfile: Option<PathBuf>,
}

/// The HTTP client of a host node, with one pool of connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    proxy: Result<(), ProxyError>,
    suspects: Arc<Suspects>,
}

/// When an idle connection to an origin was last found dead. The firewall or the restarted server
/// that dropped it has most likely dropped all connections that were idle then.
#[derive(Debug, Default)]
struct Suspects(Mutex<HashMap<String, Instant>>);

impl Suspects {
    fn add(&self, target: &Target) {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.retain(|_, since| since.elapsed() < MAX_IDLE_AGE);
        suspects.insert(target.to_string(), Instant::now());
    }

    /// The longest idle time of a connection that may be reused.
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
    /// Creates a client with these options.
    ///
    /// # Errors
    /// [`CaFileError`] if the file of certificates cannot be used.
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
    /// `room` is called before the memory for the body grows by another step, except for the first
    /// MiB, with the number of bytes to add. If it returns `false`, the fetch ends.
    ///
    /// # Errors
    /// [`Failure`] in all cases; the content of `body` is then undefined.
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

    /// Shuts down all connections and opens no more. Fetches that wait for an answer fail at once;
    /// those that are connecting fail within the connect limit.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends one request and returns the response after reading its head. If the server closed an
    /// idle connection just now, the request is repeated on a new connection.
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
                // Zero would mean no limit.
                .timeout_global(Some(left.max(Duration::from_millis(1))))
                .max_idle_age(max_idle_age);
            if target.is_loopback() {
                // Loopback targets never need a proxy.
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
                // This may have been an idle connection whose end the kernel has not noticed.
                self.suspects.add(target);
                Err(error)
            }
            answered => answered,
        }
        .map_err(|error| failure(&error, limits))
    }
}

/// Reads and drops the body of an error or a redirect. If that fails, the connection is not reused.
fn discard(response: &mut Response<Body>) {
    if head::check_framing(response).is_ok() {
        let body = response.body_mut().with_config().limit(MAX_DISCARDED_BYTES);
        let _ = std::io::copy(&mut body.reader(), &mut std::io::sink());
    }
}
