//! Opens connections: directly or through a proxy, with or without TLS, within a deadline. Combines
//! the HTTP client's own connectors and fills their gaps.

use crate::idle_connection::{Reusable, is_end};
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

/// Opens the connections of a client.
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
    type Out = Plain<Reusable<C::Out>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        pool::before_wait();
        // `None` if there is no limit, which is too far away to be an instant.
        let deadline = Instant::now().checked_add(*details.timeout.after);
        let made = Arc::new(AtomicBool::new(false));
        let (connect, until_made) = (Arc::clone(&details.run_connector), Arc::clone(&made));
        let to_proxy = move |details: &ConnectionDetails<'_>| {
            let inner = connect(details).map_err(at_proxy)?;
            let made = Arc::clone(&until_made);
            Ok(Box::new(WithDeadline { inner, deadline, made }) as Box<dyn Transport>)
        };
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            // Each request has its own limits but uses the client's TLS settings. If marked as
            // request level, the TLS configuration would be rebuilt each time and sessions would
            // not be resumed.
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::new(to_proxy),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let connected = self.chain.connect(&details, chained).map_err(|error| match error {
            // Targets are resolved earlier, so this is the name of the proxy.
            Error::HostNotFound => ProxyError::Unknown.into(),
            error => error,
        })?;
        made.store(true, Ordering::Relaxed);
        Ok(connected.map(|connected| Plain::new(Reusable::new(connected))))
    }
}

/// A connection to a proxy. The HTTP client gives each read of the proxy's answer the whole time
/// limit; this adds a deadline until the connection through the proxy is open.
#[derive(Debug)]
struct WithDeadline {
    inner: Box<dyn Transport>,
    deadline: Option<Instant>,
    made: Arc<AtomicBool>,
}

impl WithDeadline {
    fn shorten(&self, mut timeout: NextTimeout) -> NextTimeout {
        if let (Some(deadline), false) = (self.deadline, self.made.load(Ordering::Relaxed)) {
            let left = deadline.saturating_duration_since(Instant::now());
            timeout.after = left.min(*timeout.after).into();
        }
        timeout
    }
}

impl Transport for WithDeadline {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = self.shorten(timeout);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = self.shorten(timeout);
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// TLS for `https` URLs. A peer that ends the handshake does not speak TLS, or refuses these
/// parameters: a TLS failure, not one of the connection.
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
