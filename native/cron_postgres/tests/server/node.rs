//! A node whose monitors are only noted, and what the tests wait for.

use cron_cluster::{SHARDS, ShardId, Stake, shard_of};
use cron_engine::ProcessId;
use cron_postgres::{
    Acked, Answer, Cluster, Known, Owner, ProcessRow, Request, RequestError, Settings, Start,
    Status,
};
use postgres_server::{DEADLINE, Server};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Short, but long enough for a busy machine: a statement has a quarter of it.
pub(crate) const TTL: Duration = Duration::from_secs(4);

/// What a node has heard.
#[derive(Default)]
pub(crate) struct Told {
    /// The owned shards that were read, with their processes.
    pub(crate) shards: Mutex<BTreeMap<Stake, Vec<ProcessRow>>>,
    pub(crate) lost: Mutex<Vec<Stake>>,
    pub(crate) stopped: Mutex<Vec<Stake>>,
    pub(crate) left: OnceLock<()>,
    cluster: OnceLock<Cluster>,
}

impl Owner for Told {
    fn read(&self, stake: Stake, _: i64, processes: Vec<ProcessRow>) {
        self.shards.lock().unwrap().insert(stake, processes);
    }

    fn lost(&self, stakes: &[Stake]) {
        self.shards.lock().unwrap().retain(|stake, _| !stakes.contains(stake));
        self.lost.lock().unwrap().extend(stakes);
    }

    /// There is nothing to complete.
    fn stop(&self, stakes: &[Stake]) {
        self.shards.lock().unwrap().retain(|stake, _| !stakes.contains(stake));
        self.stopped.lock().unwrap().extend(stakes);
        for stake in stakes {
            self.cluster.wait().stopped(*stake);
        }
    }

    fn left(&self) {
        self.left.set(()).unwrap();
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) told: Arc<Told>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cluster.halt();
    }
}

impl Node {
    pub(crate) fn start(url: &str, name: &str) -> Self {
        let told = Arc::new(Told::default());
        let settings = Settings { url: url.parse().unwrap(), name: name.into(), ttl: TTL };
        let cluster = Cluster::start(settings, Arc::clone(&told) as Arc<dyn Owner>).unwrap();
        assert!(told.cluster.set(cluster.clone()).is_ok());
        Self { cluster, told }
    }

    /// A node that owns all shards and has read them.
    pub(crate) fn alone(url: &str) -> Self {
        let node = Self::start(url, "alone");
        until("it owns everything", || node.read() == usize::from(SHARDS));
        node
    }

    pub(crate) fn status(&self) -> Status {
        self.cluster.status()
    }

    /// The number of shards that its owner has read.
    pub(crate) fn read(&self) -> usize {
        self.told.shards.lock().unwrap().len()
    }

    pub(crate) fn ask(&self, request: Request) -> Result<Answer, RequestError> {
        let (sender, answer) = channel();
        self.cluster.request(request, move |answer| sender.send(answer).unwrap());
        answer.recv_timeout(DEADLINE).expect("an answer in time")
    }

    pub(crate) fn begin(&self, process: ProcessId) {
        let start = Start {
            process,
            options: b"options".into(),
            position: b"0".into(),
            known: Known::Restart,
        };
        assert_eq!(self.ask(Request::Start(vec![start])), Ok(Answer::ChangedEach(vec![true])));
    }

    /// The row of a process, as the owner has read it last.
    pub(crate) fn row(&self, process: ProcessId) -> Option<(Stake, ProcessRow)> {
        let shards = self.told.shards.lock().unwrap();
        let in_shard = shards.iter().find(|(stake, _)| stake.shard == shard_of(&process, SHARDS));
        let (stake, rows) = in_shard?;
        let row = rows.iter().find(|row| row.process == process)?;
        Some((*stake, row.clone()))
    }

    /// Waits until the owner has read a row of a process for which something is the case.
    pub(crate) fn seen(
        &self,
        process: ProcessId,
        is: impl Fn(&ProcessRow) -> bool,
    ) -> (Stake, ProcessRow) {
        let mut seen = None;
        until("the owner reads it", || {
            seen = self.row(process).filter(|(_, row)| is(row));
            seen.is_some()
        });
        seen.unwrap()
    }

    /// An ack of a process, in the generation that the owner has read.
    pub(crate) fn acked(&self, process: ProcessId, seq: i64) -> Acked {
        let (stake, row) = self.seen(process, |_| true);
        Acked {
            process,
            stake,
            generation: row.generation,
            seq,
            position: seq.to_string().into_bytes(),
            last_letter: 0,
            letters: Vec::new(),
        }
    }
}

/// The URL of a database of the server, without encryption.
pub(crate) fn url(server: &Server, database: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", server.port())
}

/// The URL of a new database of the shared server. The server runs as long as the first is there.
pub(crate) fn fresh() -> (Arc<Server>, String) {
    let server = Server::shared();
    let database = server.create_database();
    let url = url(&server, &database);
    (server, url)
}

pub(crate) fn process(number: usize) -> ProcessId {
    ProcessId::new(format!("{number:0>43}").as_bytes()).unwrap()
}

pub(crate) const fn stake(shard: u16, epoch: i64) -> Stake {
    Stake { shard: ShardId(shard), epoch }
}

/// Waits until something is the case.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}
