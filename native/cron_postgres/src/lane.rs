//! A lane: a connection of its own, on which one statement at a time is under way, so that a slow
//! statement of one kind does not delay those of another. It connects when a statement needs it.

use crate::connection::Connection;
use crate::connector::Connector;
use crate::error::DatabaseError;
use crate::health::Health;
use crate::lane_kind::LaneKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often a statement is tried again at once, if another transaction was in the way.
const ATTEMPTS: u32 = 5;
/// The first delay after a connection failed. It doubles up to the lane's bound.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// A lane.
pub(crate) struct Lane {
    kind: LaneKind,
    connector: Arc<Connector>,
    health: Arc<Health>,
    connection: Option<Connection>,
    /// Connections that failed since the last good one.
    failures: u32,
    /// No connection is tried before.
    not_before: Instant,
    /// The longest delay between two connections.
    longest_delay: Duration,
}

impl Lane {
    pub(crate) fn new(
        kind: LaneKind,
        connector: Arc<Connector>,
        health: Arc<Health>,
        longest_delay: Duration,
    ) -> Self {
        let not_before = Instant::now();
        Self { kind, connector, health, connection: None, failures: 0, not_before, longest_delay }
    }

    /// Executes a statement within `limit`, to which the time to connect does not count: on a slow
    /// network a connection takes as long as many statements. After that the connection is dropped:
    /// the server may still execute the statement.
    pub(crate) async fn run<T>(
        &mut self,
        limit: Duration,
        statement: impl AsyncFn(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let began = Instant::now();
        let answer = self.execute(limit, statement).await;
        if answer.as_ref().is_err_and(|error| !error.keeps_connection()) {
            self.connection = None;
        }
        self.health.noted(self.kind, began.elapsed(), answer.as_ref().err());
        answer
    }

    async fn execute<T>(
        &mut self,
        limit: Duration,
        statement: impl AsyncFn(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let connection = self.connected().await?;
        let attempts = async {
            let mut attempt = 1;
            loop {
                match statement(connection).await {
                    Err(error) if error.is_conflict() && attempt < ATTEMPTS => attempt += 1,
                    answer => return answer,
                }
                sleep(Duration::from_millis(fastrand::u64(1..10))).await;
            }
        };
        timeout(limit, attempts).await.unwrap_or(Err(DatabaseError::Timeout(limit)))
    }

    async fn connected(&mut self) -> Result<&Connection, DatabaseError> {
        if self.connection.as_ref().is_some_and(Connection::is_closed) {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn connect(&mut self) -> Result<Connection, DatabaseError> {
        sleep_until(self.not_before).await;
        let delay = FIRST_DELAY.saturating_mul(1 << self.failures.min(16)).min(self.longest_delay);
        // At random, so that the nodes do not connect at the same time after an outage.
        self.not_before = Instant::now() + delay.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.failures = self.failures.saturating_add(1);
        let connected = self.connector.connect(self.kind == LaneKind::Protocol).await;
        if connected.as_ref().is_err_and(DatabaseError::is_of_settings) {
            // Until a person corrects it, each attempt fails, and is an entry in the server's log.
            self.not_before += self.longest_delay * 4;
        }
        let connection = connected?;
        self.failures = 0;
        self.not_before = Instant::now();
        Ok(connection)
    }
}
