//! What fuzzers do to xdtls: functions of bytes that panic where a promise is broken.
//!
//! `cargo xtask fuzz` drives them with libFuzzer; an ordinary test runs them over the corpora and
//! over random bytes.

// A fuzz target says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod af_xdp;
mod front;
mod messages_of_ours;
mod record_open;
mod records;
mod replay;

// The simulation, which the target `association` drives.
#[allow(dead_code, unused_imports)]
#[path = "../../../control/proto/tests/chaos/mod.rs"]
mod chaos;
#[allow(dead_code, unused_imports)]
#[path = "../../../control/proto/tests/support/mod.rs"]
mod support;

use std::path::Path;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of their corpora.
pub const TARGETS: [(&str, Target); 8] = [
    ("records", records::run),
    ("front", front::run),
    ("record_open", record_open::run),
    ("replay", replay::run),
    ("association", chaos::direct),
    ("af_xdp", af_xdp::run),
    ("configuration", configuration),
    ("own_messages", messages_of_ours::run),
];

/// Runs the target of this name.
///
/// # Panics
///
/// If a promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    target(data);
}

/// No text whatever makes the configuration panic, and each fault that it finds can be told.
fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(errors) = xdtls::config::Config::parse(&text, Path::new("gateway.toml")) {
        assert!(!errors.to_string().is_empty());
    }
}
