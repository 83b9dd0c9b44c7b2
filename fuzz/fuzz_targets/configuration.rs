//! libFuzzer drives the target `configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xdtls_fuzz_targets::run("configuration", data));
