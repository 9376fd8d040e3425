//! A session: a `psql` that executes one statement at a time, so that a statement can wait for a lock
//! while another session goes on.

use cron_cluster::schema;
use cron_cluster::sql::{self, letters, listing, starts, wishes};
use postgres_server::{DEADLINE, Server};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The statements, each with the name by which a session executes it.
const STATEMENTS: &[(&str, &str)] = &[
    ("join", sql::JOIN),
    ("renew", sql::RENEW),
    ("look", sql::LOOK),
    ("watch", sql::WATCH),
    ("claim", sql::CLAIM),
    ("give", sql::GIVE),
    ("bury", sql::BURY),
    ("unblock", sql::UNBLOCK),
    ("retire", sql::RETIRE),
    ("commit", sql::COMMIT),
    ("ask", sql::ASK),
    ("read", sql::READ),
    ("start", starts::START),
    ("resume", starts::RESUME),
    ("add", starts::ADD),
    ("stop", wishes::STOP),
    ("seen", wishes::SEEN),
    ("expire", wishes::EXPIRE),
    ("ended", wishes::ENDED),
    ("forget", wishes::FORGET),
    ("set_options", wishes::SET_OPTIONS),
    ("ask_to_poll", wishes::ASK_TO_POLL),
    ("import", wishes::IMPORT),
    ("import_letters", wishes::IMPORT_LETTERS),
    ("wish", letters::WISH),
    ("wished", letters::WISHED),
    ("redelivered", letters::REDELIVERED),
    ("refuse", letters::REFUSE),
    ("discard", letters::DISCARD),
    ("letters", letters::LETTERS),
    ("owned", letters::OWNED),
    ("find", listing::FIND),
    ("list", listing::LIST),
    ("marks", listing::MARKS),
    ("nodes", listing::NODES),
    ("layout", schema::READ_LAYOUT),
];

/// What is printed after the answer to a statement.
const END: &str = "== end ==";

pub(crate) struct Session {
    psql: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    pub(crate) pid: String,
}

impl Session {
    /// A session that knows the statements.
    pub(crate) fn new(server: &Server, database: &str) -> Self {
        let mut session = Self::bare(server, database);
        for (name, statement) in STATEMENTS {
            assert_eq!(session.run(&format!("PREPARE {name}_ AS {statement}")), "", "{name}");
        }
        session
    }

    /// A session without tables.
    pub(crate) fn bare(server: &Server, database: &str) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut psql = server.psql(database);
        let errors = writer.try_clone().expect("a pipe");
        psql.stdin(Stdio::piped()).stdout(writer).stderr(errors);
        let mut child = psql.spawn().expect("psql runs");
        // The command has the writing ends of the pipe.
        drop(psql);
        let input = child.stdin.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut session = Self { psql: child, input, lines, pid: String::new() };
        session.pid = session.run("SELECT pg_backend_pid()");
        session
    }

    /// Sends a statement.
    pub(crate) fn send(&mut self, statement: &str) {
        writeln!(self.input, "{statement};\n\\echo {END}").expect("psql runs");
    }

    /// The answer to the statement that was sent.
    pub(crate) fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line == END => return answer.join("\n"),
                Ok(line) => answer.push(line),
                Err(error) => panic!("no answer, but {answer:?}: {error}"),
            }
        }
    }

    /// Executes a statement.
    pub(crate) fn run(&mut self, statement: &str) -> String {
        self.send(statement);
        self.answer()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.psql.kill());
        drop(self.psql.wait());
    }
}
