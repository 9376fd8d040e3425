//! TCP connections. Unlike the HTTP client's own connector, this one tries every address of a name
//! whatever the previous error, and notices a peer that no longer acknowledges data within the
//! connect limit.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle,
    Transport,
};
use ureq::{Error, config::Config};

/// The shortest time for one of several addresses.
const MIN_SHARE: Duration = Duration::from_millis(10);

/// The shortest time in which a peer must acknowledge data: long enough for one packet to be lost
/// and sent again.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MIN_UNACKNOWLEDGED: Duration = Duration::from_secs(1);

/// Connects over TCP, unless an earlier connector has.
#[derive(Debug, Default)]
pub(crate) struct Tcp;

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(connected) = chained {
            return Ok(Some(Either::A(connected)));
        }
        let budget = Budget::new(details.timeout);
        let stream = each_address(&details.addrs, &budget, |address, timeout| {
            Ok(connect(address, timeout)?)
        })?;
        configure(&stream, details.config)?;
        let stream = Arc::new(stream);
        let handle: Weak<dyn ShutdownHandle> = Arc::<TcpStream>::downgrade(&stream);
        (details.register_shutdown)(handle)?;
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(input, output);
        Ok(Some(Either::B(TcpTransport { stream, buffers, read: None, write: None })))
    }
}

/// The time limit of several attempts together.
pub(crate) struct Budget {
    /// `None` if there is no limit, which is too far away to be an instant.
    deadline: Option<Instant>,
    timeout: NextTimeout,
}

impl Budget {
    pub(crate) fn new(timeout: NextTimeout) -> Self {
        Self { deadline: Instant::now().checked_add(*timeout.after), timeout }
    }

    /// The time for the next attempt: half of the rest, or all of it for the last attempt.
    pub(crate) fn share(&self, is_last: bool) -> Result<NextTimeout, Error> {
        let Some(deadline) = self.deadline else { return Ok(self.timeout) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout(self.timeout.reason));
        }
        let share = if is_last { left } else { (left / 2).max(MIN_SHARE).min(left) };
        Ok(NextTimeout { after: share.into(), ..self.timeout })
    }
}

/// Tries the addresses in order, and returns the last error if all fail. Whether an error concerns
/// a single address depends on firewalls, routes and policies at both ends, so every error counts
/// as such.
fn each_address<T>(
    addresses: &ResolvedSocketAddrs,
    budget: &Budget,
    mut connect: impl FnMut(SocketAddr, NextTimeout) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut last = Error::HostNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let share = budget.share(index + 1 == addresses.len())?;
        match connect(*address, share) {
            Ok(connected) => return Ok(connected),
            Err(Error::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                last = Error::Timeout(budget.timeout.reason);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(address: SocketAddr, timeout: NextTimeout) -> io::Result<TcpStream> {
    match timeout.not_zero() {
        Some(timeout) if !timeout.is_not_happening() => {
            TcpStream::connect_timeout(&address, *timeout)
        }
        _ => TcpStream::connect(address),
    }
}

fn configure(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(config.no_delay())?;
    // A firewall that has dropped a connection discards its packets silently. The kernel would
    // resend them for a quarter of an hour, and the limit for an answer must allow for slow
    // servers.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(limit) = config.timeouts().connect {
        let limit = limit.max(MIN_UNACKNOWLEDGED);
        socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit))?;
    }
    Ok(())
}

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    /// Shared with the HTTP client, which shuts it down on its own shutdown.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// The timeouts of the socket, so that they are set only when they change.
    read: Option<Duration>,
    write: Option<Duration>,
}

/// The timeout to set on a socket, and the instant of its end.
fn limit(timeout: NextTimeout) -> Result<(Option<Duration>, Option<Instant>), Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    if timeout.after.is_not_happening() {
        return Ok((None, None));
    }
    // A socket reads less than a microsecond as no limit.
    let limit = (*timeout.after).max(Duration::from_micros(1));
    Ok((Some(limit), Instant::now().checked_add(limit)))
}

/// A timeout set on the socket ends with this error. `TimedOut` comes from the kernel and concerns
/// the connection.
fn is_limit(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (limit, _) = limit(timeout)?;
        if limit != self.write {
            self.stream.set_write_timeout(limit)?;
            self.write = limit;
        }
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        (&*self.stream).write_all(output).map_err(|error| {
            if is_limit(&error) { Error::Timeout(timeout.reason) } else { error.into() }
        })
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let (mut limit, deadline) = limit(timeout)?;
        loop {
            if limit != self.read {
                self.stream.set_read_timeout(limit)?;
                self.read = limit;
            }
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if is_limit(&error) => return Err(Error::Timeout(timeout.reason)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            let Some(deadline) = deadline else { continue };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(timeout.reason));
            }
            limit = Some(left);
        }
    }

    /// An idle connection has nothing to read except its end or unexpected bytes.
    fn is_open(&mut self) -> bool {
        let probe = || -> io::Result<bool> {
            self.stream.set_nonblocking(true)?;
            let read = (&*self.stream).read(&mut [0]);
            self.stream.set_nonblocking(false)?;
            Ok(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
        };
        probe().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use ureq::Timeout;

    fn budget(limit: Duration) -> Budget {
        let reason = Timeout::Connect;
        Budget::new(NextTimeout { after: limit.into(), reason, per_read: None, per_write: None })
    }

    fn addresses(ports: &[u16]) -> ResolvedSocketAddrs {
        let mut addresses = ResolvedSocketAddrs::from_fn(|_| ([127, 0, 0, 1], 0).into());
        for port in ports {
            addresses.push(([127, 0, 0, 1], *port).into());
        }
        addresses
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn address_after_one_with_any_error_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap().port();
        // EPERM, EAGAIN, EACCES, EINVAL, EMFILE, EAFNOSUPPORT, EADDRNOTAVAIL, ENETUNREACH,
        // ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH
        for code in [1, 11, 13, 22, 24, 97, 99, 101, 104, 110, 111, 113] {
            let connected =
                each_address(&addresses(&[1, good]), &budget(LONG), |address, share| {
                    if address.port() == 1 {
                        return Err(io::Error::from_raw_os_error(code).into());
                    }
                    Ok(connect(address, share)?)
                });
            assert_eq!(connected.unwrap().peer_addr().unwrap().port(), good, "{code}");
        }
    }

    #[test]
    fn addresses_that_all_fail_give_the_last_error() {
        let mut errors = [13, 110, 111].into_iter();
        let mut fail = |_: SocketAddr, _: NextTimeout| -> Result<(), Error> {
            Err(io::Error::from_raw_os_error(errors.next().unwrap()).into())
        };
        let told = each_address(&addresses(&[1, 2, 3]), &budget(LONG), &mut fail).unwrap_err();
        assert!(matches!(told, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused));
        let mut errors = [111, 110].into_iter();
        let told = each_address(&addresses(&[1, 2]), &budget(LONG), |_, _| -> Result<(), Error> {
            Err(io::Error::from_raw_os_error(errors.next().unwrap()).into())
        });
        assert!(matches!(told, Err(Error::Timeout(Timeout::Connect))));
    }

    #[test]
    fn each_address_leaves_time_for_those_after_it() {
        let mut shares = Vec::new();
        let failed = each_address(&addresses(&[1, 2, 3]), &budget(LONG), |_, share| {
            shares.push(*share.after);
            Err::<(), _>(Error::ConnectionFailed)
        });
        assert!(failed.is_err());
        assert!(shares[0] <= LONG / 2 && shares[1] <= LONG / 2, "{shares:?}");
        assert!(shares[2] > LONG / 2, "{shares:?}");
    }

    #[test]
    fn addresses_without_time_left_are_a_timeout() {
        let never = |_: SocketAddr, _: NextTimeout| -> Result<(), Error> { unreachable!() };
        let told = each_address(&addresses(&[1]), &budget(Duration::ZERO), never);
        assert!(matches!(told, Err(Error::Timeout(Timeout::Connect))));
    }
}
