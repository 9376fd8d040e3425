//! What has really been pushed, outside all nodes and the database, and the invariants of it.

use super::database::Change;
use super::monitor::MIN_PUSH;
use cron_cluster::UNSAVED_LIMIT;
use std::collections::BTreeMap;

/// What acks within the limit may amount to, and the push that was under way.
const MAX_REPEATED: u128 = UNSAVED_LIMIT.as_micros() / MIN_PUSH.as_micros() + 2;

/// All processes.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) processes: Vec<Process>,
    /// The database has lost commits: what nodes hold may be wrong until they look again.
    pub(crate) rolled_back: bool,
    /// A node's clock has stood still while others went on, as after a hypervisor's pause.
    pub(crate) hidden_pause: bool,
}

/// A process: the number of its results, and what was pushed in each generation.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) results: u64,
    generations: BTreeMap<i64, Pushed>,
}

#[derive(Debug, Clone, Copy)]
struct Pushed {
    /// The number of the last result before the start.
    base: u64,
    /// The highest number whose push began.
    begun: u64,
    /// The highest number whose push has ended.
    ended: u64,
}

impl Truth {
    /// A push begins. Returns whether it is a repetition.
    pub(crate) fn begun(&mut self, process: usize, generation: i64, number: u64) -> bool {
        let pushed = self.pushed(process, generation);
        assert!(number <= pushed.begun + 1, "a result was skipped");
        let repeated = number <= pushed.begun;
        pushed.begun = pushed.begun.max(number);
        repeated
    }

    /// A push ends.
    pub(crate) fn ended(&mut self, process: usize, generation: i64, number: u64) {
        let pushed = self.pushed(process, generation);
        pushed.ended = pushed.ended.max(number);
    }

    /// A monitor starts at a position. Returns the number of results that it repeats.
    pub(crate) fn started(&mut self, process: usize, generation: i64, position: u64) -> u64 {
        let strict = !self.rolled_back && !self.hidden_pause;
        let repeats = self.pushed(process, generation).begun.saturating_sub(position);
        assert!(!strict || u128::from(repeats) <= MAX_REPEATED, "{repeats} results are repeated");
        repeats
    }

    /// A row of the database has changed.
    pub(crate) fn committed(&mut self, change: &Change) {
        let Some(after) = change.after else { return };
        let before = change.before.filter(|before| before.generation == after.generation);
        let Some(before) = before else {
            let at = after.position;
            let pushed = Pushed { base: at, begun: at, ended: at };
            self.processes[change.process].generations.insert(after.generation, pushed);
            return;
        };
        let pushed = *self.pushed(change.process, after.generation);
        assert!(after.position >= before.position, "a cursor went back: {before:?} to {after:?}");
        assert!(after.position <= pushed.ended, "a cursor passed a result that was not pushed");
        let seq = u64::try_from(after.seq).expect("seqs are positive");
        assert_eq!(after.position, pushed.base + seq, "a cursor of another generation");
    }

    /// The highest number whose push has ended.
    pub(crate) fn last(&self, process: usize, generation: i64) -> u64 {
        self.processes[process].generations.get(&generation).map_or(0, |pushed| pushed.ended)
    }

    fn pushed(&mut self, process: usize, generation: i64) -> &mut Pushed {
        let generations = &mut self.processes[process].generations;
        generations.get_mut(&generation).expect("a generation that was started")
    }
}
