//! Each fuzz target over its corpus, and over random bytes: what CI runs without libFuzzer.

// Clippy allows this in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use xdtls_fuzz_targets::{TARGETS, run};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Runs a target over its corpus, over altered pieces of it, and over random bytes.
fn short(name: &str, cases: u32) {
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "there is no corpus for {name}");
    seeds.iter().for_each(|seed| run(name, seed));
    let altered = (
        prop::sample::select(seeds),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
        prop::bool::weighted(0.3),
    );
    let altered = altered.prop_map(|(mut bytes, changes, end, cut)| {
        if !bytes.is_empty() {
            changes.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes[..]) = *byte);
            let length = if cut { end.index(bytes.len()) } else { bytes.len() };
            bytes.truncate(length);
        }
        bytes
    });
    let input = prop_oneof![3 => altered, 1 => prop::collection::vec(any::<u8>(), 0..600)];
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&input, |bytes| {
            run(name, &bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn every_target_is_tested_here() {
    let source = include_str!("short.rs");
    for (name, _) in TARGETS {
        assert!(source.contains(&format!("short(\"{name}\"")), "{name}");
    }
}

#[test]
fn records() {
    short("records", 4000);
}

#[test]
fn front() {
    short("front", 4000);
}

#[test]
fn record_open() {
    short("record_open", 1000);
}

#[test]
fn replay() {
    short("replay", 1000);
}

#[test]
fn association() {
    short("association", 10);
}

#[test]
fn af_xdp() {
    short("af_xdp", 128);
}

#[test]
fn configuration() {
    short("configuration", 500);
}

#[test]
fn own_messages() {
    short("own_messages", 4000);
}
