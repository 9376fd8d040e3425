//! A private server: a temporary directory, a Unix socket, an unprivileged user. It runs as long as a
//! test uses it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static STARTED: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    directory: PathBuf,
    /// Where the programs are.
    programs: PathBuf,
    postgres: Child,
}

impl Server {
    /// The server that other tests use, or a new one.
    pub(crate) fn shared() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("cron_cluster-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a temporary directory");
        let user = unprivileged(&directory);
        chown(&directory, user, None).expect("a directory of one's own");
        let programs = programs();
        let data = directory.join("data");
        let run_as = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(&directory).stdin(Stdio::null()).stdout(Stdio::null());
            if let Some(user) = user {
                command.uid(user);
            }
            command
        };
        let options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        let initialised = run_as("initdb").arg("-D").arg(&data).args(options).status();
        assert!(initialised.expect("initdb runs").success(), "initdb fails");
        let log = fs::File::create(directory.join("log")).expect("a log");
        let mut postgres = run_as("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(&directory).stderr(log);
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "deadlock_timeout=100ms",
        ]);
        let postgres = postgres.spawn().expect("postgres runs");
        let server = Self { directory, programs, postgres };
        let began = Instant::now();
        while !server.answers() {
            assert!(began.elapsed() < DEADLINE, "{}", server.log());
        }
        server
    }

    fn answers(&self) -> bool {
        let mut psql = self.psql("postgres");
        psql.args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null());
        psql.status().expect("psql runs").success()
    }

    /// A psql that is connected to a database.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=terse", "-U", "postgres"]);
        psql.arg("-h").arg(&self.directory).arg("-d").arg(database);
        psql
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fast shutdown, which ends all sessions.
        let pid = self.postgres.id().to_string();
        let stopped = Command::new("kill").args(["-INT", &pid]).status();
        if stopped.is_ok_and(|status| status.success()) {
            drop(self.postgres.wait());
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
