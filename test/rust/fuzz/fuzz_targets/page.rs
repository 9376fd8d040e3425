//! Bytes as the body of a CU's answer. What must be true of any is in the checks; what is found
//! goes into `seeds/page`, where every `cargo test` plays it.
#![no_main]

#[path = "../../../../native/cron_engine/tests/all/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    checks::page::check(body);
});
