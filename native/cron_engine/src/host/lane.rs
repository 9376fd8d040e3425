//! The two lanes of fetches: the fast lane, and the slow lane for fetches that may take long.

/// A lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Fast,
    Slow,
}

impl Lane {
    pub(crate) const BOTH: [Self; 2] = [Self::Fast, Self::Slow];
}

/// A value for each lane.
#[derive(Debug, Default)]
pub(crate) struct PerLane<T> {
    pub(crate) fast: T,
    pub(crate) slow: T,
}

impl<T> PerLane<T> {
    pub(crate) const fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        }
    }

    pub(crate) const fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Fast => &mut self.fast,
            Lane::Slow => &mut self.slow,
        }
    }
}
