//! How to connect: the hosts, the user, encryption, and the limits of time.

use crate::check;
use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::tls::Tls;
use crate::url::{ClusterUrl, SslMode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as PgSslMode, TargetSessionAttrs};

/// How to connect.
pub(crate) struct Connector {
    /// How to connect to each host, by its name. A host that is frozen accepts connections and answers nothing, so each
    /// has its own limit of time.
    hosts: Vec<(String, Config)>,
    tls: Tls,
    limit: Duration,
    /// The host that is tried first: the one that answered last, or the one after one that did not.
    first: AtomicUsize,
}

impl Connector {
    /// `ttl` bounds how long one host may take. It is much longer than for a statement, because a
    /// connection needs a dozen answers.
    pub(crate) fn new(url: &ClusterUrl, tls: Tls, name: &str, ttl: Duration) -> Self {
        let mut config = Config::new();
        config.user(&url.user).dbname(&url.database);
        if let Some(password) = &url.password {
            config.password(password);
        }
        config.ssl_mode(match url.ssl_mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Require | SslMode::VerifyFull => PgSslMode::Require,
        });
        if url.read_write {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        // What operators see in pg_stat_activity. The server cuts it at 63 bytes.
        config.application_name(format!("hb_cron {name}"));
        config.connect_timeout(ttl / 2).tcp_user_timeout(ttl);
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        let of_host = |(host, port): &(String, u16)| {
            let mut config = config.clone();
            config.host(host).port(*port);
            (format!("{host}:{port}"), config)
        };
        let hosts = url.hosts.iter().map(of_host).collect();
        Self { hosts, tls, limit: ttl, first: AtomicUsize::new(0) }
    }

    /// Connects to the first host that will do, and checks what the server must be like. If
    /// `creates`, missing tables are created.
    pub(crate) async fn connect(&self, creates: bool) -> Result<Connection, DatabaseError> {
        let (count, first) = (self.hosts.len(), self.first.load(Ordering::Relaxed));
        let mut errors = Vec::new();
        for index in first..first + count {
            let index = index % count.max(1);
            let Some((host, config)) = self.hosts.get(index) else { continue };
            let connected = timeout(self.limit, self.connect_to(config, creates)).await;
            match connected.unwrap_or(Err(DatabaseError::Timeout(self.limit))) {
                Ok(connection) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => errors.push((host.clone(), error)),
            }
            // Other lanes begin elsewhere.
            self.first.store((index + 1) % count, Ordering::Relaxed);
        }
        // In one order, whichever host was tried first, so that the same reasons are logged once.
        errors.sort_by(|(one, _), (other, _)| one.cmp(other));
        Err(DatabaseError::of_hosts(&errors))
    }

    async fn connect_to(
        &self,
        config: &Config,
        creates: bool,
    ) -> Result<Connection, DatabaseError> {
        let (client, connection) = config
            .connect(self.tls.clone())
            .await
            .map_err(|error| DatabaseError::of_connection(&error))?;
        let connection = Connection::new(client, connection);
        check::server(&connection).await?;
        check::tables(&connection, creates).await?;
        Ok(connection)
    }
}
