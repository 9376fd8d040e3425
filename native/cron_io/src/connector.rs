//! How a connection is made: directly or through a proxy, with TLS or without, in time. Out of the
//! HTTP client's own connectors, but for what those leave out.

use crate::idle_connection::{Kept, is_end};
use crate::plain::Plain;
use crate::pool;
use crate::proxy::{ProxyError, Socks, at_proxy};
use crate::tcp::Tcp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    Transport,
};

/// What makes the connections of a client.
#[derive(Debug)]
pub(crate) struct Connections<C> {
    chain: C,
}

/// The connector of a client.
pub(crate) fn connections() -> Connections<impl Connector> {
    let chain =
        ().chain(Socks::default())
            .chain(ConnectProxyConnector::default())
            .chain(Tcp)
            .chain(Tls::default());
    Connections { chain }
}

impl<C: Connector> Connector for Connections<C> {
    type Out = Plain<Kept<C::Out>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        pool::waits();
        // No deadline where there is no limit: it is too far away to be a time.
        let deadline = Instant::now().checked_add(*details.timeout.after);
        let made = Arc::new(AtomicBool::new(false));
        let (connect, until_made) = (Arc::clone(&details.run_connector), Arc::clone(&made));
        let to_proxy = move |details: &ConnectionDetails<'_>| {
            let inner = connect(details).map_err(at_proxy)?;
            let made = Arc::clone(&until_made);
            Ok(Box::new(Hurried { inner, deadline, made }) as Box<dyn Transport>)
        };
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            // All requests have limits of their own, and the TLS of the client. Taken for its own,
            // it is made once, and sessions are resumed.
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::new(to_proxy),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let connected = self.chain.connect(&details, chained).map_err(|error| match error {
            // Names of targets are resolved earlier: this is the proxy's.
            Error::HostNotFound => ProxyError::Unknown.into(),
            error => error,
        })?;
        made.store(true, Ordering::Relaxed);
        Ok(connected.map(|connected| Plain::new(Kept::new(connected))))
    }
}

/// A connection to a proxy. The HTTP client gives each read of the proxy's answer the time that
/// there is for all: until the connection through it is made, there is a deadline.
#[derive(Debug)]
struct Hurried {
    inner: Box<dyn Transport>,
    deadline: Option<Instant>,
    made: Arc<AtomicBool>,
}

impl Hurried {
    fn hurry(&self, mut timeout: NextTimeout) -> NextTimeout {
        if let (Some(deadline), false) = (self.deadline, self.made.load(Ordering::Relaxed)) {
            let left = deadline.saturating_duration_since(Instant::now());
            timeout.after = left.min(*timeout.after).into();
        }
        timeout
    }
}

impl Transport for Hurried {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = self.hurry(timeout);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = self.hurry(timeout);
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// TLS, where the URL says so. A peer that ends the handshake does not want TLS, or not this one:
/// that is no failure of the connection.
#[derive(Debug, Default)]
struct Tls(RustlsConnector);

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained).map_err(|error| match error {
            Error::Io(io) if is_end(&io) => {
                Error::Tls("the peer ended the TLS handshake; plain HTTP?")
            }
            _ => error,
        })
    }
}
