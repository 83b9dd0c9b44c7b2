//! libFuzzer drives the target `af_xdp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xdtls_fuzz_targets::run("af_xdp", data));
