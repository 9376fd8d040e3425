//! Interprets bytes as the body of a CU's answer. The checks hold for every body. Add failing
//! inputs to `seeds/page`, which every `cargo test` replays.
#![no_main]

#[path = "../../../../native/cron_engine/tests/all/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    checks::page::check(body);
});
