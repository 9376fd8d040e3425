//! One connection, on which one statement at a time is executed. Statements are unnamed, and none
//! depends on the session, so a pooler may be in between. A statement is never cancelled: to
//! stop waiting, the connection is dropped.

use crate::check;
use crate::error::DatabaseError;
use crate::tls::Tls;
use crate::url::{ClusterUrl, SslMode};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode as PgSslMode, TargetSessionAttrs};
use tokio_postgres::error::Severity;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row};

/// The values of a statement, each with its type.
pub(crate) type Values<'a> = [(&'a (dyn ToSql + Sync), Type)];

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
        let (client, mut connection) = self
            .config
            .connect(self.tls.clone())
            .await
            .map_err(|error| DatabaseError::of_connection(&error))?;
        let warning = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&warning);
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.parsed_severity() == Some(Severity::Warning)
                {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(notice.message().to_owned());
                }
            }
        });
        let connection = Connection { client, warning, task };
        check::server(&connection).await?;
        check::tables(&connection, creates).await?;
        Ok(connection)
    }
}

/// A connection. Dropping it ends it, without a word to the server about what is under way.
pub(crate) struct Connection {
    client: Client,
    /// The last warning of the server.
    warning: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Executes a statement that reads.
    pub(crate) async fn read(
        &self,
        statement: &str,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let rows = self.client.query_typed(statement, values).await;
        rows.map_err(|error| DatabaseError::of_statement(&error))
    }

    /// Executes a statement that writes. A warning is a failure.
    ///
    /// The server sends it before it says that the transaction has ended, so it is known here.
    pub(crate) async fn write(
        &self,
        statement: &str,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.take_warning();
        let rows = self.read(statement, values).await?;
        self.take_warning().map_or(Ok(rows), |warning| Err(DatabaseError::Warned(warning)))
    }

    /// Executes a statement that writes. Returns how many rows it changed.
    pub(crate) async fn change(
        &self,
        statement: &str,
        values: &Values<'_>,
    ) -> Result<u64, DatabaseError> {
        self.take_warning();
        let changed = self.client.execute_typed(statement, values).await;
        let changed = changed.map_err(|error| DatabaseError::of_statement(&error))?;
        self.take_warning().map_or(Ok(changed), |warning| Err(DatabaseError::Warned(warning)))
    }

    /// Executes several statements without values, as one message.
    pub(crate) async fn batch(&self, statements: &str) -> Result<(), DatabaseError> {
        let done = self.client.batch_execute(statements).await;
        done.map_err(|error| DatabaseError::of_statement(&error))
    }

    fn take_warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
