//! Private PostgreSQL servers for tests: a temporary directory, a Unix socket and a port of the
//! loopback interface, an unprivileged user. A server runs as long as a test uses it. `make setup`
//! installs PostgreSQL.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail by a panic"
)]

mod processes;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_mins(1);

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A server.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    /// Where the programs are.
    programs: PathBuf,
    user: Option<u32>,
    port: u16,
    settings: Vec<String>,
    /// `None` while it is killed.
    postgres: Mutex<Option<Child>>,
}

impl Server {
    /// The server that other tests use, or a new one.
    pub fn shared() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(&["fsync=off", "deadlock_timeout=100ms"], &[]));
            *running = Arc::downgrade(&server);
            server
        })
    }

    /// A new server with these settings, each `name=value`, and files in its data directory.
    #[must_use]
    pub fn start(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("cron_postgres-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a temporary directory");
        let user = unprivileged(&directory);
        chown(&directory, user, None).expect("a directory of one's own");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let settings = settings.iter().map(ToString::to_string).collect();
        let postgres = Mutex::new(None);
        let server = Self { directory, programs: programs(), user, port, settings, postgres };
        let data = server.directory.join("data");
        let options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        let initialised = server.run_as("initdb").arg("-D").arg(&data).args(options).status();
        assert!(initialised.expect("initdb runs").success(), "initdb fails");
        for (name, content) in files {
            let file = data.join(name);
            fs::write(&file, content).expect("a file");
            chown(&file, user, None).expect("a file of one's own");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("permissions");
        }
        server.run();
        server
    }

    /// A command that runs as the user of the server.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user);
        }
        command
    }

    fn run_as(&self, program: &str) -> Command {
        self.command(&self.programs.join(program))
    }

    /// Starts the server again after [`Server::kill`], and waits until it answers.
    pub fn run(&self) {
        let options = fs::File::options().create(true).append(true).clone();
        let log = options.open(self.directory.join("log")).expect("a log");
        let mut postgres = self.run_as("postgres");
        postgres.arg("-D").arg(self.directory.join("data")).arg("-k").arg(&self.directory);
        postgres.arg("-p").arg(self.port.to_string()).stderr(log);
        postgres.args(["-c", "listen_addresses=127.0.0.1"]);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        let began = Instant::now();
        *self.postgres() = Some(postgres.spawn().expect("postgres runs"));
        while !self.answers() {
            assert!(began.elapsed() < DEADLINE, "{}", self.log());
            // It ends at once if a process of the killed server still has the shared memory.
            if self.has_ended() {
                *self.postgres() = Some(postgres.spawn().expect("postgres runs"));
            }
        }
    }

    fn has_ended(&self) -> bool {
        let mut postgres = self.postgres();
        postgres.as_mut().is_some_and(|child| child.try_wait().expect("its status").is_some())
    }

    fn answers(&self) -> bool {
        let mut psql = self.psql("postgres");
        psql.args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null());
        psql.status().expect("psql runs").success()
    }

    /// The port of the loopback interface.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server, which ends with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A psql that connects to a database.
    #[must_use]
    pub fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=terse", "-U", "postgres"]);
        psql.arg("-p").arg(self.port.to_string());
        psql.arg("-h").arg(&self.directory).arg("-d").arg(database);
        psql
    }

    /// Executes statements, and returns the answer.
    pub fn execute(&self, database: &str, statements: &str) -> String {
        let mut psql = self.psql(database);
        psql.args(["-v", "ON_ERROR_STOP=1", "-c", statements]);
        let output = psql.output().expect("psql runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Creates a database, and returns its name.
    pub fn create_database(&self) -> String {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Suspends all processes of the server. Its kernel still accepts connections.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Kills all processes of the server.
    pub fn kill(&self) {
        self.signal("KILL");
        if let Some(mut child) = self.postgres().take() {
            drop(child.wait());
        }
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = self.postgres().as_ref() {
            processes::signal(child.id(), signal);
        }
    }

    fn postgres(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.postgres.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        let child = self.postgres().take();
        if let Some(mut child) = child {
            // A fast shutdown, which ends all sessions.
            let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            if stopped.is_ok_and(|status| status.success()) {
                drop(child.wait());
            }
        }
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// The user to run the server as, if this is root, which PostgreSQL refuses to run as.
fn unprivileged(directory: &Path) -> Option<u32> {
    let is_root = fs::metadata(directory).expect("a directory").uid() == 0;
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split(':').nth(2)?.parse().ok()
    };
    is_root.then(|| find("postgres").or_else(|| find("daemon")).expect("an unprivileged user"))
}

/// The directory of the newest version of Debian's packages, or of the `initdb` in the path.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = installed.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |directory: &PathBuf| directory.join("initdb").exists();
    let found = debian.filter(has).max().or_else(|| std::env::split_paths(&path).find(has));
    found.expect("PostgreSQL is installed: run `make setup`")
}
