//! Forwards `log` records of this project's crates to the OTP logger. Records of other crates are dropped: those
//! of an HTTP client contain requests.

use crate::outbox::{OUTBOX, Record};
use log::{LevelFilter, Log, Metadata};

/// The longest text of a record, in characters.
const MAX_TEXT: usize = 2000;

struct Forwarder;

static FORWARDER: Forwarder = Forwarder;

impl Log for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // By their common prefix, so that a new crate is included.
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        crate_name == "hb_process_monitor_nif" || crate_name.starts_with("cron_")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string().chars().take(MAX_TEXT).collect();
            let target = record.target().to_owned();
            OUTBOX.log(Record { level: record.level(), target, text });
        }
    }

    fn flush(&self) {}
}

/// Forwards records up to `level` from now on.
pub(crate) fn install(level: LevelFilter) {
    // `Err` if it is set already: the library has one logger for its life.
    let _ = log::set_logger(&FORWARDER);
    log::set_max_level(level);
}
