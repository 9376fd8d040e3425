//! How to connect: the hosts, the user, encryption, and the limits of time.

use crate::check;
use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::tls::Tls;
use crate::url::{ClusterUrl, SslMode};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as PgSslMode, TargetSessionAttrs};

/// How to connect.
pub(crate) struct Connector {
    config: Config,
    tls: Tls,
}

impl Connector {
    /// `limit` bounds how long one host may take.
    pub(crate) fn new(url: &ClusterUrl, tls: Tls, name: &str, limit: Duration) -> Self {
        let mut config = Config::new();
        config.user(&url.user).dbname(&url.database);
        if let Some(password) = &url.password {
            config.password(password);
        }
        for (host, port) in &url.hosts {
            config.host(host).port(*port);
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
        let hosts = u32::try_from(url.hosts.len()).unwrap_or(u32::MAX).max(1);
        config.connect_timeout(limit / hosts).tcp_user_timeout(limit * 4);
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        Self { config, tls }
    }

    /// Connects and checks what the server must be like. If `creates`, missing tables are created.
    pub(crate) async fn connect(&self, creates: bool) -> Result<Connection, DatabaseError> {
        let (client, connection) = self
            .config
            .connect(self.tls.clone())
            .await
            .map_err(|error| DatabaseError::of_connection(&error))?;
        let connection = Connection::new(client, connection);
        check::server(&connection).await?;
        check::tables(&connection, creates).await?;
        Ok(connection)
    }
}
