//! What Erlang passes in maps. The Erlang side has checked everything and knows the defaults;
//! what is checked here again is what would do harm if it were wrong.

use crate::atoms;
use cron_engine::{Cursor, Position};
use cron_io::Limits;
use rustler::{Atom, Binary, Error, NifMap, NifResult, Term};
use std::time::Duration;

/// The options of an engine.
#[derive(NifMap)]
pub(crate) struct EngineOptions {
    pub(crate) max_inflight: u32,
}

/// The options of a monitor.
#[derive(NifMap)]
pub(crate) struct MonitorOptions<'a> {
    pub(crate) process: Binary<'a>,
    /// In milliseconds, as all times here.
    pub(crate) rate: u32,
    pub(crate) cursor: Term<'a>,
    pub(crate) nodes: Vec<Binary<'a>>,
    pub(crate) page_limit: u32,
    pub(crate) connect_timeout: u32,
    pub(crate) timeout: u32,
    pub(crate) max_page_bytes: u32,
}

impl MonitorOptions<'_> {
    /// Where to begin: `undefined`, `earliest` or a cursor.
    pub(crate) fn position(&self) -> NifResult<Position> {
        if let Ok(atom) = self.cursor.decode::<Atom>() {
            if atom == atoms::undefined() {
                return Ok(Position::Unresolved);
            }
            if atom == atoms::earliest() {
                return Ok(Position::Earliest);
            }
            return Err(Error::BadArg);
        }
        let bytes = self.cursor.decode::<Binary<'_>>()?;
        Cursor::new(&bytes).map(Position::After).map_err(|_| Error::BadArg)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connect: Duration::from_millis(self.connect_timeout.into()),
            total: Duration::from_millis(self.timeout.into()),
            max_bytes: self.max_page_bytes.into(),
        }
    }
}
