//! Who may connect, what the server must be like, and that no password is shown.

use crate::node::{Node, process, until};
use cron_cluster::{SHARDS, schema};
use cron_postgres::{CertificatesError, Cluster, Settings, StartError};
use log::{LevelFilter, Log, Metadata, Record};
use postgres_server::Server;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

const PASSWORD: &str = "open sesame";

/// The log entries of the library, and those of any crate with the password.
struct Logged(Mutex<String>);

static LOGGED: Logged = Logged(Mutex::new(String::new()));

impl Log for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let entry = record.args().to_string();
        if entry.contains("sesame") || record.target().starts_with("cron_postgres") {
            let mut all = self.0.lock().unwrap();
            all.push_str(&entry);
            all.push('\n');
        }
    }

    fn flush(&self) {}
}

/// A server that accepts encrypted connections with a password, and the certificate of its authority.
struct Secure {
    server: Server,
    authority: String,
}

/// The server that other tests use, or a new one, which runs as long as a test uses it.
fn secure() -> Arc<Secure> {
    static RUNNING: Mutex<Weak<Secure>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        drop(log::set_logger(&LOGGED));
        log::set_max_level(LevelFilter::Trace);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let files = [
            ("server.crt", certificate.as_str()),
            ("server.key", &key.serialize_pem()),
            ("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"),
        ];
        let server = Server::start(&["fsync=off", "ssl=on"], &files);
        let secure = Arc::new(Secure { server, authority });
        *running = Arc::downgrade(&secure);
        secure
    })
}

impl Secure {
    /// A database of its own, and a role of the same name that owns it.
    fn database(&self) -> String {
        let name = self.server.create_database();
        let role = format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'");
        self.server.execute("postgres", &role);
        self.server.execute("postgres", &format!("ALTER DATABASE {name} OWNER TO {name}"));
        name
    }

    fn url(&self, database: &str, host: &str, rest: &str) -> String {
        let (password, port) = (PASSWORD.replace(' ', "%20"), self.server.port());
        format!("postgresql://{database}:{password}@{host}:{port}/{database}?{rest}")
    }

    fn trusted(&self) -> String {
        let file = self.server.directory().join("ca.pem");
        std::fs::write(&file, &self.authority).unwrap();
        format!("sslrootcert={}", file.display())
    }
}

/// A node of a database that cannot be used, and why.
fn trouble(url: &str) -> String {
    let node = Node::start(url, "refused");
    until("it knows an error", || node.status().last_error.is_some());
    let shown = format!("{:?} {:?} {}", node.cluster, node.status(), LOGGED.0.lock().unwrap());
    assert!(!shown.contains("sesame"), "{shown}");
    let (error, _) = node.status().last_error.unwrap();
    assert!(LOGGED.0.lock().unwrap().contains(&error), "{error}");
    assert!(!node.cluster.lease().allows(Duration::ZERO));
    error
}

fn owns_everything(node: &Node) {
    until("it owns everything", || node.read() == usize::from(SHARDS));
}

#[test]
fn server_with_a_valid_certificate_is_accepted() {
    let secure = secure();
    let database = secure.database();
    owns_everything(&Node::start(&secure.url(&database, "127.0.0.1", &secure.trusted()), "a"));
    assert!(!LOGGED.0.lock().unwrap().contains("sesame"));
}

#[test]
fn server_with_a_certificate_for_another_name_is_refused() {
    let secure = secure();
    let error = trouble(&secure.url(&secure.database(), "localhost", &secure.trusted()));
    assert!(error.contains("not secure") && error.contains("localhost"), "{error}");
}

#[test]
fn server_of_an_unknown_authority_is_refused() {
    let secure = secure();
    let error = trouble(&secure.url(&secure.database(), "127.0.0.1", ""));
    assert!(error.contains("not secure") && error.contains("UnknownIssuer"), "{error}");
}

#[test]
fn server_of_an_unknown_authority_is_accepted_if_only_encryption_is_required() {
    let secure = secure();
    owns_everything(&Node::start(
        &secure.url(&secure.database(), "127.0.0.1", "sslmode=require"),
        "a",
    ));
}

#[test]
fn server_that_encrypts_nothing_is_refused() {
    let _logs = secure();
    let server = Server::shared();
    let database = server.create_database();
    let url = format!("postgresql://postgres@127.0.0.1:{}/{database}", server.port());
    let error = trouble(&url);
    assert!(error.contains("not secure"), "{error}");
}

#[test]
fn server_that_wants_encryption_refuses_a_connection_without() {
    let secure = secure();
    let url = secure.url(&secure.database(), "127.0.0.1", "sslmode=disable");
    let error = trouble(&url);
    assert!(error.contains("refuses the user") && error.contains("no encryption"), "{error}");
}

#[test]
fn wrong_password_is_reported_and_not_shown() {
    let secure = secure();
    let url = secure.url(&secure.database(), "127.0.0.1", &secure.trusted());
    let error = trouble(&url.replace("open", "closed"));
    assert!(error.contains("refuses the user"), "{error}");
}

#[test]
fn unknown_database_is_reported() {
    let secure = secure();
    let url = secure.url(&secure.database(), "127.0.0.1", &secure.trusted());
    let error = trouble(&url.replace('?', "_none?"));
    assert!(error.contains("_none\" does not exist: create the database"), "{error}");
}

#[test]
fn role_that_may_not_create_tables_reports_it_until_they_are_there() {
    let secure = secure();
    let database = secure.database();
    secure.server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO postgres"));
    let url = secure.url(&database, "127.0.0.1", &secure.trusted());
    let node = Node::start(&url, "clerk");
    until("it knows an error", || node.status().last_error.is_some());
    let (error, _) = node.status().last_error.unwrap();
    assert!(error.contains("no tables") && error.contains("permission denied"), "{error}");
    secure.server.execute(&database, schema::CREATE);
    let tables = "hb_cron.node, hb_cron.shard, hb_cron.process, hb_cron.letter";
    secure.server.execute(
        &database,
        &format!(
            "GRANT USAGE ON SCHEMA hb_cron TO {database};
             GRANT SELECT, UPDATE ON hb_cron.layout TO {database};
             GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {database}"
        ),
    );
    owns_everything(&node);
    node.begin(process(1));
    node.cluster.commit(vec![node.acked(process(1), 1)]).unwrap();
}

#[test]
fn server_that_would_lose_commits_is_refused() {
    let secure = secure();
    for (setting, words) in [
        ("synchronous_commit TO off", "synchronous_commit is off"),
        ("synchronous_commit TO local", "synchronous_commit is local"),
        ("default_transaction_isolation TO 'repeatable read'", "isolation of transactions"),
        ("default_transaction_read_only TO on", "accepts no writes"),
    ] {
        let database = secure.database();
        secure.server.execute("postgres", &format!("ALTER ROLE {database} SET {setting}"));
        let error = trouble(&secure.url(&database, "127.0.0.1", &secure.trusted()));
        assert!(error.contains(words), "{setting}: {error}");
    }
}

#[test]
fn tables_of_another_version_are_refused() {
    let secure = secure();
    let database = secure.database();
    secure.server.execute(&database, schema::CREATE);
    secure.server.execute(&database, "UPDATE hb_cron.layout SET version = 9");
    let grant = format!(
        "GRANT USAGE ON SCHEMA hb_cron TO {database}; GRANT SELECT ON hb_cron.layout TO {database}"
    );
    secure.server.execute(&database, &grant);
    let error = trouble(&secure.url(&database, "127.0.0.1", &secure.trusted()));
    assert!(error.contains("version 9"), "{error}");
}

#[test]
fn settings_that_cannot_be_right_are_refused_at_once() {
    let settings = |url: &str, name: &str, seconds| Settings {
        url: url.parse().unwrap(),
        name: name.into(),
        ttl: Duration::from_secs(seconds),
    };
    let start = |settings| Cluster::start(settings, Arc::new(crate::node::Told::default()));
    let (url, none) = ("postgresql://me@db/cron", "postgresql://me@db/cron?sslrootcert=/none");
    assert!(matches!(start(settings(url, "a", 0)), Err(StartError::Ttl)));
    assert!(matches!(start(settings(url, "a\n", 6)), Err(StartError::Name)));
    let unreadable = start(settings(none, "a", 6));
    let expected =
        |error: &_| matches!(error, StartError::Certificates(CertificatesError::Unreadable { .. }));
    assert!(unreadable.is_err_and(|error| expected(&error)));
}
