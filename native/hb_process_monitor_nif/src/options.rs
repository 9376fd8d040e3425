//! The maps of options that Erlang passes. Erlang has checked them and knows the defaults. Values that could do
//! harm are checked here again.

use crate::atoms;
use cron_engine::{Cursor, Interval, Position, Timing};
use cron_io::Limits;
use rustler::{Atom, Binary, Error, NifMap, NifResult, Term};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most tags of a process. The engine distinguishes no more crons.
const MAX_CRONS: usize = 64;

/// The options of an engine.
#[derive(NifMap)]
pub(crate) struct EngineOptions<'a> {
    pub(crate) max_inflight: u32,
    pub(crate) max_buffered: u64,
    /// A path, or `false`.
    pub(crate) checkpoint: Term<'a>,
    /// A path, or `false`.
    pub(crate) cacertfile: Term<'a>,
    /// In milliseconds.
    pub(crate) checkpoint_interval: u32,
    pub(crate) dead_letters_max: u64,
    pub(crate) dead_letters_max_bytes: u64,
    /// In milliseconds; 0 for never.
    pub(crate) expire_after: u64,
    /// [`ClusterOptions`], or `false`.
    pub(crate) cluster: Term<'a>,
}

/// The options of a cluster.
#[derive(NifMap)]
pub(crate) struct ClusterOptions<'a> {
    pub(crate) url: Binary<'a>,
    pub(crate) name: Binary<'a>,
    /// In milliseconds.
    pub(crate) ttl: u32,
}

/// The path in an option; `None` for `false`.
pub(crate) fn path(option: Term<'_>) -> NifResult<Option<PathBuf>> {
    if option.decode::<bool>().is_ok_and(|on| !on) {
        return Ok(None);
    }
    let path: Binary<'_> = option.decode()?;
    Ok(Some(OsStr::from_bytes(&path).into()))
}

/// The options of a cluster; `None` for `false`.
pub(crate) fn cluster_options(option: Term<'_>) -> NifResult<Option<ClusterOptions<'_>>> {
    if option.decode::<bool>().is_ok_and(|on| !on) {
        return Ok(None);
    }
    option.decode().map(Some).map_err(|_| Error::BadArg)
}

/// A list of binaries. The length comes first: rustler panics at the end of an improper list.
pub(crate) fn binaries(list: Term<'_>) -> NifResult<Vec<Binary<'_>>> {
    list.list_length()?;
    list.decode()
}

/// The crons of a process, from the values of its tags `Cron-Interval`.
pub(crate) fn crons(tags: Term<'_>) -> NifResult<Arc<[Interval]>> {
    if tags.list_length()? > MAX_CRONS {
        return Err(Error::BadArg);
    }
    // A tag that is no text is unreadable for a CU, too.
    let read = |tag: &[u8]| Interval::read(std::str::from_utf8(tag).unwrap_or_default());
    Ok(binaries(tags)?.iter().map(|tag| read(tag)).collect())
}

/// A starting point: `undefined`, `earliest` or a cursor.
pub(crate) fn position(term: Term<'_>) -> NifResult<Position> {
    match term.decode::<Atom>() {
        Ok(atom) if atom == atoms::undefined() => Ok(Position::Unresolved),
        Ok(atom) if atom == atoms::earliest() => Ok(Position::Earliest),
        Ok(_) => Err(Error::BadArg),
        Err(_) => {
            let bytes: Binary<'_> = term.decode()?;
            Cursor::new(&bytes).map(Position::After).map_err(|_| Error::BadArg)
        }
    }
}

/// The options of a monitor.
#[derive(NifMap)]
pub(crate) struct MonitorOptions<'a> {
    pub(crate) process: Binary<'a>,
    /// In milliseconds, as all times of a monitor.
    pub(crate) rate: u32,
    pub(crate) cursor: Term<'a>,
    pub(crate) nodes: Term<'a>,
    pub(crate) page_limit: u32,
    pub(crate) connect_timeout: u32,
    pub(crate) first_byte_timeout: u32,
    pub(crate) timeout: u32,
    pub(crate) max_page_bytes: u32,
    pub(crate) walk_after: u32,
    /// `expected` or `rate`.
    pub(crate) poll: Atom,
    /// The longest time without a request, while results are expected.
    pub(crate) poll_max_gap: u32,
    /// How old a cursor of the checkpoint may be; 0 for any age.
    pub(crate) stale_after: u64,
    /// How far ahead of the clock a result may be dated; 0 for any time.
    pub(crate) max_ahead: u64,
    /// Whether the checkpoint's position is preferred to `cursor`.
    pub(crate) go_on: bool,
    /// Whether the monitor is paused.
    pub(crate) paused: bool,
    /// The options that the checkpoint keeps. Erlang alone reads them.
    pub(crate) kept: Binary<'a>,
}

impl MonitorOptions<'_> {
    /// Where to begin: `undefined`, `earliest` or a cursor.
    pub(crate) fn position(&self) -> NifResult<Position> {
        position(self.cursor)
    }

    /// When it asks.
    pub(crate) fn timing(&self) -> NifResult<Timing> {
        if self.poll == atoms::rate() {
            return Ok(Timing::Rate);
        }
        if self.poll != atoms::expected() {
            return Err(Error::BadArg);
        }
        Ok(Timing::Expected { max_gap: Duration::from_millis(self.poll_max_gap.into()) })
    }

    pub(crate) fn max_ahead(&self) -> Option<Duration> {
        (self.max_ahead > 0).then(|| Duration::from_millis(self.max_ahead))
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connect: Duration::from_millis(self.connect_timeout.into()),
            first_byte: Duration::from_millis(self.first_byte_timeout.into()),
            total: Duration::from_millis(self.timeout.into()),
            max_bytes: self.max_page_bytes.into(),
        }
    }
}
