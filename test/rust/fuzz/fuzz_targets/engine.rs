//! Interprets bytes as a run of an engine: registrations, answers, passing time. The checks hold
//! for every run. Add failing inputs to `seeds/engine`, which every `cargo test` replays.
#![no_main]

#[path = "../../../../native/cron_engine/tests/all/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|run: checks::steps::Run| {
    checks::engine::check(&run);
});
