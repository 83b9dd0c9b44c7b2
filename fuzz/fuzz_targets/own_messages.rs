//! libFuzzer drives the target `own_messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xdtls_fuzz_targets::run("own_messages", data));
