//! What users and operators ask of the cluster, on any node, and the answers.

use crate::cursors::NewLetter;
use crate::error::DatabaseError;
use crate::process_row::ProcessRow;
use cron_cluster::Incarnation;
use cron_engine::ProcessId;
use thiserror::Error;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start processes by few statements. The answer is [`Answer::ChangedEach`]: `false` for one that
    /// is watched already, or that is known and was to be left. If there is no answer, some of them
    /// may be started.
    Start(Vec<Start>),
    /// Stop a process. Its cursor stays. The answer is [`Answer::Changed`].
    Stop(ProcessId),
    /// The owner has ended the monitor of a stopped process of this generation. The answer is
    /// [`Answer::Changed`].
    Ended(ProcessId, i64),
    /// Forget a process and its dead letters. The answer is [`Answer::Changed`]: `false` if it is not
    /// known, or if its monitor has not ended after a stop.
    Forget(ProcessId),
    /// Replace the options of a process. The answer is [`Answer::Changed`]: `false` if it does not
    /// have this generation.
    SetOptions {
        /// The process.
        process: ProcessId,
        /// The generation of its latest start.
        generation: i64,
        /// Its options, opaque here.
        options: Vec<u8>,
    },
    /// Let the owner of a process poll at once. The answer is [`Answer::Changed`].
    AskToPoll(ProcessId),
    /// Let the owner of a process push a dead letter again. The answer is [`Answer::Wished`], by
    /// which [`Request::WishState`] says what has become of it.
    Redeliver(ProcessId, i64),
    /// What has become of a wish. The answer is [`Answer::Wish`].
    WishState {
        /// The process.
        process: ProcessId,
        /// The number of the dead letter.
        id: i64,
        /// The wish.
        wish: i64,
    },
    /// The owner has pushed a dead letter again (`Ok`), or could not (`Err` with the reason, opaque
    /// here). The answer is [`Answer::Changed`]: `false` if this node does not own the process, or if
    /// the wish is another one by now.
    Settle {
        /// The process.
        process: ProcessId,
        /// The number of the dead letter.
        id: i64,
        /// The wish.
        wish: i64,
        /// What came of it.
        outcome: Result<(), Vec<u8>>,
    },
    /// Delete dead letters. The answer is [`Answer::Changed`].
    Discard(ProcessId, Vec<i64>),
    /// Read dead letters in order. The answer is [`Answer::Letters`].
    Letters {
        /// The process.
        process: ProcessId,
        /// Those with greater numbers than this.
        after: i64,
        /// At most this many.
        letters: u16,
        /// No further ones once they add up to this many bytes.
        bytes: u32,
    },
    /// Read one dead letter. The answer is [`Answer::Letters`].
    Letter(ProcessId, i64),
    /// Count the dead letters of the shards of this node. The answer is [`Answer::LetterCount`].
    CountLetters,
    /// Find processes. The answer is [`Answer::Processes`], in order, without those that are not known.
    Find(Vec<ProcessId>),
    /// Read the marks of the shards. The answer is [`Answer::Marks`].
    Marks,
    /// List processes in order. The answer is [`Answer::Processes`].
    List {
        /// From the one after this on.
        after: Option<ProcessId>,
        /// At most this many.
        processes: u16,
    },
    /// Insert or replace a process with its dead letters. The answer is [`Answer::Changed`].
    Import(Box<Import>),
    /// Note that the cluster runs, and forget processes of own shards that were stopped before this
    /// time, in ms since the Unix epoch, and have no dead letters. To be sent about once a minute. The
    /// answer is [`Answer::Changed`]: whether a process was forgotten.
    Tidy(Option<i64>),
    /// The nodes and the totals of the cluster. The answer is [`Answer::Cluster`].
    Cluster,
}

/// What a start does with a process that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It begins anew at the position, in a new generation.
    Restart,
    /// It gets the options, and continues at its cursor.
    Continue,
    /// It is left as it is, even if it was stopped.
    Leave,
}

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The process.
    pub process: ProcessId,
    /// Its options, opaque here.
    pub options: Vec<u8>,
    /// Its position, opaque here.
    pub position: Vec<u8>,
    /// What happens if the process is known.
    pub known: Known,
}

/// A process to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The process.
    pub process: ProcessId,
    /// Whether it is monitored.
    pub watched: bool,
    /// Its options, opaque here.
    pub options: Vec<u8>,
    /// Its position, opaque here.
    pub position: Vec<u8>,
    /// When the position was saved, in ms since the Unix epoch.
    pub at: i64,
    /// Its dead letters. Those that it has in the database are deleted.
    pub letters: Vec<NewLetter>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Whether there was something to change.
    Changed(bool),
    /// The same for each of several processes, in their order.
    ChangedEach(Vec<bool>),
    /// The wish; `None`: there is no such dead letter.
    Wished(Option<i64>),
    /// What has become of a wish.
    Wish(WishState),
    /// Dead letters.
    Letters {
        /// Those that were read.
        letters: Vec<SavedLetter>,
        /// Whether there are more after these.
        more: bool,
        /// How many the process has.
        all: u64,
    },
    /// The number and the bytes of dead letters.
    LetterCount {
        /// Their number.
        letters: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Processes.
    Processes(Vec<Located>),
    /// Shards with the number of the last change in each.
    Marks(Vec<(i32, i64)>),
    /// The nodes and the totals.
    Cluster(Vec<NodeRow>, Totals),
}

/// What has become of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WishState {
    /// Nothing yet.
    Open,
    /// The dead letter is gone: it was pushed, discarded, or its process was forgotten.
    Gone,
    /// The owner could not push it. The reason is opaque here.
    Refused(Vec<u8>),
    /// Another wish has replaced it.
    Replaced,
}

/// A dead letter in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedLetter {
    /// What was saved.
    pub letter: NewLetter,
    /// It is to be redelivered.
    pub is_wished: bool,
    /// Why the owner could not push it again, if it was last tried in vain. Opaque here.
    pub reason: Option<Vec<u8>>,
}

/// A process and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The process. [`ProcessRow::wishes`] is empty.
    pub row: ProcessRow,
    /// The node that owns its shard, and its name, if it has one that is not buried.
    pub owner: Option<(Incarnation, String)>,
    /// Whether this node owns it.
    pub mine: bool,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: String,
    /// The number of its renewals.
    pub beat: i64,
    /// It stops.
    pub leaving: bool,
    /// The number of its shards.
    pub shards: u64,
}

/// Totals of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Known processes.
    pub processes: u64,
    /// Processes that are monitored.
    pub watched: u64,
    /// Dead letters.
    pub letters: u64,
    /// Shards without a living owner.
    pub orphans: u64,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Too many requests wait.
    #[error("too many requests to the cluster wait: try again later")]
    Busy,
    /// This node has left the cluster, or the thread of the cluster was started again.
    #[error(
        "this node has left the cluster, or began anew: it is unknown whether the request was carried \
         out"
    )]
    Interrupted,
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers: see getrandom(2)")]
    Random,
    /// The database has not answered. The request may have been carried out, or may be later.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
