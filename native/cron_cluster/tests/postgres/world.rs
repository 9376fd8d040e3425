//! A database with the tables, two nodes and a process, and the statements as text.

use crate::session::Session;
use cron_cluster::schema;
use postgres_server::{DEADLINE, Server};
use std::sync::Arc;
use std::time::Instant;

pub(crate) const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
pub(crate) const B: &str = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb";

/// An empty database.
pub(crate) struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        let server = Server::shared();
        let name = server.create_database();
        Self { server, name }
    }

    pub(crate) fn bare_session(&self) -> Session {
        Session::bare(&self.server, &self.name)
    }

    pub(crate) fn session(&self) -> Session {
        Session::new(&self.server, &self.name)
    }
}

/// Node A owns shard 7, in which the process `p` is started with generation 1. Node B lives.
pub(crate) struct World {
    pub(crate) database: Database,
    /// For what is not under test.
    pub(crate) other: Session,
}

impl World {
    pub(crate) fn new() -> Self {
        let database = Database::new();
        let said = database.bare_session().run(schema::CREATE);
        assert!(!said.contains("ERROR"), "{said}");
        let mut other = database.session();
        for (node, name) in [(A, "a"), (B, "b")] {
            other.run(&format!("EXECUTE join_('{node}', '{name}')"));
        }
        assert_eq!(other.run(&claim(A, 7, 0)), "7|1");
        other.run(&start(1, 0));
        Self { database, other }
    }

    pub(crate) fn session(&self) -> Session {
        self.database.session()
    }

    /// Waits until a session waits for a lock.
    pub(crate) fn blocked(&mut self, session: &Session) {
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event_type = 'Lock'",
            session.pid
        );
        let began = Instant::now();
        while self.other.run(&waits) != "1" {
            assert!(began.elapsed() < DEADLINE, "it does not wait for a lock");
        }
    }

    /// The generation, the seq and the position of the process.
    pub(crate) fn row(&mut self) -> String {
        self.other.run("SELECT generation, seq, encode(position, 'escape') FROM hb_cron.process")
    }

    /// Shard 7 passes from A to B.
    pub(crate) fn hand_over(&mut self) {
        assert_eq!(self.other.run(&give(A, 7, 1)), "7");
        assert_eq!(self.other.run(&claim(B, 7, 2)), "7|3");
    }
}

pub(crate) fn claim(me: &str, shard: u16, epoch: i64) -> String {
    format!("EXECUTE claim_('{me}', '{{{shard}}}', '{{{epoch}}}')")
}

pub(crate) fn give(me: &str, shard: u16, epoch: i64) -> String {
    format!("EXECUTE give_('{me}', '{{{shard}}}', '{{{epoch}}}')")
}

/// Saves the position after result `seq` of the process `p`, without a dead letter.
pub(crate) fn commit(me: &str, generation: i64, seq: i64) -> String {
    commit_with(me, generation, seq, ["{}"; 7])
}

/// The same with dead letters.
pub(crate) fn commit_with(me: &str, generation: i64, seq: i64, letters: [&str; 7]) -> String {
    let letters = letters.map(|array| format!("'{array}'")).join(", ");
    format!(
        "EXECUTE commit_('{me}', '{{p}}', '{{{generation}}}', '{{{seq}}}', '{{{seq}}}', '{{0}}', 5, \
         {letters})"
    )
}

pub(crate) fn start(generation: i64, position: i64) -> String {
    format!("EXECUTE start_('{{p}}', '{{7}}', {generation}, array[''::bytea], '{{{position}}}', 5)")
}
