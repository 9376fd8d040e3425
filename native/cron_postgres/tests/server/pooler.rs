//! Nodes behind `PgBouncer` in transaction mode, with fewer connections than they use.

use crate::node::{Node, process, until};
use cron_cluster::{SHARDS, Verdict};
use cron_postgres::{Answer, Outcome, Request};
use postgres_server::Server;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;

struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).map(|directory| directory.join("pgbouncer"));
    named.chain([PathBuf::from("/usr/sbin/pgbouncer")]).find(|program| program.exists())
}

fn start(program: &Path, server: &Server) -> (Pooler, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let users = server.directory().join("users");
    std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
         pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n",
        server.port(),
        users.display(),
    );
    let file = server.directory().join("pgbouncer.ini");
    std::fs::write(&file, settings).unwrap();
    let mut command = server.command(program);
    let log = std::fs::File::create(server.directory().join("pgbouncer.log")).unwrap();
    (Pooler(command.arg(&file).stderr(log).spawn().unwrap()), port)
}

#[test]
fn nodes_behind_a_pooler_in_transaction_mode_share_and_save() {
    let Some(program) = program() else {
        println!("skipped: pgbouncer is not installed; make test-all installs it");
        return;
    };
    let server = Server::start(&["fsync=off"], &[]);
    let database = server.create_database();
    let (_pooler, port) = start(&program, &server);
    let url = format!("postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable");
    let nodes = ["a", "b"].map(|name| Node::start(&url, name));
    until("the shards are even", || {
        nodes.iter().all(|node| node.read() == usize::from(SHARDS / 2) && node.status().moving == 0)
    });
    for number in 0..20 {
        nodes[number % 2].begin(process(number));
    }
    let saved = |number| vec![(process(number), Outcome::Judged(Verdict::Saved))];
    for number in 0..20 {
        let mut owner = 0;
        until("one has read it", || {
            owner = usize::from(nodes[0].row(process(number)).is_none());
            nodes[owner].row(process(number)).is_some()
        });
        let acked = nodes[owner].acked(process(number), 1);
        assert_eq!(nodes[owner].cluster.commit(vec![acked]), Ok(saved(number)));
    }
    let Ok(Answer::Cluster(rows, totals)) = nodes[0].ask(Request::Cluster) else { panic!() };
    assert_eq!((rows.len(), totals.processes), (2, 20));
}
