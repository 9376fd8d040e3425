//! What may happen to an engine, as the fuzzer or a property test makes it up: every event that its
//! caller may give it, in any order, on a clock that only goes forward. Numbers are small, so that different steps
//! meet the same monitors and hosts; what they mean is decided in `engine.rs`.

use arbitrary::Arbitrary;

/// A whole run.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct Run {
    pub(crate) max_inflight: u8,
    /// In pages of [`PAGE_BYTES`](super::engine::PAGE_BYTES); 255 for no limit.
    pub(crate) max_buffered: u8,
    /// Whether the checkpoint takes its time; one in memory does not.
    pub(crate) checkpoint: bool,
    pub(crate) seed: u8,
    pub(crate) steps: Vec<Step>,
}

/// One of the monitors that there are.
pub(crate) type Which = u8;

/// One thing that happens.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Step {
    Register {
        start: Start,
        durable: bool,
        rate: u8,
        nodes: Nodes,
        page_limit: u8,
        walk_after: u8,
    },
    Poll(Which),
    Saved(Which),
    Acked(Which, Ack),
    Moved(Which, Nodes),
    Removed(Which),
    /// One of the fetches under way ends.
    Fetched(u8, Answer),
    /// Some ms pass, and the driver does not ask whether anything is due.
    Wait(u16),
    /// The clock reaches what is planned next.
    Due,
    /// And goes past it by so many ms.
    Late(u16),
    /// Something is said of a monitor that is gone.
    Stray(Stray),
    /// The same answer twice: the second one is taken by the fetch that came in between, if any. This
    /// and what else is skipped are left to the property test: with a variant more the fuzzer's seeds
    /// would mean something else.
    #[arbitrary(skip)]
    Twice(u8, Answer),
    /// From now on this host gives nothing but failures, or no more.
    #[arbitrary(skip)]
    Down(u8, bool),
}

/// Where a monitor begins.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Start {
    Unresolved,
    Earliest,
    /// After the result of this second.
    After(u8),
    Opaque,
}

/// One to three hosts of five, which may be the same.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct Nodes(pub(crate) u8, pub(crate) Option<u8>, pub(crate) Option<u8>);

/// What a monitor has pushed.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Ack {
    /// The oldest page.
    Page,
    /// All it has.
    All,
    /// This many edges more.
    Some(u8),
    /// What it said before.
    Again,
}

/// How a fetch ends.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Answer {
    /// With results, in this many seconds of their time, if it was asked for any; with none else.
    Page {
        edges: u8,
        seconds: u8,
        pages_of_bytes: u8,
        /// The monitor has acked all of it before the engine gets the page.
        acked_first: bool,
    },
    Empty,
    /// A cursor that lies so many seconds ahead, if that was asked for.
    Ahead(u8),
    /// With something that was not asked for.
    Unasked(u8),
    TooSlow,
    /// With a cursor that says no time, if one was asked for.
    #[arbitrary(skip)]
    Opaque,
    Failed {
        class: u8,
        retry_after: Option<u8>,
    },
}

/// What comes too late, or twice.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Stray {
    Poll,
    Saved,
    Acked(u64),
    Moved(Nodes),
    Removed,
    Fetched,
}
