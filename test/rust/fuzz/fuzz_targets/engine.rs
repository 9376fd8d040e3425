//! Bytes as a run of an engine: who registers, what is answered, when time goes by. What must be true
//! of any run is in the checks; what is found goes into `seeds/engine`, where every `cargo test`
//! plays it.
#![no_main]

#[path = "../../../../native/cron_engine/tests/all/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|run: checks::steps::Run| {
    checks::engine::check(&run);
});
