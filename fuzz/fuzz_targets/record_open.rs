//! libFuzzer drives the target `record_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xdtls_fuzz_targets::run("record_open", data));
