//! libFuzzer drives the target `replay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xdtls_fuzz_targets::run("replay", data));
