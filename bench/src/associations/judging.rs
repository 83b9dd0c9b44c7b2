//! How long it takes to judge all associations by other rules, and how long others wait meanwhile.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use xdtls::registry::Registry;
use xdtls_common::id::LocalId;
use xdtls_proto::policy::{Admission, PeerPattern, Policy, Rule};

/// Rules that are asked about each association. None but the last is for any of them.
const RULES: usize = 16;

/// How often the other thread looks.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// What judging takes, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Judging {
    /// All of them.
    pub all_ms: f64,
    /// The longest that a thread which looks one association up, as handshakes do, has waited.
    pub wait_ms: f64,
}

impl Judging {
    /// Lets rules judge all that are registered, of which they admit the first of `ids` only.
    pub(super) fn measure(registry: &Registry, ids: &[LocalId]) -> Result<Self> {
        let rules = Arc::new(admitting_the_first()?);
        let (begun, ended) = (Barrier::new(2), AtomicBool::new(false));
        let look = || {
            let mut longest = Duration::ZERO;
            begun.wait();
            while !ended.load(Ordering::Relaxed) {
                let begin = Instant::now();
                black_box(registry.find(ids[0]));
                longest = longest.max(begin.elapsed());
                std::thread::sleep(LOOK_EVERY);
            }
            longest
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(look);
            begun.wait();
            let begin = Instant::now();
            let refused = registry.admit_by(rules, &HashSet::new(), 0);
            let took = begin.elapsed();
            ended.store(true, Ordering::Relaxed);
            ensure!(refused.len() + 1 == ids.len(), "{} of {}", refused.len(), ids.len());
            let wait = other.join().map_err(|_| anyhow!("the thread that looks has panicked"))?;
            Ok(Self { all_ms: took.as_secs_f64() * 1e3, wait_ms: wait.as_secs_f64() * 1e3 })
        })
    }
}

fn admitting_the_first() -> Result<Admission> {
    let others = (1..RULES).map(|number| format!("other-{number}.example"));
    let names = others.chain(["client-0.example".to_owned()]);
    let rule = |name: String| Ok(Rule { peer: PeerPattern::Name(name.parse()?), backend: 0 });
    let policy = Policy { rules: names.map(rule).collect::<Result<_>>()?, default_backend: None };
    Ok(Admission { policy, ..Admission::default() })
}
