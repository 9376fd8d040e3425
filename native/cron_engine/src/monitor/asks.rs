//! Why a monitor asks when it does, for inspection. It decides nothing.

/// When a monitor asks, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// At every tick.
    EveryTick(Unexpected),
    /// From when the next result is expected.
    Expecting {
        /// The interval of its cron, in s.
        every: u32,
        /// Its time, in s since 1970.
        due: u64,
    },
    /// As rarely as it may: by the tags of the process, none of its crons ever runs.
    Rarely,
}

/// Why a result cannot be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexpected {
    /// The monitor is to ask at every tick.
    Rate,
    /// There was no result since the registration.
    NoResult,
    /// A cron runs in blocks, or its cursors do not say when it runs.
    Untimed,
    /// The process has a cron that did not run since the registration.
    Unseen,
    /// The delay of the CU is not known yet.
    Delay,
}
