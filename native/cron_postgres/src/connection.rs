//! One connection, on which one statement at a time is executed. Statements are unnamed, and none
//! depends on the session, so a pooler may be in between. A statement is never cancelled: to
//! stop waiting, the connection is dropped.

use crate::error::DatabaseError;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Socket};

/// The values of a statement, each with its type.
pub(crate) type Values<'a> = [(&'a (dyn ToSql + Sync), Type)];

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
    /// A connection that was established.
    pub(crate) fn new<S>(
        client: Client,
        mut connection: tokio_postgres::Connection<Socket, S>,
    ) -> Self
    where
        S: TlsStream + Unpin + Send + 'static,
    {
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
        Self { client, warning, task }
    }

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
