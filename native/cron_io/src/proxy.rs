//! The proxy from the environment: checks its URL, marks errors that occur at the proxy instead of
//! the Compute Unit, and tries all addresses of a SOCKS proxy.

use crate::target_error::TargetError;
use crate::tcp::Budget;
use crate::url::Url;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, SocksConnector, Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

/// The variables that name a proxy, in the order in which the HTTP client reads them.
const VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// An error in the proxy's configuration, or at the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ProxyError {
    /// A variable holds no valid proxy. Requests that would use it fail and never bypass it.
    #[error("the variable {0} does not name a proxy: {1}")]
    Bad(&'static str, &'static str),
    #[error("the variable {0} does not name a proxy: {1}")]
    BadUrl(&'static str, TargetError),
    #[error("the name of the proxy does not resolve; see ALL_PROXY, HTTPS_PROXY, HTTP_PROXY")]
    Unknown,
    #[error("the proxy: {0}; see ALL_PROXY, HTTPS_PROXY, HTTP_PROXY")]
    Failed(String),
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Checks the proxy from the environment, if there is one.
pub(crate) fn check_environment() -> Result<(), ProxyError> {
    let set = |variable: &'static str| {
        let text = std::env::var_os(variable).filter(|text| !text.is_empty())?;
        Some((variable, text))
    };
    let Some((variable, text)) = VARIABLES.into_iter().find_map(set) else { return Ok(()) };
    let bad = "it is not a URL; give http://host:port or socks5://host:port";
    let text = text.to_str().ok_or(ProxyError::Bad(variable, bad))?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let known = ["http", "https", "socks4", "socks4a", "socks", "socks5", "socks5h"];
    if !known.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        let unknown = "its scheme is not one of http, https, socks4, socks4a, socks5, socks5h";
        return Err(ProxyError::Bad(variable, unknown));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    Url::parse(&format!("http://{address}"))
        .map_err(|error| ProxyError::BadUrl(variable, error))?;
    Proxy::new(text).map_err(|_| ProxyError::Bad(variable, bad))?;
    Ok(())
}

/// Whether `NO_PROXY` exempts the host of this URL.
pub(crate) fn is_exempt(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let list = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| std::env::var(name).ok());
    let builder = Proxy::builder(ProxyProtocol::Http);
    let exempt = list.unwrap_or_default();
    let builder = exempt.split(',').fold(builder, ureq::ProxyBuilder::no_proxy);
    builder.build().is_ok_and(|proxy| proxy.is_no_proxy(&uri))
}

/// Marks an error of the connection to the proxy.
pub(crate) fn at_proxy(error: Error) -> Error {
    match error {
        // Errors of TLS are wrapped in an IO error, too.
        Error::Io(io) => ProxyError::Failed(io.to_string()).into(),
        error => error,
    }
}

/// Connects through a SOCKS proxy, if one is configured. The HTTP client's own connector gives up
/// when the first address of the proxy fails with an unknown error, and requests only the first
/// address of the target.
#[derive(Debug, Default)]
pub(crate) struct Socks(SocksConnector);

impl<In: Transport> Connector<In> for Socks {
    type Out = <SocksConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let is_used = |proxy: &&Proxy| {
            let http = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
            !http && !proxy.is_no_proxy(details.uri)
        };
        let (Some(proxy), None) = (details.config.proxy().filter(is_used), &chained) else {
            return self.0.connect(details, chained);
        };
        let proxies = details.resolver.resolve(proxy.uri(), details.config, details.timeout)?;
        let targets: Vec<_> = if proxy.resolve_target() {
            details.addrs.iter().map(|address| of_one(details.resolver, *address)).collect()
        } else {
            vec![details.addrs.clone()]
        };
        let budget = Budget::new(details.timeout);
        let mut last = Error::HostNotFound;
        for (later_targets, target) in (0..targets.len()).rev().zip(&targets) {
            let mut reached = false;
            for (later, address) in (0..proxies.len()).rev().zip(proxies.iter()) {
                let share = budget.share(later_targets == 0 && later == 0)?;
                let proxy = Fixed(of_one(details.resolver, *address));
                match self.once(details, target.clone(), &proxy, share, &mut reached) {
                    Ok(connected) => return Ok(connected),
                    Err(error) => last = error,
                }
                if reached {
                    break;
                }
            }
            if !reached {
                break;
            }
        }
        Err(at_proxy(last))
    }
}

impl Socks {
    /// Tries one address of the proxy. Sets `reached` if a connection to it was made.
    fn once<In: Transport>(
        &self,
        details: &ConnectionDetails<'_>,
        target: ResolvedSocketAddrs,
        proxy: &Fixed,
        timeout: NextTimeout,
        reached: &mut bool,
    ) -> Result<Option<<SocksConnector as Connector<In>>::Out>, Error> {
        let connected = Arc::new(AtomicBool::new(false));
        let (register, flag) = (Arc::clone(&details.register_shutdown), Arc::clone(&connected));
        let details = ConnectionDetails {
            addrs: target,
            resolver: proxy,
            now: (details.current_time)(),
            timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            // Called with each open connection.
            register_shutdown: Arc::new(move |handle| {
                flag.store(true, Ordering::Relaxed);
                register(handle)
            }),
            ..*details
        };
        let outcome = self.0.connect(&details, None);
        *reached = connected.load(Ordering::Relaxed);
        outcome
    }
}

/// A list with this one address.
fn of_one(resolver: &dyn Resolver, address: SocketAddr) -> ResolvedSocketAddrs {
    let mut list = resolver.empty();
    list.push(address);
    list
}

/// A resolver that returns a fixed address.
#[derive(Debug)]
struct Fixed(ResolvedSocketAddrs);

impl Resolver for Fixed {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;
    use ureq::unversioned::resolver::DefaultResolver;
    use ureq::unversioned::transport::time::Instant;
    use ureq::{Agent, Timeout};

    /// The answer to each request for an IPv4 address.
    fn proxy(listener: &TcpListener, answers: Vec<u8>) -> Vec<[u8; 4]> {
        let asked = answers.into_iter().map(|answer| {
            let (mut client, _) = listener.accept().unwrap();
            client.read_exact(&mut [0; 3]).unwrap();
            client.write_all(&[5, 0]).unwrap();
            let mut request = [0; 10];
            client.read_exact(&mut request).unwrap();
            client.write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            request[4..8].try_into().unwrap()
        });
        asked.collect()
    }

    #[test]
    fn socks_proxy_is_asked_for_each_address_of_the_target() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("socks5://{}", listener.local_addr().unwrap());
        let proxy = std::thread::spawn(move || proxy(&listener, vec![4, 2, 0]));
        let config = Agent::config_builder().proxy(Some(Proxy::new(&url).unwrap())).build();
        let resolver = DefaultResolver::default();
        let mut addrs = resolver.empty();
        for last in 1..=4 {
            addrs.push(([192, 0, 2, last], 80).into());
        }
        let (after, reason) = (Duration::from_secs(20).into(), Timeout::Connect);
        let details = ConnectionDetails {
            uri: &Uri::from_static("http://cu.test"),
            addrs,
            config: &config,
            request_level: false,
            resolver: &resolver,
            now: Instant::now(),
            timeout: NextTimeout { after, reason, per_read: None, per_write: None },
            current_time: Arc::new(Instant::now),
            run_connector: Arc::new(|_| unreachable!()),
            register_shutdown: Arc::new(|_| Ok(())),
        };
        let connected = Connector::<()>::connect(&Socks::default(), &details, None).unwrap();
        assert!(connected.is_some());
        assert_eq!(proxy.join().unwrap(), [[192, 0, 2, 1], [192, 0, 2, 2], [192, 0, 2, 3]]);
    }
}
