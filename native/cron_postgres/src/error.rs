//! Why a statement has no answer, and what follows: whether to try again, to connect again, or to
//! divide a commit. No error has a password or a stored value in it.

use std::error::Error as StdError;
use std::time::Duration;
use thiserror::Error;
use tokio_postgres::error::SqlState;

/// Why a statement has no answer.
///
/// If it had been sent, it is unknown whether it was executed, or will be, unless the server refused
/// it ([`DatabaseError::Statement`]).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// No connection.
    #[error("the database is not reachable: {0}: check that it runs, and the host and the port")]
    Unreachable(String),
    /// A connection that is not as secure as required.
    #[error("the connection to the database is not secure: {0}")]
    Tls(String),
    /// The user or the password is wrong.
    #[error("the database refuses the user: {0}: correct the user or the password in the URL")]
    Refused(String),
    /// There is no such database.
    #[error("{0}: create the database, or correct its name in the URL")]
    UnknownDatabase(String),
    /// The server has no connection left.
    #[error("the database has no free connection: {0}: a node needs five; raise max_connections")]
    Full(String),
    /// No server accepts writes.
    #[error("the database accepts no writes: connect to the primary, or give all hosts")]
    ReadOnly,
    /// The role may not do that.
    #[error("{0}: let the owner of the database grant it")]
    Forbidden(String),
    /// No answer in time.
    #[error("the database did not answer within {0:?}: it may be overloaded or frozen")]
    Timeout(Duration),
    /// The connection ended while a statement was under way.
    #[error("the connection to the database ended: {0}")]
    Lost(String),
    /// The server is too old.
    #[error("the database is PostgreSQL {0}: version 14 or later is needed")]
    Version(String),
    /// Transactions have another isolation.
    #[error(
        "the isolation of transactions is {0}: set default_transaction_isolation of the role to 'read \
         committed'"
    )]
    Isolation(String),
    /// Commits would not be durable.
    #[error(
        "synchronous_commit is {0}, so a crash would lose commits: set it to on for the role or the \
         database"
    )]
    SynchronousCommit(String),
    /// There are no tables, and the role may not create them.
    #[error(
        "the database has no tables of the library, and this role cannot create them: {0}: grant \
         CREATE on the database, or let its owner create them"
    )]
    NoTables(String),
    /// The tables are of another version of the library.
    #[error(
        "the tables have version {version}, {shards} shards and the hash {hash}, which this version of \
         the library cannot use: run the version that created them, or use another database"
    )]
    Layout {
        /// The version of the tables.
        version: i32,
        /// The number of shards.
        shards: i32,
        /// The hash.
        hash: String,
    },
    /// The server executed the statement with a warning, such as that of a cancelled wait for a
    /// replica: it may be undone by a fail-over.
    #[error("the database answered with a warning, so a write may not be replicated: {0}")]
    Warned(String),
    /// The server refused the statement.
    #[error("the database refuses a statement: {message} ({code})")]
    Statement {
        /// The `SQLSTATE`.
        code: String,
        /// The server's words.
        message: String,
    },
    /// Several hosts, which cannot be used for different reasons.
    #[error("no host of the URL can be used: {text}")]
    Hosts {
        /// The reason of each host.
        text: String,
        /// Only a person can correct them.
        of_settings: bool,
    },
    /// An answer of another form.
    #[error("the database answered in another form: {0}: is the pooler in transaction mode?")]
    Answer(String),
}

impl DatabaseError {
    /// The error of an established connection.
    pub(crate) fn of_statement(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Lost(deepest(error));
        };
        let message = db.message().to_owned();
        match db.code() {
            &SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::Forbidden(message),
            code if code.code().starts_with("57P") || code.code().starts_with("08") => {
                Self::Lost(message)
            }
            code => Self::Statement { code: code.code().to_owned(), message },
        }
    }

    /// The error of a connection that was not established.
    pub(crate) fn of_connection(error: &tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let message = db.message().to_owned();
            let code = db.code().code();
            return match code {
                "3D000" => Self::UnknownDatabase(message),
                "53300" => Self::Full(message),
                "42501" => Self::Forbidden(message),
                _ if code.starts_with("28") => Self::Refused(message),
                _ => Self::Unreachable(message),
            };
        }
        let text = deepest(error);
        let whole = error.to_string();
        if text.contains("read only") || text.contains("does not allow writes") {
            Self::ReadOnly
        } else if whole.contains("TLS") || is_tls(error) {
            Self::Tls(text)
        } else if whole.contains("password") || whole.contains("authentication") {
            Self::Refused(text)
        } else {
            Self::Unreachable(text)
        }
    }

    /// The error of a connection to none of the hosts, each of which has an error.
    pub(crate) fn of_hosts(errors: &[(String, Self)]) -> Self {
        let Some((_, first)) = errors.first() else { return Self::Unreachable("no host".into()) };
        if errors.iter().all(|(_, error)| error.is_alike(first)) {
            return first.clone();
        }
        let of_settings = errors.iter().all(|(_, error)| error.is_of_settings());
        let texts: Vec<_> = errors.iter().map(|(host, error)| format!("{host}: {error}")).collect();
        Self::Hosts { text: texts.join("; "), of_settings }
    }

    /// Another transaction was in the way: the same statement may succeed at once.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Statement { code, .. } if code == "40P01" || code == "40001")
    }

    /// It has the same reason, so it need not be logged again.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Timeout(_), Self::Timeout(_)) => true,
            (one, other) => one == other,
        }
    }

    /// A lock was not free in time.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Statement { code, .. } if code == "55P03")
    }

    /// A value is the reason: other rows of the same statement may succeed.
    pub(crate) fn is_of_data(&self) -> bool {
        let of_data =
            |code: &str| code.starts_with("22") || code.starts_with("23") || code.starts_with("54");
        matches!(self, Self::Statement { code, .. } if of_data(code))
    }

    /// Only a person can correct it, in the URL or in the database.
    pub(crate) const fn is_of_settings(&self) -> bool {
        matches!(
            self,
            Self::Hosts { of_settings: true, .. }
                | Self::Tls(_)
                | Self::Refused(_)
                | Self::UnknownDatabase(_)
                | Self::Forbidden(_)
                | Self::Version(_)
                | Self::Isolation(_)
                | Self::SynchronousCommit(_)
                | Self::NoTables(_)
                | Self::Layout { .. }
        )
    }

    /// The connection can be used for further statements.
    pub(crate) const fn keeps_connection(&self) -> bool {
        matches!(self, Self::Statement { .. } | Self::Forbidden(_) | Self::Warned(_))
    }
}

fn is_tls(error: &tokio_postgres::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is::<rustls::Error>()
            || io.is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        source = inner.source();
    }
    false
}

/// The words of the innermost error, which say most.
fn deepest(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(errors: [DatabaseError; 2]) -> DatabaseError {
        DatabaseError::of_hosts(
            &["a:1", "b:2"].map(str::to_owned).into_iter().zip(errors).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn hosts_with_one_reason_have_its_text() {
        assert_eq!(
            hosts([DatabaseError::ReadOnly, DatabaseError::ReadOnly]),
            DatabaseError::ReadOnly
        );
    }

    #[test]
    fn hosts_with_two_reasons_are_named_with_both() {
        let text = hosts([DatabaseError::ReadOnly, DatabaseError::Unreachable("refused".into())])
            .to_string();
        assert!(text.contains("a:1: the database accepts no writes"), "{text}");
        assert!(text.contains("b:2: the database is not reachable: refused"), "{text}");
    }

    #[test]
    fn hosts_of_which_one_may_return_are_tried_soon() {
        let (wrong, gone) =
            (DatabaseError::Refused("no".into()), DatabaseError::Unreachable("no".into()));
        assert!(!hosts([wrong.clone(), gone]).is_of_settings());
        assert!(hosts([wrong, DatabaseError::Tls("no".into())]).is_of_settings());
    }
}
