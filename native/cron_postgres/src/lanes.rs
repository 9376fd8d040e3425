//! The lanes of a node: each is a task that carries out its jobs one after the other, and reports to
//! the driver.

use crate::asked::Asked;
use crate::connector::Connector;
use crate::cursors::{self, Acked, Outcome};
use crate::error::DatabaseError;
use crate::input::Input;
use crate::lane::Lane;
use crate::lane_kind::LaneKind;
use crate::process_row;
use crate::protocol;
use crate::random;
use crate::requests;
use crate::shared::Shared;
use cron_cluster::{Action, Event, Incarnation, Stake, Verdict};
use cron_engine::ProcessId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

/// Reads and requests may take this long, even if the TTL is shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// The outcome of each row of a commit.
pub(crate) type Committed = Result<Vec<(ProcessId, Outcome)>, CommitError>;

/// Why a commit has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// This node has no incarnation: it joins, or was buried and joins again. What it acked before is
    /// not its own any more.
    #[error("this node has not joined the cluster: commit again what it holds then")]
    NotJoined,
    /// This node has left the cluster, or the thread of the cluster was started again.
    #[error("this node has left the cluster, or began anew: commit again what it holds then")]
    Interrupted,
    /// The database has not answered. A part may be saved: commit again everything that is held
    /// then.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A commit, and where its outcome goes.
pub(crate) struct Commit {
    pub(crate) acked: Vec<Acked>,
    pub(crate) reply: SyncSender<Committed>,
}

/// What all lanes need.
#[derive(Clone)]
pub(crate) struct Depot {
    pub(crate) connector: Arc<Connector>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: Arc<str>,
    pub(crate) ttl: Duration,
    pub(crate) inputs: UnboundedSender<Input>,
}

impl Depot {
    fn lane(&self, kind: LaneKind) -> Lane {
        let (connector, health) = (Arc::clone(&self.connector), Arc::clone(&self.shared.health));
        Lane::new(kind, connector, health, (self.ttl / 6).min(Duration::from_secs(5)))
    }

    fn report(&self, input: Input) {
        // The driver ends before its lanes.
        drop(self.inputs.send(input));
    }

    /// The time limit of the statements of the protocol.
    fn limit(&self) -> Duration {
        self.ttl / 4
    }

    fn me(&self) -> Option<Incarnation> {
        self.shared.published().incarnation
    }

    /// Renews.
    pub(crate) async fn renew(self, mut jobs: UnboundedReceiver<(Incarnation, bool)>) {
        let mut lane = self.lane(LaneKind::Renewals);
        while let Some((me, leaving)) = jobs.recv().await {
            let statement = async |on: &_| protocol::renew(on, me, leaving).await;
            let renewed = lane.run(self.limit(), statement).await;
            self.report(Input::Event(Event::Renewed(renewed.ok())));
        }
    }

    /// Executes the other statements of the protocol.
    pub(crate) async fn protocol(self, mut jobs: UnboundedReceiver<Action>) {
        let mut lane = self.lane(LaneKind::Protocol);
        while let Some(action) = jobs.recv().await {
            let input = self.execute(&mut lane, action).await;
            self.report(input);
        }
    }

    async fn execute(&self, lane: &mut Lane, action: Action) -> Input {
        let limit = self.limit();
        let event = match action {
            Action::Join => {
                let Some(me) = random::incarnation() else {
                    log::error!("cluster: the operating system gives no random numbers");
                    return Input::Event(Event::Joined(None));
                };
                let joined = lane.run(limit, async |on| protocol::join(on, me, &self.name).await);
                Event::Joined(joined.await.ok())
            }
            Action::Look(me) => {
                let looked = lane.run(limit, async |on| protocol::look(on, me).await).await;
                return Input::Looked(looked.ok());
            }
            Action::Watch(_) => {
                let watched = lane.run(limit, async |on| protocol::watch(on).await).await;
                Event::Watched(watched.ok())
            }
            Action::Claim(me, stakes) => {
                let claimed = lane.run(limit, async |on| protocol::claim(on, me, &stakes).await);
                Event::Claimed(claimed.await.ok())
            }
            Action::Give(me, stakes) => {
                let given = lane.run(limit, async |on| protocol::give(on, me, &stakes).await);
                Event::Given(given.await.ok())
            }
            Action::Bury(node, beat) => {
                // The lock must be waited for within the time limit.
                let patience = limit / 4;
                let buried = lane.run(limit, async |on| {
                    protocol::bury(on, (node, beat), patience, self.ttl).await
                });
                Event::Buried(buried.await.ok())
            }
            Action::Retire(me) => {
                let retired = lane.run(limit, async |on| protocol::retire(on, me).await);
                Event::Retired(retired.await.ok())
            }
            Action::Renew { .. }
            | Action::Gained(_)
            | Action::Lost(_)
            | Action::Stop(_)
            | Action::Reread(_)
            | Action::Left => return Input::Nothing,
        };
        Input::Event(event)
    }

    /// Reads the processes of shards.
    pub(crate) async fn read(self, mut jobs: UnboundedReceiver<Vec<Stake>>) {
        let mut lane = self.lane(LaneKind::Reads);
        while let Some(stakes) = jobs.recv().await {
            let limit = self.ttl.max(PATIENCE);
            let read = lane.run(limit, async |on| process_row::read(on, &stakes).await).await;
            if read.is_err() {
                // An error that comes at once must not be repeated at once.
                sleep(self.ttl / 24).await;
            }
            self.report(Input::Read(stakes, read.ok()));
        }
    }

    /// Commits.
    pub(crate) async fn commit(self, mut jobs: UnboundedReceiver<Commit>) {
        let mut lane = self.lane(LaneKind::Cursors);
        while let Some(Commit { acked, reply }) = jobs.recv().await {
            let committed = match self.me() {
                Some(me) => self.save(&mut lane, me, acked).await,
                None => Err(CommitError::NotJoined),
            };
            // The caller may have gone.
            drop(reply.send(committed));
        }
    }

    async fn save(&self, lane: &mut Lane, me: Incarnation, acked: Vec<Acked>) -> Committed {
        let stakes: BTreeMap<_, _> = acked.iter().map(|it| (it.process, it.stake)).collect();
        let outcomes = cursors::commit(lane, me, acked, self.ttl).await?;
        let mut evicted = false;
        for (process, outcome) in &outcomes {
            let (Outcome::Judged(verdict), Some(stake)) = (outcome, stakes.get(process)) else {
                continue;
            };
            match verdict {
                Verdict::Evicted => evicted = true,
                Verdict::Disowned => self.report(Input::Event(Event::Disowned(*stake))),
                Verdict::Gone => self.report(Input::Gone(*stake)),
                Verdict::Saved | Verdict::Again => {}
            }
        }
        if evicted {
            self.report(Input::Event(Event::Evicted(me)));
        }
        Ok(outcomes)
    }

    /// Carries out requests.
    pub(crate) async fn request(self, mut jobs: UnboundedReceiver<Asked>) {
        let mut lane = self.lane(LaneKind::Requests);
        while let Some(asked) = jobs.recv().await {
            let limit = self.ttl.max(PATIENCE);
            let answer = requests::carry_out(&mut lane, self.me(), &asked.request, limit).await;
            asked.answer(answer);
        }
    }
}
